"""Works out the ideal goodputs of a run when there is nothing more urgent to do."""

from __future__ import annotations

import time
from collections import deque

from vnemu.experiments.prepare import Experiment
from vnemu.results.record import RunWriter
from vnemu.verbs.state import State

_GUESS_S = 0.002
_FORGETTING = 0.9
_MARGIN_S = 0.002


class Ideals:
    """Ideals that are due, each with the state of the lab that it is of.

    States are frozen, so an ideal can be worked out later: between two events of a
    trace where they leave time for it, or else when the run is over.
    """

    def __init__(self, experiment: Experiment, writer: RunWriter) -> None:
        self._experiment = experiment
        self._writer = writer
        self._due: deque[tuple[float, State]] = deque()
        self._cost_s = _GUESS_S

    def due(self, at: float, state: State) -> None:
        """From `at` on (seconds since the start), the lab is in `state`."""
        self._due.append((at, state))

    def work(self, left_s: float) -> bool:
        """Work one out, if there is one and `left_s` seconds are surely enough."""
        if not self._due or left_s < 2 * self._cost_s + _MARGIN_S:
            return False
        begun = time.monotonic()
        self._write()
        took = time.monotonic() - begun
        self._cost_s = max(took, _FORGETTING * self._cost_s)
        return True

    def finish(self) -> None:
        """Work out all that are left."""
        while self._due:
            self._write()

    def _write(self) -> None:
        at, state = self._due.popleft()
        self._writer.ideal(at, self._experiment.ideals(state, at))
