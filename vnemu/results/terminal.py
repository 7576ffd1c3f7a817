"""A result on the terminal: plain lines, or tables where rich can draw them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vnemu.results.schema import PhaseResult, Result
from vnemu.results.words import percent, rate

if TYPE_CHECKING:
    from rich.console import RenderableType

Row = tuple[str, str, str, str, str]
HEADINGS: Row = ("phase", "flow", "ideal", "goodput", "error")


def summary_lines(result: Result) -> list[str]:
    """Return the result as plain text: status, phases, events, probes, expectations."""
    rows = [HEADINGS, *_rows(result)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    table = [
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [
        _headline(result),
        *result.notes,
        *(table if len(rows) > 1 else []),
        *_expectations(result),
    ]


def summary_table(result: Result) -> list[RenderableType]:
    """Return the same for a rich console: the headline, a table of phases, the expectations."""
    from rich.table import Table
    from rich.text import Text

    style = {"complete": "bold green", "interrupted": "bold yellow", "failed": "bold red"}
    parts: list[RenderableType] = [Text(_headline(result), style=style[result.status])]
    parts += [Text(note, style="yellow") for note in result.notes]
    rows = list(_rows(result))
    if rows:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="left" if column < 2 else "right")
        for row in rows:
            table.add_row(*(Text(cell) for cell in row))
        parts.append(table)
    for line, expectation in zip(_expectations(result), result.expectations, strict=True):
        parts.append(Text(line, style="green" if expectation.met else "red"))
    return parts


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
