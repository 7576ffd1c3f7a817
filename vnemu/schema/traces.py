"""Bandwidth traces: recorded rates that a timeline replays on a link.

Two formats are read:

- ``csv``: a header ``time_s,rate`` (each rate with its unit, ``12.5mbit``) or
  ``time_s,rate_mbit`` (plain numbers; any unit of a rate), then one line for each
  change. A rate holds until the next line; the last one as long as the one before.
- ``mahimahi``: each line is the time in milliseconds at which one packet of 1500 bytes
  may pass; a line may come several times. The trace is as long as its last time. It is
  the format of mm-link(1) (R. Netravali et al., Mahimahi: Accurate Record-and-Replay
  for HTTP, USENIX ATC 2015) and of the cellular traces of K. Winstein, A. Sivaraman and
  H. Balakrishnan (Stochastic Forecasts Achieve High Throughput and Low Delay over
  Cellular Networks, USENIX NSDI 2013). Packets are counted in bins to make rates.

Rates count frames, as everywhere: a packet of 1500 bytes is a frame of 1514.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from vnemu.schema.document import Unreadable, read_bytes
from vnemu.schema.fields import FASTEST, SLOWEST
from vnemu.schema.wording import Finding, Mark, short
from vnemu.units import Duration, Quantity, Rate

LARGEST = 2**24
FRAME_BITS = 1514 * 8
"""A packet of 1500 bytes with its Ethernet header."""
CLOSEST = Duration(10**6)
"""Two changes of a trace are at least this far apart."""

Q = TypeVar("Q", bound=Quantity)
Format = Literal["csv", "mahimahi"]

_MS = 10**6
_LONGEST_FRAME = 20 * _MS
_MOST_FINDINGS = 20
_LONGEST = Duration(7 * 86_400 * 10**9)


@dataclass(frozen=True)
class Trace:
    """A trace as read.

    Parameters:
        points: from which time on (nanoseconds after the trace's start) which rate holds.
        length: nanoseconds until a looped trace begins again.
        raw: the file.
        name: the file's name, without its folder.
    """

    points: tuple[tuple[int, Rate], ...]
    length: int
    raw: bytes
    name: str


class _Wrong(Exception):
    """What is wrong with a line of a trace."""


def format_of(name: str) -> Format:
    """The format that a file's name stands for: csv for ``.csv``, else mahimahi."""
    return "csv" if name.lower().endswith(".csv") else "mahimahi"


def read_trace(
    path: Path, said_at: Mark, kind: Format | None = None, width: Duration | None = None
) -> tuple[Trace | None, list[Finding]]:
    """Read a trace.

    Parameters:
        said_at: where the user named the file.
        kind: its format; None: by its name.
        width: a bin of the mahimahi format.

    Returns:
        The trace, or None, and all that is wrong with it, with file and line.
    """
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise Unreadable("is no regular file")
        raw = read_bytes(path, LARGEST)
    except Unreadable as error:
        return None, [Finding(said_at, f"{path}: {error}", error.hint)]
    lines = raw.decode("utf-8-sig", errors="replace").splitlines()
    findings: list[Finding] = []
    if (kind or format_of(path.name)) == "csv":
        points, length = _csv(lines, str(path), findings)
    else:
        points, length = _mahimahi(lines, str(path), findings, width or Duration(100 * _MS))
    if not points and not findings:
        findings.append(Finding(Mark(str(path)), "has no line with a rate"))
    if findings:
        return None, findings
    return Trace(tuple(_passable(points, length)), length, raw, path.name), []


def _passable(points: list[tuple[int, int]], length: int) -> Iterator[tuple[int, Rate]]:
    """The points with rates that a shaper can have.

    HTB has no class of rate 0, and a class that sends one frame at a very low rate has
    to wait for that frame's time even after its rate was raised. So a rate is at least
    one frame in the time that it holds, or in 20 ms if that is longer.
    """
    ends = [*(at for at, _ in points[1:]), length]
    for (at, bps), end in zip(points, ends, strict=True):
        least = max(SLOWEST.bps, -(-FRAME_BITS * 10**9 // max(end - at, _LONGEST_FRAME)))
        yield at, Rate(min(max(bps, least), FASTEST.bps))


def _csv(lines: list[str], name: str, findings: list[Finding]) -> tuple[list[tuple[int, int]], int]:
    unit = _unit(lines[0] if lines else "", name, findings)
    points: list[tuple[int, int]] = []
    for number, line in enumerate(lines[1:] if unit is not None else [], 2):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            points.append(_row(line, unit or "", points))
        except (ValueError, _Wrong) as error:
            findings.append(Finding(Mark(name, number, 1), str(error)))
            if len(findings) >= _MOST_FINDINGS:
                break
    last = points[-1][0] if points else 0
    return points, last + (last - points[-2][0] if points[1:] else 10**9)


def _unit(header: str, name: str, findings: list[Finding]) -> str | None:
    """The unit that the header gives to the rates, empty where each has its own."""
    cells = [cell.strip().lower() for cell in header.split(",")]
    unit = cells[1].removeprefix("rate").removeprefix("_") if len(cells) == 2 else "?"
    known = not unit or unit.removesuffix("/s") in Rate.units
    if cells[0] == "time_s" and cells[-1].startswith("rate") and known:
        return unit
    message = f"'{short(header)}' is not the header of a trace"
    hint = "write time_s,rate (each rate with a unit) or time_s,rate_mbit"
    findings.append(Finding(Mark(name, 1, 1), message, hint))
    return None


def _row(line: str, unit: str, before: list[tuple[int, int]]) -> tuple[int, int]:
    cells = [cell.strip() for cell in line.split(",")]
    if len(cells) != 2:
        raise _Wrong(f"'{short(line)}' has not two values: time and rate")
    at = _number(Duration, cells[0], "s", "a time in seconds")
    if at > _LONGEST:
        raise _Wrong(f"the time {at} is out of range: a trace lasts 7 days at most")
    if before and at.amount < before[-1][0] + CLOSEST.amount:
        earlier = Duration(before[-1][0])
        raise _Wrong(f"the time {at} is not {CLOSEST} or more after {earlier}, the one before")
    if not unit:
        return at.amount, Rate.parse(cells[1]).bps
    return at.amount, _number(Rate, cells[1], unit, f"a number of {unit}").bps


def _number(kind: type[Q], cell: str, unit: str, needed: str) -> Q:
    try:
        return kind.parse(f"{cell}{unit}")
    except ValueError:
        raise _Wrong(f"'{short(cell)}' is not {needed}") from None


def _mahimahi(
    lines: list[str], name: str, findings: list[Finding], width: Duration
) -> tuple[list[tuple[int, int]], int]:
    packets: Counter[int] = Counter()
    last = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            last = _millisecond(line.strip(), last)
        except _Wrong as error:
            findings.append(Finding(Mark(name, number, 1), str(error)))
            if len(findings) >= _MOST_FINDINGS:
                break
        # A packet at the end of a bin is one of that bin: 1, 2, … 100 are 100 in 100 ms.
        packets[max(0, -(-last * _MS // width.amount) - 1)] += 1
    length = last * _MS
    if not length and packets and not findings:
        findings.append(Finding(Mark(name), "has no time after 0"))
    points = []
    for index in range(-(-length // width.amount)):
        start = index * width.amount
        span = min(start + width.amount, length) - start
        points.append((start, packets[index] * FRAME_BITS * 10**9 // span))
    return points, length


def _millisecond(text: str, before: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 12):
        raise _Wrong(f"'{short(text)}' is not a time in whole milliseconds")
    at = int(text)
    if at * _MS > _LONGEST.amount:
        raise _Wrong(f"the time {at} ms is out of range: a trace lasts 7 days at most")
    if at < before:
        raise _Wrong(f"the time {at} ms is before {before} ms, the one of a line above")
    return at
