"""Whole networks on the real kernel: created, destroyed, paused, while others are at work."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.carried import carried
from tests.kernel.features import need
from tests.kernel.reaching import reaches, silent
from tests.kernel.test_lab import lab_of, wrong
from tests.kernel.test_router_os import _until
from vnemu.drivers.netlink import NetlinkSocket, Refusal, Request
from vnemu.drivers.programs import find
from vnemu.errors import ExperimentFailed, InputError, KernelRefused
from vnemu.lab import Lab
from vnemu.model.change import Change
from vnemu.schema.networks import network_from
from vnemu.verbs.networks import CreateNetwork
from vnemu.verbs.quality import Reshape

BUSY = """\
underlay:
  machines: [rm1, rm2, rm3]
  links:
    - {endpoints: [rm1, rm2], rate: 1gbit}
    - {endpoints: [rm2, rm3], rate: 1gbit}
    - {endpoints: [rm1, rm3], rate: 1gbit}
networks:
  busy:
    routers: {r1: {on: rm1}, r2: {on: rm2}}
    hosts: {c1: {at: r1}, c2: {at: r2}}
    links: [{name: core, endpoints: [r1, r2], guarantee: 200mbit}]
"""
MANY = 20


def ring(size: int) -> dict[str, object]:
    names = [f"r{number}" for number in range(1, size + 1)]
    return {
        "routers": names,
        "hosts": {"h1": {"at": "r1"}, "h2": {"at": names[size // 2]}},
        "links": [
            {"endpoints": [one, other]}
            for one, other in zip(names, [*names[1:], names[0]], strict=True)
        ],
    }


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with lab_of(BUSY, tmp_path) as found:
        yield found


def descriptors() -> int:
    gc.collect()
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_network_comes_and_goes(lab: Lab) -> None:
    plan = lab.plan
    lab.create_network(ring(4), "new")
    assert wrong(lab) == []
    assert reaches(lab, "new/h1", "new/h2")
    assert reaches(lab, "new/h1", "new/h2", 6)
    lab.destroy_network("new")
    assert wrong(lab) == []
    assert lab.plan == plan
    assert reaches(lab, "busy/c1", "busy/c2")
    with pytest.raises(InputError, match="no node 'new/h1'"):
        lab["new/h1"]


def test_from_a_file(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text("routers: [r1]\nhosts: {h: {at: r1}}\n")
    lab.create_network(file)
    assert reaches(lab, "small/h", "small/r1")
    lab.create_network(tmp_path / "t.yaml", "twin")
    assert reaches(lab, "twin/c1", "twin/c2")
    assert wrong(lab) == []


def test_again_and_again_leaves_nothing(lab: Lab) -> None:
    lab.create_network(ring(3), "new")
    lab.destroy_network("new")
    before = descriptors(), len(lab.kernel.namespaces)
    names = {name: len(space.indices) for name, space in lab.kernel.namespaces.items()}
    for _ in range(20):
        lab.create_network(ring(3), "new")
        lab.destroy_network("new")
    assert (descriptors(), len(lab.kernel.namespaces)) == before
    assert {n: len(space.indices) for n, space in lab.kernel.namespaces.items()} == names
    lab.create_network(ring(3), "new")
    assert reaches(lab, "new/h1", "new/h2")
    assert wrong(lab) == []


def test_programs_of_a_network_end_with_it(lab: Lab) -> None:
    for _ in range(2):
        lab.create_network(ring(3), "new")
        sleeper = lab["new/r1"].popen("sleep", "100")
        assert sleeper.poll() is None
        lab.destroy_network("new")
        assert sleeper.wait(5) != 0
    lab.create_network(ring(3), "new")
    assert lab["new/r1"].run("hostname").stdout.strip() == "r1"
    assert reaches(lab, "new/r1", "new/h2")


def test_others_lose_nothing(lab: Lab) -> None:
    with carried(lab, "busy/c1", "busy/c2", tcp_mbit=50) as found:
        time.sleep(0.3)
        for _ in range(2):
            lab.create_network(ring(MANY), "new")
            time.sleep(0.2)
            lab.destroy_network("new")
            time.sleep(0.2)
    assert found.lost == []
    assert found.resent < 10  # TCP may think so when a program waits for the processor
    assert wrong(lab) == []


def test_paused_it_is_silent_and_others_lose_nothing(lab: Lab) -> None:
    need("bpf")
    lab.create_network(ring(6), "new")
    assert reaches(lab, "new/h1", "new/h2")
    with carried(lab, "busy/c1", "busy/c2", tcp_mbit=50) as found:
        time.sleep(0.2)
        lab.pause_network("new")
        time.sleep(0.2)
        lab.resume_network("new")
        time.sleep(0.2)
    assert found.lost == []
    assert found.resent < 10  # TCP may think so when a program waits for the processor
    lab.pause_network("new")
    assert silent(lab, "new/h1", "new/h2")
    assert wrong(lab) == []
    lab.resume_network("new")
    assert reaches(lab, "new/h1", "new/h2")
    assert wrong(lab) == []


def test_paused_its_connections_wait(lab: Lab) -> None:
    need("bpf")
    with carried(lab, "busy/c1", "busy/c2", tcp_mbit=50) as found:
        time.sleep(0.2)
        lab.pause_network("busy")
        time.sleep(0.1)
        before = len(found.arrived)
        time.sleep(0.3)
        assert len(found.arrived) == before
        lab.resume_network("busy")
        time.sleep(0.5)
        assert len(found.arrived) > before
    assert found.octets > 0


def test_its_room_is_lent_meanwhile(lab: Lab) -> None:
    need("bpf")
    lab.create_network(
        {
            "routers": {"r1": {"on": "rm1"}, "r2": {"on": "rm2"}},
            "links": [{"endpoints": ["r1", "r2"], "path": ["rm1", "rm2"]}],
        },
        "new",
    )
    greedy = Reshape("new/r1-r2", Change.parse(guarantee="900mbit"))
    with pytest.raises(InputError, match=r"200mbit \(busy/core\) \+ 900mbit \(new/r1-r2\)"):
        lab.do(greedy)
    lab.pause_network("busy")
    lab.do(greedy)
    with pytest.raises(InputError, match=r"200mbit \(busy/core\) \+ 900mbit \(new/r1-r2\)"):
        lab.resume_network("busy")
    assert lab.topology.networks["busy"].paused is not None
    assert wrong(lab) == []
    lab.reshape("new/r1-r2", guarantee="none")
    lab.resume_network("busy")
    assert reaches(lab, "busy/c1", "busy/c2")


@pytest.mark.parametrize("what", ["create", "destroy", "pause", "resume"])
def test_refused_by_the_kernel_all_is_as_before(
    lab: Lab, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("bpf")
    if what != "create":
        lab.create_network(ring(3), "new")
    if what == "resume":
        lab.pause_network("new")
    change = {
        "create": lambda: lab.create_network(ring(3), "new"),
        "destroy": lambda: lab.destroy_network("new"),
        "pause": lambda: lab.pause_network("new"),
        "resume": lambda: lab.resume_network("new"),
    }[what]
    state, plan, spaces = lab.state, lab.plan, set(lab.kernel.namespaces)
    send = NetlinkSocket.send
    batches = 0
    refused_at = -1

    def sometimes(self: NetlinkSocket, requests: list[Request]) -> list[Refusal]:
        nonlocal batches
        batches += 1
        refusals = send(self, requests)
        if batches == refused_at and requests:
            return [*refusals, Refusal(len(requests) - 1, 12, "as the test asked")]
        return refusals

    monkeypatch.setattr(NetlinkSocket, "send", sometimes)
    for step in range(1, 60, 4):
        batches, refused_at = 0, step
        with contextlib.suppress(KernelRefused):
            change()
            break
        assert (lab.state, lab.plan) == (state, plan)
        assert set(lab.kernel.namespaces) == spaces
        assert wrong(lab) == []
    assert step > 1
    refused_at = -1
    if lab.state == state:
        change()
    assert wrong(lab) == []
    assert reaches(lab, "busy/c1", "busy/c2")


@pytest.mark.skipif(find("bird") is None, reason="bird is not installed")
def test_its_router_oss_start_and_end(lab: Lab) -> None:
    dynamic = {**ring(4), "routing": {"protocol": "ospf", "daemon": "bird", "hello": "1s"}}
    for last in (False, True):
        lab.create_network(dynamic, "new")
        init = lab["new/r1"].pid_1
        assert init is not None
        if last:
            lab.converge(60)
            routes = _routes(lab)
            lab.pause_network("new")
            lab.converge(30)
            lab.resume_network("new")
            # To OSPF a pause that lasts is a dead neighbour.
            assert reaches(lab, "new/h1", "new/h2", within_s=60)
            _until(lambda before=routes: before <= _routes(lab), 60.0)
        lab.destroy_network("new")
        deadline = time.monotonic() + 3
        while Path(f"/proc/{init}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not Path(f"/proc/{init}").exists()
    assert lab.ended_programs() == []


def _routes(lab: Lab) -> set[str]:
    return set(lab["new/r1"].run("ip", "route").stdout.splitlines())


def test_one_whose_router_os_does_not_start_is_not_there(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vnemu.drivers.router_os.program", lambda _: "/bin/false")
    state, spaces = lab.state, set(lab.kernel.namespaces)
    dynamic = {**ring(4), "routing": {"protocol": "ospf", "daemon": "bird"}}
    with pytest.raises(ExperimentFailed, match=r"new/r\d: bird ended with status 1") as caught:
        lab.create_network(dynamic, "new")
    assert not getattr(caught.value, "__notes__", None)
    assert lab.state == state
    assert set(lab.kernel.namespaces) == spaces
    assert wrong(lab) == []
    lab.create_network(ring(4), "new")
    assert reaches(lab, "new/r1", "new/h2")


def test_how_long_it_takes(lab: Lab) -> None:
    took = []
    for verb in (lambda: lab.create_network(ring(MANY), "new"), lambda: lab.destroy_network("new")):
        begun = time.monotonic()
        verb()
        took.append(time.monotonic() - begun)
    assert max(took) < 5, took


def test_a_verb_as_data(lab: Lab) -> None:
    lab.do(CreateNetwork(network_from(ring(2), "one")), CreateNetwork(network_from(ring(2), "two")))
    assert [lab.topology.networks[name].number for name in ("busy", "one", "two")] == [0, 1, 2]
    assert wrong(lab) == []
