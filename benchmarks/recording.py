"""Record what vnemu sends to the kernel for a plan, so that a C program can send it again.

The driver runs as usual, but its namespaces and sockets write down what they are
asked for. The recording is replayed by replay.c: the same namespaces, the same
requests in the same batches, encoded beforehand.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from vnemu.drivers.kernel import Kernel
from vnemu.drivers.namespaces import SYSCTLS, NamespaceMaker, NetworkNamespace
from vnemu.drivers.netlink import (
    NLM_F_ACK,
    NLM_F_REQUEST,
    NetlinkSocket,
    Refusal,
    Request,
)
from vnemu.plan.diff import Action

ENTER, SYSCTL, LEAVE, SEND = 1, 2, 3, 4
_FIRST_FD = 4096  # above all that the replay opens itself
_HEADER = struct.Struct("=IHHII")
_RECORD = struct.Struct("=III")
_CHUNK = 96 * 1024


class Recording:
    """The records, in order."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.requests = 0

    def add(self, kind: int, target: int, body: bytes = b"") -> None:
        """Add one record for the namespace with the file descriptor `target`."""
        padding = bytes(-len(body) % 4)
        self._parts += [_RECORD.pack(kind, target, len(body)), body, padding]

    def save(self, path: Path) -> None:
        """Write it for replay.c."""
        path.write_bytes(b"".join(self._parts))


class _RecordingSocket(NetlinkSocket):
    def __init__(self, recording: Recording, target: int) -> None:
        self._recording, self._target, self._number = recording, target, 0

    def close(self) -> None:
        """There is nothing to close."""

    def send(self, requests: Sequence[Request]) -> list[Refusal]:
        """Write the batch down, cut as vnemu cuts it, and refuse nothing."""
        batch: list[Request] = []
        size = 0
        for request in requests:
            size += 16 + len(request.body)
            if batch and size > _CHUNK:
                self._write(batch)
                batch, size = [], 16 + len(request.body)
            batch.append(request)
        self._write(batch)
        return []

    def _write(self, batch: list[Request]) -> None:
        parts = []
        for request in batch:
            self._number += 1
            flags = request.flags | NLM_F_REQUEST | (NLM_F_ACK if request is batch[-1] else 0)
            length = 16 + len(request.body)
            parts += [_HEADER.pack(length, request.kind, flags, self._number, 0), request.body]
        self._recording.add(SEND, self._target, b"".join(parts))
        self._recording.requests += len(batch)


class _RecordingMaker(NamespaceMaker):
    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording
        self._target = _FIRST_FD

    def make(self, role: str) -> NetworkNamespace:
        """Write down what `NamespaceMaker.make` does."""
        target, self._target = self._target, self._target + 1
        self._recording.add(ENTER, target)
        for name, value in SYSCTLS[role].items():
            path = Path("/proc/sys/net") / name
            if path.read_text(encoding="ascii").strip() != value:
                self._recording.add(SYSCTL, target, f"{path}\0{value}\0".encode())
        self._recording.add(LEAVE, target)
        return NetworkNamespace(target, _RecordingSocket(self._recording, target))


def record(actions: Sequence[Action]) -> Recording:
    """What the driver does for `actions`; nothing is carried out."""
    recording = Recording()
    kernel = Kernel()
    kernel._maker.close()
    kernel._maker = _RecordingMaker(recording)
    kernel.apply(actions)
    return recording


def compile_replay(folder: Path) -> Path | None:
    """Compile replay.c; None when there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return None
    program = folder / "replay"
    source = Path(__file__).with_name("replay.c")
    subprocess.run([compiler, "-O2", "-o", program, source], check=True)
    return program
