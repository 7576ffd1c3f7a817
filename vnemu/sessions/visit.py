"""Running a program in a VR of a running lab, from outside, as if it ran here."""

from __future__ import annotations

import os
import signal
import socket
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from vnemu.sessions.client import answers, opened
from vnemu.sessions.protocol import Connection

_STREAMS = (0, 1, 2)
_PIECE = 1 << 16
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def run_in(lab: str, node: str, argv: Sequence[str]) -> int:
    """Run a program in a VR or host of a lab, and return its exit status.

    It has this process's standard input, output and error; where both input and output
    are a terminal, it has a terminal of its own that is shown on this one.

    Raises:
        VnemuError: what the lab answers.
    """
    request: dict[str, object] = {"ask": "exec", "node": node, "argv": list(argv)}
    if os.isatty(0) and os.isatty(1):
        return _on_terminal(lab, request)
    sys.stdout.flush()
    connection = opened(lab, request, _STREAMS)
    with connection.socket, _handlers(_PASSED_ON, _pass_on(connection)):
        return _status(lab, connection)


def _pass_on(connection: Connection) -> Callable[[int], None]:
    def send(number: int) -> None:
        with suppress(OSError):
            connection.send({"signal": signal.Signals(number).name.removeprefix("SIG")})

    return send


def _status(lab: str, connection: Connection) -> int:
    found = 0
    for message in answers(lab, connection):
        if "ok" in message:
            found = int(message["ok"]["status"])
    return found


def _on_terminal(lab: str, request: dict[str, object]) -> int:
    ours, theirs = socket.socketpair()
    more = {"terminal": True, "size": _size(), "term": os.environ.get("TERM", "dumb")}
    with theirs:
        connection = opened(lab, {**request, **more}, [theirs.fileno()])

    def resized(_: int) -> None:
        with suppress(OSError):
            connection.send({"size": _size()})

    shower = threading.Thread(target=_show, args=(ours,), daemon=True)
    typist = threading.Thread(target=_type, args=(ours,), daemon=True)
    ending = (signal.SIGTERM, signal.SIGHUP)
    noticed = _handlers((signal.SIGWINCH,), resized)
    with connection.socket, _raw(), noticed, _handlers(ending, _leave):
        shower.start()
        typist.start()
        status = _status(lab, connection)
        shower.join()
    return status


def _leave(number: int) -> None:
    raise SystemExit(128 + number)


def _size() -> list[int]:
    columns, rows = os.get_terminal_size(1)
    return [rows, columns]


def _show(end: socket.socket) -> None:
    with suppress(OSError):
        while data := end.recv(_PIECE):
            while data:
                data = data[os.write(1, data) :]


def _type(end: socket.socket) -> None:
    with suppress(OSError):
        while data := os.read(0, _PIECE):
            end.sendall(data)


@contextmanager
def _raw() -> Iterator[None]:
    """Every key goes to the program; afterwards, the terminal is as it was."""
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextmanager
def _handlers(numbers: Sequence[signal.Signals], call: Callable[[int], None]) -> Iterator[None]:
    def handler(number: int, _: FrameType | None) -> None:
        call(number)

    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
