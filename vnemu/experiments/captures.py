"""The captures of a run: made ready before its traffic, begun by events, on record at the end."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from vnemu.drivers.capture import Capture
from vnemu.errors import ExperimentFailed
from vnemu.experiments.entries import Taken
from vnemu.experiments.timeline import Event
from vnemu.lab import Lab
from vnemu.results.record import RunWriter


class Captures:
    """All captures of a run.

    Parameters:
        events: of which those that capture have their programs started here.
    """

    def __init__(self, events: Iterable[Event], lab: Lab, writer: RunWriter) -> None:
        self._lab = lab
        self._writer = writer
        self._ready = {event: Capture() for event in events if event.capture is not None}
        self._begun: list[tuple[Event, Taken, Path, Capture]] = []

    def prepare(self) -> None:
        """Start their programs, so that none has to be started while the experiment runs."""
        for capture in self._ready.values():
            capture.prepare()

    def begin(self, event: Event) -> None:
        """Begin the one of an event.

        Raises:
            ExperimentFailed: if it cannot be.
        """
        taken = event.capture
        assert taken is not None, "the caller looked"
        capture = self._ready.pop(event)
        path = self._writer.capture_path(taken.name)
        with path.open("wb") as file:
            self._lab.capture(taken.at, file.fileno(), taken.chosen, capture)
        self._begun.append((event, taken, path, capture))

    def finish(self) -> None:
        """End those that still go on, and put all on record.

        Raises:
            ExperimentFailed: if one could not go on to its end.
        """
        while self._begun:
            event, taken, path, capture = self._begun.pop(0)
            counts = capture.stop()
            frames = {name: (found.packets, found.dropped) for name, found in counts.items()}
            self._writer.captured(event.entries[0], taken.what, path, frames)

    def close(self) -> None:
        """End all of them; those that were begun are on record as far as they came."""
        while self._begun:
            with suppress(ExperimentFailed):
                self.finish()
        while self._ready:
            self._ready.popitem()[1].close()
