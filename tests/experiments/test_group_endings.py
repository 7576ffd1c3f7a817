"""However a lab with limits ends, its control groups go: whoever survives removes them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vnemu.drivers import limits

from .conftest import Host

LIMITED = """
topology:
  underlay: {machines: [rm1]}
  networks:
    a:
      routers: {r1: {resources: {cpu: 50%}}, r2: {}}
      links: [{endpoints: [r1, r2]}]
probes: [{name: p, from: a/r1, to: a/r2, interval: 100ms}]
duration: 100s
"""
PATIENCE_S = 40.0
WHO = ("caller", "keeper", "supervisor", "program")


class Limited:
    """A run of a lab with limits, up and at work."""

    def __init__(self, host: Host) -> None:
        self.process = host.start("run", host.folder / "limited.yaml", "--out", "run")
        _until(lambda: len(self._own(host)) == len(WHO))
        self.pids = dict(zip(WHO, sorted(self._own(host)), strict=True))
        self.capsule = Path(f"/proc/{self.pids['supervisor']}/ns/pid").stat().st_ino
        _until(lambda: any((group / "cgroup.procs").read_text() for group in self.groups()))

    def _own(self, host: Host) -> list[int]:
        name = Path(f"/proc/{self.process.pid}/comm").read_text()
        comms = ((pid, Path(f"/proc/{pid}/comm")) for pid in host.processes())
        return [pid for pid, comm in comms if comm.exists() and comm.read_text() == name]

    def groups(self) -> list[Path]:
        """Those of its VRs, and those that they are in, from below."""
        found = [
            group
            for place in limits.places().values()
            for group in place.folder.glob(f"vnemu-{self.capsule}-*")
        ]
        return [each for group in found for each in (*_folders(group), group)]

    def kill(self, *who: str) -> None:
        for each in who:
            os.kill(self.pids[each], signal.SIGKILL)

    def end(self) -> tuple[int, str]:
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err


def _folders(group: Path) -> list[Path]:
    try:
        return [entry for entry in group.iterdir() if entry.is_dir()]
    except FileNotFoundError:
        return []


def _until(there: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE_S
    while not there():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.fixture
def limited(host: Host) -> Iterator[Limited]:
    if "cpu" not in limits.places():
        pytest.skip("there can be no control groups here")
    (host.folder / "limited.yaml").write_text(LIMITED)
    found = Limited(host)
    try:
        yield found
    finally:
        if found.process.poll() is None:
            found.process.kill()
            found.process.communicate()
        host.wait_until_gone()


def test_ctrl_c(limited: Limited) -> None:
    os.killpg(limited.process.pid, signal.SIGINT)
    assert limited.end()[0] == 1
    assert limited.groups() == []


@pytest.mark.parametrize("who", WHO)
def test_kill_of_any_process(limited: Limited, who: str) -> None:
    limited.kill(who)
    status, err = limited.end()
    assert status != 0
    assert "cannot remove" not in err
    _until(lambda: not limited.groups())


@pytest.mark.parametrize("who", [("keeper", "program"), ("caller", "supervisor", "program")])
def test_kill_of_several(limited: Limited, who: tuple[str, ...]) -> None:
    limited.kill(*who)
    limited.end()
    _until(lambda: not limited.groups())


def test_a_stopped_keeper_is_woken(host: Host, limited: Limited) -> None:
    os.kill(limited.pids["keeper"], signal.SIGSTOP)
    limited.kill("caller")
    limited.end()
    host.wait_until_gone()
    assert limited.groups() == []


def test_after_the_death_of_all_the_next_lab_removes_them(host: Host, limited: Limited) -> None:
    os.kill(limited.pids["caller"], signal.SIGSTOP)  # so that it has no time for it
    limited.kill("keeper", "caller", "supervisor", "program")
    limited.end()
    host.wait_until_gone()
    assert limited.groups()
    (host.folder / "plain.yaml").write_text(
        LIMITED.replace("{resources: {cpu: 50%}}", "{}").replace("100s", "0.1s")
    )
    assert host.run("run", host.folder / "plain.yaml", "--out", "plain").status == 0
    assert limited.groups() == []


def test_that_of_a_lab_that_lives_stays(host: Host, limited: Limited) -> None:
    before = limited.groups()
    assert before
    (host.folder / "short.yaml").write_text(LIMITED.replace("100s", "0.1s"))
    assert host.run("run", host.folder / "short.yaml", "--out", "short").status == 0
    assert limited.groups() == before
    limited.process.send_signal(signal.SIGTERM)
    limited.end()
    assert limited.groups() == []
