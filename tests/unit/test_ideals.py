"""Ideals are worked out when there is time, and none is forgotten."""

from __future__ import annotations

import time
from typing import Any, cast

from vnemu.experiments.ideals import Ideals
from vnemu.experiments.prepare import Experiment
from vnemu.results.record import RunWriter
from vnemu.verbs.state import State


class _Costly:
    """An experiment whose ideals take a while."""

    def ideals(self, state: object, at: float) -> dict[str, float]:
        time.sleep(0.01)
        return {"flow": at}


class _Written:
    def __init__(self) -> None:
        self.times: list[float] = []

    def ideal(self, at_s: float, flows: dict[str, float]) -> None:
        self.times.append(at_s)


def ideals() -> tuple[Ideals, _Written]:
    written = _Written()
    made = Ideals(cast(Experiment, _Costly()), cast(RunWriter, cast(Any, written)))
    for at in range(4):
        made.due(float(at), cast(State, None))
    return made, written


def test_they_wait_until_there_is_time() -> None:
    made, written = ideals()
    assert not made.work(0.001)
    assert made.work(0.1)
    assert not made.work(0.015), "the last one took 10 ms"
    assert written.times == [0]


def test_what_is_left_is_worked_out_in_the_end() -> None:
    made, written = ideals()
    made.finish()
    assert written.times == [0, 1, 2, 3]
    assert not made.work(10)
