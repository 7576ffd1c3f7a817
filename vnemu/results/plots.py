"""The plot of a run: rates over time, in the manner of the paper's Fig. 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vnemu.results.activity import SLACK_SAMPLES
from vnemu.results.canvas import COLOURS, GREY, colour, new_figure
from vnemu.results.event_marks import CHARACTER_IN, marks, shortened
from vnemu.results.reader import Run
from vnemu.results.runinfo import FlowInfo
from vnemu.results.schema import Result
from vnemu.results.series import WINDOW_S, Array, window_rates

WIDTH_IN = 9.6
HEIGHT_IN = 4.2
MOST_POINTS = 2000
MOST_IN_LEGEND = 20
MOST_IDEALS = 12
MOST_PIECES = 60
MOST_LINKS = 14
# From this rate in Mbit/s on the axis reads Gbit/s, below the other kbit/s.
GBIT_FROM = 2000.0
KBIT_BELOW = 0.5


@dataclass(frozen=True)
class Curve:
    """A line of a plot: its name, its points (seconds, Mbit/s) and its ideal's steps."""

    name: str
    colour: str
    style: Literal["-", "-.", ":"]
    time_s: Array
    mbit: Array
    ideal: tuple[tuple[float, float], ...] = ()
    end_s: float = 0.0


def plot_goodput(run: Run, result: Result) -> Figure:
    """Plot what arrived of each flow over time, with the ideal dashed and events as lines."""
    curves, window_s = goodput_curves(run, result)
    return _figure(curves, result, "goodput", window_s)


def goodput_curves(run: Run, result: Result) -> tuple[list[Curve], float]:
    """Return the curve of each flow that has samples, and the windows that they are means of."""
    window_s = _window(run, result.end_s)
    found = (
        _flow_curve(run, flow, index, result.end_s, window_s)
        for index, flow in enumerate(run.info.flows)
    )
    return [curve for curve in found if curve], window_s


def plot_links(run: Run, result: Result) -> Figure | None:
    """Plot the rate of frames on each VL's busiest directions; None if there are no samples."""
    window_s = _window(run, result.end_s)
    keys = sorted(run.links, key=lambda key: (-float(run.links[key].bytes[-1]), key))
    curves = []
    for index, (link, direction) in enumerate(sorted(keys[:MOST_LINKS])):
        samples = run.links[link, direction]
        start = float(samples.time_s[0])
        points = window_rates(samples.time_s, samples.bytes, start, result.end_s, window_s)
        curves.append(_curve(f"{link} {direction}", index, points, window_s))
    if not curves:
        return None
    return _figure(curves, result, "rate of frames", window_s)


def _window(run: Run, end_s: float) -> float:
    """Return a window that holds a sample and keeps long runs light, in steps of 100 ms."""
    least = max(run.info.sample_s, end_s / MOST_POINTS, WINDOW_S)
    return float(np.ceil(least / WINDOW_S - 1e-9)) * WINDOW_S


