"""What has happened in a running lab, kept while it runs, and followed by who wants to."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Literal

from vnemu.events import Event, Note

Kind = Literal["state", "note", "change", "refused", "ended", "traffic"]
Record = dict[str, Any]
_KEPT = 10_000
_LOOK_S = 0.5


class Journal:
    """The last events of a lab, oldest first; a sink of a lab's events too."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque(maxlen=_KEPT)
        self._told = threading.Condition()
        self._count = 0
        self._closed = False

    def __call__(self, event: Event) -> None:
        """Take what a lab says by itself."""
        if isinstance(event, Note):
            self.add("note", event.text)

    def add(self, kind: Kind, text: str, **more: object) -> None:
        """Add an event that happens now.

        Parameters:
            more: what else programs may want to know of it.
        """
        with self._told:
            self._count += 1
            record = {"number": self._count, "time": time.time(), "kind": kind, "text": text}
            self._records.append({**record, **more})
            self._told.notify_all()

    @property
    def count(self) -> int:
        """How many there have been: the number of the last."""
        return self._count

    def records(self) -> list[Record]:
        """All that is kept."""
        with self._told:
            return list(self._records)

    def follow(self) -> Iterator[Record | None]:
        """All that is kept, then what comes, until the lab ends.

        None comes now and then while nothing happens: time to look whether anyone listens.
        """
        seen = 0
        while True:
            with self._told:
                if self._count == seen and not self._closed:
                    self._told.wait(_LOOK_S)
                fresh = [record for record in self._records if record["number"] > seen]
                closed = self._closed
            yield from fresh
            if not fresh and not closed:
                yield None
            seen = fresh[-1]["number"] if fresh else seen
            if closed and not fresh:
                return

    def close(self) -> None:
        """Nothing will happen any more."""
        with self._told:
            self._closed = True
            self._told.notify_all()
