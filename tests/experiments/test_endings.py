"""However a run ends, its folder is readable and nothing stays on the host."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from .conftest import EXPERIMENTS, Host, result_of

FIG6 = EXPERIMENTS / "fig6-guarantee.yaml"


def wait_for_samples(host: Host, folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until traffic has been counted."""
    until = time.monotonic() + 30
    flows = folder / "flows.csv"
    while time.monotonic() < until:
        if flows.exists() and flows.read_text().count("\n") > 20:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    pytest.fail("no samples came")


def start(host: Host) -> tuple[subprocess.Popen[str], Path]:
    folder = host.folder / "run"
    process = host.start("run", FIG6, "--out", folder)
    wait_for_samples(host, folder, process)
    return process, folder


def processes_named(host: Host, name: str) -> list[int]:
    return [
        pid for pid in host.processes() if Path(f"/proc/{pid}/comm").read_text().strip() == name
    ]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_interrupts(host: Host, number: signal.Signals) -> None:
    process, folder = start(host)
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert result_of(folder)["status"] == "interrupted"
    assert (folder / "report.html").exists()


def test_ctrl_c_interrupts(host: Host) -> None:
    process, folder = start(host)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 1
    assert result_of(folder)["status"] == "interrupted"


def test_kill_leaves_nothing_but_the_folder(host: Host) -> None:
    process, folder = start(host)
    process.kill()
    process.communicate(timeout=30)
    host.wait_until_gone()
    done = host.run("report", folder)
    assert done.status == 1
    assert result_of(folder)["status"] == "interrupted"
    assert result_of(folder)["phases"][0]["flows"]["a"]["goodput_mbit"] > 1


@pytest.mark.parametrize("which", range(4))
def test_kill_of_any_process_leaves_nothing(host: Host, which: int) -> None:
    """Caller, keeper, supervisor and the program itself, in this order."""
    process, _ = start(host)
    ours = sorted(processes_named(host, Path(f"/proc/{process.pid}/comm").read_text().strip()))
    os.kill(ours[which], signal.SIGKILL)
    process.communicate(timeout=30)
    assert process.returncode != 0


def test_a_crash_of_iperf3_fails_the_run(host: Host) -> None:
    process, folder = start(host)
    os.kill(processes_named(host, "iperf3")[0], signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "iperf3" in err
    found = result_of(folder)
    assert found["status"] == "failed"
    assert "iperf3" in found["reason"]


def test_a_missed_expectation_is_status_1(host: Host) -> None:
    options = ("--time-scale", "0.05", "--set", "expect.0.within=0.0001%")
    done = host.run("run", FIG6, *options, "--out", "run")
    assert done.status == 1
    found = result_of(host.folder / "run")
    assert found["status"] == "complete"
    assert not found["expectations"][0]["met"]


def test_a_used_folder_is_refused(host: Host) -> None:
    (host.folder / "run").mkdir()
    (host.folder / "run" / "precious.txt").write_text("mine")
    done = host.run("run", FIG6, "--out", "run")
    assert done.status == 2
    assert "--out" in done.err
    assert [p.name for p in (host.folder / "run").iterdir()] == ["precious.txt"]


def test_a_run_folder_that_would_be_lost_is_refused(host: Host) -> None:
    done = host.run("run", FIG6, "--out", "/run/x")
    assert done.status == 2
    assert "--out: /run/x would be lost" in done.err
