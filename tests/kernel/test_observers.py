"""Routers watched from outside: their routes, their messages, and whether they are touched."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from vnemu.drivers.control_messages import ControlMessages
from vnemu.drivers.programs import find
from vnemu.drivers.route_monitor import NodeRoutes, RouteChange, RouteMonitor
from vnemu.experiments.fingerprint import Untouched
from vnemu.experiments.observers import _namer, _vifs
from vnemu.lab import Lab
from vnemu.model.overlay import Topology
from vnemu.plan.objects import FABRIC, node_namespace
from vnemu.results.record import RunWriter

PATIENCE_S = 5.0
LINE = """
underlay: {{machines: [rm1]}}
networks:
  a:
    routers: [r1, r2]
    routing: {routing}
    links:
      - {{name: one, endpoints: [r1, r2], limit: 100mbit}}
      - {{name: two, endpoints: [r1, r2], limit: 100mbit}}
"""


@contextmanager
def line(folder: Path, routing: str = "none") -> Iterator[Lab]:
    (folder / "t.yaml").write_text(LINE.format(routing=routing))
    with Lab.from_file(folder / "t.yaml") as lab:
        yield lab


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


class Watched:
    """What is told of r1's routes to 192.0.2.0/24 and 2001:db8::/64 (RFC 5737, 3849)."""

    PREFIXES = ("192.0.2.0/24", "2001:db8::/64")

    def __init__(self, lab: Lab, stack: ExitStack) -> None:
        self._lab = lab
        self._told: list[RouteChange] = []
        name = node_namespace("a/r1")
        sockets = lab.kernel.inside(name, NodeRoutes)
        namer = _namer(lab.kernel.namespaces[name].indices)
        monitor = RouteMonitor({"a/r1": (sockets, namer)}, self._told.append)
        stack.callback(monitor.close)
        monitor.start()

    def after(self, *command: str) -> tuple[str, tuple[str, ...]]:
        """What the last of the changes was that a command in the VR made."""
        del self._told[:]
        done = self._lab["a/r1"].run(*command)
        assert done.returncode == 0, done.stderr
        assert soon(lambda: bool(self._own()))
        return self.last.action, self.last.route.next_hops

    @property
    def last(self) -> RouteChange:
        return self._own()[-1]

    def _own(self) -> list[RouteChange]:
        return [change for change in list(self._told) if change.route.prefix in self.PREFIXES]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with line(tmp_path) as lab, ExitStack() as stack:
        yield Watched(lab, stack)


def ip(verb: str, what: str, *words: str, version: int = 4) -> tuple[str, ...]:
    prefix = Watched.PREFIXES[version == 6]
    return ("ip", f"-{version}", "route", verb, prefix, *what.split(), *words)


BOTH4 = "nexthop via 10.0.0.2 dev eth0 nexthop via 10.0.0.6 dev eth1"
BOTH6 = "nexthop via fe80::1 dev eth0 nexthop via fe80::2 dev eth1"


def test_an_ipv4_route(watched: Watched) -> None:
    assert watched.after(*ip("add", "via 10.0.0.2")) == ("set", ("10.0.0.2@eth0",))
    assert watched.after(*ip("replace", BOTH4)) == ("set", ("10.0.0.2@eth0", "10.0.0.6@eth1"))
    assert watched.after(*ip("del", ""))[0] == "gone"


def test_an_ipv6_route(watched: Watched) -> None:
    both = ("fe80::1@eth0", "fe80::2@eth1")
    assert watched.after(*ip("add", BOTH6, version=6)) == ("set", both)
    one = watched.after(*ip("del", "via fe80::1 dev eth0", version=6))
    assert one == ("set", ("fe80::2@eth1",))
    again = watched.after(*ip("append", "via fe80::1 dev eth0", version=6))
    assert again == ("set", both)
    watched.after(*ip("del", BOTH6, version=6))
    assert soon(lambda: watched.last.action == "gone")  # one next hop goes after the other


@pytest.mark.parametrize("version", [4, 6])
def test_a_route_that_goes_with_its_device(watched: Watched, version: int) -> None:
    """The kernel says nothing of IPv4 routes that it drops itself."""
    via = "10.0.0.2" if version == 4 else "fe80::1"
    watched.after(*ip("add", f"via {via} dev eth0", version=version))
    assert watched.after("ip", "link", "set", "eth0", "down")[0] == "gone"


def test_a_route_by_a_nexthop_object(watched: Watched) -> None:
    nexthop = ("ip", "nexthop", "add", "id", "7", "via", "10.0.0.2", "dev", "eth0")
    route = " ".join(ip("add", "nhid 7"))
    both = f"{' '.join(nexthop)} && {route}"
    assert watched.after("sh", "-c", both) == ("set", ("10.0.0.2@eth0",))
    assert watched.after("ip", "nexthop", "del", "id", "7")[0] == "gone"


