"""The command `vnemu exec` without what makes a command line slow to start."""

from __future__ import annotations

from vnemu.cli.console import complain
from vnemu.sessions.visit import run_in


def execute(words: list[str]) -> int:
    """Run a command in a router, and return the exit status.

    Parameters:
        words: LAB NODE [--] COMMAND…, as `vnemu.cli.labs.execute` takes them.
    """
    lab, node, *command = words
    try:
        return run_in(lab, node, command[1:] if command[:1] == ["--"] else command)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        return complain(error)
