"""Numbers of repeated runs in short: the median and how well it is known; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

CONFIDENCE = 0.95
FEWEST = 6
"""From so many values on there is an interval of 95% for their median."""


@dataclass(frozen=True)
class Spread:
    """What some values are like.

    Parameters:
        low, high: the confidence interval of the median; None with fewer than `FEWEST`.
        lower, upper: the quartiles, each the median of a half, its middle value included.
    """

    n: int
    median: float
    low: float | None
    high: float | None
    min: float
    max: float
    lower: float
    upper: float


def spread(values: Sequence[float]) -> Spread:
    """Describe values, of which some may be infinite (it never happened); at least one.

    The interval is the non-parametric one between two order statistics: whatever the
    distribution, the median lies between the j-th smallest and the j-th largest of n
    values but for the probability 2·P(B(n, 1/2) < j). Source: J.-Y. Le Boudec,
    Performance Evaluation of Computer and Communication Systems (EPFL Press, 2010),
    theorem 2.1. The quartiles are J. W. Tukey's hinges, Exploratory Data Analysis (1977).
    """
    ordered = sorted(values)
    n = len(ordered)
    j = _rank(n)
    half = ordered[: (n + 1) // 2], ordered[n // 2 :]
    return Spread(
        n=n,
        median=_median(ordered),
        low=ordered[j - 1] if j else None,
        high=ordered[n - j] if j else None,
        min=ordered[0],
        max=ordered[-1],
        lower=_median(half[0]),
        upper=_median(half[1]),
    )


@cache
def _rank(n: int) -> int:
    """The largest j for which the interval has the confidence wanted; 0 if there is none."""
    allowed = (1 - CONFIDENCE) / 2
    below, j = 0.0, 0
    while (below := below + math.comb(n, j) / 2**n) <= allowed:
        j += 1
    return j


def _median(ordered: Sequence[float]) -> float:
    n = len(ordered)
    low, high = ordered[(n - 1) // 2], ordered[n // 2]
    return low if low == high else (low + high) / 2
