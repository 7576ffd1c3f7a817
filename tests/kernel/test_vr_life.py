"""The life of VRs on the real kernel: what they, their peers and their traffic see of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.carried import carried
from tests.kernel.features import need
from tests.kernel.reaching import reaches, silent
from tests.kernel.test_lab import lab_of, ping, wrong
from tests.kernel.test_lab_verbs import _refusing, interfaces, link_events, settled
from vnemu.drivers.namespace_routers import NamespaceRouters
from vnemu.drivers.programs import find
from vnemu.errors import ExperimentFailed, InputError, KernelRefused
from vnemu.lab import Lab
from vnemu.plan.objects import Key, Object
from vnemu.verbs.life import MoveRouter
from vnemu.verbs.state import State

MESH = """
underlay:
  machines: [rm1, rm2, rm3, rm4]
  links:
    - {endpoints: [rm1, rm2], rate: 1gbit}
    - {endpoints: [rm2, rm3], rate: 1gbit}
    - {endpoints: [rm3, rm4], rate: 1gbit}
    - {endpoints: [rm4, rm1], rate: 1gbit}
networks:
  a:
    routers: {r1: {on: rm1}, r2: {on: rm3}, r3: {on: rm1}, r4: {on: rm2}, r5: {on: rm4}}
    hosts: {c1: {at: r2}, c2: {at: r4}, c5: {at: r5}}
    links:
      - {endpoints: [r1, r2]%s}
      - {endpoints: [r1, r3]%s}
      - {endpoints: [r1, r4]%s}
      - {endpoints: [r1, r5]%s}
