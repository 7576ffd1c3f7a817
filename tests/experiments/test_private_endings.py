"""However a private kernel ends, nothing of it stays on the host, and run folders are readable."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Host, result_of
from .private_kernel import (
    FIG6,
    NEEDS,
    PATIENCE_S,
    VICTIMS,
    VICTIMS_WITHOUT,
    WAIT,
    WAYS,
    Inside,
    kernels_of,
    wait_for,
)
from .test_endings import wait_for_samples

pytestmark = NEEDS


def start_run(host: Host, **more: tuple[str, ...]) -> tuple[subprocess.Popen[str], Path]:
    folder = host.folder / "run"
    process = host.start("run", FIG6, "--kernel", "private", "--out", folder, **more)
    return process, folder


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> None:
    # Ctrl-C goes to all of the terminal's processes, the others to the one that was started.
    send = os.killpg if number == signal.SIGINT else os.kill
    send(process.pid, number)


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (signal.SIGTERM, "as-called"),
        (signal.SIGINT, "ordinary-user"),
        (signal.SIGHUP, "without-namespaces"),
    ],
)
def test_a_signal_interrupts(inside: Inside, number: signal.Signals, way: str) -> None:
    process, folder = start_run(inside.host, before=WAYS[way])
    wait_for_samples(inside.host, folder, process)
    interrupt(process, number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, err
    assert result_of(folder)["status"] == "interrupted"
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("way", ["as-called", "without-namespaces"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_boots(inside: Inside, number: signal.Signals, way: str) -> None:
    process, folder = start_run(inside.host, before=WAYS[way])
    inside.kernel()
    time.sleep(0.2)
    interrupt(process, number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not folder.exists()


EVERY_VICTIM = [
    *(("as-called", victim, VICTIMS[victim]) for victim in VICTIMS),
    *(("without-namespaces", victim, VICTIMS_WITHOUT[victim]) for victim in VICTIMS_WITHOUT),
]
EVERY = pytest.mark.parametrize(
    ("way", "victim"),
    [pytest.param(way, find, id=f"{way}-{name}") for way, name, find in EVERY_VICTIM],
)


@EVERY
def test_kill_while_it_boots(inside: Inside, way: str, victim: Callable[[Inside], int]) -> None:
    process = inside.python(WAIT, before=WAYS[way])
    inside.kernel()
    time.sleep(0.3)
    os.kill(victim(inside), signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0


@EVERY
def test_kill_while_it_runs(inside: Inside, way: str, victim: Callable[[Inside], int]) -> None:
    process = inside.sleeper(WAYS[way])
    assert len(kernels_of(inside.host)) > 2  # those that no mark tells are looked for rightly
    os.kill(victim(inside), signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0


def set_up(inside: Inside, process: subprocess.Popen[str], folder: Path) -> None:
    wait_for(folder.exists, "no run folder")


def traffic(inside: Inside, process: subprocess.Popen[str], folder: Path) -> None:
    wait_for_samples(inside.host, folder, process)


def tear_down(inside: Inside, process: subprocess.Popen[str], folder: Path) -> None:
    assert process.stdout is not None
    assert process.stdout.readline()


@pytest.mark.parametrize(
    ("stage", "victim"), [(set_up, "caller"), (traffic, "kernel"), (tear_down, "caller")]
)
def test_kill_of_a_run_leaves_its_folder_readable(
    inside: Inside, victim: str, stage: Callable[..., None]
) -> None:
    folder = inside.host.folder / "run"
    options = ("--time-scale", "0.1", "--kernel", "private", "--out", folder)
    process = inside.host.start("run", FIG6, *options)
    stage(inside, process, folder)
    os.kill(VICTIMS[victim](inside), signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    inside.host.wait_until_gone()
    if (folder / "run.json").exists():
        done = inside.host.run("report", folder)
        assert done.status in (0, 1), done.err
        if stage is not tear_down:
            assert result_of(folder)["status"] == "interrupted"


MOMENTS_S = (0.1, 0.8, 1.4, 1.8, 2.2, 2.6, 3.2, 4.5)  # boot, set-up, traffic and tear-down


@pytest.mark.parametrize(
    ("moment_s", "victim"),
    list(zip(MOMENTS_S, itertools.cycle(reversed(list(VICTIMS))), strict=False)),
)
def test_kill_at_any_moment(inside: Inside, moment_s: float, victim: str) -> None:
    options = ("--time-scale", "0.05", "--kernel", "private", "--out", "run")
    process = inside.host.start("run", FIG6, *options)
    inside.kernel()
    who = VICTIMS[victim](inside)
    time.sleep(moment_s)
    with contextlib.suppress(ProcessLookupError):  # on a quick machine all is over
        os.kill(who, signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
