"""Draw the paths of flows and probes before and after events, on the graph of their VN."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from vnemu.results.adaptation import PathChange, event_title, path_changes
from vnemu.results.canvas import COLOURS, GREY, colour, new_figure
from vnemu.results.event_marks import shortened
from vnemu.results.layout import Point, graph_places, host_places
from vnemu.results.reader import Run
from vnemu.results.routing import JUST_BEFORE_S
from vnemu.results.runinfo import DrawnNetwork, NodePlace
from vnemu.results.schema import EventResult, Result

WIDTH_IN = 9.6
COLUMNS = 3
FEW_ROUTERS = 8
MANY_ROUTERS = 12
CROWD = 24
MOST_CELLS = 24
TITLE_IN = 0.34
LEGEND_IN = 0.3
ASIDE = 0.035
HIT = "#B3261E"
_BROKEN = {"down", "cut", "fail"}
_WHOLE = {"up", "mend", "repair"}
_HALO = {"boxstyle": "square,pad=0.05", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}

Edge = frozenset[str]


@dataclass(frozen=True)
class _Cell:
    """An event with the paths that it moved, and the VLs of that time.

    Parameters:
        hit: the VLs that the event was for, with what was done.
        broken: the VLs that earlier events broke.
    """

    title: str
    moved: Sequence[PathChange]
    edges: frozenset[Edge]
    hit: Mapping[Edge, str]
    broken: frozenset[Edge]


@dataclass
class _Graph:
    """A VN as drawn: where its nodes are, and which colour two ends have."""

    places: dict[str, Point]
    hosts: frozenset[str]
    colours: dict[str, str] = field(default_factory=dict)

    @property
    def many(self) -> bool:
        """Whether there are so many VRs that they are better small."""
        return len(self.places) - len(self.hosts) > MANY_ROUTERS

    @property
    def crowded(self) -> bool:
        """Whether only nodes on paths can have their names."""
        return len(self.places) - len(self.hosts) > CROWD


def draw_paths(run: Run, result: Result) -> dict[str, Figure]:
    """Draw, for each VN in which an event moved a path, all such events side by side."""
    changes = [path_changes(event) for event in result.events]
    found = {}
    for network in run.info.drawing.networks:
        of_network = [
            [change for change in moved if change.network == network.name] for moved in changes
        ]
        if any(of_network):
            found[network.name] = _draw_network(run, result, network, of_network)
    return found


def _draw_network(
    run: Run, result: Result, network: DrawnNetwork, changes: Sequence[Sequence[PathChange]]
) -> Figure:
    cells = list(_cells(run, result, network, changes))[:MOST_CELLS]
    graph = _graph(network, cells)
    columns = COLUMNS if len(graph.places) - len(graph.hosts) <= FEW_ROUTERS else COLUMNS - 1
    rows = math.ceil(len(cells) / columns)
    width = WIDTH_IN / columns
    height = TITLE_IN + 0.72 * width
    figure = new_figure(WIDTH_IN, rows * height + LEGEND_IN)
    whole = rows * height + LEGEND_IN
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        bottom = whole - (row + 1) * height
        box = (
            column / columns + 0.004,
            bottom / whole,
            1 / columns - 0.008,
            (height - TITLE_IN) / whole,
        )
        _draw_cell(figure.add_axes(box), graph, cell)
    _legend(figure, graph)
    return figure


def _cells(
    run: Run, result: Result, network: DrawnNetwork, changes: Sequence[Sequence[PathChange]]
) -> Iterator[_Cell]:
    names = _Names(network)
    broken: frozenset[Edge] = frozenset()
    for number, (event, moved) in enumerate(zip(result.events, changes, strict=True), 1):
        if event.actual_s is None:
            continue
        before = _edges(run, network.name, event.actual_s - JUST_BEFORE_S)
        after = _edges(run, network.name, _until(event) - JUST_BEFORE_S)
        hit = dict(names.hit(event.what))
        hit |= dict.fromkeys(after - before, "new") | dict.fromkeys(before - after, "removed")
        if moved:
            yield _Cell(event_title(number, event), moved, before | after, hit, broken - hit.keys())
        broken |= {edge for edge, verb in hit.items() if verb in _BROKEN}
        broken -= {edge for edge, verb in hit.items() if verb in _WHOLE}


def _until(event: EventResult) -> float:
    return event.routing.until_s if event.routing else 0.0


class _Names:
    """The VLs of a VN by the names that events have for them."""

    def __init__(self, network: DrawnNetwork) -> None:
        self._edges = {
            f"{network.name}/{link.name}": frozenset((link.a, link.b)) for link in network.links
        }

    def hit(self, what: str) -> Iterator[tuple[Edge, str]]:
        """Find the VLs in an event's words, each with what is done: the word before it."""
        words = re.split(r"[\s,]+", what)
        for verb, name in pairwise(words):
            if name in self._edges:
                yield self._edges[name], "replay" if verb == "on" else verb


