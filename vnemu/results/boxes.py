"""A metric in all runs of a sweep: a box and the single runs, setting by setting."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vnemu.results.canvas import GREY, colour, new_figure
from vnemu.results.metrics import Metric
from vnemu.results.statistics import Spread, spread

WIDTH_IN = 7.2
ROW_IN = 0.55
CHARACTER_IN = 0.078
BOX = 0.46
FEWEST_IN_BOX = 5
_LONGEST_LABEL = 40
_GOLDEN = (math.sqrt(5) - 1) / 2


def plot_boxes(metric: Metric, labels: Sequence[str], groups: Sequence[Sequence[float]]) -> Figure:
    """Plot the values of a metric, a row for each setting.

    A box reaches from quartile to quartile with the median as its line; the whiskers go to
    the farthest value within 1.5 of its width (J. W. Tukey, Exploratory Data Analysis,
    1977). The bar below is the 95% confidence interval of the median. Each run is a dot;
    fewer than five have no box. Infinite values stand at the right edge as a number.
    """
    height = 0.75 + ROW_IN * len(labels)
    figure = new_figure(WIDTH_IN, height)
    axes = figure.add_subplot()
    for row, values in enumerate(groups):
        _draw_row(axes, row, values)
    shown = [_short(label) for label in labels]
    axes.set_yticks(range(len(labels)), shown)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.margins(x=0.06)
    axes.set_xlabel(f"{metric}{f' in {metric.unit}' if metric.unit else ''}")
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    left = 0.25 + CHARACTER_IN * max(len(label) for label in shown)
    never = any(math.isinf(value) for values in groups for value in values)
    right = WIDTH_IN - (0.9 if never else 0.25)
    figure.subplots_adjust(left / WIDTH_IN, 0.55 / height, right / WIDTH_IN, 1 - 0.1 / height)
    return figure


def _short(label: str) -> str:
    return label if len(label) <= _LONGEST_LABEL else f"{label[: _LONGEST_LABEL - 1]}…"


def _draw_row(axes: Axes, row: int, values: Sequence[float]) -> None:
    finite = [value for value in values if math.isfinite(value)]
    tint = colour(row)
    if len(finite) < len(values):
        text = f"{len(values) - len(finite)} never"
        axes.text(1.01, row, text, transform=axes.get_yaxis_transform(), va="center", color=GREY)
    if not values:
        axes.text(0.02, row, "no run", transform=axes.get_yaxis_transform(), color=GREY)
        return
    found = spread(values)
    boxed = len(finite) == len(values) >= FEWEST_IN_BOX
    if boxed:
        _draw_box(axes, row, finite, found, tint)
    elif math.isfinite(found.median):
        axes.plot([found.median] * 2, [row - BOX / 2, row + BOX / 2], color=tint, linewidth=2)
    _draw_interval(axes, row, found, tint)
    # Spread by the golden ratio: the same picture every time, and few dots hide another.
    heights = [row + BOX * 0.8 * (n * _GOLDEN % 1 - 0.5) for n in range(1, len(finite) + 1)]
    axes.plot(finite, heights, "o", color=tint, markersize=3.2, alpha=0.75, markeredgewidth=0)


def _draw_box(axes: Axes, row: int, values: Sequence[float], found: Spread, tint: str) -> None:
    reach = 1.5 * (found.upper - found.lower)
    inner = [v for v in values if found.lower - reach <= v <= found.upper + reach]
    box = {
        "med": found.median,
        "q1": found.lower,
        "q3": found.upper,
        "whislo": min(inner),
        "whishi": max(inner),
    }
    line = {"color": tint, "linewidth": 1.1}
    axes.bxp(
        [box],
        positions=[row],
        widths=[BOX],
        orientation="horizontal",
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": f"{tint}22", "edgecolor": tint},
        whiskerprops=line,
        capprops=line,
        medianprops={"color": tint, "linewidth": 2},
    )


def _draw_interval(axes: Axes, row: int, found: Spread, tint: str) -> None:
    if found.low is None or found.high is None or math.isinf(found.high):
        return
    below = row + BOX / 2 + 0.09
    axes.plot([found.low, found.high], [below] * 2, color=tint, linewidth=2.5, alpha=0.9)
