"""After a change that failed at any step all is as before: model, kernel and processes."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.features import need
from tests.kernel.test_lab import lab_of, wrong
from tests.kernel.test_router_life import members, processes, states
from vnemu.drivers import freezing, limits, vr_init
from vnemu.drivers.freezing import Freezer
from vnemu.drivers.kernel import Kernel
from vnemu.drivers.namespace_routers import NamespaceRouters
from vnemu.drivers.netlink import NetlinkSocket, Refusal, Request
from vnemu.drivers.processes import ProcessMaker
from vnemu.drivers.vr_init import Order, Program
from vnemu.errors import ExperimentFailed, InternalError, KernelRefused, VnemuError
from vnemu.lab import Lab
from vnemu.plan.objects import node_namespace
from vnemu.schema.networks import network_from
from vnemu.schema.resources import LimitsDoc
from vnemu.schema.topology import RouterDoc, VirtualLinkDoc
from vnemu.schema.violations import read
from vnemu.verbs.existence import Add, Remove
from vnemu.verbs.life import Copy, Create, Destroy, MoveRouter, Pause, Resume, Start, Stop
from vnemu.verbs.limits import Limit
from vnemu.verbs.networks import CreateNetwork, DestroyNetwork, PauseNetwork, ResumeNetwork
from vnemu.verbs.paths import Move
from vnemu.verbs.state import Verb

SQUARE = """
underlay:
  machines: [rm1, rm2, rm3]
  links:
    - {endpoints: [rm1, rm2], rate: 100mbit}
    - {endpoints: [rm2, rm3], rate: 100mbit}
    - {endpoints: [rm3, rm1], rate: 100mbit}
networks:
  a:
    ipv6: false
    routers: {r1: {on: rm1}, r2: {on: rm2}, r3: {on: rm3}, resting: {on: rm1}, off: {on: rm1}}
    links:
      - {name: core, endpoints: [r1, r2], guarantee: 10mbit}
      - {endpoints: [r2, r3]}
      - {endpoints: [r3, resting]}
      - {endpoints: [r3, off]}
  b: {ipv6: false, routers: {r1: {on: rm1}, r2: {on: rm2}}, links: [{endpoints: [r1, r2]}]}
  c: {ipv6: false, routers: {r1: {on: rm1}, r2: {on: rm2}}, links: [{endpoints: [r1, r2]}]}
"""
NEW = {"ipv6": False, "routers": ["r1", "r2"], "links": [{"endpoints": ["r1", "r2"]}]}
CHANGES: dict[str, tuple[Verb, ...]] = {
    "move a VR": (MoveRouter("a/r1", "rm3"),),
    "move a VL": (Move("a/core", ("rm1", "rm3", "rm2")),),
    "copy": (Copy("a/r1", "a/r9", "rm2"),),
    "pause": (Pause("a/r1"),),
    "resume": (Resume("a/resting"),),
    "stop": (Stop("a/r1"),),
    "start": (Start("a/off"),),
    "limit": (Limit("a/r1", read(LimitsDoc, {"cpu": "50%", "disk": "64mb"})),),
    "create": (
        Create("a/r9", read(RouterDoc, {"on": "rm2", "resources": {"cpu": "50%"}})),
        Add("a/new", read(VirtualLinkDoc, {"endpoints": ["r9", "r1"]})),
    ),
    "destroy": (Destroy("a/r1"),),
    "create a VN": (CreateNetwork(network_from(NEW, "new")),),
    "destroy a VN": (DestroyNetwork("b"),),
    "pause a VN": (PauseNetwork("b"),),
    "resume a VN": (ResumeNetwork("c"),),
    "several": (
        *(Destroy("a/r1"), Remove("a/r3-resting"), Pause("a/r2"), Resume("a/resting")),
        *(Copy("a/r3", "a/r9"), DestroyNetwork("b"), CreateNetwork(network_from(NEW, "new"))),
    ),
}
UNLIMITED_DISK = 100_000_000
"""Without a limit it is half of the memory, which the kernel rounds once so, once so."""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all: each test leaves it as it was, which is what they are about."""
    need("bpf")
    with lab_of(SQUARE, tmp_path_factory.mktemp("lab")) as lab:
        if "cpu" in limits.places():
            lab.limit("a/r2", cpu="80%")
            lab.limit("a/r2", cpu="none")  # a group is kept once it was there
        for path in lab.topology.nodes:
            lab[path].popen("sleep", "1000")
        deadline = time.monotonic() + 10
        while any(len(members(lab, p)) < 3 for p in lab.topology.nodes):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        lab.pause("a/resting")
        lab.stop("a/off")
        lab.pause_network("c")
        yield lab