def _edges(run: Run, network: str, at_s: float) -> frozenset[Edge]:
    """Which nodes of a VN are joined at a time, without its name."""
    own = f"{network}/"
    places: Mapping[str, NodePlace] = run.routes.places(at_s)
    return frozenset(
        frozenset((node.removeprefix(own), peer.removeprefix(own)))
        for node, place in places.items()
        for peer in place.peers.values()
        if node.startswith(own)
    )


def _graph(network: DrawnNetwork, cells: Sequence[_Cell]) -> _Graph:
    """Place the VRs of all cells alike, and of the hosts those at the ends of paths."""
    ends = {
        end for cell in cells for change in cell.moved for end in (change.source, change.target)
    }
    joined = {edge for cell in cells for edge in cell.edges}
    hosts = dict(network.hosts)
    routers = [name for edge in sorted(map(sorted, joined)) for name in edge if name not in hosts]
    routers = list(dict.fromkeys([*network.routers, *routers]))
    plain = [(link.a, link.b) for link in network.links]
    added = sorted({tuple(sorted(edge)) for edge in joined if not edge & hosts.keys()})
    places = graph_places(routers, plain, [edge for edge in added if len(edge) == 2])
    shown = {host: at for host, at in hosts.items() if host in ends and at in places}
    drawn = network.model_copy(update={"hosts": shown})
    graph = _Graph(places | host_places(drawn, places), frozenset(shown))
    for cell in cells:
        for change in cell.moved:
            graph.colours.setdefault(change.between, colour(len(graph.colours)))
    return graph


def _draw_cell(axes: Axes, graph: _Graph, cell: _Cell) -> None:
    axes.set_axis_off()
    axes.set_title(shortened(cell.title, 44), fontsize=9, loc="center", pad=5, parse_math=False)
    _limits(axes, graph.places)
    on_paths = {
        node for change in cell.moved for p in (*change.before, *change.after) for node in p
    }
    for edge in cell.edges:
        if not edge & graph.hosts - on_paths:
            _draw_link(axes, graph, cell, edge)
    for index, change in enumerate(cell.moved):
        aside = ASIDE * (index - (len(cell.moved) - 1) / 2)
        _draw_change(axes, graph, change, graph.colours[change.between], aside)
    _draw_hits(axes, graph, cell)
    for node, point in graph.places.items():
        if node in graph.hosts:
            if node in on_paths:
                _draw_host(axes, point, node)
        else:
            named = not graph.crowded or node in on_paths
            _draw_router(axes, point, node, named=named, small=graph.many)


def _limits(axes: Axes, places: Mapping[str, Point]) -> None:
    xs, ys = zip(*places.values(), strict=True)
    wide, high = max(xs) - min(xs), max(ys) - min(ys)
    # Wide as the cell is, but a square graph stays one.
    wide = max(wide, high, 0.5)
    high = max(high, 0.4 * wide)
    middle = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    axes.set_xlim(middle[0] - 0.62 * wide, middle[0] + 0.62 * wide)
    axes.set_ylim(middle[1] - 0.62 * high, middle[1] + 0.6 * high)


