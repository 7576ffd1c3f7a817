"""Rates from cumulative counters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

WINDOW_S = 0.1


def mean_rate(time_s: Array, counter_bytes: Array, start_s: float, end_s: float) -> float:
    """Return the mean rate in Mbit/s between two times.

    The counter is interpolated linearly between samples and taken as constant before
    the first and after the last.

    Raises:
        ValueError: if there is no sample, or the span is empty.
    """
    if len(time_s) == 0 or end_s <= start_s:
        raise ValueError("a mean needs samples and a span")
    first, last = np.interp([start_s, end_s], time_s, counter_bytes)
    return float((last - first) * 8e-6 / (end_s - start_s))


def window_rates(
    time_s: Array, counter_bytes: Array, start_s: float, end_s: float, window_s: float = WINDOW_S
) -> tuple[Array, Array]:
    """Return the start times of all whole windows in a span and the rate in each, in Mbit/s.

    Parameters:
        time_s, counter_bytes: samples of a cumulative counter.
        start_s, end_s: the span; the first window begins at `start_s`.
        window_s: the length of a window in seconds.
    """
    # The addend keeps a span of 0.3 s, which in floats is a little less, at three windows.
    count = max(int((end_s - start_s) / window_s + 1e-6), 0)
    edges = start_s + window_s * np.arange(count + 1)
    if count == 0 or len(time_s) == 0:
        return np.array([]), np.array([])
    rates = np.diff(np.interp(edges, time_s, counter_bytes)) * 8e-6 / window_s
    return edges[:-1], rates
