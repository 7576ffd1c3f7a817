"""A calibration: what was asked of a kernel on a machine, beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from vnemu.results.runinfo import Machine, Record
from vnemu.results.words import percent, rate

CALIBRATION_VERSION = 1

What = Literal[
    "ceiling",
    "rate",
    "guarantee",
    "delay",
    "jitter",
    "loss",
    "duplicate",
    "corrupt",
    "reorder",
    "clock",
]
Cells = tuple[str, str, str, str]
NOTHING = "-"
"""Instead of a measured value, where there is none."""
HEADINGS: Cells = ("what", "asked for", "measured", "off by")


class CalibrationRow(Record):
    """One quantity.

    Parameters:
        what, case: which one; together they are unique in a calibration.
        unit: of all numbers here.
        requested: what should be measured; None where a row only tells what there is.
        measured: None: it could not be, and `note` says why.
        p99: the 99th percentile of what `measured` is the median of.
        interval: what the true value is between, given the sample, with 99% confidence.
        rate_mbit: the capacity of the physical link it was measured on, in Mbit/s.
        note: what a reader must know.
    """

    what: What
    case: str = ""
    unit: Literal["Mbit/s", "ms", "%"]
    requested: float | None = None
    measured: float | None = None
    p99: float | None = None
    interval: tuple[float, float] | None = None
    rate_mbit: float | None = None
    note: str = ""

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"{self.what} {self.case}".rstrip()

    @property
    def off(self) -> float | None:
        """How far it is off: in percent for rates, else in its unit."""
        if self.measured is None or self.requested is None:
            return None
        if self.unit == "Mbit/s":
            return 100 * (self.measured / self.requested - 1)
        return self.measured - self.requested

    @property
    def by_chance(self) -> bool | None:
        """Whether chance alone explains how far it is off; None where chance has no part."""
        if self.interval is None or self.requested is None:
            return None
        return self.interval[0] <= self.requested <= self.interval[1]


class Calibration(Record):
    """All rows of one kernel, and the conditions under which they were measured.

    Parameters:
        measured_at: ISO 8601, UTC.
        kernel: the release of the kernel.
        quick: whether it was the quick one, with shorter samples.
        took_s: seconds that it took.
    """

    version: Literal[1] = 1
    measured_at: str
    kernel: str
    machine: Machine
    versions: dict[str, str | None] = Field({})
    command: tuple[str, ...] = ()
    quick: bool = False
    took_s: float = 0.0
    rows: tuple[CalibrationRow, ...] = ()

    @property
    def capsule(self) -> str:
        """What the labs rested on."""
        return self.machine.capsule or "unknown"

    @property
    def title(self) -> str:
        """Of which kernel it is, and of when."""
        day = self.measured_at.replace("T", " ")[:16]
        kind = "quick calibration" if self.quick else "calibration"
        return f"{kind} of kernel {self.kernel} ({self.capsule}), {day} UTC"


class Declared(Record):
    """What a run asks of its links, for the choice of rows; rates are in Mbit/s."""

    rates_mbit: tuple[float, ...] = ()
    keys: frozenset[str] = frozenset()


def relevant(calibration: Calibration, declared: Declared) -> tuple[CalibrationRow, ...]:
    """Return the rows that tell how far a run can be trusted.

    Ceilings and the clock concern every run; of the rates those next to the declared
    ones; the others where the run has such a quality.
    """
    known = {row.rate_mbit for row in calibration.rows if row.what == "rate" and row.rate_mbit}
    near = {_nearest(rate_mbit, known) for rate_mbit in declared.rates_mbit}
    return tuple(
        row
        for row in calibration.rows
        if row.what in ("ceiling", "clock")
        or (row.what == "rate" and row.rate_mbit in near)
        or row.what in declared.keys
    )


def _nearest(rate_mbit: float, known: Iterable[float]) -> float | None:
    if rate_mbit <= 0:
        return None
    return min(known, key=lambda each: abs(math.log(each / rate_mbit)), default=None)


def cells(row: CalibrationRow) -> Cells:
    """Return a row in words: what, asked for, measured, off by."""
    asked = "" if row.requested is None else _amount(row.requested, row.unit)
    if row.measured is None:
        return row.name, asked, NOTHING, row.note
    measured = _amount(row.measured, row.unit)
    if row.p99 is not None:
        measured += f" (99%: {_amount(row.p99, row.unit)})"
    return row.name, asked, measured, ", ".join(filter(None, (_off(row), row.note)))


def _off(row: CalibrationRow) -> str:
    if row.by_chance is not None and row.interval is not None:
        low, high = (f"{bound:.3g}" for bound in row.interval)
        verdict = "within chance" if row.by_chance else "more than chance"
        return f"{verdict} ({low} to {high} {row.unit})"
    if row.off is None:
        return ""
    return percent(row.off) if row.unit == "Mbit/s" else f"{row.off:+.3f} {row.unit}"


def _amount(value: float, unit: str) -> str:
    if unit == "Mbit/s":
        return rate(value)
    return f"{value:.3f}".rstrip("0").rstrip(".") + f" {unit}"


def text_lines(calibration: Calibration) -> list[str]:
    """Return a calibration as plain text: its title and a table."""
    table = [HEADINGS, *map(cells, calibration.rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    return [calibration.title, *lines]


def markdown_table(calibrations: dict[str, Calibration]) -> str:
    """Return calibrations side by side, as the table of docs/fidelity.md.

    Parameters:
        calibrations: heading of the column -> what is in it.
    """
    by_name = [{row.name: row for row in each.rows} for each in calibrations.values()]
    names = list(dict.fromkeys(name for rows in by_name for name in rows))
    lines = [
        ["what", "asked for", *calibrations],
        ["---"] * (2 + len(calibrations)),
        *([name, *_side_by_side(name, by_name)] for name in names),
    ]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _side_by_side(name: str, by_name: list[dict[str, CalibrationRow]]) -> list[str]:
    found = [cells(rows[name]) if name in rows else None for rows in by_name]
    # A sender that was too slow was asked for less than others.
    most = max((rows[name] for rows in by_name if name in rows), key=lambda r: r.requested or 0)
    asked = cells(most)[1]
    return [asked, *("" if each is None else _joined(each[2], each[3]) for each in found)]


def _joined(measured: str, off: str) -> str:
    if measured == NOTHING:
        return off or measured
    return f"{measured}; {off}" if off else measured
