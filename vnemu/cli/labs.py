"""The commands on labs that run: they are started, listed, looked at, entered and ended."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from vnemu.cli import completing
from vnemu.cli.options import (
    AsJson,
    KernelChoice,
    LabName,
    Memory,
    NodePath,
    Overrides,
    Timeout,
    seconds_of,
)
from vnemu.errors import ExperimentFailed, InputError


def up(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A topology file (YAML).", autocompletion=completing.files
        ),
    ],
    name: Annotated[
        str | None, typer.Option(help="What to call the lab. [dim]default: as its topology[/]")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when the lab is ready; it goes on.")
    ] = False,
    kernel: Annotated[KernelChoice, typer.Option(help="Which kernel runs it.")] = (
        KernelChoice.auto
    ),
    memory: Memory = "2048mb",
    overrides: Overrides = None,
    script: Annotated[
        str | None,
        typer.Option(
            "--run",
            metavar="SCRIPT",
            help="Carry out a file of shell commands (-: stdin), then end.",
        ),
    ] = None,
    converge: Annotated[
        bool,
        typer.Option("--converge", help="Go on when routing has converged, as vnemu converge."),
    ] = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
    tied: Annotated[
        int | None,
        typer.Option(metavar="PID", help="End with this process, which is to be the caller."),
    ] = None,
    line: Annotated[bool, typer.Option("--line", hidden=True, help="For vnemu itself.")] = False,
) -> int:
    """Set a lab up, with a shell on it if this is a terminal; the lab ends with that.

    Elsewhere it runs until Ctrl-C or vnemu down. Other commands find it by its
    name meanwhile. Of an experiment file, its topology is set up. With --detach
    the lab goes on when the command has returned, which prints its name.
    """
    from vnemu.cli import start
    from vnemu.cli.kernel import memory_bytes

    if timeout is not None and not converge:
        raise InputError("--timeout is for --converge")
    wanted = start.Wanted(
        file=file,
        name=name,
        detach=detach,
        kernel=kernel,
        memory=memory_bytes(memory),
        overrides=tuple(overrides or ()),
        as_json=as_json,
        script=script,
        tied=tied,
        converge_s=_seconds(timeout) if converge else None,
    )
    return start.in_private_kernel(wanted) if line else start.up(wanted)


def _seconds(timeout: str | None) -> float:
    return seconds_of("--timeout", timeout or "120s")


def converge(lab: LabName, timeout: Timeout = None) -> None:
    """Wait until routing has converged in all networks of a running lab.

    That is so when all that links join reach each other, and no routing table has changed
    for a while. The exit status is 1 if it takes longer than --timeout; the message says who
    does not reach whom.
    """
    from vnemu.cli import converging

    converging.converge(lab, _seconds(timeout))


def ps(as_json: AsJson = False) -> None:
    """List your labs that run."""
    from vnemu.sessions import pages
    from vnemu.sessions.client import overviews

    found = overviews()
    if as_json:
        print(json.dumps(found, indent=2))
    elif found:
        print("\n".join(pages.overview(found)))
    else:
        print("no lab runs; vnemu up FILE starts one")


def inspect(lab: LabName, as_json: AsJson = False) -> None:
    """Show a running lab: where its routers are and how they do, its links and their quality."""
    from vnemu.sessions import pages
    from vnemu.sessions.client import ask

    found = ask(lab, "inspect")
    print(json.dumps(found, indent=2) if as_json else "\n".join(pages.inspected(found)))


def down(
    labs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="LAB...", help="The names of running labs.", autocompletion=completing.labs
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="End all of your labs.")] = False,
) -> None:
    """End labs; when the command returns, nothing of them is left."""
    from vnemu.sessions import client, folder

    if everything == bool(labs):
        raise InputError("name the labs to end, or give --all")
    for lab in labs or folder.labs():
        client.end(lab)


def execute(
    lab: LabName,
    node: NodePath,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="The command and its arguments.")
    ],
) -> int:
    """Run a command in a router or host of a running lab.

    It has this command's input, outputs and exit status; on a terminal it has one too.
    """
    from vnemu.sessions.visit import run_in

    return run_in(lab, node, command)


def cp(
    lab: LabName,
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="NODE:PATH, or a file or folder here; -: stdin.",
            autocompletion=completing.places,
        ),
    ],
    target: Annotated[
        str,
        typer.Argument(
            metavar="TARGET",
            help="NODE:PATH, or a place here; -: stdout.",
            autocompletion=completing.places,
        ),
    ],
) -> None:
    """Copy a file or folder into a router or host of a running lab, out of it, or between two.

    It has its name when all of it is there. Permissions are kept; the owner is you, in a
    node its root.
    """
    from vnemu.sessions.copying import copy
    from vnemu.sessions.visit import end_in_order

    end_in_order()
    copy(lab, source, target)


def attach(lab: LabName) -> int:
    """The shell of a running lab; leaving it changes nothing.

    If standard input is no terminal, commands are read from there, up to the first that fails.
    """
    from vnemu.cli.console import complain
    from vnemu.sessions.visit import end_in_order
    from vnemu.shell.loop import converse

    end_in_order()
    return converse(lab, complain)


def shell(lab: LabName, node: NodePath) -> int:
    """A login shell in a router or host of a running lab, with its name in the prompt."""
    from vnemu.sessions.visit import login_shell, run_in

    return run_in(lab, node, login_shell(node))


def logs(
    lab: LabName,
    node: Annotated[
        str | None,
        typer.Argument(
            metavar="NODE",
            help="Only of this router, such as a/r1.",
            autocompletion=completing.nodes,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print what the routing daemons of a running lab have logged."""
    from vnemu.sessions import pages
    from vnemu.sessions.client import ask

    found = ask(lab, "logs", node=node)
    print(json.dumps(found, indent=2) if as_json else "\n".join(pages.logs(found)))


def events(
    lab: LabName,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print what has happened in a running lab: changes, what was refused, daemons that ended."""
    from vnemu.sessions import pages
    from vnemu.sessions.client import asked

    try:
        for message in asked(lab, "events", follow=follow):
            if "event" in message:
                record: dict[str, Any] = message["event"]
                print(json.dumps(record) if as_json else pages.event(record), flush=True)
    except ExperimentFailed:
        if not follow:  # the end of the lab is the end of what can be followed
            raise
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def record(
    lab: LabName,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The experiment file to write.")],
) -> None:
    """Record what happens in a running lab as an experiment, which vnemu run repeats.

    Changes and traffic are in it, whoever makes them, until Ctrl-C or the lab ends.
    """
    from vnemu.cli.progress import say
    from vnemu.sessions.visit import end_in_order
    from vnemu.shell.recording import Recorder

    end_in_order()
    recorder = Recorder.begin(lab, file)
    say(f"records lab '{lab}' until Ctrl-C; next: vnemu run {file}")
    try:
        with suppress(KeyboardInterrupt):
            recorder.wait()
    finally:
        recorder.finish()


def register(app: typer.Typer) -> None:
    """Make these functions commands."""
    listed = (up, ps, inspect, converge, down, cp, attach, shell, logs, events, record)
    for function in listed:
        app.command()(function)
    app.command("exec", context_settings={"allow_interspersed_args": False})(execute)