def _curve(name: str, index: int, points: tuple[Array, Array], window_s: float) -> Curve:
    starts, mbit = points
    styles: tuple[Literal["-", "-.", ":"], ...] = ("-", "-.", ":")
    style = styles[index // len(COLOURS) % len(styles)]
    return Curve(name, colour(index), style, starts + window_s / 2, mbit)


def _flow_curve(
    run: Run, flow: FlowInfo, index: int, end_s: float, window_s: float
) -> Curve | None:
    samples = run.flows.get(flow.name)
    if samples is None:
        return None
    last = float(samples.time_s[-1])
    end = min(end_s, flow.stop_s if flow.stop_s is not None else end_s)
    if end - last < SLACK_SAMPLES * run.info.sample_s:
        end = min(end, last)
    points = window_rates(samples.time_s, samples.arrived_bytes, flow.start_s, end, window_s)
    curve = _curve(flow.name, index, points, window_s)
    steps = tuple(
        (max(entry.at_s, flow.start_s), entry.flows[flow.name])
        for entry in run.ideals
        if flow.name in entry.flows and entry.at_s < end
    )
    return Curve(curve.name, curve.colour, curve.style, curve.time_s, curve.mbit, steps, end)


def _figure(curves: Sequence[Curve], result: Result, what: str, window_s: float) -> Figure:
    events = marks(result, WIDTH_IN * 0.76)
    height = HEIGHT_IN + events.height_in
    figure = new_figure(WIDTH_IN, height)
    axes = figure.add_subplot()
    axes.set_xlim(0, result.end_s or result.duration_s)
    draw_rates(axes, curves, what, window_s)
    axes.set_xlabel("time in s")
    events.draw_spans(axes)
    events.draw_lines(axes)
    events.draw_names(axes)
    right = 1 - (0.35 + legend_in(curves)) / WIDTH_IN
    figure.subplots_adjust(0.085, 0.52 / height, right, 1 - (0.15 + events.height_in) / height)
    return figure


def draw_rates(axes: Axes, curves: Sequence[Curve], what: str, window_s: float) -> None:
    """Draw curves with their ideals, the axis of rates and a legend to the right."""
    scale, unit = _unit(curves)
    _draw_curves(axes, curves, scale)
    axes.set_ylim(0, max(_highest(curves) * scale * 1.08, 1e-6))
    axes.set_ylabel(f"{what} in {unit}\n(mean of {window_s * 1e3:.0f} ms)")
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    if curves:
        _legend(axes, curves)
    else:
        axes.text(0.5, 0.5, "no samples", transform=axes.transAxes, ha="center", color=GREY)


def legend_in(curves: Sequence[Curve]) -> float:
    """Return how wide the legend of curves is, in inches."""
    longest = max((len(shortened(curve.name)) for curve in curves), default=0)
    return 0.5 + CHARACTER_IN * max(longest, 5) if curves else 0.0


def _highest(curves: Sequence[Curve]) -> float:
    values = [float(curve.mbit.max()) for curve in curves if len(curve.mbit)]
    return max([*values, *(mbit for curve in curves for _, mbit in curve.ideal)], default=1.0)


def _unit(curves: Sequence[Curve]) -> tuple[float, str]:
    highest = _highest(curves)
    if highest >= GBIT_FROM:
        return 1e-3, "Gbit/s"
    return (1e3, "kbit/s") if highest < KBIT_BELOW else (1.0, "Mbit/s")


def _draw_curves(axes: Axes, curves: Sequence[Curve], scale: float) -> None:
    for index, curve in enumerate(curves):
        axes.plot(curve.time_s, curve.mbit * scale, curve.style, color=curve.colour, linewidth=1.3)
        if curve.ideal and len(curves) <= MOST_IDEALS:
            # Each begins its dashes elsewhere, so that equal ideals are all seen.
            dashes = (index * 9.0, (5.0, 9.0 * min(len(curves), 3) - 5.0))
            times, mbit = _steps(curve)
            axes.plot(
                times,
                mbit * scale,
                color=_darker(curve.colour),
                linewidth=1.5,
                linestyle=dashes,
                zorder=3,
            )


def _steps(curve: Curve) -> tuple[Array, Array]:
    """Return the ideal as level pieces with gaps between them (a riser is no rate).

    Of a ramp or a trace the pieces are too short for that: there it is the mean over the
    windows of the curve.
    """
    if len(curve.ideal) > MOST_PIECES and len(curve.time_s) > 1:
        return curve.time_s, _window_means(curve)
    times: list[float] = []
    mbit: list[float] = []
    for at, level in curve.ideal:
        if mbit and level == mbit[-1]:
            continue
        times += [at, at, at]
        mbit += [mbit[-1] if mbit else np.nan, np.nan, level]
    level = mbit[-1]
    return np.array([*times, curve.end_s]), np.array([*mbit, level])


def _window_means(curve: Curve) -> Array:
    at = np.array([*(begin for begin, _ in curve.ideal), curve.end_s])
    levels = np.array([level for _, level in curve.ideal])
    total = np.concatenate([[0.0], np.cumsum(levels * np.diff(at))])
    half = (curve.time_s[1] - curve.time_s[0]) / 2
    begins, ends = (np.clip(curve.time_s + side, at[0], at[-1]) for side in (-half, half))
    spans = np.where(ends > begins, ends - begins, np.nan)
    means: Array = (np.interp(ends, at, total) - np.interp(begins, at, total)) / spans
    return means


def _darker(name: str) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return tuple(0.62 * part for part in to_rgb(name))


def _legend(axes: Axes, curves: Sequence[Curve]) -> None:
    handles: list[Any] = [
        Line2D([], [], color=curve.colour, linestyle=curve.style, label=shortened(curve.name))
        for curve in curves[:MOST_IN_LEGEND]
    ]
    if len(curves) > MOST_IN_LEGEND:
        more = f"and {len(curves) - MOST_IN_LEGEND} more"
        handles.append(Line2D([], [], linestyle="none", label=more))
    if any(curve.ideal for curve in curves) and len(curves) <= MOST_IDEALS:
        handles.append(Line2D([], [], color=GREY, linestyle=(0, (4, 3)), label="ideal"))
    axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0,
        frameon=False,
        fontsize="small",
    )
