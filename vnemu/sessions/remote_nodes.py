"""A VR or host of a lab that another process runs, to work in."""

from __future__ import annotations

import subprocess
import sys
from typing import IO, Any

from vnemu.sessions.client import ask
from vnemu.sessions.remote_programs import RemoteProgram


class RemoteNode:
    """A VR or host of a running lab.

    Parameters:
        lab: the lab's name.
        path: network/name.
    """

    def __init__(self, lab: str, path: str) -> None:
        self.lab = lab
        self.path = path

    def __repr__(self) -> str:
        return f"<{self.path} of lab {self.lab}>"

    def run(
        self, *argv: str, timeout: float = 60.0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside and return what it printed.

        Parameters:
            timeout: in seconds.
            stdin: what it reads from its standard input.

        Raises:
            InputError: if the node is paused or stopped, or the lab has ended.
            subprocess.TimeoutExpired: if it takes longer; it is told to end (SIGHUP) first.
        """
        with self.start(*argv, stdin=stdin) as program:
            return program.wait(timeout)

    def start(self, *argv: str, stdin: str = "") -> RemoteProgram:
        """Start a program inside, of which what it prints is kept; end it with a ``with``.

        Raises:
            InputError: if the node is paused or stopped, or the lab has ended.
        """
        return RemoteProgram(self.lab, self.path, argv, stdin)

    def popen(
        self,
        *argv: str,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; signals that this process is sent are passed on to it.

        It is `vnemu exec` that is started here: the program inside may begin a little later.
        """
        command = [sys.executable, "-m", "vnemu", "exec", self.lab, self.path, "--", *argv]
        return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr)

    def log(self, program: str) -> str:
        """What a program of the VR's Router OS (``bird``, ``zebra`` …) has logged."""
        return self.logs()[program]

    def logs(self) -> dict[str, str]:
        """What each program of the VR's Router OS has logged."""
        found: dict[str, dict[str, str]] = ask(self.lab, "logs", node=self.path)
        return found.get(self.path, {})
