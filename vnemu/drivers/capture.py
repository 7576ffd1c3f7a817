"""Captures: a small program of their own hears frames and writes them (`capture_program`)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from vnemu.drivers.capture_program import MOST_SOCKETS
from vnemu.drivers.pcap_filter import compiled
from vnemu.errors import ExperimentFailed, InputError
from vnemu.plan.taps import Tap

_PATIENCE_S = 2.0
_MESSAGE = 1 << 16

Inside = Callable[[str, Callable[[], socket.socket]], socket.socket]
"""Opens a socket in a namespace."""


@dataclass(frozen=True)
class Chosen:
    """What is captured of the frames at the taps.

    Parameters:
        filter: an expression (pcap-filter(7)); empty: all frames.
        count: the capture ends with so many frames; None: it does not.
        seconds: it ends after that time; None: it does not.
    """

    filter: str = ""
    count: int | None = None
    seconds: float | None = None

    def program(self) -> bytes:
        """The filter for the kernel; empty: none.

        Raises:
            InputError: if the expression is none, or a number is not above 0.
            MissingCapability: if there is no libpcap to compile it.
        """
        for name, value in (("count", self.count), ("time", self.seconds)):
            if value is not None and value <= 0:
                raise InputError(f"the {name} of a capture is above 0, not {value}")
        return compiled(self.filter) if self.filter else b""


@dataclass(frozen=True)
class Captured:
    """What came of an interface.

    Parameters:
        packets: that were written.
        dropped: that the kernel had no room for.
    """

    packets: int
    dropped: int


Counts = Mapping[str, Captured]
"""By the names of the interfaces."""


class Capture:
    """A capture: `prepare` may be called early, then `begin`, and `stop` or `wait`.

    It ends by itself when nobody reads what it writes, or its devices are gone.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    @property
    def is_closed(self) -> bool:
        """Whether there is no program: it has not been started, or is over."""
        return self._channel is None

    @property
    def pid(self) -> int | None:
        """The process that captures; None: there is none."""
        return self._process.pid if self._process is not None else None

    def prepare(self) -> None:
        """Start the program, which waits."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # Where this interpreter finds its packages, that one does too.
        paths = os.pathsep.join(path for path in sys.path if path)
        with theirs:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-P", "-m", "vnemu.drivers.capture_program"),
                    str(theirs.fileno()),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": paths},
                start_new_session=True,
            )
        self._channel = ours

    def begin(self, taps: Sequence[Tap], chosen: Chosen, inside: Inside, output: int) -> None:
        """Capture from now on; when this returns, frames are heard.

        Parameters:
            inside: opens a socket in a namespace.
            output: a descriptor, which is written to.

        Raises:
            InputError: if there are too many interfaces, or as `Chosen.program`.
            ExperimentFailed: if it cannot be begun.
        """
        if len(taps) > MOST_SOCKETS:
            raise InputError(
                f"{len(taps)} interfaces cannot be captured at once, {MOST_SOCKETS} can"
            )
        if self._channel is None:
            self.prepare()
        assert self._channel is not None, "it has just been made ready"
        order = {
            "interfaces": [asdict(tap) for tap in taps],
            "filter": chosen.filter,
            "program": chosen.program().hex(),
            "count": chosen.count,
            "seconds": chosen.seconds,
        }
        opened: list[socket.socket] = []
        try:
            for tap in taps:
                opened.append(inside(tap.namespace, _silent))  # noqa: PERF401 closed in any case
            descriptors = [output, *(each.fileno() for each in opened)]
            socket.send_fds(self._channel, [json.dumps(order).encode()], descriptors)
        finally:
            for each in opened:
                each.close()
        self._heard()

    def wait(self) -> Counts:
        """Wait until it has ended.

        Raises:
            ExperimentFailed: if it could not go on.
        """
        try:
            counts = self._heard()["interfaces"]
        finally:
            self.close()
        return {name: Captured(**found) for name, found in counts.items()}

    def end(self) -> None:
        """Have it end soon, which `wait` tells; it is killed if it cannot, as nobody reads."""
        channel = self._channel
        if channel is not None and self._process is not None:
            with suppress(OSError):
                channel.shutdown(socket.SHUT_WR)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_PATIENCE_S)
                return
            self._process.kill()

    def stop(self) -> Counts:
        """End it, and return what came of it.

        Raises:
            ExperimentFailed: if it could not go on.
        """
        self.end()
        return self.wait()

    def close(self) -> None:
        """Let go of the program, which ends; a second call does nothing."""
        channel, self._channel = self._channel, None
        if channel is not None and self._process is not None:
            channel.close()
            with self._process:
                self._process.kill()

    def _heard(self) -> dict[str, Any]:
        """What the program tells next."""
        assert self._channel is not None, "it has begun, and not been closed"
        message = self._channel.recv(_MESSAGE)
        if not message:
            raise ExperimentFailed(
                "the capture was killed; what it has written is as far as it came"
            )
        told: dict[str, Any] = json.loads(message)
        if "error" in told:
            raise ExperimentFailed(f"the capture ended: {told['error']}")
        return told


def _silent() -> socket.socket:
    """A packet socket that hears nothing until it is bound."""
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