def _draw_link(axes: Axes, graph: _Graph, cell: _Cell, edge: Edge) -> None:
    if not edge <= graph.places.keys():
        return
    xs, ys = zip(*(graph.places[node] for node in sorted(edge)), strict=True)
    if edge in cell.broken or cell.hit.get(edge) in _BROKEN | {"removed"}:
        axes.plot(xs, ys, color=HIT, linewidth=1.0, linestyle=(0, (1, 2)), zorder=1)
    else:
        axes.plot(xs, ys, color="#c4c4c4", linewidth=1.2, zorder=1)


def _draw_change(axes: Axes, graph: _Graph, change: PathChange, shade: str, aside: float) -> None:
    after = _steps(change.after)
    for step in _steps(change.before):
        if step not in after:
            _draw_step(axes, graph, step, aside, {"color": shade, "linestyle": (0, (2.2, 1.6))})
    for step in after:
        _draw_step(axes, graph, step, aside, {"color": shade, "linewidth": 3.2})


def _steps(paths: Iterable[Sequence[str]]) -> list[tuple[str, str]]:
    return list(dict.fromkeys(step for path in paths for step in pairwise(path)))


def _draw_step(
    axes: Axes, graph: _Graph, step: tuple[str, str], aside: float, style: dict[str, object]
) -> None:
    if not set(step) <= graph.places.keys():
        return
    # Aside to the same side whichever way it goes.
    (ax, ay), (bx, by) = (graph.places[node] for node in sorted(step))
    far = math.hypot(bx - ax, by - ay) or 1.0
    dx, dy = -(by - ay) / far * aside, (bx - ax) / far * aside
    line = {"linewidth": 2.0, "solid_capstyle": "round", "zorder": 2, **style}
    axes.plot([ax + dx, bx + dx], [ay + dy, by + dy], **line)  # type: ignore[arg-type]


def _draw_hits(axes: Axes, graph: _Graph, cell: _Cell) -> None:
    for edge, verb in cell.hit.items():
        if edge <= graph.places.keys():
            (ax, ay), (bx, by) = (graph.places[node] for node in edge)
            axes.text(
                (ax + bx) / 2,
                (ay + by) / 2,
                verb,
                color=HIT,
                fontsize=8,
                weight="bold",
                ha="center",
                va="center",
                zorder=5,
                bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": HIT},
            )


def _draw_host(axes: Axes, at: Point, name: str) -> None:
    box = {"boxstyle": "square,pad=0.3", "facecolor": "white", "edgecolor": "#333333"}
    axes.text(*at, shortened(name, 12), ha="center", va="center", fontsize=8, bbox=box, zorder=4)


def _draw_router(axes: Axes, at: Point, name: str, *, named: bool, small: bool) -> None:
    inside = named and len(name) <= 4
    axes.plot(
        *at,
        marker="o",
        markersize=(14 if small else 19) if inside else 7 if named else 4,
        markerfacecolor="white",
        markeredgecolor="#333333" if named else "#999999",
        zorder=3,
    )
    if named:
        axes.annotate(
            shortened(name, 14),
            at,
            xytext=(0, 0 if inside else -6),
            textcoords="offset points",
            ha="center",
            va="center" if inside else "top",
            fontsize=8 if inside and not small else 7,
            zorder=6,
            bbox=None if inside else _HALO,
        )


def _legend(figure: Figure, graph: _Graph) -> None:
    handles = [
        Line2D([], [], color=GREY, linewidth=2, linestyle=(0, (2.2, 1.6)), label="before"),
        Line2D([], [], color=GREY, linewidth=3.2, label="after"),
    ]
    for between, shade in list(graph.colours.items())[: len(COLOURS)]:
        handles.append(Line2D([], [], color=shade, linewidth=3.2, label=between))
    figure.legend(
        handles=handles,
        loc="lower center",
        ncol=min(len(handles), 7),
        frameon=False,
        fontsize="small",
        borderaxespad=0.1,
    )
