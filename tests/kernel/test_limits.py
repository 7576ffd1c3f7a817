"""VRs kept within their limits, as the kernel enforces them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.kernel.test_router_life import members, processes
from tests.kernel.test_router_os import lab_of, need_daemon
from vnemu.drivers import limits
from vnemu.drivers.cgroups import Hierarchy
from vnemu.errors import InputError, MissingCapability
from vnemu.lab import Lab

LIMITED = """
underlay: {{machines: [rm1]}}
networks:
  a:
    routing: {{protocol: ospf}}
    routers: {{r1: {{resources: {resources}}}, r2: {{}}}}
    links: [{{endpoints: [r1, r2]}}]
"""
STATIC = LIMITED.replace("    routing: {{protocol: ospf}}\n", "")
SPIN = "while :; do :; done"
MEASURED_S = 1.0
# Takes so many MB, tells that it has them, and goes on.
TAKE = "import sys, time; x = b'x' * (int(sys.argv[1]) << 20); print('taken'); time.sleep(9)"


def need(*controllers: str) -> None:
    """Skip unless groups for `controllers` can be made where that concerns nobody else.

    The group that limits the memory of whatever runs these tests is not ours to change.
    """
    there = limits.places()
    for controller in controllers:
        if controller not in there:
            pytest.skip(f"there can be no control groups for {controller} here")
    own = Path("/proc/self/cgroup").read_text().splitlines()
    if "memory" in controllers and not all(line.endswith(":/") for line in own):
        pytest.skip("these tests run in a memory group of somebody else's")


def groups(controller: str, below: str = "") -> list[Path]:
    """The groups of labs in this capsule; other ones may be at work on this machine."""
    capsule = Path("/proc/self/ns/pid").stat().st_ino
    return list(limits.places()[controller].folder.glob(f"vnemu-{capsule}-*{below}"))


@pytest.fixture(autouse=True)
def _leaves_no_groups() -> Iterator[None]:
    yield
    assert not [group for controller in limits.places() for group in groups(controller)]


@contextmanager
def spinning(lab: Lab, path: str, how_many: int = 1) -> Iterator[None]:
    started = [lab[path].popen("sh", "-c", SPIN) for _ in range(how_many)]
    try:
        yield
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def nanoseconds(lab: Lab, path: str) -> int:
    """How long the processes of a VR that are there now have run.

    /proc/PID/stat counts whole clock ticks, which is too coarse for a small share.
    """
    stats = (Path(f"/proc/{pid}/schedstat") for pid in members(lab, path))
    return sum(int(stat.read_text().split()[0]) for stat in stats)


def used(lab: Lab, path: str) -> float:
    """The processor time that a VR takes, in processors."""
    before, begun = nanoseconds(lab, path), time.monotonic_ns()
    time.sleep(MEASURED_S)
    return (nanoseconds(lab, path) - before) / (time.monotonic_ns() - begun)


class TestCpu:
    def test_a_share_of_a_processor(self, tmp_path: Path) -> None:
        need("cpu")
        text = STATIC.format(resources="{cpu: 20%}")
        with lab_of(text, tmp_path) as lab, spinning(lab, "a/r1", 2):
            assert 0.05 < used(lab, "a/r1") < 0.5  # without the limit: one, or two

    def test_it_changes_while_programs_run(self, tmp_path: Path) -> None:
        need("cpu")
        with lab_of(STATIC.format(resources="{}"), tmp_path) as lab, spinning(lab, "a/r1"):
            before = used(lab, "a/r1")
            lab.limit("a/r1", cpu="10%")
            assert 0.02 < used(lab, "a/r1") < 0.35
            with spinning(lab, "a/r1", 2):
                assert 0.02 < used(lab, "a/r1") < 0.35
            lab.limit("a/r1", cpu="none")
            assert used(lab, "a/r1") > before / 2

    def test_a_router_os_is_limited_from_its_start(self, tmp_path: Path) -> None:
        need_daemon("bird")
        need("cpu")
        with lab_of(LIMITED.format(resources="{cpu: 5%}"), tmp_path) as lab:
            own = {Path(f"/proc/{pid}/cgroup").read_text() for pid in members(lab, "a/r1")}
            assert len(members(lab, "a/r1")) > 1
            assert len(own) == 1
            assert "a:r1" in own.pop()

    def test_a_number_of_processors(self, tmp_path: Path) -> None:
        need("cpuset")
        with lab_of(STATIC.format(resources="{cpus: 1}"), tmp_path) as lab:
            assert lab["a/r1"].run("nproc").stdout == "1\n"
            assert lab["a/r2"].run("nproc").stdout == f"{os.cpu_count()}\n"
            lab.limit("a/r1", cpus="none")
            assert lab["a/r1"].run("nproc").stdout == f"{os.cpu_count()}\n"

    def test_more_processors_than_there_are(self, tmp_path: Path) -> None:
        need("cpuset")
        with (
            pytest.raises(MissingCapability, match=r"t\.yaml:5: a/r1 .*cpus: 4000.*has \d+ proc"),
            lab_of(STATIC.format(resources="{cpus: 4000}"), tmp_path),
        ):
            pass


class TestMemory:
    def test_who_takes_more_is_killed(self, tmp_path: Path) -> None:
        need("memory")
        with lab_of(STATIC.format(resources="{memory: 40mb}"), tmp_path) as lab:
            for megabytes, said in ((5, b"taken"), (80, b"")):
                argv = (sys.executable, "-u", "-S", "-c", TAKE, str(megabytes))
                with lab["a/r1"].popen(*argv, stdout=subprocess.PIPE) as process:
                    assert process.stdout is not None
                    assert process.stdout.readline().strip() == said
                    os.killpg(process.pid, signal.SIGKILL)


class TestDisk:
    def test_its_files_are_limited_all_together(self, tmp_path: Path) -> None:
        need_daemon("bird")
        with lab_of(LIMITED.format(resources="{disk: 1mb}"), tmp_path) as lab:
            assert not fits(lab, "/run/x", 2000)
            assert fits(lab, "/run/x", 700)
            assert not fits(lab, "/etc/bird/x", 700)

    def test_it_changes_at_run_time(self, tmp_path: Path) -> None:
        with lab_of(STATIC.format(resources="{}"), tmp_path) as lab:
            assert fits(lab, "/run/x", 3000)
            lab.limit("a/r1", disk="4mb")
            assert not fits(lab, "/run/y", 3000)
            lab.limit("a/r1", disk="8mb")
            assert fits(lab, "/run/y", 3000)

    def test_less_than_is_in_use(self, tmp_path: Path) -> None:
        with lab_of(STATIC.format(resources="{disk: 4mb}"), tmp_path) as lab:
            assert fits(lab, "/run/x", 3000)
            with pytest.raises(Exception, match=r"a/r1 cannot be limited: .*more than 1000000"):
                lab.limit("a/r1", disk="1mb")
            assert str(lab.topology.nodes["a/r1"].resources.disk) == "4mb"
            assert fits(lab, "/run/y", 500)
            assert not fits(lab, "/run/z", 2000)


class TestRefusal:
    def test_what_this_machine_cannot_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "places", dict)
        message = r"t\.yaml:5: a/r1 is to have cpu: 20%, but .*'cpu'"
        with (
            pytest.raises(MissingCapability, match=message),
            lab_of(STATIC.format(resources="{cpu: 20%}"), tmp_path),
        ):
            pass
        with lab_of(STATIC.format(resources="{}"), tmp_path) as lab:
            with pytest.raises(MissingCapability, match="a/r1 is to have cpu: 20%"):
                lab.limit("a/r1", cpu="20%")
            assert lab.topology.nodes["a/r1"].resources.cpu is None

    def test_there_is_no_such_node(self, tmp_path: Path) -> None:
        with (
            lab_of(STATIC.format(resources="{}"), tmp_path) as lab,
            pytest.raises(InputError, match="there is no node 'a/r9'"),
        ):
            lab.limit("a/r9", cpu="20%")


class TestGroups:
    def test_those_of_a_killed_lab_go_with_the_next(self) -> None:
        need("cpu")
        place = limits.places()["cpu"]
        dead = Hierarchy(place, ["cpu"])
        dead.group("a:r1")
        alive = Hierarchy(place, ["cpu"])
        assert len(groups("cpu")) == 2
        dead.abandon()
        limits.clear()
        assert len(groups("cpu")) == 1
        alive.close()

    def test_a_destroyed_vr_leaves_none(self, tmp_path: Path) -> None:
        need("cpu")
        with lab_of(STATIC.format(resources="{cpu: 20%}"), tmp_path) as lab:
            lab["a/r1"].run("true")
            lab.destroy("a/r1")
            assert processes(lab).pid_1("a/r1") is None
            assert groups("cpu")
            assert not groups("cpu", "/*r1")


def fits(lab: Lab, file: str, kilobytes: int) -> bool:
    """Whether a VR has room for a file; one that does not fit is removed again."""
    argv = ("dd", "if=/dev/zero", f"of={file}", "bs=1000", f"count={kilobytes}")
    done = lab["a/r1"].run(*argv).returncode == 0
    if not done:
        lab["a/r1"].run("rm", file)
    return done
