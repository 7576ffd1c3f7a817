"""Labs and runs from Python: each is a process of its own, as `vnemu up` and `run` make it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from vnemu.errors import InputError, MissingCapability, VnemuError
from vnemu.sessions import client
from vnemu.sessions.protocol import error_from
from vnemu.sessions.remote import RemoteLab

if TYPE_CHECKING:
    from vnemu.results.run_view import RunView

_NOT_BEGUN = (InputError.exit_status, MissingCapability.exit_status)


def up(
    file: str | Path,
    name: str | None = None,
    kernel: str = "auto",
    overrides: Sequence[str] = (),
    keep: bool = False,
    converge: float | None = None,
) -> RemoteLab:
    """Set a lab up, in a process of its own.

    Parameters:
        file: a topology or experiment file.
        name: that others find the lab by; None: that of its topology.
        kernel: ``auto``, ``native`` or ``private``, as of `vnemu up`.
        overrides: like ``underlay.links.0.rate=1gbit``.
        keep: it goes on when this process ends. Otherwise it ends with the thread that
            called this at the latest.
        converge: wait until routing has converged, at most so many seconds; None: not at all.

    Raises:
        InputError: with everything that is wrong with the file; or if the name is taken.
        MissingCapability: if this machine cannot run it, saying why.
        ExperimentFailed: if routing has not converged in time; then the lab is ended.
    """
    how = ["--detach"] if keep else ["--tied", str(os.getpid())]
    named = [] if name is None else ["--name", name]
    settings = [word for text in overrides for word in ("--set", text)]
    words = ["up", str(file), "--json", "--kernel", kernel, *named, *how, *settings]
    with tempfile.TemporaryFile("w+") as errors:
        process = _started(words, errors)
        said = _first_line(process)
        if not said:
            raise _error(process.wait(), errors)
    if keep:
        process.communicate()
    lab = RemoteLab(json.loads(said)["name"], None if keep else process)
    if converge is not None:
        _converge(lab, converge)
    return lab


def _converge(lab: RemoteLab, within_s: float) -> None:
    try:
        lab.converge(within_s)
    except BaseException:
        lab.end()  # nobody else has it in hand
        raise


def run(
    file: str | Path,
    out: str | Path | None = None,
    time_scale: float = 1.0,
    kernel: str = "auto",
    overrides: Sequence[str] = (),
) -> RunView:
    """Run an experiment to its end, as `vnemu run`, and open what it recorded.

    Parameters:
        file: an experiment file.
        out: the run folder, new or empty; None: one in ``runs``.
        time_scale: a factor for all times of the file.
        kernel, overrides: as of `up`.

    Raises:
        InputError: with everything that is wrong with the file.
        MissingCapability: if this machine cannot run it.
        ExperimentFailed: if it ended before anything was recorded.
    """
    folder = Path(out or Path("runs") / f"{Path(file).stem}-{time.strftime('%Y%m%d-%H%M%S')}")
    settings = [word for text in overrides for word in ("--set", text)]
    how = ["--out", str(folder), "--time-scale", str(time_scale), "--kernel", kernel]
    with tempfile.TemporaryFile("w+") as errors:
        process = _started(["run", str(file), "--no-report", *how, *settings], errors)
        try:
            process.communicate()
        except BaseException:
            process.terminate()
            process.communicate()
            raise
        if process.returncode in _NOT_BEGUN or not (folder / "run.json").exists():
            raise _error(process.returncode, errors)
    from vnemu.results.run_view import open_run

    return open_run(folder)


def connect(name: str) -> RemoteLab:
    """A lab that runs.

    Raises:
        InputError: if there is none of that name.
    """
    client.pid_of(name)
    return RemoteLab(name)


def labs() -> list[dict[str, Any]]:
    """Your labs that run, each as `vnemu ps --json` shows it."""
    return client.overviews()


def _started(words: Sequence[str], errors: IO[str]) -> subprocess.Popen[str]:
    # In a session of its own, Ctrl-C here leaves it to this process what becomes of the lab.
    return subprocess.Popen(
        [sys.executable, "-m", "vnemu", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
    )


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None, "it is a pipe"
    try:
        return process.stdout.readline()
    except BaseException:
        process.terminate()
        process.communicate()
        raise


_MARK = "vnemu: "


def _error(status: int, errors: IO[str]) -> VnemuError:
    """What the command said when it ended with `status`."""
    errors.seek(0)
    lines = errors.read().splitlines()
    ours = [line.removeprefix(_MARK) for line in lines if line.startswith(_MARK)]
    message = "\n".join(ours or lines) or f"vnemu ended with status {status}"
    if status == InputError.exit_status:
        return InputError(message)
    return error_from({"status": status, "message": message})
