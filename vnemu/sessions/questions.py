"""What one wants to know of a running lab: who reaches whom, by which way, how fast."""

from __future__ import annotations

import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any, TypeVar

from vnemu.drivers.programs import program
from vnemu.errors import ExperimentFailed, InputError
from vnemu.results.words import listed
from vnemu.sessions import lookup
from vnemu.sessions.remote_nodes import RemoteNode

T = TypeVar("T")

_LOOK_S = 0.1
_MOST_HOPS = 64
_UNTIL_HEARD_S = 5.0
"""Until a server that was started listens."""
_SLACK_S = 30.0

_COUNTS = re.compile(r"(\d+) packets transmitted, (\d+) received")
_TIMES = re.compile(r"= [\d.]+/([\d.]+)/")


@dataclass(frozen=True)
class Route:
    """What a node's kernel does with packets to somewhere.

    Parameters:
        to: the prefix of the route, as the kernel has it.
        device: the NIC that they leave by; ``lo``: they stay.
        next: path of the node at the other end of that NIC's VL; None: there is none.
        via: address of the next hop; None: it is told by the device alone.
        protocol: who set the route: ``kernel``, ``static``, ``bird``, ``ospf`` …
        metric: the kernel's; None: none.
    """

    to: str
    device: str
    next: str | None
    via: str | None
    protocol: str
    metric: int | None


@dataclass(frozen=True)
class Ping:
    """How echo requests fared; `rtt_ms` is the mean, None if none came back."""

    sent: int
    received: int
    rtt_ms: float | None

    @property
    def lost(self) -> int:
        """How many did not come back."""
        return self.sent - self.received

    @property
    def loss_percent(self) -> float:
        """How many of 100 did not come back."""
        return 100 * self.lost / self.sent if self.sent else 0.0


