"""When the routing of a lab's networks has converged, found out from outside.

A network is ready when for a while (`quiet_s`) no routing table of its VRs has changed,
and since the last change an echo request from each VR's loopback has been answered by
each other VR's loopback and by each host. Those that no working VL joins are not asked,
nor are VRs that speak no routing protocol.
"""

from __future__ import annotations

import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.echo import EchoSocket
from vnemu.drivers.kernel import Kernel
from vnemu.embedding.mapping import Mapping as Embedding
from vnemu.embedding.mapping import has_carrier, passing
from vnemu.errors import ConvergenceTimeout
from vnemu.model.overlay import Interface, Node, Topology, VirtualLink, VirtualNetwork
from vnemu.model.routing import Protocol, RouterOs, Timer
from vnemu.plan.objects import node_namespace

_FARTHEST = 60
"""VLs; an echo reply starts with a hop limit of 64."""
_FARTHEST_OF_RIP = 15
"""VLs; 16 is infinity (RFC 2453, 3.6)."""
_SHOWN = 4

# What may hold up the next change of one and the same convergence: hellos, the next attempt
# to connect, and times that no option declares. OSPF: MinLSInterval, RxmtInterval (RFC 2328,
# B and C.3); RIP: triggered updates are delayed by up to 5 s (RFC 2453, 3.10.1).
_PACE: dict[Protocol, Timer] = {"ospf": "hello", "isis": "hello", "babel": "hello", "bgp": "retry"}
_LEAST_PACE_S: dict[Protocol, float] = {"ospf": 5.0, "isis": 5.0, "rip": 5.0}
_LONGEST_PACE_S = 10.0
_BEYOND_S = 1.0


@dataclass(frozen=True)
class Pair:
    """Two nodes that shall reach each other: `start` is a VR, which asks.

    Parameters:
        source, target: their addresses.
    """

    start: str
    end: str
    version: int
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.start} and {self.end} ({self.source}, {self.target})"


def quiet_s(network: VirtualNetwork) -> float:
    """How long no table of a network may change until it counts as converged, in seconds."""
    paces = [_pace_s(os, p) for os in _spoken(network) for p in os.protocols]
    return min(max(paces, default=0.0), _LONGEST_PACE_S) + _BEYOND_S


def _pace_s(os: RouterOs, protocol: Protocol) -> float:
    timer = _PACE.get(protocol)
    declared = os.timers.of(protocol, timer).seconds if timer else 0.0
    return max(declared, _LEAST_PACE_S.get(protocol, 0.0))


def _spoken(network: VirtualNetwork) -> Iterator[RouterOs]:
    return (node.os for node in network.routers if node.os.is_dynamic)


def pairs(topology: Topology, mapping: Embedding, network: VirtualNetwork) -> Iterator[Pair]:
    """All that shall reach each other in a network, as it is now.

    A reply takes the way back, so that each two VRs need to be asked once.
    """
    nodes = {node.path: node for node in network.nodes.values()}
    neighbours = _neighbours(topology, mapping, network)
    farthest = _FARTHEST_OF_RIP if _only_rip(network) else _FARTHEST
    speakers = [node for node in network.routers if node.os.is_dynamic]
    order = {path: number for number, path in enumerate(nodes)}
    for start in speakers:
        for path in _within(neighbours, start.path, farthest):
            end = nodes[path]
            if end.kind == "host" or order[path] > order[start.path]:
                yield from _pairs(start, end)


def _only_rip(network: VirtualNetwork) -> bool:
    return any(set(os.protocols) == {"rip"} for os in _spoken(network))


def _neighbours(
    topology: Topology, mapping: Embedding, network: VirtualNetwork
) -> dict[str, list[str]]:
    """Who is joined with whom by a VL that works and over which both speak the same."""
    found: dict[str, list[str]] = {node.path: [] for node in network.nodes.values()}
    for link in network.links.values():
        a, b = topology.nodes[link.a], topology.nodes[link.b]
        if _understand(a, b) and _works(topology, mapping, link):
            found[link.a].append(link.b)
            found[link.b].append(link.a)
    return found


def _understand(a: Node, b: Node) -> bool:
    if "host" in (a.kind, b.kind):
        router = a if b.kind == "host" else b
        return router.os.is_dynamic
    return a.os.is_dynamic and bool(set(a.os.protocols) & set(b.os.protocols))


