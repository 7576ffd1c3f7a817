"""A VR or host of a running lab, to work in."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any, TypeVar

from vnemu.drivers.kernel import Kernel
from vnemu.drivers.processes import ProcessMaker
from vnemu.model.overlay import Node
from vnemu.plan.objects import node_namespace

T = TypeVar("T")


class VirtualNode:
    """A VR or host of a running lab."""

    def __init__(self, node: Node, kernel: Kernel, processes: ProcessMaker) -> None:
        self.node = node
        self._kernel = kernel
        self._processes = processes

    def popen(
        self,
        *argv: str,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; it ends with the lab at the latest.

        Raises:
            InputError: if the node is paused or stopped.
        """
        network = self._kernel.namespaces[node_namespace(self.node.path)].fd
        path, name = self.node.path, self.node.name
        return self._processes.popen(
            path, name, network, argv, stdin=stdin, stdout=stdout, stderr=stderr, env=env
        )

    def run(self, *argv: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a program inside and return what it printed; `timeout` is in seconds.

        Raises:
            subprocess.TimeoutExpired: if it takes longer; it is ended first.
        """
        with self.popen(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                _end_session(process)
                raise
        return subprocess.CompletedProcess(
            argv, process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
        )

    @property
    def pid_1(self) -> int | None:
        """The process id of its pid 1, as the capsule sees it; None: nothing ever ran in it."""
        return self._processes.pid_1(self.node.path)

    def log(self, program: str) -> str:
        """What a program of the VR's Router OS (``bird``, ``zebra``, ``ospfd`` …) has logged.

        What it logs by its own configuration to elsewhere is not in it.
        """
        return self._processes.log(self.node.path, program)

    def logs(self) -> dict[str, str]:
        """What each program of the VR's Router OS has logged; as `log`."""
        order = self._processes.order(self.node.path)
        stages = order["stages"] if order else []
        return {p["name"]: self.log(p["name"]) for programs in stages for p in programs}

    def inside(self, call: Callable[[], T]) -> T:
        """Run `call` in the node's network namespace: to open a socket there, no more."""
        return self._kernel.inside(node_namespace(self.node.path), call)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
