"""The lab's end of its socket: a thread for each connection, and the answers."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from vnemu.errors import InputError, Problem
from vnemu.events import Event, Progress
from vnemu.sessions import capturing
from vnemu.sessions.programs import Program
from vnemu.sessions.protocol import VERSION, Connection, Message, error_as_data
from vnemu.sessions.running import RunningLab, text_of

_READ_S = 10.0


class Server:
    """Answers what is asked of a lab."""

    def __init__(self, running: RunningLab) -> None:
        self._running = running

    def listen(self, listener: socket.socket) -> None:
        """Answer all who connect, in threads of their own, from now on."""
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                end, _ = listener.accept()
            except OSError:
                return  # it was closed
            self.take(end)

    def take(self, end: socket.socket) -> None:
        """Answer whoever is at the other end, in a thread."""
        threading.Thread(target=self._serve, args=(Connection(end),), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        descriptors: list[int] = []
        with suppress(ConnectionError, TimeoutError), connection.socket:
            connection.socket.settimeout(_READ_S)
            try:
                request, descriptors = connection.first()
                connection.socket.settimeout(None)
                self._answer(connection, request, descriptors)
            except (ConnectionError, TimeoutError):
                raise
            except BaseException as error:  # whoever asked is told, and the lab goes on
                connection.send({"error": error_as_data(error)})
            finally:
                for fd in descriptors:
                    with suppress(OSError):
                        os.close(fd)
                # A thread that still reads would keep it open.
                with suppress(OSError):
                    connection.socket.shutdown(socket.SHUT_RDWR)

    def _answer(self, connection: Connection, request: Message, descriptors: list[int]) -> None:
        if request.get("vnemu") != VERSION:
            hint = "use the vnemu that started it"
            message = f"this lab speaks version {VERSION} of the protocol"
            raise InputError([Problem("", message, hint)])
        what = str(request.get("ask"))
        if what == "exec":
            self._exec(connection, request, descriptors)
        elif what == "capture":
            found = capturing.answer(self._running, connection, request, descriptors)
            connection.send({"ok": found})
        elif what == "events":
            self._events(connection, bool(request.get("follow")))
        elif what == "converge":
            self._converge(connection, float(request.get("within_s", 120.0)))
        elif what in self._answers:
            connection.send({"ok": self._answers[what](request)})
        else:
            raise InputError(f"'{what}' is no request; there are: {', '.join(REQUESTS)}")

    @property
    def _answers(self) -> dict[str, Callable[[Message], Any]]:
        running = self._running
        return {
            "about": lambda _: running.about(),
            "inspect": lambda _: running.inspect(),
            "counters": lambda _: running.counters(),
            "do": partial(_do, running),
            "traffic": lambda _: running.flows.listed(),
            "start_traffic": lambda request: running.flows.start(_flow_in(request)),
            "stop_traffic": lambda request: running.flows.stop(request.get("flow")),
            "logs": lambda request: running.logs(request.get("node")),
            "end": lambda _: running.over.set(),
        }

    def _events(self, connection: Connection, follow: bool) -> None:
        journal = self._running.journal
        for record in journal.follow() if follow else journal.records():
            if record is not None:
                connection.send({"event": record})
            elif _has_gone(connection.socket):
                return
        connection.send({"ok": None})

    def _converge(self, connection: Connection, within_s: float) -> None:
        def tell(event: Event) -> None:
            if isinstance(event, Progress):
                connection.send({"progress": [event.done, event.total]})

        self._running.converge(within_s, tell)
        connection.send({"ok": None})

    def _exec(self, connection: Connection, request: Message, descriptors: list[int]) -> None:
        wanted = 1 if request.get("terminal") else 3
        if len(descriptors) != wanted:
            raise InputError(f"exec needs {wanted} descriptors, not {len(descriptors)}")
        node = self._running.node(text_of(request, "node"))
        program = Program(node, request, descriptors)
        _close(descriptors)
        threading.Thread(target=program.obey, args=(connection,), daemon=True).start()
        connection.send({"ok": {"status": program.wait()}})


REQUESTS = (
    *("about", "inspect", "counters", "do", "exec", "capture", "converge"),
    *("traffic", "start_traffic", "stop_traffic", "logs", "events", "end"),
)


def _do(running: RunningLab, request: Message) -> dict[str, Any]:
    texts = request.get("texts")
    if not isinstance(texts, list) or not texts:
        raise InputError("the request has no texts")
    folder = Path(text_of(request, "folder"))
    return running.do([str(text) for text in texts], folder, str(request.get("source", "")))


def _flow_in(request: Message) -> dict[str, Any]:
    flow = request.get("flow")
    if not isinstance(flow, dict):
        raise InputError("the request has no flow")
    return flow


def _close(descriptors: list[int]) -> None:
    while descriptors:
        os.close(descriptors.pop())


def _has_gone(end: socket.socket) -> bool:
    try:
        return end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