def raw(protocol: int, family: int = socket.AF_INET) -> Callable[[], socket.socket]:
    return lambda: socket.socket(family, socket.SOCK_RAW, protocol)


def test_routing_messages_are_counted_at_the_vifs(tmp_path: Path) -> None:
    with line(tmp_path) as lab, ExitStack() as stack:
        messages = lab.kernel.inside(FABRIC, ControlMessages)
        stack.callback(messages.close)
        messages.follow(_vifs(lab))
        counts: dict[tuple[str, str, str, str], tuple[int, int]] = {}

        def heard() -> dict[tuple[str, str, str, str], tuple[int, int]]:
            counts.update({row[:4]: row[4:] for row in messages.read()})
            return counts

        ospf = stack.enter_context(lab["a/r1"].inside(raw(89)))
        udp = stack.enter_context(
            lab["a/r1"].inside(lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
        )
        r2 = lab.topology.nodes["a/r2"].nics
        for _ in range(3):
            ospf.sendto(bytes(44), ("10.0.0.2", 0))
        for port in (9, 3784, 6696):
            udp.sendto(bytes(24), (str(r2[0].addresses[1].ip), port))
        assert soon(lambda: len(heard()) == 6), counts
        assert {key: value for key, value in counts.items() if key[3] == "ospf"} == {
            ("a/r1", "eth0", "out", "ospf"): (3, 3 * 78),
            ("a/r2", "eth0", "in", "ospf"): (3, 3 * 78),
        }
        assert counts["a/r1", "eth0", "out", "bfd"] == (1, 86)
        assert counts["a/r2", "eth0", "in", "babel"] == (1, 86)
        assert messages.dropped == 0


class Notes:
    """What would be recorded of looks at the VRs."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self.looks = 0

    def untouched(
        self, from_s: float, to_s: float, events: object, nodes: int, found: list[tuple[str, str]]
    ) -> None:
        self.looks += 1
        self.found += found


BIRD = "{protocol: ospf, daemon: bird}"
needs_bird = pytest.mark.skipif(find("bird") is None, reason="bird is not installed")


def seen_after(lab: Lab, change: Callable[[], object]) -> list[tuple[str, str]]:
    """What two looks at all VRs find different, with a change between them."""
    notes = Notes()
    untouched = Untouched(lab, cast(RunWriter, cast(Any, notes)))
    untouched.begin()
    before: Topology = lab.topology
    change()
    untouched.due([1], before, lab.topology)
    untouched.finish(lambda: 1.0)
    assert notes.looks == 1
    return notes.found


TOUCHES = {
    "a sysctl": ("sysctl -w net.ipv4.ip_forward=0", "sysctl net.ipv4.ip_forward: 1 -> 0"),
    "a sysctl of a NIC": (
        "sysctl -w net.ipv4.conf.eth0.rp_filter=2",
        "sysctl net.ipv4.conf.eth0.rp_filter: 0 -> 2",
    ),
    "an MTU": ("ip link set eth0 mtu 1400", "mtu 1500, up -> "),
    "an address": ("ip address add 192.0.2.1/32 dev lo", "192.0.2.1/32"),
    "a file": ("sh -c 'echo >> /etc/bird/bird.conf'", "file /etc/bird/bird.conf was changed"),
    "a daemon": ("pkill -KILL bird", "is gone"),
}


@needs_bird
@pytest.mark.parametrize("touch", TOUCHES)
def test_a_touch_is_caught(tmp_path: Path, touch: str) -> None:
    command, told = TOUCHES[touch]
    with line(tmp_path, BIRD) as lab:
        found = seen_after(lab, lambda: lab["a/r1"].run("sh", "-c", command))
        assert found
        assert {node for node, _ in found} == {"a/r1"}
        assert any(told in what for _, what in found), found


UNTOUCHED: dict[str, Callable[[Lab], object]] = {
    "nothing": lambda lab: None,
    "a limit": lambda lab: lab.reshape("a/one", limit="10mbit"),
    "a carrier": lambda lab: lab.down("a/one"),
    "a cut": lambda lab: lab.cut("a/one"),
    "a new link": lambda lab: lab.add("a/three", ["r1", "r2"]),
    "a link that goes": lambda lab: lab.remove("a/two"),
}


@needs_bird
@pytest.mark.parametrize("change", UNTOUCHED)
def test_what_is_done_from_outside_is_no_touch(tmp_path: Path, change: str) -> None:
    with line(tmp_path, BIRD) as lab:
        assert seen_after(lab, lambda: UNTOUCHED[change](lab)) == []


def test_programs_of_ours_are_no_touch(tmp_path: Path) -> None:
    with line(tmp_path) as lab, ExitStack() as stack:
        lab["a/r1"].run("true")

        def start() -> None:
            process = lab["a/r1"].popen("sleep", "30")
            stack.enter_context(process)
            stack.callback(process.kill)

        assert seen_after(lab, start) == []
