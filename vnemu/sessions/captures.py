"""Capturing on a running lab from outside, into a descriptor of this process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from vnemu.drivers.capture import Captured, Counts
from vnemu.errors import InputError, Problem, VnemuError
from vnemu.sessions import client
from vnemu.sessions.protocol import Connection, Message


class Wish:
    """What is to be captured on a running lab; making it checks it.

    Parameters:
        lab: its name.
        what: a link, node or machine of it, an end or a NIC (docs/cli.md).
        filter: an expression (pcap-filter(7)); empty or None: all frames.
        count: the capture ends with so many frames; None: it does not.
        seconds: it ends after that time; None: it does not.

    Raises:
        InputError: if the lab has nothing of that name, or the filter is none.
        MissingCapability: if there is no libpcap for a filter.
    """

    def __init__(
        self,
        lab: str,
        what: str,
        filter: str | None = None,  # noqa: A002 the word that users know
        count: int | None = None,
        seconds: float | None = None,
    ) -> None:
        self.lab = lab
        self._request: dict[str, Any] = {"at": what, "filter": filter}
        self._request |= {"count": count, "seconds": seconds}
        found = client.ask(lab, "capture", **self._request)
        self.interfaces: list[str] = found["interfaces"]

    def into(self, output: int) -> RemoteCapture:
        """Capture from now on.

        Parameters:
            output: a descriptor, which is written to.

        Raises:
            ExperimentFailed: if it cannot be begun.
        """
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            request = {"ask": "capture", **self._request}
            connection = client.opened(self.lab, request, (nothing, output, nothing))
        finally:
            os.close(nothing)
        return RemoteCapture(self.lab, connection)


class RemoteCapture:
    """A capture that goes on in a running lab; it ends with the `with`, and with this process.

    Parameters:
        lab: its name.
        connection: on which it was asked for.
    """

    def __init__(self, lab: str, connection: Connection) -> None:
        self._lab = lab
        self.counts: Counts | None = None
        self._connection = connection
        self._told()

    def wait(self) -> Counts:
        """Wait until it has ended by itself: what came of each interface.

        Raises:
            ExperimentFailed: if it could not go on, or the lab was killed.
        """
        if self.counts is None:
            found = self._told()["ok"]["interfaces"]
            self.counts = {name: Captured(**each) for name, each in found.items()}
            self._connection.close()
        return self.counts

    def stop(self) -> Counts:
        """End it: what came of each interface.

        Raises:
            ExperimentFailed: as `wait`.
        """
        with suppress(OSError):
            self._connection.send({"stop": True})
        return self.wait()

    def _told(self) -> Message:
        try:
            # Ctrl-C may come while it waits, which ends a generator: each time another one.
            return next(client.answers(self._lab, self._connection))
        except VnemuError:
            self._connection.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def opened(file: str | Path) -> int:
    """A descriptor of a file that is written anew.

    Raises:
        InputError: if it cannot be.
    """
    try:
        return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise InputError([Problem(str(file), f"cannot be written: {error.strerror}")]) from None