class Questions(ABC):
    """Questions to a running lab, answered by what its nodes see and do."""

    @abstractmethod
    def inspect(self) -> dict[str, Any]:
        """What the lab is now."""

    @abstractmethod
    def __getitem__(self, path: str) -> RemoteNode:
        """One of its nodes."""

    def address(self, node: str, version: int | None = None) -> str:
        """The address of a VR or host: its loopback's, else that of its first NIC.

        Parameters:
            version: of IP; None: 4 if it has such an address.

        Raises:
            InputError: if there is no such node, or it has none.
        """
        return lookup.address(self.inspect(), node, version)

    def route(self, node: str, to: str, version: int | None = None) -> Route | None:
        """The route that `node` has.

        Parameters:
            to: a node or address, for which its kernel looks the route up; or a prefix,
                which has to be in the table as it is.
            version: of IP, where `to` is a node; as of `address`.

        Returns:
            None if there is no such route.

        Raises:
            InputError: if `to` is none of these.
        """
        data = self.inspect()
        target = _target(data, to, version)
        if "/" in target:
            found = self._routes(node, target, "show")
        else:
            found = self._routes(node, target, "get", "fibmatch")
            if found and found[0].pop("nexthops", None):  # of several ways the one that is taken
                found[0] = self._routes(node, target, "get")[0] | found[0]
        return _route(data, node, found[0]) if found else None

    def _routes(self, node: str, target: str, *how: str) -> list[dict[str, Any]]:
        family = "-6" if ":" in target else "-4"
        done = self[node].run("ip", family, "-json", "route", *how, target)
        found = json.loads(done.stdout or "[]") if done.returncode == 0 else []
        return list(found)

    def path(self, start: str, to: str, version: int | None = None) -> list[str]:
        """The nodes that packets from `start` cross, by the routes of each, with both ends.

        Raises:
            ExperimentFailed: if one has no route, or they go round in a circle.
        """
        nodes = [start]
        while len(nodes) <= _MOST_HOPS:
            route = self.route(nodes[-1], to, version)
            if route is None:
                raise ExperimentFailed(f"{nodes[-1]} has no route to {to}, on the way {nodes}")
            if route.device == "lo" or route.next is None:
                return nodes
            nodes.append(route.next)
            if route.next in nodes[:-1]:
                break
        raise ExperimentFailed(f"packets to {to} go round in a circle: {' - '.join(nodes)}")

    def ping(
        self,
        start: str,
        to: str,
        count: int = 5,
        interval_s: float = 0.05,
        version: int | None = None,
    ) -> Ping:
        """Send echo requests from a node, and wait for the answers, a second for the last.

        Parameters:
            to: a node or an address.
            interval_s: between two requests, in seconds.
        """
        target = _target(self.inspect(), to, version)
        pace = ["-c", str(count), "-i", str(interval_s), "-W", "1"]
        done = self[start].run(program("ping"), "-n", "-q", *pace, target)
        counts, times = _COUNTS.search(done.stdout), _TIMES.search(done.stdout)
        if counts is None:  # there is no route, or no such address: none could be sent
            return Ping(count, 0, None)
        return Ping(int(counts[1]), int(counts[2]), float(times[1]) if times else None)

    def wait_until(
        self, condition: Callable[[], T], timeout_s: float = 30.0, what: str = "it"
    ) -> T:
        """Ask again and again until `condition` gives something that is true, and return that.

        Parameters:
            condition: where it raises ExperimentFailed, it is asked again.

        Raises:
            ExperimentFailed: if that takes longer than `timeout_s`, saying `what` did not
                happen, and what `condition` raised last.
        """
        until = time.monotonic() + timeout_s
        why = ""
        while True:
            try:
                if found := condition():
                    return found
            except ExperimentFailed as failed:
                why = f"; {failed}"
            if time.monotonic() > until:
                raise ExperimentFailed(f"{what}: not within {timeout_s:g} s{why}")
            time.sleep(_LOOK_S)

    def wait_reachable(
        self, start: str, to: str, timeout_s: float = 30.0, version: int | None = None
    ) -> float:
        """Wait until an echo request from `start` is answered.

        Returns:
            How long that took, in seconds.

        Raises:
            ExperimentFailed: if it takes longer than `timeout_s`, saying how far routes lead.
        """
        begun = time.monotonic()
        try:
            self.wait_until(lambda: self.ping(start, to, 1, version=version).received, timeout_s)
        except ExperimentFailed:
            how = self._how_far(start, to, version)
            message = f"{start} does not reach {to} within {timeout_s:g} s; {how}"
            raise ExperimentFailed(message) from None
        return time.monotonic() - begun

    def _how_far(self, start: str, to: str, version: int | None) -> str:
        try:
            return f"by the routes, packets go {' - '.join(self.path(start, to, version))}"
        except ExperimentFailed as failed:
            return str(failed)

    def goodput_mbit(self, start: str, to: str, seconds: int = 2) -> float:
        """What one TCP flow between two nodes brings to `to`, in Mbit/s, measured by iperf3.

        Raises:
            ExperimentFailed: if iperf3 does not connect, with what it says.
        """
        received = self.iperf3(start, to, seconds)["sum_received"]
        return float(received["bits_per_second"]) / 1e6

    def iperf3(self, start: str, to: str, seconds: int, *more: str) -> dict[str, Any]:
        """What iperf3 says at the end of one flow between two nodes (``end`` of its JSON).

        Parameters:
            more: options of its client, such as ``-u``.

        Raises:
            ExperimentFailed: if it does not connect, with what it says.
        """
        target, iperf3 = self.address(to), program("iperf3")
        client = (iperf3, "-J", "-c", target, "-t", str(seconds), *more)
        until = time.monotonic() + _UNTIL_HEARD_S
        # A router answers datagrams from any of its addresses, unless it is told which.
        with self[to].start(iperf3, "-s", "-1", "-B", target):
            while True:
                done = self[start].run(*client, timeout=seconds + _SLACK_S)
                found = _told(done.stdout)
                error = found.get("error")
                if error is None:
                    return dict(found["end"])
                if "refused" not in error or time.monotonic() > until:
                    raise ExperimentFailed(f"iperf3 from {start} to {to} ({target}): {error}")
                time.sleep(_LOOK_S)


def _told(text: str) -> dict[str, Any]:
    try:
        return dict(json.loads(text))
    except ValueError:
        return {"error": text.strip() or "it said nothing"}


def _target(data: Mapping[str, Any], to: str, version: int | None) -> str:
    """An address or prefix: of a node its address."""
    nodes = data["nodes"]
    if to in nodes:
        return lookup.address(data, to, version)
    try:
        ip_network(to, strict=False)
    except ValueError:
        message = f"'{to}' is no node, address or prefix; nodes: {listed(list(nodes))}"
        raise InputError(message) from None
    return to


def _route(data: Mapping[str, Any], node: str, found: Mapping[str, Any]) -> Route:
    hop = (found.get("nexthops") or [found])[0]  # several ways: the first
    device = "lo" if found.get("type") == "local" else hop.get("dev", "")
    return Route(
        to=found["dst"],
        device=device,
        next=lookup.other_end(data, node, device),
        via=hop.get("gateway") or hop.get("via", {}).get("host"),
        protocol=found.get("protocol", ""),
        metric=found.get("metric"),
    )
