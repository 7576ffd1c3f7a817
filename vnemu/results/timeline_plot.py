"""The timeline of a run that measures adaptation: what was lost, moved and said, and when.

One panel above the other over the same seconds: goodput, lost probes, changes of routes in
each VR, routing messages; the events go through all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vnemu.results.adaptation import NO_ROUTE_MOVED, stream_name, tells_adaptation
from vnemu.results.canvas import GREY, colour, new_figure
from vnemu.results.event_marks import CHARACTER_IN, Marks, marks, shortened
from vnemu.results.plots import WIDTH_IN, draw_rates, goodput_curves, legend_in
from vnemu.results.reader import Run
from vnemu.results.schema import EventResult, Result
from vnemu.results.series import Array

GAP_IN = 0.16
BELOW_IN = 0.5
GOODPUT_IN = 2.3
MESSAGES_IN = 0.95
STREAM_IN = 0.24
ROUTER_IN = 0.17
TALLEST_IN = 3.6
MOST_STREAMS = 16
MOST_NAMED_ROUTERS = 21
MOST_NAMED_EVENTS = 14
MOST_TIMES = 60
BINS = 1500
LEAST_BIN_S = 0.005
MESSAGE_BINS = 150
# From here on what is said least could not be seen beside what is said most.
UNEVEN = 8.0
LOST, SET, GONE = "#B3261E", colour(0), colour(1)


@dataclass(frozen=True)
class _Panel:
    """A part of the picture: how high it is, what draws it, and the space that texts need."""

    height_in: float
    draw: Callable[[Axes], None]
    left_in: float = 0.5
    right_in: float = 0.0


@dataclass(frozen=True)
class _Lane:
    """What of a stream or ping was lost, as a share of 1 in each bin."""

    name: str
    lost: int
    share: Array
    outages: tuple[tuple[float, str], ...] = ()


def plot_timeline(run: Run, result: Result) -> Figure | None:
    """Plot what a run tells of adaptation, None if it is nothing."""
    if not tells_adaptation(result):
        return None
    panels = list(_panels(run, result))
    left = 0.35 + max(panel.left_in for panel in panels)
    right = 0.15 + max(panel.right_in for panel in panels)
    events = marks(result, WIDTH_IN - left - right, MOST_NAMED_EVENTS)
    figure = _draw(panels, events, result.end_s or result.duration_s)
    top = 0.12 + events.height_in
    height = figure.get_figheight()
    figure.subplots_adjust(
        left / WIDTH_IN, BELOW_IN / height, 1 - right / WIDTH_IN, 1 - top / height
    )
    return figure


def _draw(panels: Sequence[_Panel], events: Marks, end_s: float) -> Figure:
    heights = [panel.height_in for panel in panels]
    inside = sum(heights) + GAP_IN * (len(panels) - 1)
    figure = new_figure(WIDTH_IN, inside + BELOW_IN + 0.12 + events.height_in)
    between = GAP_IN / (sum(heights) / len(heights))
    grid = figure.add_gridspec(len(panels), 1, height_ratios=heights, hspace=between)
    for number, panel in enumerate(panels):
        axes = figure.add_subplot(grid[number])
        axes.set_xlim(0, end_s)
        axes.spines[["top", "right"]].set_visible(False)
        panel.draw(axes)
        events.draw_spans(axes)
        events.draw_lines(axes)
        axes.tick_params(labelbottom=panel is panels[-1])
    events.draw_names(figure.axes[0])
    figure.axes[-1].set_xlabel("time in s")
    return figure


def _panels(run: Run, result: Result) -> Iterator[_Panel]:
    curves, window_s = goodput_curves(run, result)
    if curves:

        def goodput(axes: Axes) -> None:
            draw_rates(axes, curves, "goodput", window_s)

        yield _Panel(GOODPUT_IN, goodput, right_in=legend_in(curves))
    if run.streams or run.probes:
        yield _loss_panel(run, result)
    if result.route_protocols:
        yield _route_panel(run, result)
        if run.control:
            yield _message_panel(run, result)


def _named(names: Sequence[str]) -> float:
    """How much room names need left of the axes, in inches."""
    return 0.25 + CHARACTER_IN * max((len(name) for name in names), default=0)


def _loss_panel(run: Run, result: Result) -> _Panel:
    end_s = result.end_s or result.duration_s
    width_s = max(LEAST_BIN_S, end_s / BINS)
    edges = np.arange(0.0, end_s + width_s, width_s)
    lanes = list(_lanes(run, result, edges))
    kept = sorted(lanes, key=lambda lane: -lane.lost)[:MOST_STREAMS]
    shown = [lane for lane in lanes if lane in kept]
    left_out = len(lanes) - len(shown)

    def draw(axes: Axes) -> None:
        for row, lane in enumerate(shown):
            _draw_lane(axes, len(shown) - 1 - row, lane, edges)
        middles = [row + 0.39 for row in range(len(shown))]
        axes.set_yticks(middles, [lane.name for lane in reversed(shown)])
        axes.tick_params(axis="y", length=0, labelsize="small")
        axes.set_ylim(-0.2, len(shown))
        axes.set_ylabel("probes lost" if len(shown) > 3 else "probes\nlost")
        if left_out:
            _beside(axes, f"{left_out} more,\nwith less loss")

    return _Panel(
        max(0.5, STREAM_IN * len(shown)),
        draw,
        _named([lane.name for lane in shown]),
        1.0 if left_out else 0.0,
    )


def _lanes(run: Run, result: Result, edges: Array) -> Iterator[_Lane]:
    few = len(run.streams) * len(result.events) <= MOST_TIMES
    for name, stream in run.streams.items():
        outages = tuple(_outages(result.events, name)) if few else ()
        lost = stream.lost
        share = _share(stream.sent_s, lost, edges)
        yield _Lane(shortened(stream_name(name)), int(lost.sum()), share, outages)
    for name, probe in run.probes.items():
        lost = np.isnan(probe.rtt_ms)
        yield _Lane(shortened(name), int(lost.sum()), _share(probe.time_s, lost, edges))


def _outages(events: Sequence[EventResult], name: str) -> Iterator[tuple[float, str]]:
    """Where to write how long the longest outage at an event was: behind the last loss."""
    for event in events:
        found = event.streams.get(name)
        if found and found.lost and event.actual_s is not None:
            over = found.last_repair_s
            end_s = found.until_s if over is None else event.actual_s + over
            ms = found.outage_ms
            yield end_s, f"{ms / 1e3:.2f} s" if ms >= 1000 else f"{ms:.0f} ms"


def _share(sent_s: Array, lost: Array, edges: Array) -> Array:
    sent, _ = np.histogram(sent_s, edges)
    gone, _ = np.histogram(sent_s[lost], edges)
    share: Array = gone / np.maximum(sent, 1)
    return share


def _draw_lane(axes: Axes, row: int, lane: _Lane, edges: Array) -> None:
    axes.axhline(row, color="#dddddd", linewidth=0.6, zorder=0.5)
    share = np.append(lane.share, 0.0)
    near = (share > 0) | np.append(False, share[:-1] > 0)
    if near.any():
        top = row + 0.78 * share
        axes.fill_between(
            edges[: len(top)],
            row,
            top,
            where=near.tolist(),
            step="post",
            color=LOST,
            linewidth=0.6,
            zorder=2,
        )
    for at, text in lane.outages:
        axes.annotate(
            text,
            (at, row + 0.39),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=LOST,
        )


def _route_panel(run: Run, result: Result) -> _Panel:
    end_s = result.end_s or result.duration_s
    changes = run.routes.changes(0.0, end_s)
    nodes = sorted({row.node for row in changes}, key=_natural)
    named = len(nodes) <= MOST_NAMED_ROUTERS
    several = len({node.partition("/")[0] for node in nodes}) > 1
    names = [shortened(node if several else node.partition("/")[2]) for node in nodes]
    rows = {node: len(nodes) - 1 - index for index, node in enumerate(nodes)}

    def draw(axes: Axes) -> None:
        if not nodes:
            axes.set_yticks([])
            axes.text(0.5, 0.5, NO_ROUTE_MOVED, transform=axes.transAxes, ha="center", va="center")
        for action, shade, from_, to in (("gone", GONE, 0.0, 0.38), ("set", SET, -0.38, 0.0)):
            # What nobody could tell apart is drawn once, as one line with gaps.
            ticks = {
                (round(row.time_s / end_s, 4) * end_s, rows[row.node])
                for row in changes
                if row.action == action
            }
            xs = [x for at, _ in sorted(ticks) for x in (at, at, np.nan)]
            ys = [y for _, row in sorted(ticks) for y in (row + from_, row + to, np.nan)]
            axes.plot(xs, ys, color=shade, linewidth=1.2, solid_capstyle="butt")
        if nodes:
            axes.set_yticks(range(len(nodes)) if named else [], names[::-1] if named else [])
            axes.set_ylim(-0.7, len(nodes) - 0.3)
            _draw_convergence(axes, result.events)
            _tick_legend(axes)
        axes.tick_params(axis="y", length=0, labelsize="small")
        axes.set_ylabel("routes" if named else f"routes of\n{len(nodes)} VRs")

    height = max(0.75, min(TALLEST_IN, ROUTER_IN * len(nodes)))
    return _Panel(height, draw, _named(names if named else []), 0.9 if nodes else 0.0)


def _draw_convergence(axes: Axes, events: Sequence[EventResult]) -> None:
    for event in events:
        last = event.routing.convergence_s if event.routing else None
        if last is not None and event.actual_s is not None:
            at = event.actual_s
            axes.axvspan(at, at + last, color="#0072B2", alpha=0.1, zorder=0.4, linewidth=0)


def _tick_legend(axes: Axes) -> None:
    handles = [
        Line2D([], [], marker="|", color=shade, linestyle="none", markersize=8, label=label)
        for shade, label in ((SET, "set"), (GONE, "gone"))
    ]
    axes.legend(handles=handles, **_LEGEND)


def _message_panel(run: Run, result: Result) -> _Panel:
    end_s = result.end_s or result.duration_s
    width_s = float(max(1.0, np.ceil(end_s / MESSAGE_BINS)))
    edges = np.arange(0.0, end_s + 1e-9, width_s)
    rates = _message_rates(run, edges)
    highest = [max(1.0, float(rate.max(initial=0.0))) for rate in rates.values()]
    uneven = max(highest, default=1.0) > UNEVEN * min(highest, default=1.0)

    def draw(axes: Axes) -> None:
        for index, (protocol, rate) in enumerate(rates.items()):
            axes.stairs(
                rate, edges, baseline=None, color=colour(index), linewidth=1.2, label=protocol
            )
        if uneven:
            axes.set_yscale("log")
        axes.set_ylim(bottom=0.8 if uneven else 0.0)
        axes.set_ylabel("messages\nper second")
        axes.grid(axis="y", color="#e4e4e4", linewidth=0.6)
        axes.set_axisbelow(True)
        if rates:
            axes.legend(**_LEGEND)

    return _Panel(MESSAGES_IN, draw, right_in=_named(list(rates)) + 0.35)


def _message_rates(run: Run, edges: Array) -> Mapping[str, Array]:
    """Messages that all VRs sent in each bin, per second, by protocol."""
    sums: dict[str, Array] = {}
    for (_, _, direction, protocol), samples in run.control.items():
        if direction == "out":
            index = np.searchsorted(samples.time_s, edges, side="right")
            counted = np.append(0.0, samples.messages)[index]
            sums[protocol] = sums.get(protocol, 0.0) + counted
    return {name: np.diff(total) / np.diff(edges) for name, total in sorted(sums.items())}


_LEGEND: dict[str, Any] = {
    "loc": "upper left",
    "bbox_to_anchor": (1.01, 1.0),
    "borderaxespad": 0,
    "frameon": False,
    "fontsize": "small",
    "handlelength": 1.4,
}


def _beside(axes: Axes, text: str) -> None:
    axes.annotate(
        text,
        (1.0, 1.0),
        xycoords="axes fraction",
        xytext=(6, 0),
        textcoords="offset points",
        va="top",
        fontsize="small",
        color=GREY,
    )


def _natural(name: str) -> tuple[tuple[int, str | int], ...]:
    """A key that sorts r2 before r10."""
    parts = "".join(c if c.isdigit() else f" {c} " for c in name).split()
    return tuple((0, int(part)) if part.isdigit() else (1, part) for part in parts)
