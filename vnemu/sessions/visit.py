"""Running a program in a VR of a running lab, from outside, as if it ran here."""

from __future__ import annotations

import os
import select
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

_PIECE = 1 << 16
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def end_in_order() -> None:
    """From now on, SIGTERM and SIGHUP end this process as an exception: all is put back."""
    for number in _ENDING:
        signal.signal(number, lambda got, _: _leave(got))


def on_terminal() -> bool:
    """Whether a person is at both ends of this process."""
    return os.isatty(0) and os.isatty(1)


def run_in(
    lab: str, node: str, argv: Sequence[str], stdin: int = 0, *, terminal: bool = True
) -> int:
    """Run a program in a VR or host of a lab, and return its exit status.

    It has this process's standard input, output and error; where both input and output
    are a terminal, it has a terminal of its own that is shown on this one.

    Parameters:
        stdin: what it reads instead, if it has no terminal.
        terminal: whether it may have one, which would take along what goes on behind it.

    Raises:
        VnemuError: what the lab answers.
    """
    request: dict[str, object] = {"ask": "exec", "node": node, "argv": list(argv)}
    if terminal and on_terminal():
        return _on_terminal(lab, request)
    sys.stdout.flush()
    connection = opened(lab, request, (stdin, 1, 2))
    with connection.socket, _handlers(_PASSED_ON, _pass_on(connection)):
        return status_of(lab, connection)


@contextmanager
def nothing_to_read() -> Iterator[int]:
    """A descriptor for a program that reads nothing."""
    nothing = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield nothing
    finally:
        os.close(nothing)


def login_shell(node: str) -> list[str]:
    """A login shell as a command, with the node's name in its prompt; bash if it is there."""
    prompt = f"{node}# "
    # Login files set a prompt of their own: this is done after them, before each prompt.
    names = (f"PS1={prompt}", f"PROMPT_COMMAND=PS1='{prompt}'")
    return ["env", *names, "sh", "-c", "command -v bash >/dev/null && exec bash -l; exec sh"]


def _pass_on(connection: Connection) -> Callable[[int], None]:
    def send(number: int) -> None:
        with suppress(OSError):
            connection.send({"signal": signal.Signals(number).name.removeprefix("SIG")})

    return send


def status_of(lab: str, connection: Connection) -> int:
    """The exit status of a program that was asked for, when it has ended.

    Raises:
        VnemuError: what the lab answers.
    """
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
    over, stop = os.pipe()
    typist = threading.Thread(target=_type, args=(ours, over), daemon=True)
    noticed = _handlers((signal.SIGWINCH,), resized)
    with connection.socket, _raw(), noticed, _handlers(_ENDING, _leave):
        shower.start()
        typist.start()
        try:
            status = status_of(lab, connection)
            shower.join()
        finally:
            os.close(stop)  # what is typed from now on is not the program's
            typist.join()
    ours.close()
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


def _type(end: socket.socket, over: int) -> None:
    """Pass on what is typed, until `over` is closed at its other end."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(over, select.POLLIN)
    with suppress(OSError):
        while all(fd != over for fd, _ in poll.poll()):
            data = os.read(0, _PIECE)
            if not data:
                break
            end.sendall(data)
    os.close(over)


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
