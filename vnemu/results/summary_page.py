"""summary.html: what a sweep showed, on one page that needs no other file."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vnemu.results.canvas import inline_svg
from vnemu.results.report import page_template
from vnemu.results.summary_schema import MetricAtSetting, MetricSummary, Summary
from vnemu.results.words import number

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNKNOWN = "-"


def summary_page(summary: Summary, figures: Mapping[int, Figure], folder: Path) -> str:
    """Return summary.html.

    Parameters:
        figures: the box plots, by the index of the metric.
    """
    plots = {
        index: inline_svg(figure, f"box plot of {summary.metrics[index].metric}")
        for index, figure in figures.items()
    }
    return page_template("summary.html.j2").render(
        s=summary,
        metrics=[metric for metric in summary.metrics if not is_constant(metric)],
        constants=[metric for metric in summary.metrics if is_constant(metric)],
        plots=plots,
        command=shlex.join(summary.command),
        met=_met(summary),
        interval=interval,
        number=_number,
        with_report={
            r.folder for r in summary.runs if (folder / r.folder / "report.html").exists()
        },
    )


def is_constant(metric: MetricSummary) -> bool:
    """Whether a metric was the same in all runs, of which there were several."""
    values = {bound for part in metric.settings for bound in (part.min, part.max)}
    return len(values) == 1 and sum(part.n for part in metric.settings) > 1


def interval(part: MetricAtSetting) -> str:
    """Write the confidence interval of a median."""
    if part.low is None:
        return _UNKNOWN
    return f"{number(part.low)} to {'never' if part.high is None else number(part.high)}"


def _number(value: float | None) -> str:
    return "never" if value is None else number(value)


def _met(summary: Summary) -> dict[str, dict[int, tuple[int, int]]]:
    """By expectation and setting: in how many runs it was met, of how many."""
    met: dict[str, dict[int, tuple[int, int]]] = {}
    for each in summary.expectations:
        met.setdefault(each.text, {})[each.setting] = (each.met, each.of)
    return met
