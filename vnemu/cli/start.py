"""What `vnemu up` does: a lab is set up, and stays until it is ended."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vnemu import capsule, linux
from vnemu.cli.console import complain
from vnemu.cli.files import Planned, read_any
from vnemu.cli.progress import say, shown
from vnemu.errors import ExperimentFailed, InputError, Problem
from vnemu.events import Event, Sink
from vnemu.sessions import folder
from vnemu.sessions.background import Background
from vnemu.sessions.visit import end_in_order, on_terminal

if TYPE_CHECKING:
    from vnemu.sessions.running import RunningLab

# What the lab takes is imported where it is led, while the shell imports what that takes.
_LOOK_S = 1.0


@dataclass(frozen=True)
class Wanted:
    """What the user asked for, as options.

    Parameters:
        name: of the lab; None: that of its topology.
        memory: of a private kernel, in bytes.
        script: a file of commands to carry out; ``-`` is standard input.
        converge_s: how long to wait until routing has converged, in seconds; None: not at all.
        tied: the process with which it ends, the one that called this; None: none.
    """

    file: Path
    name: str | None
    detach: bool
    kernel: str
    memory: int
    overrides: tuple[str, ...]
    as_json: bool
    script: str | None = None
    tied: int | None = None
    converge_s: float | None = None

    @property
    def is_led_from_here(self) -> bool:
        """Whether this command goes on beside the lab, with a shell or a script."""
        return self.script is not None or (on_terminal() and not (self.detach or self.as_json))


def up(wanted: Wanted) -> int:
    """Set a lab up; return when it has ended or, if it is detached, when it is ready.

    Raises:
        InputError: if the file is wrong, or the name is taken.
        ExperimentFailed: if it is not converged in time; a detached lab goes on then.
        VnemuError: if it cannot be set up.
    """
    if wanted.converge_s is not None and not (wanted.detach or wanted.is_led_from_here):
        hint = "vnemu converge LAB waits as well"
        raise InputError([Problem("", "without a terminal, --converge needs --detach", hint)])
    if wanted.tied is not None:
        _end_with(wanted.tied)
    lines = _script(wanted.script)
    planned = read_any(wanted.file, wanted.overrides)
    claimed = folder.claim(wanted.name or planned.topology.name)
    if wanted.is_led_from_here:
        return _with_shell(planned, wanted, claimed, lines)
    if not wanted.detach:
        return _led(planned, wanted, claimed, lambda: _show_ready(wanted, claimed.name))
    status = _in_background(planned, wanted, claimed)
    if status == 0:
        _wait_detached(wanted, claimed.name)
        print(json.dumps({"name": claimed.name}) if wanted.as_json else claimed.name)
    return status


def _wait_detached(wanted: Wanted, name: str) -> None:
    try:
        _wait(wanted, name)
    except ExperimentFailed as failed:
        more = f"lab '{name}' runs: vnemu converge {name} waits again, vnemu down {name} ends it"
        raise ExperimentFailed(
            f"{failed}\n{more}" if name in folder.labs() else f"{failed}"
        ) from None


def _wait(wanted: Wanted, name: str) -> None:
    """Wait until routing has converged, if that is wanted."""
    if wanted.converge_s is not None:
        from vnemu.cli.converging import converge

        converge(name, wanted.converge_s)


def _script(name: str | None) -> list[str]:
    if name is None:
        return []
    from vnemu.shell.general import read_script

    return list(sys.stdin) if name == "-" else read_script(Path(name))


def _in_background(
    planned: Planned,
    wanted: Wanted,
    claimed: folder.Claim,
    meanwhile: Callable[[], None] | None = None,
) -> int:
    """Start a lab in a process of its own; 0 when it is ready, else the status of its end."""
    background = Background(until_death=not wanted.detach)

    def lead() -> int:
        claimed.take_over()
        try:
            return _led(planned, wanted, claimed, background.ready)
        except BaseException as error:
            return complain(error)

    status = background.start(lead, meanwhile)
    claimed.leave()
    return status


def _with_shell(planned: Planned, wanted: Wanted, claimed: folder.Claim, lines: list[str]) -> int:
    """Start a lab, be a shell on it or carry a script out, and end it unless it is detached."""
    status = _in_background(planned, wanted, claimed, None if wanted.script else _prepare)
    if status:
        return status
    from vnemu.sessions import client
    from vnemu.shell import loop

    end_in_order()
    try:
        if wanted.script is None:
            _wait_beside(wanted, claimed.name)
            return loop.converse(claimed.name, complain)
        _wait(wanted, claimed.name)
        loop.run_script(claimed.name, lines, "<stdin>" if wanted.script == "-" else wanted.script)
        return 0
    finally:
        if not wanted.detach:
            with suppress(InputError):  # it has ended by itself
                client.end(claimed.name)


def _prepare() -> None:
    """Import what a shell on a terminal needs, which takes a while."""
    import prompt_toolkit  # noqa: F401

    import vnemu.shell.loop  # noqa: F401


def _wait_beside(wanted: Wanted, name: str) -> None:
    """As `_wait`; the shell comes in any case, to see why, or because Ctrl-C ended the wait."""
    try:
        _wait(wanted, name)
    except (ExperimentFailed, KeyboardInterrupt) as error:
        complain(error)


def _end_with(caller: int) -> None:
    """From now on, the end of the caller is as Ctrl-C here."""
    linux.die_with_parent(signal.SIGTERM)
    if os.getppid() != caller:
        raise InputError(f"--tied: process {caller} has not called this, or has ended")


def _led(planned: Planned, wanted: Wanted, claimed: folder.Claim, ready: Callable[[], None]) -> int:
    """Lead a lab from its set-up to its end, in the capsule."""
    from vnemu.cli.kernel import RanInside, enter_capsule
    from vnemu.sessions.line_outside import Outside

    try:
        enter_capsule(
            wanted.kernel,
            planned.topology,
            wanted.memory,
            more=("--line",),
            afterwards=claimed.release,
            line=Outside(claimed.listener, ready),
        )
    except RanInside as ended:
        return ended.status
    finally:
        if not capsule.inside():
            claimed.release()
    from vnemu.sessions.running import RunningLab
    from vnemu.sessions.server import Server

    running = RunningLab(claimed.name, wanted.file, capsule.kind())
    Server(running).listen(claimed.listener)
    _live(planned, running, ready)
    return 0


def in_private_kernel(wanted: Wanted) -> int:
    """Lead a lab within the private kernel that was booted for it; others are outside."""
    from vnemu.cli.kernel import enter_capsule
    from vnemu.sessions.line_inside import Inside, console
    from vnemu.sessions.running import RunningLab
    from vnemu.sessions.server import Server

    planned = read_any(wanted.file, wanted.overrides)
    enter_capsule(wanted.kernel, planned.topology, wanted.memory)
    name = wanted.name or planned.topology.name
    running = RunningLab(name, wanted.file, capsule.kind())
    line = Inside(Server(running).take, console())
    line.start()
    _live(planned, running, line.ready)
    return 0


def _live(planned: Planned, running: RunningLab, ready: Callable[[], None]) -> None:
    from vnemu.lab import Lab

    listeners: list[Sink] = [running.journal]

    def tell(event: Event) -> None:
        for listener in listeners:
            listener(event)

    lab = Lab(planned.topology, planned.mapping, tell)
    with ExitStack() as stack:
        with shown() as progress:
            listeners.append(progress)
            stack.enter_context(lab)
        listeners.remove(progress)
        running.begin(lab)
        stack.callback(running.end)
        with suppress(KeyboardInterrupt):
            ready()
            _stay(running)


def _stay(running: RunningLab) -> None:
    """Wait until the lab is to end; a shell on it is another process."""
    while not running.over.wait(_LOOK_S):
        pass


def _show_ready(wanted: Wanted, name: str) -> None:
    if wanted.as_json:
        print(json.dumps({"name": name}), flush=True)
    say(f"lab '{name}' runs until Ctrl-C, or vnemu down {name}")