def _works(topology: Topology, mapping: Embedding, link: VirtualLink) -> bool:
    """Whether frames cross a VL in both directions, whichever of its paths they take."""
    if len(passing(topology, mapping, link)) < 2 or not has_carrier(topology, mapping, link):
        return False
    return all(
        way.passes(topology.underlay, forward)
        for way in mapping.paths[link.path].ways
        for forward in (True, False)
    )


def _within(neighbours: Mapping[str, list[str]], start: str, farthest: int) -> Iterator[str]:
    """The nodes up to so many VLs away, nearest first."""
    far = {start: 0}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for path in neighbours[here]:
            if path not in far and far[here] < farthest:
                far[path] = far[here] + 1
                queue.append(path)
                yield path


def _pairs(start: Node, end: Node) -> Iterator[Pair]:
    for version in (4, 6):
        own, other = (_reached_at(node, version) for node in (start, end))
        if own is not None and other is not None:
            yield Pair(start.path, end.path, own.version, str(own.ip), str(other.ip))


def _reached_at(node: Node, version: int) -> Interface | None:
    """Where a node answers: at a loopback, or if it has none at its first NIC."""
    known = node.loopbacks or [address for nic in node.nics for address in nic.addresses]
    return next((address for address in known if address.version == version), None)


class Changes:
    """Notices that a node's main routing table changes; to be made in its namespace.

    What a full buffer lost counts as a change.
    """

    _GROUPS = 0x40 | 0x400  # RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE
    _HEADER = struct.Struct("=IHHII")
    _MAIN, _CLONED = 254, 0x200

    def __init__(self) -> None:
        kind = socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self.socket = socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE)
        self.socket.bind((0, self._GROUPS))

    def any(self) -> bool:
        """Whether something has changed since it was asked last."""
        found = False
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except BlockingIOError:
                return found
            except OSError:  # ENOBUFS
                found = True
                continue
            found = found or self._matters(data)

    def _matters(self, data: bytes) -> bool:
        _, kind, *_ = self._HEADER.unpack_from(data)
        table, flags = data[self._HEADER.size + 4], rt.RTMSG.unpack_from(data, self._HEADER.size)[8]
        known = kind in {rt.RTM_NEWROUTE, rt.RTM_DELROUTE}
        return known and table == self._MAIN and not flags & self._CLONED


@dataclass
class _Network:
    """What is known of one network's convergence; times are of time.monotonic().

    Parameters:
        pairs: their numbers among those of the lab.
        answered: when the request was sent whose reply came, by pair.
    """

    name: str
    quiet: float
    pairs: range
    changed: float
    answered: dict[int, float] = field(default_factory=dict)

    def open(self) -> list[int]:
        """The pairs that have not answered since the last change."""
        return [n for n in self.pairs if self.answered.get(n, 0.0) <= self.changed]

    def is_ready(self, now: float) -> bool:
        """Whether it has converged."""
        return now - self.changed >= self.quiet and not self.open()


