"""Programs in the nodes of a running lab, whose output is kept."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType

from vnemu.sessions.client import answers, opened

_PIECE = 1 << 16


@dataclass(frozen=True)
class Finished:
    """How a program ended, and what it printed (output and errors together)."""

    status: int
    output: str


class Visit:
    """A program in a node; it is ended with this (SIGHUP).

    Raises:
        InputError: if the lab or the node does not let it in.
    """

    def __init__(self, lab: str, node: str, argv: Sequence[str]) -> None:
        self._lab = lab
        source, target = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        request = {"ask": "exec", "node": node, "argv": list(argv)}
        try:
            self._connection = opened(lab, request, (nothing, target, target))
        except BaseException:
            os.close(source)
            raise
        finally:
            os.close(nothing)
            os.close(target)
        self._pieces: list[bytes] = []
        self._reader = threading.Thread(target=self._read, args=(source,), daemon=True)
        self._reader.start()

    def _read(self, source: int) -> None:
        with suppress(OSError):
            while data := os.read(source, _PIECE):
                self._pieces.append(data)
        os.close(source)

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return b"".join(self._pieces).decode(errors="replace")

    def interrupt(self) -> None:
        """As Ctrl-C does."""
        with suppress(OSError):
            self._connection.send({"signal": "INT"})

    def wait(self, timeout_s: float) -> Finished:
        """Wait for its end.

        Parameters:
            timeout_s: seconds.

        Raises:
            TimeoutError: if it takes longer.
            VnemuError: what the lab answers.
        """
        self._connection.socket.settimeout(timeout_s)
        status = 0
        for message in answers(self._lab, self._connection):
            if "ok" in message:
                status = int(message["ok"]["status"])
        self._reader.join(timeout_s)
        return Finished(status, self.output)

    def __enter__(self) -> Visit:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()


def run(lab: str, node: str, *argv: str, timeout_s: float = 20.0) -> Finished:
    """Run a program in a node to its end.

    Raises:
        InputError: if the lab or the node does not let it in.
        TimeoutError: if it takes longer than `timeout_s` seconds.
    """
    with Visit(lab, node, argv) as visit:
        return visit.wait(timeout_s)
