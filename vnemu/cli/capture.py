"""The command that captures on a running lab."""

from __future__ import annotations

from typing import Annotated

import typer

from vnemu.cli.options import LabName, seconds_of


def capture(
    lab: LabName,
    what: Annotated[
        str,
        typer.Argument(
            metavar="WHAT",
            help="a/core (a virtual link), a/r1 (a router), a/r1:eth0 (a NIC), rm1-rm2 "
            "(a physical link, with its tunnels), a/core:r1 or rm1-rm2:rm1 (one end).",
        ),
    ],
    write: Annotated[
        str | None,
        typer.Option(
            "--write",
            "-w",
            metavar="FILE",
            help="Write pcapng, for Wireshark; -: to stdout, live. "
            "[dim]default: a line for each frame, by tcpdump[/]",
        ),
    ] = None,
    expression: Annotated[
        str | None,
        typer.Option("--filter", metavar="EXPR", help="Only such frames, as tcpdump takes them."),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End with so many frames.")] = None,
    time: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="End after that time, such as 5s.")
    ] = None,
) -> None:
    """Capture frames on a running lab, outside of its routers; Ctrl-C ends it.

    At the end it says, on stderr, how many there were and how many the kernel
    had no room for.
    """
    from vnemu.sessions.capture_view import show
    from vnemu.sessions.captures import Wish

    show(
        Wish(lab, what, expression, count, None if time is None else seconds_of("--for", time)),
        write,
    )


def register(app: typer.Typer) -> None:
    """Make it a command."""
    app.command()(capture)
