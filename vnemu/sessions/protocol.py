"""What is said on the socket of a lab: lines of JSON (docs/cli.md describes them).

A connection is one request. The lab answers with any number of lines, of which the last
has ``ok`` or ``error``. Descriptors (standard input and so on) come with the first line.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vnemu.errors import (
    ExperimentFailed,
    InputError,
    InternalError,
    KernelRefused,
    MissingCapability,
    Problem,
    VnemuError,
)

VERSION = 1
_MOST_DESCRIPTORS = 3
_PIECE = 1 << 16
Message = dict[str, Any]


class Connection:
    """One end of a connection, line by line."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end
        self._begun = b""

    def send(self, message: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """Say one line; descriptors go with it.

        Raises:
            ConnectionError: if nobody is there any more.
        """
        line = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        if descriptors:
            sent = socket.send_fds(self.socket, [line], descriptors)
            line = line[sent:]
        if line:  # even nothing cannot be sent to who has answered and closed meanwhile
            self.socket.sendall(line)

    def first(self) -> tuple[Message, list[int]]:
        """The first line that is said, and the descriptors with it.

        Raises:
            ConnectionError: if there is none.
            ValueError: if it is no JSON.
        """
        data, descriptors, _, _ = socket.recv_fds(self.socket, _PIECE, _MOST_DESCRIPTORS)
        self._begun += data
        try:
            return self._next(ended=not data), list(descriptors)
        except BaseException:
            for fd in descriptors:
                os.close(fd)
            raise

    def __iter__(self) -> Iterator[Message]:
        """The lines that are said until the other end closes."""
        try:
            while True:
                yield self._next()
        except ConnectionError:
            return

    def _next(self, ended: bool = False) -> Message:
        while b"\n" not in self._begun:
            data = b"" if ended else self.socket.recv(_PIECE)
            if not data:
                raise ConnectionResetError("the other end has closed")
            self._begun += data
        line, _, self._begun = self._begun.partition(b"\n")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("not an object")
        return message

    def close(self) -> None:
        """Close it."""
        self.socket.close()


def error_as_data(error: BaseException) -> Message:
    """An error as it is sent."""
    if isinstance(error, InputError):
        problems = [[p.where, p.message, p.hint] for p in error.problems]
        return {"status": error.exit_status, "problems": problems}
    status = error.exit_status if isinstance(error, VnemuError) else InternalError.exit_status
    known = isinstance(error, VnemuError)
    message = str(error) if known else f"{type(error).__name__}: {error}"
    notes = list(getattr(error, "__notes__", ()))
    if isinstance(error, MissingCapability):
        return {"status": status, "message": error.message, "hint": error.hint, "notes": notes}
    bug = isinstance(error, InternalError | KernelRefused) or not known
    return {"status": status, "message": message, "bug": bug, "notes": notes}


def error_from(data: Mapping[str, Any]) -> VnemuError:
    """The error that was sent, to be raised here as it was there."""
    if "problems" in data:
        return InputError(Problem(*problem) for problem in data["problems"])
    message = str(data.get("message"))
    error: VnemuError
    match data.get("status"):
        case MissingCapability.exit_status:
            error = MissingCapability(message, str(data.get("hint", "")))
        case ExperimentFailed.exit_status:
            error = ExperimentFailed(message)
        case _:
            error = InternalError(message)
    for note in data.get("notes", ()):
        error.add_note(str(note))
    return error
