"""Cut a run into phases. What is here is planned with as well, so it loads nothing heavy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

TOGETHER_S = 0.05
SKIPPED_S = 1.0


@dataclass(frozen=True)
class Firing:
    """When an event was planned and when it was carried out, in seconds since t0."""

    planned_s: float
    actual_s: float


def boundaries(
    planned_s: float,
    until_s: float | None = None,
    actual_s: float | None = None,
    ended_s: float | None = None,
) -> list[Firing]:
    """Return where an event cuts phases: where it begins and, if it lasts, where it is over.

    Parameters:
        planned_s, until_s: its planned begin and, if it lasts, its end.
        actual_s, ended_s: when they came; None: as planned.
    """
    begin = Firing(planned_s, planned_s if actual_s is None else actual_s)
    if until_s is None:
        return [begin]
    return [begin, Firing(until_s, until_s if ended_s is None else ended_s)]


@dataclass(frozen=True)
class Phase:
    """The time between two events; `number` counts from 1."""

    number: int
    start_s: float
    end_s: float


def cut_phases(firings: Sequence[Firing], end_s: float) -> list[Phase]:
    """Return the phases of a run that lasted from 0 to `end_s`.

    A phase ends when an event is begun, and when one that lasts is over. Those planned
    less than 50 ms apart make one boundary, at the first one's actual time, and an event
    planned in the first 50 ms makes none. The plan decides, not the clock: so the
    numbers of the phases do not depend on how late an event was. A run of no length
    has no phases.
    """
    if end_s <= 0:
        return []
    bounds = [0.0]
    last_planned = 0.0
    for firing in sorted(firings, key=lambda firing: firing.planned_s):
        if firing.planned_s - last_planned >= TOGETHER_S:
            bounds.append(max(firing.actual_s, bounds[-1]))
            last_planned = firing.planned_s
    starts = [start for start in bounds if end_s - start >= TOGETHER_S or start == 0.0]
    ends = [*starts[1:], end_s]
    return [
        Phase(number, start, end)
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
    ]


def measured_span(
    phase: Phase, start_s: float = 0.0, stop_s: float = math.inf
) -> tuple[float, float] | None:
    """Return the part of a phase that a mean is taken over, None if there is none.

    It is the part in which the flow (from `start_s` to `stop_s`) is active, without its
    first second; without its first half if it is shorter than 2 s.
    """
    start, end = max(phase.start_s, start_s), min(phase.end_s, stop_s)
    if end - start < TOGETHER_S:
        return None
    return start + min(SKIPPED_S, (end - start) / 2), end


def step_mean(
    times_s: Sequence[float], values: Sequence[float], start_s: float, end_s: float
) -> float | None:
    """Return the time-weighted mean of a step function over a span.

    Parameters:
        times_s: when each value begins to hold, ascending; the last holds for ever.
        values: the values.
        start_s, end_s: the span; the part before the first value does not count.
    """
    if not times_s:
        return None
    ends = [*times_s[1:], math.inf]
    weights = [
        max(0.0, min(end, end_s) - max(begin, start_s))
        for begin, end in zip(times_s, ends, strict=True)
    ]
    total = sum(weights)
    if total <= 0:
        return None
    return sum(w * value for w, value in zip(weights, values, strict=True)) / total
