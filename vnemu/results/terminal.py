"""A result on the terminal: plain lines, or tables where rich can draw them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vnemu.results.adaptation import adaptation_rows
from vnemu.results.schema import PhaseResult, Result
from vnemu.results.words import percent, rate

if TYPE_CHECKING:
    from rich.console import RenderableType

Row = tuple[str, str, str, str, str]
HEADINGS: Row = ("phase", "flow", "ideal", "goodput", "error")
ADAPTATION = (
    "event",
    "at",
    "outage",
    "worst stream",
    "lost",
    "repaired after",
    "routes changed",
    "last after",
)


def summary_lines(result: Result) -> list[str]:
    """Return the result as plain text: status, phases, adaptation, expectations."""
    return [
        _headline(result),
        *result.notes,
        *_lines(HEADINGS, list(_rows(result)), 2),
        *_lines(*_adaptation(result), 1),
        *_untouched(result),
        *_captures(result),
        *_expectations(result),
    ]


def _lines(headings: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """A table as lines, the first `left` columns to the left; none without rows."""
    if not rows:
        return []
    whole = [headings, *rows]
    widths = [max(len(row[column]) for row in whole) for column in range(len(headings))]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in whole
    ]


def summary_table(result: Result) -> list[RenderableType]:
    """Return the same for a rich console: the headline, the tables, the expectations."""
    from rich.text import Text

    style = {"complete": "bold green", "interrupted": "bold yellow", "failed": "bold red"}
    parts: list[RenderableType] = [Text(_headline(result), style=style[result.status])]
    parts += [Text(note, style="yellow") for note in result.notes]
    parts += _tables(HEADINGS, list(_rows(result)), 2)
    parts += _tables(*_adaptation(result), 1)
    parts += [
        Text(line, style="red" if result.differences else "green") for line in _untouched(result)
    ]
    parts += [Text(line) for line in _captures(result)]
    for line, expectation in zip(_expectations(result), result.expectations, strict=True):
        parts.append(Text(line, style="green" if expectation.met else "red"))
    return parts


def _tables(
    headings: Sequence[str], rows: Sequence[Sequence[str]], left: int
) -> list[RenderableType]:
    """A table, or none without rows."""
    from rich.table import Table
    from rich.text import Text

    if not rows:
        return []
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="left" if column < left else "right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return [table]


def _adaptation(result: Result) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of the table of adaptation, without columns that say nothing."""
    rows = [
        (
            f"{row.number} {row.event}",
            row.at or "not carried out",
            row.outage,
            row.stream,
            row.lost,
            row.repaired,
            row.routes,
            row.last,
        )
        for row in adaptation_rows(result)
    ]
    kept = [column for column in range(len(ADAPTATION)) if any(row[column] for row in rows)]
    return [ADAPTATION[column] for column in kept], [[row[c] for c in kept] for row in rows]


def _untouched(result: Result) -> list[str]:
    """Whether a VR was touched, if that is of interest or was so."""
    if result.untouched is False:
        return [f"✘ a virtual router was touched: {what}" for what in result.differences]
    if result.untouched and result.route_protocols:
        return ["✔ the virtual routers are untouched"]
    return []


def _captures(result: Result) -> list[str]:
    lines = []
    for capture in result.captures:
        packets = sum(counts.packets for counts in capture.interfaces.values())
        lines.append(f"{capture.file}: {packets} frames, {capture.what}")
    return lines


def _headline(result: Result) -> str:
    text = f"{result.experiment}: {result.status}"
    return f"{text} ({result.reason})" if result.reason else text


def _rows(result: Result) -> Iterator[Row]:
    for number, phase in enumerate(result.phases, 1):
        for index, (name, flow) in enumerate(phase.flows.items()):
            yield (
                _span(number, phase) if index == 0 else "",
                name,
                "?" if flow.ideal_mbit is None else rate(flow.ideal_mbit),
                rate(flow.goodput_mbit),
                "" if flow.error_percent is None else percent(flow.error_percent),
            )


def _span(number: int, phase: PhaseResult) -> str:
    cut = "" if phase.finished else ", cut off"
    return f"{number} ({phase.start_s:.1f} to {phase.end_s:.1f} s{cut})"


def _expectations(result: Result) -> list[str]:
    return [
        f"{'✔' if e.met else '✘'} {e.text}: {e.measured}".removesuffix(": ")
        for e in result.expectations
    ]
