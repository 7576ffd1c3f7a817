"""A lab that goes on when the command that started it has returned."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Callable
from typing import NoReturn

from vnemu import linux

_PIECE = 1 << 16


class Background:
    """The way from a process in the background to the command that waits for it.

    The command shows what the process says on standard error, until it is ready.

    Parameters:
        until_death: whether the process ends (SIGTERM) when the command does, by whatever.
    """

    def __init__(self, *, until_death: bool = False) -> None:
        self._until_death = until_death
        self._errors, self._say = os.pipe()
        self._told, self._tell = os.pipe()

    def start(self, work: Callable[[], int], meanwhile: Callable[[], None] | None = None) -> int:
        """Do `work` in a process of its own, a session too.

        Parameters:
            meanwhile: what the command does while it waits, in a thread.

        Returns:
            0 when it has called `ready`; if it ends without, what `work` returned.
        """
        parent = os.getpid()
        child = os.fork()
        if not child:
            self._become(work, parent)
        os.close(self._say)
        os.close(self._tell)
        if meanwhile is not None:
            threading.Thread(target=meanwhile, daemon=True).start()
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

    def _become(self, work: Callable[[], int], parent: int) -> NoReturn:
        status = 1
        try:
            if self._until_death:
                linux.die_with_parent(signal.SIGTERM)
                if os.getppid() != parent:
                    os._exit(status)
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
