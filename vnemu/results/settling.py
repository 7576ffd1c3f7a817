"""How soon flows settle after an event."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vnemu.results.series import WINDOW_S, Array, window_rates

BAND = 0.05
WIDEST_BAND = 0.15
STRAY_SHARE = 0.02
CALM_WINDOWS = 10
STILL_FRAMES = 0.1
"""Of a flow that stands still fewer than that arrive in a window."""


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
