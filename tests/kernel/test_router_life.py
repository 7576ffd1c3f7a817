"""The processes of VRs: held, let go on, ended, started again, copied."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kernel.reaching import reaches
from tests.kernel.test_router_os import QUICK, TWO, _until, lab_of, loopback, need_daemon
from vnemu.drivers.freezing import all_processes, children_namespace
from vnemu.drivers.namespace_routers import NamespaceRouters
from vnemu.drivers.processes import ProcessMaker
from vnemu.errors import ExperimentFailed, InputError
from vnemu.lab import Lab
from vnemu.model.overlay import Node
from vnemu.verbs.state import State

STATIC = """
underlay: {machines: [rm1]}
networks: {a: {routers: [r1, r2], links: [{endpoints: [r1, r2]}]}}
"""
# Takes what it can get of a processor, in two processes of which one is new at every moment.
BUSY = "while :; do (for i in 1 2 3 4 5 6 7 8 9; do :; done); done"
ABIT_S = 0.1


def three(daemon: str) -> str:
    links = "{endpoints: [r2, r3]}, {name: core"
    return TWO.replace("{{name: core", links.replace("{", "{{").replace("}", "}}")).format(
        daemon=daemon, routers="[r1, r2, r3]"
    )


def processes(lab: Lab) -> ProcessMaker:
    assert lab._processes is not None
    return lab._processes


def routers(lab: Lab) -> NamespaceRouters:
    return NamespaceRouters(processes(lab), lab.kernel.namespaces)


def with_node(state: State, node: Node) -> State:
    topology = replace(state.topology, nodes={**state.topology.nodes, node.path: node})
    return replace(state, topology=topology)


def without(state: State, path: str) -> State:
    nodes = {p: node for p, node in state.topology.nodes.items() if p != path}
    return replace(state, topology=replace(state.topology, nodes=nodes))


def be(lab: Lab, there: NamespaceRouters, path: str, state: str) -> None:
    """Change a node's state as the lab does, but for its network part."""
    node = replace(lab.topology.nodes[path], state=state)  # type: ignore[arg-type]
    change(lab, there, with_node(lab.state, node))


def change(lab: Lab, there: NamespaceRouters, after: State) -> None:
    there.check(lab.state, after)
    there.before_batch(lab.state, after)
    there.begin(lab.state, after)
    there.after_batch(lab.state, after)
    lab.state = after


def members(lab: Lab, path: str) -> list[int]:
    init = lab[path].pid_1
    assert init is not None
    return [pid for pid in all_processes() if children_namespace(pid) == children_namespace(init)]


def stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name (proc(5)); none if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def states(lab: Lab, path: str) -> set[str]:
    return {state for pid in members(lab, path) for state in stat(pid)[:1]}


def ticks(lab: Lab, path: str) -> int:
    """The processor time of all processes of a VR, ended children included, in clock ticks."""
    return sum(int(field) for pid in members(lab, path) for field in stat(pid)[11:15])


def milliseconds(call: Callable[[], None]) -> float:
    begun = time.perf_counter()
    call()
    return (time.perf_counter() - begun) * 1e3