"""
"""All from c1 to c2 and c5 crosses r1, which has four VLs."""

STATES_MS = 1000
MOVE_MS = 2000
"""Generous: another turn of the tests may have the processor."""


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    more = getattr(request, "param", "")
    with lab_of(MESH % ((more,) * 4), tmp_path) as found:
        yield found


@contextlib.contextmanager
def timed(most_ms: float) -> Iterator[None]:
    begun = time.monotonic()
    yield
    taken = (time.monotonic() - begun) * 1e3
    assert taken < most_ms, f"it took {taken:.1f} ms"


class TestMove:
    def test_round_the_ring_without_a_lost_probe(self, lab: Lab) -> None:
        """Its VLs become local, tunnels of one hop and of two, and end at other machines."""
        assert reaches(lab)
        took = []
        with carried(lab, "a/c1", "a/c2") as seen, link_events(lab, "a/r1") as events:
            for machine in ("rm2", "rm3", "rm4", "rm1", "rm3", "rm1"):
                begun = time.monotonic()
                lab.move("a/r1", to=machine)
                took.append((time.monotonic() - begun) * 1e3)
                time.sleep(0.1)
        assert events == []
        assert (seen.lost, seen.resent) == ([], 0)
        assert sorted(took)[len(took) // 2] < MOVE_MS, took
        assert lab.mapping.machines["a/r1"] == "rm1"
        assert wrong(lab) == []

    @pytest.mark.parametrize("lab", [", limit: 50mbit"], indirect=True)
    def test_with_limits(self, lab: Lab) -> None:
        """A limit is shaped in the fabric where a VL is local, and at a physical port elsewhere."""
        assert reaches(lab)
        with carried(lab, "a/c1", "a/c2", tcp_mbit=25) as seen:
            time.sleep(0.3)
            begun = seen.sent
            for machine in ("rm2", "rm3", "rm4", "rm1", "rm3", "rm1"):
                lab.move("a/r1", to=machine)
                time.sleep(0.1)
        assert [number for number in seen.lost if number >= begun] == []
        assert wrong(lab) == []

    @pytest.mark.parametrize("more", [", delay: 10ms", ", delay: 10ms, limit: 50mbit"])
    def test_with_delays(self, tmp_path: Path, more: str) -> None:
        """What netem holds arrives, though it holds it elsewhere afterwards."""
        need("netem")
        with lab_of(MESH % ((more,) * 4), tmp_path) as lab:
            assert reaches(lab)
            with carried(lab, "a/c1", "a/c2", tcp_mbit=1, probe_hz=200) as seen:
                for machine in ("rm2", "rm3", "rm4", "rm1"):
                    lab.move("a/r1", to=machine)
                    time.sleep(0.2)
            assert seen.lost == []
            assert wrong(lab) == []

    def test_its_hosts_go_with_it(self, lab: Lab) -> None:
        lab.move("a/r2", to="rm4")
        assert lab.mapping.machines["a/c1"] == "rm4"
        assert reaches(lab)
        assert wrong(lab) == []

    def test_one_is_chosen(self, lab: Lab) -> None:
        lab.move("a/r1", avoid=["rm2"])
        assert lab.mapping.machines["a/r1"] in ("rm3", "rm4")
        assert reaches(lab)

    def test_two_swap_in_one_batch(self, lab: Lab) -> None:
        assert reaches(lab)
        with carried(lab, "a/c1", "a/c2") as seen:
            lab.do(MoveRouter("a/r1", "rm3"), MoveRouter("a/r2", "rm1"))
            time.sleep(0.1)
            lab.do(MoveRouter("a/r2", "rm3"), MoveRouter("a/r1", "rm1"))
            time.sleep(0.1)
        assert seen.lost == []
        assert wrong(lab) == []


ROUTED = MESH.replace(
    "    routers", "    routing: {protocol: ospf, hello: 1s, dead: 3s}\n    routers"
)
LINKS_AND_ROUTES = 0x1 | 0x40 | 0x400
"""RTMGRP_LINK, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_ROUTE (include/uapi/linux/rtnetlink.h)."""


class TestMoveUnderOspf:
    @pytest.fixture
    def lab(self, tmp_path: Path) -> Iterator[Lab]:
        if find("bird") is None:
            pytest.skip("bird is not installed")
        with lab_of(ROUTED % (("",) * 4), tmp_path) as found:
            found.converge()
            yield found

    def test_no_adjacency_flaps_and_no_route_changes(self, lab: Lab) -> None:
        routers = [path for path in lab.topology.nodes if path.startswith("a/r")]
        with contextlib.ExitStack() as stack:
            heard = [stack.enter_context(link_events(lab, r, LINKS_AND_ROUTES)) for r in routers]
            seen = stack.enter_context(carried(lab, "a/c1", "a/c2", tcp_mbit=10))
            for machine in ("rm2", "rm3", "rm4", "rm1"):
                lab.move("a/r1", to=machine)
                time.sleep(0.2)
            time.sleep(3.5)  # a lost adjacency would be noticed now
        assert seen.lost == []
        assert [len(each) for each in heard] == [0] * len(routers)


class TestPause:
    def test_nothing_passes_and_nobody_is_told(self, lab: Lab) -> None:
        assert reaches(lab)
        with link_events(lab, "a/r1") as own, link_events(lab, "a/r2") as other:
            with timed(STATES_MS):
                lab.pause("a/r1")
            assert silent(lab)
            assert silent(lab, "a/c2", "a/c1")
            assert silent(lab, "a/r2", "a/r1")
            with timed(STATES_MS):
                lab.resume("a/r1")
            assert reaches(lab)
        assert (own, other) == ([], [])
        assert wrong(lab) == []

    def test_a_paused_vr_moves(self, lab: Lab) -> None:
        lab.pause("a/r1")
        lab.move("a/r1", to="rm3")
        assert silent(lab)
        lab.resume("a/r1")
        assert reaches(lab)
        assert wrong(lab) == []

    def test_a_host(self, lab: Lab) -> None:
        lab.pause("a/c1")
        assert silent(lab, "a/r1", "a/c1")
        lab.resume("a/c1")
        assert reaches(lab)

    def test_in_a_wrong_state(self, lab: Lab) -> None:
        lab.pause("a/r1")
        with pytest.raises(InputError, match="a/r1 is paused: it cannot be started"):
            lab.start("a/r1")


class TestStop:
    def test_its_peers_see_it_without_power(self, lab: Lab) -> None:
        assert reaches(lab)
        lab.stop("a/r1")
        assert all(settled(lab, f"a/r{n}", "eth0", expected=False) for n in (2, 3, 4, 5))
        assert settled(lab, "a/r2", "eth1", expected=True)
        lab.start("a/r1")
        assert all(settled(lab, f"a/r{n}", "eth0", expected=True) for n in (2, 3, 4, 5))
        assert reaches(lab)
        assert wrong(lab) == []

    def test_a_link_that_is_down_stays_down(self, lab: Lab) -> None:
        lab.down("a/r1-r2")
        lab.stop("a/r1")
        lab.start("a/r1")
        assert settled(lab, "a/r2", "eth0", expected=False)
        assert settled(lab, "a/r3", "eth0", expected=True)


class TestExistence:
    def test_a_router_joins_and_leaves(self, lab: Lab) -> None:
        before = dict(lab.topology.vifs)
        for _ in range(3):
            lab.create("a/r9", on="rm3")
            lab.add("a/new", ["r9", "r1"])
            own = next(a for a in lab.topology.nodes["a/r9"].nics[0].addresses if a.version == 4)
            assert ping(lab, "a/r1", str(own.ip))
            assert wrong(lab) == []
            lab.destroy("a/r9")
            assert lab.topology.vifs == before
            assert "vr:a/r9" not in lab.kernel.namespaces
            assert wrong(lab) == []
        assert reaches(lab)

    def test_a_copy_takes_the_place_of_its_original(self, lab: Lab) -> None:
        assert reaches(lab)
        macs = interfaces(lab, "a/r1")
        lab.copy("a/r1", "a/r1b", on="rm4")
        copies = interfaces(lab, "a/r1b")
        assert copies.keys() == macs.keys()
        assert set(copies.values()).isdisjoint(macs.values())
        assert wrong(lab) == []
        lab.destroy("a/r1")
        for name in ("r2", "r3", "r4", "r5"):
            old = next(n for n in lab.topology.nodes["a/r1b"].nics if not n.link)
            keys = {f"ipv{a.version}": str(a.network) for a in old.addresses}
            lab.add(f"a/r1-{name}", ["r1b", name], **keys)
        assert wrong(lab) == []
        shown = lab["a/r1b"].run("ip", "route").stdout
        assert "via" in shown, shown

    def test_what_hangs_on_it(self, lab: Lab) -> None:
        with pytest.raises(InputError, match="a/c1 live behind it"):
            lab.destroy("a/r2")
        lab.destroy("a/c1")
        lab.destroy("a/r2")
        assert wrong(lab) == []


Step = Callable[[Lab], None]


def _again(lab: Lab) -> None:
    lab.create("a/r3", on="rm1")
    lab.add("a/r1-r3", ["r1", "r3"])


VERBS: dict[str, tuple[Step, Step]] = {
    "move": (lambda lab: lab.move("a/r1", to="rm3"), lambda lab: lab.move("a/r1", to="rm1")),
    "pause": (lambda lab: lab.pause("a/r1"), lambda lab: lab.resume("a/r1")),
    "stop": (lambda lab: lab.stop("a/r1"), lambda lab: lab.start("a/r1")),
    "create": (lambda lab: lab.create("a/r9", nics=2), lambda lab: lab.destroy("a/r9")),
    "copy": (lambda lab: lab.copy("a/r1", "a/r9"), lambda lab: lab.destroy("a/r9")),
    "destroy": (lambda lab: lab.destroy("a/r3"), _again),
}
"""Each verb, and what makes the lab again what it was."""


@pytest.fixture(scope="class")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for tests that leave it as it was."""
    with lab_of(MESH % (("",) * 4), tmp_path_factory.mktemp("kept")) as found:
        found.pause("a/r1")  # what is probed for when it is first used is so already
        found.resume("a/r1")
        yield found


