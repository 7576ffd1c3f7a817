"""A lab that another process runs, in the hands of this one: its verbs, its nodes, its state."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from vnemu.sessions import client, lookup
from vnemu.sessions.captures import RemoteCapture, Wish, opened
from vnemu.sessions.questions import Questions
from vnemu.sessions.remote_flows import RemoteFlows
from vnemu.sessions.remote_nodes import RemoteNode
from vnemu.sessions.remote_verbs import Entry, RemoteVerbs


class RemoteLab(RemoteVerbs, RemoteFlows, Questions):
    """A running lab, found by its name: `vnemu.up` starts one, `vnemu.connect` finds one.

    It needs no capsule here and works in any thread, in notebooks, and in tests.

    Parameters:
        name: the lab's.
        process: the process that this one started it with; None: it is somebody else's.
    """

    def __init__(self, name: str, process: subprocess.Popen[str] | None = None) -> None:
        self.name = name
        self.process = process

    def __repr__(self) -> str:
        return f"<lab {self.name}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.end()

    def __getitem__(self, path: str) -> RemoteNode:
        """The VR or host ``network/name``.

        Raises:
            InputError: if there is none.
        """
        lookup.node(self.inspect(), path)
        return RemoteNode(self.name, path)

    def about(self) -> dict[str, Any]:
        """What it is, in short: name, state, kernel, file (docs/cli.md)."""
        found: dict[str, Any] = client.ask(self.name, "about")
        return found

    def inspect(self) -> dict[str, Any]:
        """All that it is at the moment, as `vnemu inspect --json`."""
        found: dict[str, Any] = client.ask(self.name, "inspect")
        return found

    def do(self, *changes: str | Entry) -> dict[str, Any]:
        """Carry out entries of a timeline as one change: all of it happens, or nothing.

        Parameters:
            changes: each as text, such as ``"move: a/r1, to: rm2"``, or as a mapping of its
                keys; those that are None are left out.

        Returns:
            ``done``, what was done, each in words; ``notes``; ``took_ms``.

        Raises:
            InputError: if it cannot be.
            MissingCapability: if the machine lacks what it takes.
        """
        texts = [each if isinstance(each, str) else _text(each) for each in changes]
        folder = str(Path.cwd())
        found: dict[str, Any] = client.ask(self.name, "do", texts=texts, folder=folder)
        return found

    def converge(self, timeout_s: float = 120.0) -> None:
        """Wait until the routing of all networks has converged.

        Parameters:
            timeout_s: how long that may take, in seconds.

        Raises:
            ExperimentFailed: if it takes longer, saying who does not reach whom; or if a
                program of a Router OS has ended.
        """
        client.ask(self.name, "converge", within_s=timeout_s)

    def events(self) -> list[dict[str, Any]]:
        """What has happened so far: changes, what was refused, programs that ended."""
        return list(self._events(follow=False))

    def follow(self) -> Iterator[dict[str, Any]]:
        """What has happened and what happens from now on, until the lab ends."""
        return self._events(follow=True)

    def _events(self, *, follow: bool) -> Iterator[dict[str, Any]]:
        for message in client.asked(self.name, "events", follow=follow):
            if "event" in message:
                yield message["event"]

    def logs(self) -> dict[str, dict[str, str]]:
        """What the programs of Router OSs have logged, by node and program."""
        found: dict[str, dict[str, str]] = client.ask(self.name, "logs", node=None)
        return found

    def capture(
        self,
        what: str,
        file: str | Path,
        filter: str | None = None,  # noqa: A002 the word that users know
        count: int | None = None,
        seconds: float | None = None,
    ) -> RemoteCapture:
        """Capture frames into a file, from when this returns until it is stopped.

        Parameters:
            what: a link, node or machine, an end or a NIC: ``a/core``, ``a/core:r1``,
                ``a/r1``, ``a/r1:eth0``, ``rm1-rm2`` (docs/cli.md).
            filter: an expression (pcap-filter(7)).
            count: it ends by itself with so many frames.
            seconds: it ends by itself after that time.

        Raises:
            InputError: if there is nothing of that name, the filter is none, or the file
                cannot be written.
            MissingCapability: if there is no libpcap for a filter.
        """
        wish = Wish(self.name, what, filter, count, seconds)
        output = opened(file)
        try:
            return wish.into(output)
        finally:
            os.close(output)

    def end(self) -> None:
        """End it, whoever started it, and return when nothing of it is left."""
        client.end(self.name)
        if self.process is not None:
            self.process.communicate()

    def _repr_html_(self) -> str:
        """As a notebook shows it: drawing, nodes and virtual links."""
        from vnemu.results.lab_page import lab_page

        return lab_page(self.inspect())

    def _repr_svg_(self) -> str:
        """The drawing alone."""
        from vnemu.results.lab_page import lab_drawing

        return lab_drawing(self.inspect())


def _text(entry: Entry) -> str:
    return json.dumps({key: value for key, value in entry.items() if value is not None})