@contextmanager
def busy(lab: Lab, path: str, how: str = BUSY) -> Iterator[None]:
    process = lab[path].popen("sh", "-c", how)
    try:
        _until(lambda: ticks(lab, path) > 0)
        yield
    finally:
        os.killpg(process.pid, signal.SIGCONT)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class TestPause:
    def test_a_paused_vr_uses_no_processor(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab, busy(lab, "a/r1"):
            there = routers(lab)
            be(lab, there, "a/r1", "paused")
            before, who = ticks(lab, "a/r1"), set(members(lab, "a/r1"))
            time.sleep(3 * ABIT_S)
            assert ticks(lab, "a/r1") == before
            assert set(members(lab, "a/r1")) == who
            assert states(lab, "a/r1") <= {"T", "Z"}
            be(lab, there, "a/r1", "running")
            _until(lambda: ticks(lab, "a/r1") > before)

    def test_others_go_on(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab, busy(lab, "a/r1"), busy(lab, "a/r2"):
            be(lab, routers(lab), "a/r1", "paused")
            before = ticks(lab, "a/r2")
            _until(lambda: ticks(lab, "a/r2") > before)

    def test_it_is_quick(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab, busy(lab, "a/r1", "while :; do :; done"):
            there = routers(lab)
            paused, resumed = [], []
            for _ in range(5):
                paused.append(milliseconds(lambda: be(lab, there, "a/r1", "paused")))
                resumed.append(milliseconds(lambda: be(lab, there, "a/r1", "running")))
        print(f"pause {statistics.median(paused):.1f} ms, resume {statistics.median(resumed):.1f}")
        # Generous: another turn of the tests may have the processor.
        assert statistics.median(paused) < 1000
        assert statistics.median(resumed) < 1000

    def test_nothing_can_be_started_in_it(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab:
            there = routers(lab)
            be(lab, there, "a/r1", "paused")
            with pytest.raises(InputError, match=r"a/r1 is paused: .* \(resume: a/r1\)"):
                lab["a/r1"].run("true")
            be(lab, there, "a/r1", "running")
            assert lab["a/r1"].run("true").returncode == 0

    def test_what_is_on_its_way_in_is_held_too(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab:
            there = routers(lab)
            lab["a/r1"].run("true")
            for _ in range(5):
                process = lab["a/r1"].popen("sleep", "0.05")
                be(lab, there, "a/r1", "paused")
                time.sleep(ABIT_S)
                assert process.poll() is None
                be(lab, there, "a/r1", "running")
                assert process.wait(5) == 0

    def test_what_is_in_a_namespace_below_is_held_too(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab:
            there = routers(lab)
            lab["a/r1"].run("true")
            usual = set(map(children_namespace, all_processes()))
            process = lab["a/r1"].popen("unshare", "--pid", "--fork", "sleep", "0.2")
            _until(lambda: set(map(children_namespace, all_processes())) - usual - {""})
            be(lab, there, "a/r1", "paused")
            time.sleep(4 * ABIT_S)
            assert process.poll() is None
            be(lab, there, "a/r1", "running")
            assert process.wait(5) == 0

    def test_what_was_stopped_stays_so(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab:
            there = routers(lab)
            process = lab["a/r1"].popen("sh", "-c", "kill -STOP $$; exit 3")
            _until(lambda: "T" in states(lab, "a/r1"))
            be(lab, there, "a/r1", "paused")
            be(lab, there, "a/r1", "running")
            time.sleep(ABIT_S)
            assert process.poll() is None
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def test_it_can_be_taken_back(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab, busy(lab, "a/r1"):
            there = routers(lab)
            after = with_node(lab.state, replace(lab.topology.nodes["a/r1"], state="paused"))
            there.before_batch(lab.state, after)
            there.take_back(lab.state, after)
            before = ticks(lab, "a/r1")
            _until(lambda: ticks(lab, "a/r1") > before)
            assert lab["a/r1"].run("true").returncode == 0

    def test_a_vr_that_never_ran_anything(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab:
            there = routers(lab)
            be(lab, there, "a/r1", "paused")
            be(lab, there, "a/r1", "running")
            assert lab["a/r1"].pid_1 is None

    def test_the_lab_ends_while_it_is_paused(self, tmp_path: Path) -> None:
        """What is checked around each test: nothing is left."""
        with lab_of(STATIC, tmp_path) as lab:
            process = lab["a/r1"].popen("sleep", "100")
            be(lab, routers(lab), "a/r1", "paused")
        assert process.wait(5) != 0  # what waits for it outside of the VR was stopped too


def test_started_again_they_route_again(tmp_path: Path) -> None:
    need_daemon("bird", "frr")
    each = "{r1: {}, r2: {routing: {daemon: frr}}}"
    text = TWO.format(daemon=f"bird, {QUICK}", routers=each)
    with lab_of(text, tmp_path) as lab:
        there = routers(lab)
        ways = [(f"a/r{n}", f"a/r{3 - n}", loopback(lab, f"a/r{3 - n}", 4)) for n in (1, 2)]
        for path, other, target in ways:
            assert reaches(lab, path, other, at=target, within_s=60.0)
        for path, other, target in ways:
            # It may work its routes out anew, since the other one came back.
            _until(lambda path=path, target=target: target in _routes(lab, path), 60.0)
            init = lab[path].pid_1
            be(lab, there, path, "stopped")
            assert members(lab, path) == [init]
            assert lab.ended_programs() == []
            assert target not in _routes(lab, path)
            be(lab, there, path, "running")
            assert reaches(lab, path, other, at=target, within_s=60.0)


@pytest.mark.parametrize("daemon", ["bird", "frr"])
class TestStop:
    def test_it_starts_with_its_files_as_they_are(self, daemon: str, tmp_path: Path) -> None:
        need_daemon(daemon)
        with lab_of(TWO.format(daemon=daemon, routers="[r1, r2]"), tmp_path) as lab:
            there = routers(lab)
            lab["a/r1"].run("touch", f"/etc/{daemon}/mine")
            be(lab, there, "a/r1", "paused")
            be(lab, there, "a/r1", "stopped")
            be(lab, there, "a/r1", "running")
            assert lab["a/r1"].run("test", "-e", f"/etc/{daemon}/mine").returncode == 0

    def test_a_copy_has_the_files_of_now(self, daemon: str, tmp_path: Path) -> None:
        need_daemon(daemon)
        with lab_of(three(daemon), tmp_path) as lab:
            there = routers(lab)
            lab["a/r1"].run("sh", "-c", f"echo '# caf\u00e9' >> /etc/{daemon}/mine")
            old = lab.topology.nodes["a/r1"]
            copy = replace(old, name="r3", copied_from="a/r1", nics=())
            processes(lab).end(["a/r3"])  # its namespace is there to be used
            lab.state = without(lab.state, "a/r3")
            change(lab, there, with_node(lab.state, copy))
            files = {r: _files(lab, f"a/{r}", daemon) for r in ("r1", "r3")}
            assert "mine" in files["r1"]
            assert files["r1"] == files["r3"]
            assert lab["a/r3"].run("hostname").stdout == "r3\n"
            assert len(members(lab, "a/r3")) == len(members(lab, "a/r1"))

    def test_a_stopped_copy_waits(self, daemon: str, tmp_path: Path) -> None:
        need_daemon(daemon)
        with lab_of(three(daemon), tmp_path) as lab:
            there = routers(lab)
            be(lab, there, "a/r1", "stopped")
            old = lab.topology.nodes["a/r1"]
            copy = replace(old, name="r3", copied_from="a/r1", nics=())
            processes(lab).end(["a/r3"])
            lab.state = without(lab.state, "a/r3")
            change(lab, there, with_node(lab.state, copy))
            assert members(lab, "a/r3") == [lab["a/r3"].pid_1]
            be(lab, there, "a/r3", "running")
            assert len(members(lab, "a/r3")) > 1


class TestEnds:
    def test_routes_that_a_killed_daemon_left_go(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab:
            there = routers(lab)
            device = lab.topology.nodes["a/r1"].nics[0].name
            for prefix, family in (("10.99.0.0/16", "-4"), ("fd99::/64", "-6")):
                lab["a/r1"].run(
                    *("ip", family, "route", "add", prefix, "dev", device, "proto", "bird")
                )
            kept = lab["a/r1"].run("ip", "route", "show", "proto", "static").stdout
            assert "10.99" in _routes(lab, "a/r1")
            assert "fd99" in _routes(lab, "a/r1")
            be(lab, there, "a/r1", "stopped")
            be(lab, there, "a/r1", "running")
            left = _routes(lab, "a/r1")
            assert "10.99" not in left
            assert "fd99" not in left
            assert lab["a/r1"].run("ip", "route", "show", "proto", "static").stdout == kept

    def test_one_that_does_not_listen_is_killed(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab:
            process = lab["a/r1"].popen("sh", "-c", "trap '' TERM; while :; do sleep 1; done")
            _until(lambda: len(members(lab, "a/r1")) > 2)
            be(lab, routers(lab), "a/r1", "stopped")
            assert members(lab, "a/r1") == [lab["a/r1"].pid_1]
            assert process.wait(5) != 0

    def test_destroyed_and_made_again(self, tmp_path: Path) -> None:
        need_daemon("bird")
        with lab_of(TWO.format(daemon="bird", routers="[r1, r2]"), tmp_path) as lab:
            there, whole = routers(lab), lab.state
            for _ in range(3):
                first = lab["a/r1"].pid_1
                change(lab, there, without(lab.state, "a/r1"))
                _until(lambda pid=first: not Path(f"/proc/{pid}").exists())
                change(lab, there, whole)
                assert lab["a/r1"].pid_1 != first
                assert len(members(lab, "a/r1")) > 1

    def test_a_start_that_fails_is_taken_back(self, tmp_path: Path) -> None:
        need_daemon("bird")
        with lab_of(TWO.format(daemon="bird", routers="[r1, r2]"), tmp_path) as lab:
            there = routers(lab)
            lab["a/r1"].run("sh", "-c", "echo nonsense > /etc/bird/bird.conf")
            be(lab, there, "a/r1", "stopped")
            after = with_node(lab.state, replace(lab.topology.nodes["a/r1"], state="running"))
            there.before_batch(lab.state, after)
            with pytest.raises(ExperimentFailed, match=r"a/r1: bird ended(.|\n)*syntax error"):
                there.after_batch(lab.state, after)
            there.take_back(lab.state, after)
            assert members(lab, "a/r1") == [lab["a/r1"].pid_1]
            with pytest.raises(InputError, match=r"a/r1 is stopped: .* \(start: a/r1\)"):
                lab["a/r1"].run("true")


def _routes(lab: Lab, path: str) -> str:
    """Asked from outside: nothing can be started in a stopped VR."""
    asked = [["ip", version, "route"] for version in ("-4", "-6")]
    texts = lab[path].inside(lambda: [subprocess.check_output(argv, text=True) for argv in asked])
    return "".join(texts)


def _files(lab: Lab, path: str, daemon: str) -> dict[str, bytes]:
    root = Path(f"/proc/{lab[path].pid_1}/root/etc/{daemon}")
    return {file.name: file.read_bytes() for file in root.iterdir()}
