"""Readings of what befalls single frames by chance, from streams of numbered datagrams."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from vnemu.calibrate.readings import binomial_interval, filled
from vnemu.results.calibration import CalibrationRow
from vnemu.results.reader import Run
from vnemu.results.streams import StreamSamples

FRAME_BYTES, UNCHECKED_BYTES = 74, 6
"""A datagram of 32 bytes as a frame; the sender's MAC address, which nobody checks."""

Count = Callable[[StreamSamples], int]


def loss_in_bursts(row: CalibrationRow, run: Run, stream: str) -> CalibrationRow:
    """Loss in percent. Losses come together, so that less is known than of single ones.

    The variance of the mean of a two-state chain whose states follow each other with
    the correlation r is that of independent trials times (1 + r) / (1 - r) (Bartlett,
    *Journal of the Royal Statistical Society* B 8, 1946).
    """
    follows = np.mean([_correlation(part.lost) for part in _both(run, stream)])
    worth = (1 - follows) / (1 + follows)
    return _share(row, run, stream, lambda part: int(part.lost.sum()), worth=float(worth))


def duplicates(row: CalibrationRow, run: Run, stream: str) -> CalibrationRow:
    """Datagrams in percent that arrived twice."""
    return _share(row, run, stream, lambda part: int((part.copies > 0).sum()))


def corruption(row: CalibrationRow, run: Run, stream: str) -> CalibrationRow:
    """Frames in percent with a bit turned over.

    The datagram's checksums find all of them but those in which it is in the sender's MAC
    address.
    """
    unseen = 1 - UNCHECKED_BYTES / FRAME_BYTES
    return _share(
        row, run, stream, lambda part: int(part.lost.sum()), lambda seen: min(seen / unseen, 1.0)
    )


def reordering(row: CalibrationRow, run: Run, stream: str) -> CalibrationRow:
    """Frames in percent that overtook: one is late if it did not overtake and the next one did."""
    return _share(
        row,
        run,
        stream,
        lambda part: int(part.reordered.sum()),
        lambda late: (1 - math.sqrt(max(0.0, 1 - 4 * late))) / 2,
    )


def _both(run: Run, stream: str) -> list[StreamSamples]:
    return [run.streams[stream + way] for way in "<>"]


def _correlation(lost: np.ndarray) -> float:
    """Of each loss with the next."""
    mean = float(lost.mean())
    if not 0 < mean < 1:
        return 0.0
    together = float(np.mean([one and other for one, other in pairwise(lost)]))
    return max(0.0, (together - mean * mean) / (mean * (1 - mean)))


def _share(
    row: CalibrationRow,
    run: Run,
    stream: str,
    count: Count,
    meaning: Callable[[float], float] = lambda seen: seen,
    worth: float = 1.0,
) -> CalibrationRow:
    """The percentage of datagrams that something befell, of both directions together.

    Parameters:
        meaning: from the part that shows to the part that there is.
        worth: how many independent trials one of them is worth.
    """
    parts = _both(run, stream)
    sent, hits = sum(len(part.sent_s) for part in parts), sum(map(count, parts))
    if not sent:
        return filled(row, note="nothing was sent")
    interval = binomial_interval(round(hits * worth), max(1, round(sent * worth)))
    low, high = (100 * meaning(end) for end in interval)
    return filled(
        row,
        measured=100 * meaning(hits / sent),
        interval=(low, high),
        note=f"{sent} datagrams",
    )
