"""Cut a run into phases, and find how soon flows settle after an event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vnemu.results.series import WINDOW_S, Array, window_rates

TOGETHER_S = 0.05
SKIPPED_S = 1.0
BAND = 0.05
WIDEST_BAND = 0.15
STRAY_SHARE = 0.02
CALM_WINDOWS = 10
STILL_FRAMES = 0.1
"""Of a flow that stands still fewer than that arrive in a window."""


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


@dataclass(frozen=True)
class Settling:
    """How a flow took a change.

    Parameters:
        settle_s: seconds from the event to the new level; None if it was not reached.
        strays: later windows of 100 ms that lie outside of the band all the same.
        windows: the later windows in all.
        band: half the width of the band, as a fraction of the new level.
        level_mbit: the new level.
    """

    settle_s: float | None
    strays: int = 0
    windows: int = 0
    band: float = BAND
    level_mbit: float = 0.0


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


def settle(
    time_s: Array,
    arrived_bytes: Array,
    *,
    at_s: float,
    end_s: float,
    level_mbit: float,
    frame_bytes: int,
) -> Settling:
    """Find when a flow has reached its new level after an event.

    The time from the event to the end of the phase is cut into windows of 100 ms, the
    first beginning at the event. A window is inside the band when its rate is within
    5% of the new level, give or take one data frame (at 1.9 Mbit/s a window holds
    16.5 frames, so one frame more is already 6%). Where the level itself is restless,
    as on a busy machine, the band is as wide as 98% of the windows of the phase's
    second half need, up to 15%. The flow has settled after t, a multiple of 100 ms, when

    - all windows of the first second from t on are inside, and
    - of all windows from t to the end at most 2% are outside (the strays);

    settle_s is the smallest such t. Where less than a second is left after t, at least
    half of the phase's windows must be left.

    Parameters:
        time_s, arrived_bytes: samples of the counter of arrived payload.
        at_s: when the event was begun.
        end_s: the end of the phase (or of the flow, if that is earlier).
        level_mbit: the flow's new level: its mean rate in the second half of that time.
        frame_bytes: payload of a full data frame.
    """
    rates = window_rates(time_s, arrived_bytes, at_s, end_s)[1]
    frame_mbit = frame_bytes * 8e-6 / WINDOW_S
    if level_mbit < frame_mbit * STILL_FRAMES:
        return Settling(None, level_mbit=level_mbit)  # it stands still: that is no level
    deviations = np.maximum(np.abs(rates - level_mbit) - frame_mbit, 0.0)
    band = _band(deviations[len(deviations) // 2 :] / level_mbit if level_mbit else rates[:0])
    outside = deviations > band * level_mbit
    count = len(outside)
    needed = min(CALM_WINDOWS, math.ceil(count / 2))
    for first in range(count - needed + 1 if needed else 0):
        strays = int(outside[first:].sum())
        calm = not outside[first : first + CALM_WINDOWS].any()
        if calm and strays <= STRAY_SHARE * (count - first):
            return Settling(first * WINDOW_S, strays, count - first, band, level_mbit)
    return Settling(None, band=band, level_mbit=level_mbit)


def _band(late_deviations: Array) -> float:
    if not len(late_deviations):
        return BAND
    return min(max(BAND, float(np.quantile(late_deviations, 1 - STRAY_SHARE))), WIDEST_BAND)