Before = tuple[State, dict[Key, Object], set[str]]


def _now(lab: Lab) -> Before:
    return lab.state, lab.plan.objects(), set(lab.kernel.namespaces)


class TestRefusal:
    @pytest.mark.parametrize("verb", VERBS)
    def test_all_is_as_before(self, kept: Lab, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """The kernel refuses the first batch of requests, then the second, and so on."""
        do, undo = VERBS[verb]
        before = _now(kept)
        steps = 0
        while True:
            refused = False
            with _refusing(steps, monkeypatch):
                try:
                    do(kept)
                except KernelRefused:
                    refused = True
            if not refused:
                break
            steps += 1
            assert _now(kept) == before
            assert wrong(kept) == []
            assert reaches(kept)
        assert steps >= 1
        assert wrong(kept) == []
        undo(kept)


class TestFailure:
    @pytest.mark.parametrize("step", ["before_batch", "begin", "after_batch"])
    @pytest.mark.parametrize("verb", VERBS)
    def test_processes_that_cannot(
        self, kept: Lab, verb: str, step: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the kernel has done by then is undone."""

        def failing(*_: object) -> None:
            raise ExperimentFailed("as the test asked")

        before = _now(kept)
        with monkeypatch.context() as patch:
            patch.setattr(NamespaceRouters, step, failing)
            with pytest.raises(ExperimentFailed, match="as the test asked") as caught:
                VERBS[verb][0](kept)
        assert not getattr(caught.value, "__notes__", [])
        assert _now(kept) == before
        assert wrong(kept) == []
        assert reaches(kept)
