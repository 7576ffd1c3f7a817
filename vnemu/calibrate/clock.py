"""The clock that a lab lives by: how late sleeps end, and how it keeps up with the host's."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from vnemu.results.calibration import CalibrationRow

SLEEP_S = 0.01
_STAMP_ERROR_MS = 10
"""What two stamps are off by: a file's time is that of the host's last tick."""


def sleeps(count: int) -> CalibrationRow:
    """Sleep `count` times for 10 ms."""
    took = sorted(_sleep_ms() for _ in range(count))
    return CalibrationRow(
        what="clock",
        case="sleep of 10 ms",
        unit="ms",
        requested=SLEEP_S * 1e3,
        measured=round(took[count // 2], 4),
        p99=round(took[int(count * 0.99)], 4),
    )


def _sleep_ms() -> float:
    start = time.monotonic()
    time.sleep(SLEEP_S)
    return (time.monotonic() - start) * 1e3


@dataclass(frozen=True)
class Moment:
    """The moment in which a second of the host's clock began, on this kernel's clock."""

    host_s: int
    here_s: float


def moment(folder: Path) -> Moment:
    """Wait for the next second of the host's clock, at most 1 s.

    The host stamps new files with its own time, also those of a private kernel, to
    which it shows whole seconds only.
    """
    stamp = folder / "stamp"
    first = _stamped(stamp)
    while True:
        found, here = _stamped(stamp), time.monotonic()
        if found != first:
            return Moment(found, here)


def _stamped(path: Path) -> int:
    path.touch(exist_ok=False)
    second = int(path.stat().st_mtime)
    path.unlink()
    return second


class Drift:
    """Compares this kernel's clock with the host's, from now on."""

    def __init__(self) -> None:
        self._begin = self._moment()

    @staticmethod
    def _moment() -> Moment:
        with tempfile.TemporaryDirectory(prefix="vnemu-") as folder:
            return moment(Path(folder))

    def row(self) -> CalibrationRow:
        """What this kernel's clock is ahead by now."""
        return drift(self._begin, self._moment())


def drift(begin: Moment, end: Moment) -> CalibrationRow:
    """Return what this kernel's clock gained on the host's between two moments."""
    host = end.host_s - begin.host_s
    ahead = end.here_s - begin.here_s - host
    return CalibrationRow(
        what="clock",
        case="gain on the host",
        unit="ms",
        requested=0.0,
        measured=round(ahead * 1e3, 1) + 0.0,  # not -0.0
        note=f"in {host} s, to {_STAMP_ERROR_MS} ms",
    )