class Readiness:
    """Watches networks until they have converged.

    Parameters:
        stable_only: networks of which not all need to reach all: it is enough that their
            tables do not change any more.
        tell: called with the number of pairs that reach each other, and of all.
        check: called now and then; raises when waiting has no point any more.
    """

    _BURST, _BREATH_S = 256, 0.01
    _FIRST_AGAIN_S, _LAST_AGAIN_S = 0.2, 1.0
    _TICK_S = 0.05

    def __init__(
        self,
        topology: Topology,
        mapping: Embedding,
        kernel: Kernel,
        stable_only: Collection[str] = (),
        tell: Callable[[int, int], None] = lambda done, total: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._tell, self._check = tell, check
        self._kernel = kernel
        self._pairs: list[Pair] = []
        self._networks: list[_Network] = []
        self._routers: dict[str, _Network] = {}
        for network in (each for each in topology.networks.values() if each.is_dynamic):
            first = len(self._pairs)
            if network.name not in stable_only:
                self._pairs += pairs(topology, mapping, network)
            numbers = range(first, len(self._pairs))
            watched = _Network(network.name, quiet_s(network), numbers, time.monotonic())
            self._networks.append(watched)
            self._routers |= {node.path: watched for node in network.routers}
        self._by_number = {n: watched for watched in self._networks for n in watched.pairs}
        self._echoes: dict[tuple[str, int], EchoSocket] = {}
        self._changes: dict[str, Changes] = {}
        self._turns: list[float] = []
        self._selector: selectors.BaseSelector

    def wait(self, timeout_s: float) -> None:
        """Return when all networks have converged.

        Raises:
            ConvergenceTimeout: if that takes longer, saying who does not reach whom.
        """
        if not self._networks:
            return
        with ExitStack() as stack:
            self._open(stack)
            self._wait(time.monotonic() + timeout_s, timeout_s)

    def _open(self, stack: ExitStack) -> None:
        self._selector = stack.enter_context(selectors.DefaultSelector())
        for path, network in self._routers.items():
            changes = self._kernel.inside(node_namespace(path), Changes)
            stack.enter_context(changes.socket)
            self._changes[path] = changes
            self._selector.register(changes.socket, selectors.EVENT_READ, (network, changes))
        for pair in self._pairs:
            key = (pair.start, pair.version)
            if key not in self._echoes:
                space = node_namespace(pair.start)
                echo = self._kernel.inside(space, partial(EchoSocket, pair.source))
                stack.enter_context(echo.socket)
                self._echoes[key] = echo
                self._selector.register(echo.socket, selectors.EVENT_READ, echo)

    def _wait(self, end: float, timeout_s: float) -> None:
        again = self._FIRST_AGAIN_S
        next_turn = 0.0
        reached = -1
        while True:
            now = time.monotonic()
            if now >= next_turn and (asked := self._to_ask(now)):
                self._ask(asked)
                again = min(again * 1.5, self._LAST_AGAIN_S)
                next_turn = time.monotonic() + again
                self._tell(self._reached(), len(self._pairs))
            self._hear(self._TICK_S)
            self._check()
            if self._reached() > reached:
                reached, again = self._reached(), self._FIRST_AGAIN_S
                self._tell(reached, len(self._pairs))
            now = time.monotonic()
            if all(network.is_ready(now) for network in self._networks):
                return
            if now >= end:
                raise ConvergenceTimeout(self._why(now, timeout_s))

    def _to_ask(self, now: float) -> list[int]:
        """The pairs to ask: of networks whose tables have come to rest, at least for now."""
        resting = [n for n in self._networks if now - n.changed >= min(n.quiet / 4, 0.5)]
        return [number for network in resting for number in network.open()]

    def _reached(self) -> int:
        return sum(len(network.answered) for network in self._networks)

    def _ask(self, numbers: Iterable[int]) -> None:
        """Ask in small bursts: a slow VL has a short queue."""
        turn = len(self._turns)
        self._turns.append(time.monotonic())
        for count, number in enumerate(numbers, 1):
            pair = self._pairs[number]
            self._echoes[pair.start, pair.version].send(pair.target, number, turn)
            if count % self._BURST == 0:
                self._hear(self._BREATH_S)

    def _hear(self, longest_s: float) -> None:
        """Take in what comes in a time."""
        end = time.monotonic() + longest_s
        while True:
            for key, _ in self._selector.select(max(0.0, end - time.monotonic())):
                if isinstance(key.data, EchoSocket):
                    for number, turn in key.data.replies():
                        self._by_number[number].answered[number] = self._turns[turn]
                else:
                    network, changes = key.data
                    if changes.any():
                        network.changed = time.monotonic()
            if time.monotonic() >= end:
                return

    def _why(self, now: float, timeout_s: float) -> str:
        lines = [f"routing has not converged within {timeout_s:g} s"]
        for network in self._networks:
            if network.is_ready(now):
                continue
            quiet = now - network.changed
            silent = [self._pairs[n] for n in network.open()]
            lines += [f"  {pair} do not reach each other" for pair in silent[:_SHOWN]]
            if silent[_SHOWN:]:
                lines.append(f"  and {len(silent) - _SHOWN} more of {len(network.pairs)} pairs")
            lines.append(
                f"  network {network.name}: its routing tables last changed {quiet:.1f} s ago "
                f"({network.quiet:g} s without a change are needed)"
            )
        return "\n".join(lines)