@pytest.fixture
def lab(shared: Lab) -> Lab:
    return shared


def life(lab: Lab, path: str) -> dict[str, object]:
    """What a node's processes are, where, and within which limits."""
    init = lab[path].pid_1
    assert init is not None
    place = os.fstat(lab.kernel.namespaces[node_namespace(path)].fd).st_ino
    own = path.replace("/", ":")
    groups = {g for p in limits.places().values() for g in p.folder.glob(f"vnemu-*/{own}/cpu.*")}
    quotas = (g.read_text() for g in groups if g.name in ("cpu.cfs_quota_us", "cpu.max"))
    room = os.statvfs(f"/proc/{init}/root/run")
    size = room.f_blocks * room.f_frsize
    return {
        "processes": members(lab, path),
        "resting": states(lab, path) <= {"T"},
        "in its namespace": Path(f"/proc/{init}/ns/net").stat().st_ino == place,
        "shut": processes(lab)._entrances._shut.get(path),
        "limits": [quota for quota in quotas if not quota.startswith(("-1", "max"))],
        "disk": size if size < UNLIMITED_DISK else None,
    }


def all_of(lab: Lab) -> dict[str, object]:
    return {
        "state": lab.state,
        "plan": lab.plan.objects(),
        "namespaces": {name: space.fd for name, space in lab.kernel.namespaces.items()},
        "wrong": wrong(lab),
        **{path: life(lab, path) for path in lab.topology.nodes},
    }


def fail(*_: object, **__: object) -> None:
    raise ExperimentFailed("as the test asked")


