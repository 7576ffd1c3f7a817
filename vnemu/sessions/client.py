"""Asking a running lab: it is found by its name, does what it is asked for, and answers."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from vnemu.errors import ExperimentFailed, InputError, VnemuError
from vnemu.sessions import folder
from vnemu.sessions.protocol import VERSION, Connection, Message, error_from

_CREDENTIALS = struct.Struct("3i")
_PATIENCE_S = 2.0
_ENDING_S = 30.0
_LOOK_S = 0.01


def ask(lab: str, what: str, timeout_s: float | None = None, **more: Any) -> Any:
    """Ask a lab one thing, and return what it answers.

    Parameters:
        what: the request (docs/cli.md lists them).
        timeout_s: how long to wait for the answer, in seconds; None: as long as it takes.
        more: what belongs to the request.

    Raises:
        InputError: if no such lab runs.
        TimeoutError: if it takes longer.
        VnemuError: what the lab answered, as it was raised there.
    """
    for message in asked(lab, what, timeout_s=timeout_s, **more):
        if "ok" in message:
            return message["ok"]
    raise _lost(lab)


def asked(lab: str, what: str, timeout_s: float | None = None, **more: Any) -> Iterator[Message]:
    """As `ask`; all lines of the answer, as they come."""
    connection = opened(lab, {"ask": what, **more}, timeout_s=timeout_s)
    try:
        yield from answers(lab, connection)
    finally:
        connection.close()


def opened(
    lab: str,
    request: Mapping[str, object],
    descriptors: Sequence[int] = (),
    timeout_s: float | None = None,
) -> Connection:
    """A connection on which a request has been made.

    Parameters:
        request: ``ask``, and what belongs to it.
        descriptors: that go with it.
        timeout_s: as of `ask`.

    Raises:
        InputError: if no such lab runs.
        ExperimentFailed: if it ends now.
    """
    end = folder.connect(lab)
    end.settimeout(timeout_s)
    connection = Connection(end)
    try:
        connection.send({"vnemu": VERSION, **request}, descriptors)
    except ConnectionError:
        connection.close()
        raise _lost(lab) from None
    return connection


def answers(lab: str, connection: Connection) -> Iterator[Message]:
    """The lines of an answer, up to and with the last.

    Raises:
        ExperimentFailed: if the lab ended before it.
        VnemuError: what the lab answered.
    """
    for message in connection:
        if "error" in message:
            raise error_from(message["error"])
        yield message
        if "ok" in message:
            return
    raise _lost(lab)


def pid_of(lab: str) -> int:
    """The process that started a lab and ends with it, as the kernel knows it.

    Raises:
        InputError: if no such lab runs.
    """
    with folder.connect(lab) as end:
        found = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[0])


def overview(lab: str) -> Message:
    """What a lab says of itself in short; its state is ``no answer`` if it does not."""
    about: Message = {"name": lab, "state": "no answer"}
    with suppress(TimeoutError):
        about = ask(lab, "about", timeout_s=_PATIENCE_S)
    return {**about, "pid": pid_of(lab)}


def overviews() -> list[Message]:
    """`overview` of all labs of this user."""
    found = []
    for lab in folder.labs():
        with suppress(VnemuError):  # it has just ended
            found.append(overview(lab))
    return found


def end(lab: str) -> None:
    """End a lab, and return when nothing of it is there any more.

    One that does not react is killed, which ends all of it as well.

    Raises:
        InputError: if no such lab runs.
        ExperimentFailed: if it cannot be ended.
    """
    pid = pid_of(lab)
    with suppress(TimeoutError, ExperimentFailed):
        ask(lab, "end", timeout_s=_PATIENCE_S)
    until = time.monotonic() + _ENDING_S
    killed = False
    while _is_of(lab, pid):
        if time.monotonic() > until:
            if killed:
                raise ExperimentFailed(f"lab '{lab}' (process {pid}) does not end")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed, until = True, time.monotonic() + _PATIENCE_S
        time.sleep(_LOOK_S)


def _is_of(lab: str, pid: int) -> bool:
    """Whether the lab of that name is still the one that `pid` started."""
    if lab not in folder.labs():
        return False
    with suppress(InputError):
        return pid_of(lab) == pid
    return False


def _lost(lab: str) -> ExperimentFailed:
    return ExperimentFailed(f"lab '{lab}' ended before it answered")
