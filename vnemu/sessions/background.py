"""A lab that goes on when the command that started it has returned."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from typing import NoReturn

_PIECE = 1 << 16


class Background:
    """The way from a process in the background to the command that waits for it.

    The command shows what the process says on standard error, until it is ready.
    """

    def __init__(self) -> None:
        self._errors, self._say = os.pipe()
        self._told, self._tell = os.pipe()

    def start(self, work: Callable[[], int]) -> int:
        """Do `work` in a process of its own, a session too.

        Returns:
            0 when it has called `ready`; if it ends without, what `work` returned.
        """
        child = os.fork()
        if not child:
            self._become(work)
        os.close(self._say)
        os.close(self._tell)
        try:
            if self._follow():
                return 0
        except KeyboardInterrupt:
            os.kill(child, signal.SIGTERM)
            os.waitpid(child, 0)
            raise
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        return code if code >= 0 else 128 - code

    def _become(self, work: Callable[[], int]) -> NoReturn:
        status = 1
        try:
            os.setsid()
            os.close(self._errors)
            os.close(self._told)
            _point_at_nothing(0, 1)
            os.dup2(self._say, 2)
            os.close(self._say)
            status = work()
        finally:
            os._exit(status)

    def ready(self) -> None:
        """In the process: it has come up, and says nothing from now on."""
        _point_at_nothing(2)
        os.write(self._tell, b"!")
        os.close(self._tell)

    def _follow(self) -> bool:
        """Show what the process says; whether it became ready before it ended."""
        poll = select.poll()
        for fd in (self._errors, self._told):
            poll.register(fd, select.POLLIN)
        while True:
            events = dict(poll.poll())
            if self._errors in events:
                said = os.read(self._errors, _PIECE)
                os.write(2, said)
                if not said:
                    poll.unregister(self._errors)
            elif self._told in events:
                return os.read(self._told, 1) == b"!"


def _point_at_nothing(*descriptors: int) -> None:
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in descriptors:
        os.dup2(nothing, fd)
    os.close(nothing)