@contextlib.contextmanager
def refusing(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of the batches of a change the one with that number (from 0) fails, else its end does."""
    send, numbers = NetlinkSocket.send, itertools.count()
    over: list[bool] = []

    def end(*_: object) -> None:
        over.append(True)
        fail()

    def sometimes(self: NetlinkSocket, requests: list[Request]) -> list[Refusal]:
        refusals = send(self, requests)
        if next(numbers) == number and not over:
            return [Refusal(len(requests) - 1, 12, "as the test asked")]
        return refusals

    with monkeypatch.context() as patch:
        patch.setattr(NetlinkSocket, "send", sometimes)
        patch.setattr(NamespaceRouters, "after_batch", end)
        yield


@pytest.mark.parametrize("change", CHANGES)
def test_any_batch_of_requests_refused(
    lab: Lab, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = all_of(lab)
    for number in itertools.count():
        with (
            refusing(number, monkeypatch),
            pytest.raises((KernelRefused, ExperimentFailed), match="as the test asked") as caught,
        ):
            lab.do(*CHANGES[change])
        assert not getattr(caught.value, "__notes__", [])
        assert all_of(lab) == before
        if caught.type is ExperimentFailed:
            return


def _bad_order(self: NamespaceRouters, topology: object, node: object) -> Order:
    order = vr_init.plain("bad")
    order["stages"] = [[Program(name="bad", argv=["/bin/false"], ready="/run/bad")]]
    return order


def _freezing(patch: pytest.MonkeyPatch) -> None:
    usual = freezing._until_none

    def until_none(look: Callable[[], list[int]], number: int) -> list[int]:
        found = usual(look, number)
        return [4711] if number == signal.SIGSTOP else found

    patch.setattr(freezing, "_until_none", until_none)


def _starting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NamespaceRouters, "_order", _bad_order)


def _starting_again(patch: pytest.MonkeyPatch) -> None:
    restart = ProcessMaker.restart

    def restarted(self: ProcessMaker, paths: list[str]) -> None:
        restart(self, paths)
        fail()

    patch.setattr(ProcessMaker, "restart", restarted)


def _once(patch: pytest.MonkeyPatch, name: str) -> None:
    usual, failures = getattr(limits, name), iter([True])

    def refused_afterwards(*values: object) -> None:
        usual(*values)
        if next(failures, False):
            raise OSError(22, "as the test asked")

    patch.setattr(limits, name, refused_afterwards)


def _limiting(patch: pytest.MonkeyPatch) -> None:
    _once(patch, "_write_limits")


def _resizing(patch: pytest.MonkeyPatch) -> None:
    _once(patch, "_resize")


def _ending(patch: pytest.MonkeyPatch) -> None:
    end = ProcessMaker.end
    failures = iter([True])

    def ended(self: ProcessMaker, paths: list[str]) -> None:
        if next(failures, False):
            fail()
        end(self, paths)

    patch.setattr(ProcessMaker, "end", ended)


def _observing(patch: pytest.MonkeyPatch) -> None:
    observe = Kernel.observe
    failures = iter([True])

    def observed(self: Kernel, wanted: object) -> object:
        return {} if next(failures, False) else observe(self, wanted)  # type: ignore[arg-type]

    patch.setattr(Kernel, "observe", observed)


def _interrupted(patch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt("as the test asked")

    patch.setattr(NamespaceRouters, "after_batch", interrupt)


def _interrupted_while_freezing(patch: pytest.MonkeyPatch) -> None:
    freeze = Freezer.freeze

    def interrupt(self: Freezer, inits: list[int]) -> None:
        freeze(self, inits)
        raise KeyboardInterrupt("as the test asked")

    patch.setattr(Freezer, "freeze", interrupt)


RESTING = ("pause", "stop", "destroy", "destroy a VN", "pause a VN", "several")
BUILDING = (
    "move a VR",
    "move a VL",
    "pause",
    "stop",
    *("copy", "create", "create a VN", "several"),
)
NEW_ONES = ("copy", "create", "create a VN", "several")
FAULTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], tuple[str, ...]]] = {
    "a process does not stop": (_freezing, RESTING),
    "interrupted while it freezes": (_interrupted_while_freezing, RESTING),
    "a program does not start": (_starting, NEW_ONES),
    "a program does not start again": (_starting_again, ("start",)),
    "a group is refused": (_limiting, ("limit", "create")),
    "a size is refused": (_resizing, ("limit",)),
    "processes do not end": (_ending, ("destroy", "destroy a VN", "several")),
    "the kernel shows something else": (_observing, BUILDING),
    "interrupted at the end": (_interrupted, tuple(CHANGES)),
}
CASES = [(fault, change) for fault, (_, changes) in FAULTS.items() for change in changes]


@pytest.mark.parametrize(("fault", "change"), CASES)
def test_processes_that_fail(
    lab: Lab, fault: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "cpu" not in limits.places() and change in ("limit", "create"):
        pytest.skip("there can be no control groups here")
    before = all_of(lab)
    with monkeypatch.context() as patch:
        FAULTS[fault][0](patch)
        with pytest.raises((VnemuError, KeyboardInterrupt)) as caught:
            lab.do(*CHANGES[change])
    assert not isinstance(caught.value, InternalError) or fault.startswith("the kernel")
    assert not getattr(caught.value, "__notes__", [])
    assert all_of(lab) == before


@pytest.mark.parametrize("change", ["stop"])
def test_what_is_lost_is_said(lab: Lab, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was ended cannot be brought back: the error says so."""
    before = all_of(lab)
    stop = ProcessMaker.stop

    def stopped(self: ProcessMaker, paths: list[str]) -> None:
        stop(self, paths)
        fail()

    with monkeypatch.context() as patch:
        patch.setattr(ProcessMaker, "stop", stopped)
        with pytest.raises(ExperimentFailed) as caught:
            lab.do(*CHANGES[change])
    notes = getattr(caught.value, "__notes__", [])
    assert [note.split(";")[0] for note in notes] == [
        "not all is as before: all that ran in a/r1 had ended"
    ]
    after = all_of(lab)
    assert {key for key in after if after[key] != before[key]} == {"a/r1"}
    assert lab["a/r1"].run("true").returncode == 0
