"""Probe streams: small UDP datagrams both ways at a steady pace, each numbered and timed.

All streams of a run are sent and received by one process (`stream_sender`), through
sockets in the namespaces of their ends. Nothing runs in a VR.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from vnemu.errors import ExperimentFailed

T = TypeVar("T")

PORT = 20_000
"""From this port to this port all streams go, so that runs take the same of several paths."""

_ROOM_BYTES = 1 << 22
_READY_SECONDS = 20.0
_PATIENCE_SECONDS = 5.0
_SO_RCVBUFFORCE = 33
_SO_TIMESTAMPNS = 35

Inside = Callable[[str, Callable[[], socket.socket]], socket.socket]
"""Opens a socket in the namespace of a node (its path)."""


@dataclass(frozen=True)
class StreamSpec:
    """What a stream does.

    Parameters:
        source, target: node paths; probes go from one to the other, and back.
        source_address, target_address: of the nodes; a VR's is its loopback.
        interval: seconds between two probes of a direction.
        size: bytes of payload.
    """

    name: str
    source: str
    target: str
    source_address: str
    target_address: str
    version: Literal[4, 6]
    interval: float
    size: int


@dataclass(frozen=True)
class _Way:
    """See `vnemu.traffic.stream_batches.Way`; `to` is in hexadecimal digits."""

    number: int
    leaves: int
    arrives: int
    to: str
    size: int
    interval_ns: int


class Streams:
    """The streams of a run: `open`, `wait_ready`, `start`, `finish` and `close`, in this order.

    Parameters:
        record: the file that is written (`vnemu.results.stream_record`).
        log: what the process has to say.
    """

    def __init__(
        self, specs: Sequence[StreamSpec], inside: Inside, record: Path, log: Path
    ) -> None:
        self._specs = tuple(specs)
        self._inside = inside
        self._record = record
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The process that sends and receives; None: there is none."""
        return self._process.pid if self._process is not None else None

    def open(self) -> None:
        """Open the sockets and start the process; does nothing without streams."""
        if not self._specs:
            return
        with contextlib.ExitStack() as stack:
            sockets: dict[tuple[str, int], socket.socket] = {}
            for spec in self._specs:
                for node, address in (
                    (spec.source, spec.source_address),
                    (spec.target, spec.target_address),
                ):
                    if (node, spec.version) not in sockets:
                        opened = self._inside(node, _opener(spec.version, address))
                        sockets[node, spec.version] = stack.enter_context(opened)
            record = stack.enter_context(self._record.open("ab"))
            log = stack.enter_context(self._log.open("wb"))
            self._process = _start(self._order(sockets, record.fileno()), log)

    def _order(self, sockets: dict[tuple[str, int], socket.socket], record: int) -> dict[str, Any]:
        fds = {key: opened.fileno() for key, opened in sockets.items()}
        ways = []
        for number, spec in enumerate(self._specs):
            one, other = fds[spec.source, spec.version], fds[spec.target, spec.version]
            interval = round(spec.interval * 1e9)
            there = _sockaddr(spec.version, spec.target_address).hex()
            back = _sockaddr(spec.version, spec.source_address).hex()
            ways.append(_Way(2 * number, one, other, there, spec.size, interval))
            ways.append(_Way(2 * number + 1, other, one, back, spec.size, interval))
        return {
            "ways": [asdict(way) for way in ways],
            "sockets": list(fds.values()),
            "record": record,
        }

    def wait_ready(self) -> None:
        """Wait until the process has everything in place.

        Raises:
            ExperimentFailed: if it does not come up.
        """
        if self._process is None:
            return
        assert self._process.stdout is not None, "it is a pipe"
        if not _readable(self._process.stdout.fileno(), _READY_SECONDS):
            raise ExperimentFailed("the sender of the probe streams does not start")
        if self._process.stdout.readline() != b"ready\n":
            raise self._died()

    def start(self, t0_ns: int) -> None:
        """Begin to send; t0 is in nanoseconds of CLOCK_MONOTONIC."""
        if self._process is not None:
            self._say(f"{t0_ns}\n")

    def _say(self, line: str) -> None:
        assert self._process is not None, "the caller looked"
        assert self._process.stdin is not None, "it is a pipe"
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def check(self) -> None:
        """See after the process.

        Raises:
            ExperimentFailed: if it has died.
        """
        if self._process is not None and self._process.poll() is not None:
            raise self._died()

    def _died(self) -> ExperimentFailed:
        lines = self._log.read_text(errors="replace").split("\n")
        last = "; ".join([line.strip() for line in lines if line.strip()][-2:])
        return ExperimentFailed(f"the sender of the probe streams died: {last or 'no reason'}")

    def finish(self) -> None:
        """End the sending; what is on its way has a second to arrive, meanwhile."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """Wait until the record is complete, and let go of the process."""
        if self._process is None:
            return
        process, self._process = self._process, None
        with process:  # which closes the pipes: one that never started sees its end
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            assert process.stdin is not None, "it is a pipe"
            process.stdin.close()
            try:
                process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _start(order: dict[str, Any], log: Any) -> subprocess.Popen[bytes]:
    # Where this interpreter finds its packages, that one does too; it needs no threads.
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "vnemu.traffic.stream_sender"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        pass_fds=[*order["sockets"], order["record"]],
        env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        start_new_session=True,
    )
    assert process.stdin is not None, "it is a pipe"
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.flush()
    return process


def _readable(fd: int, timeout_s: float) -> bool:
    import select

    return bool(select.select([fd], [], [], timeout_s)[0])


def _opener(version: int, address: str) -> Callable[[], socket.socket]:
    def opened() -> socket.socket:
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        found = socket.socket(family, socket.SOCK_DGRAM)
        try:
            _make_room(found)
            found.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            found.bind((address, PORT))
        except BaseException:
            found.close()
            raise
        return found

    return opened


def _make_room(found: socket.socket) -> None:
    """Ask for a large buffer; an ordinary user gets what the machine allows."""
    try:
        found.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM_BYTES)
    except PermissionError:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM_BYTES)


def _sockaddr(version: int, address: str) -> bytes:
    """A struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7))."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    packed = socket.inet_pton(family, address)
    head = struct.pack("=H", family) + struct.pack("!H", PORT)
    return head + packed + bytes(8) if version == 4 else head + bytes(4) + packed + bytes(4)
