"""Processes in VRs: each VR has its own pid, mount and host name namespaces for them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from vnemu.drivers import vr_init
from vnemu.errors import InternalError, MissingCapability

INSTALL = {
    "iperf3": "sudo apt-get install iperf3",
    "ping": "sudo apt-get install iputils-ping",
    "nsenter": "sudo apt-get install util-linux",
}


def program(name: str) -> str:
    """The path of an installed program.

    Raises:
        MissingCapability: with the command that installs it.
    """
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise MissingCapability(
            f"the program '{name}' is not installed",
            f"run: {INSTALL.get(name, f'sudo apt-get install {name}')}",
        )
    return path


class ProcessMaker:
    """Starts programs in VRs; the pid 1 of a VR is made when its first program starts."""

    def __init__(self) -> None:
        self._nsenter = program("nsenter")
        self._factory: subprocess.Popen[bytes] | None = None
        self._requests: socket.socket | None = None
        self._inits: dict[str, int] = {}

    def _start_factory(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._factory = subprocess.Popen(
                [sys.executable, "-I", "-S", vr_init.__file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return ours

    def init(self, path: str, host_name: str, network_fd: int) -> int:
        """The process id of the VR's pid 1.

        Raises:
            InternalError: if it could not be started.
        """
        if path not in self._inits:
            if self._requests is None:
                self._requests = self._start_factory()
            socket.send_fds(self._requests, [host_name.encode()], [network_fd])
            answer = self._requests.recv(4096).decode()
            if not answer.isdigit():
                raise InternalError(f"no processes can run in {path}: {answer.lstrip('- ')}")
            self._inits[path] = int(answer)
        return self._inits[path]

    def popen(
        self,
        init: int,
        argv: Sequence[str],
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start `argv` in the VR whose pid 1 is `init`, in a session of its own.

        A session of its own keeps the terminal's Ctrl-C from it: whoever started
        it decides when it ends.
        """
        enter = [self._nsenter, "-t", str(init), "-m", "-u", "-n", "-p", f"--wd={Path.cwd()}", "--"]
        return subprocess.Popen(
            [*enter, *argv],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=dict(env) if env is not None else None,
            start_new_session=True,
        )

    def close(self) -> None:
        """End every process of every VR."""
        for pid in self._inits.values():
            _kill(pid)
        self._inits.clear()
        if self._requests is not None:
            self._requests.close()
        if self._factory is not None:
            self._factory.kill()
            self._factory.wait()


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
