"""Draw underlay, overlays and the mapping between them, as planes above each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vnemu.errors import InputError
from vnemu.results.canvas import GREY, colour, new_figure, save
from vnemu.results.files import write_atomic
from vnemu.results.layout import Point, host_places, machine_places, router_places
from vnemu.results.mermaid import link_terms, to_mermaid
from vnemu.results.runinfo import Drawing, DrawnNetwork

# How a plane lies: a point (x, y) of it is drawn at (x + SHEAR y, DEPTH y + height).
SHEAR = 0.42
DEPTH = 0.42
MARGIN = 0.24
LEAST_HALF_DEPTH = 0.42
GAP = 0.5
INCH = 2.5
CHARACTER = 0.031
LINE = 0.075
ROUTER_SIZE = 0.105
CROWD = 24
CROWDED_LINKS = 12
MOST_MAPPINGS = 150
TALLEST_IN = 40.0


@dataclass
class _Canvas:
    """The axes, and the boxes of the labels on it so far (centre, half width, half height)."""

    axes: Axes
    labels: list[tuple[float, float, float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class _Plane:
    """A plane at a height, with the corners of what lies on it."""

    height: float
    left: float
    right: float
    half_depth: float

    def at(self, point: Point) -> Point:
        """Return where a point of the plane is drawn."""
        return point[0] + SHEAR * point[1], DEPTH * point[1] + self.height


def draw(drawing: Drawing, path: Path) -> None:
    """Draw to a file.

    Parameters:
        drawing: what to draw.
        path: the file; its suffix ``.svg``, ``.png`` or ``.mmd`` (mermaid) says the format.

    Raises:
        InputError: for any other suffix.
    """
    check_suffix(path)
    if path.suffix == ".mmd":
        write_atomic(path, to_mermaid(drawing))
    else:
        save(draw_planes(drawing), [path])


def check_suffix(path: Path) -> None:
    """Refuse a file whose suffix names no format of drawings.

    Raises:
        InputError: naming the three.
    """
    if path.suffix not in (".svg", ".png", ".mmd"):
        raise InputError(
            f"{path} is no format to draw in: end the name in .svg, .png or .mmd (mermaid)"
        )


def draw_planes(drawing: Drawing) -> Figure:
    """Return the picture: the underlay below, above it one plane for each VN."""
    machines = machine_places(drawing)
    routers = [router_places(network, machines) for network in drawing.networks]
    hosts = [
        host_places(network, places)
        for network, places in zip(drawing.networks, routers, strict=True)
    ]
    planes = _stack([machines, *(r | h for r, h in zip(routers, hosts, strict=True))])
    figure, canvas = _empty(planes)
    _plane(canvas, planes[0], "underlay", GREY)
    for index, network in enumerate(drawing.networks):
        _plane(canvas, planes[index + 1], f"network {network.name}", colour(index))
    for index, network in enumerate(drawing.networks):
        shift = 0.05 * (index - (len(drawing.networks) - 1) / 2)
        pairs = [
            (planes[index + 1].at(routers[index][router]), planes[0].at(machines[machine]))
            for router, machine in network.routers.items()
            if machine in machines
        ]
        _mapping(canvas, pairs, shift, colour(index))
    _underlay(canvas, planes[0], drawing, machines)
    for index, network in enumerate(drawing.networks):
        _overlay(canvas, planes[index + 1], network, routers[index], hosts[index], index)
    return figure


def _stack(contents: list[dict[str, Point]]) -> list[_Plane]:
    """Return one plane for each group of points, of one size, bottom first."""
    points = [point for places in contents for point in places.values()] or [(0.0, 0.0)]
    left = min(x for x, _ in points) - MARGIN
    right = max(x for x, _ in points) + MARGIN
    half_depth = max(LEAST_HALF_DEPTH, MARGIN + max(abs(y) for _, y in points))
    step = 2 * DEPTH * half_depth + GAP
    return [_Plane(step * index, left, right, half_depth) for index in range(len(contents))]


def _empty(planes: list[_Plane]) -> tuple[Figure, _Canvas]:
    low, high = planes[0], planes[-1]
    left = low.left - SHEAR * low.half_depth - 0.1
    right = low.right + SHEAR * low.half_depth + 0.1
    bottom = low.height - DEPTH * low.half_depth - 0.16
    top = high.height + DEPTH * high.half_depth + 0.08
    scale = min(INCH, TALLEST_IN / (top - bottom))
    figure = new_figure((right - left) * scale, (top - bottom) * scale)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_axis_off()
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    return figure, _Canvas(axes)


def _plane(canvas: _Canvas, plane: _Plane, title: str, shade: str) -> None:
    d = plane.half_depth
    corners = [(plane.left, -d), (plane.right, -d), (plane.right, d), (plane.left, d)]
    xs, ys = zip(*(plane.at(corner) for corner in corners), strict=True)
    # Below everything, in the order from the bottom up, so that what is above covers it.
    canvas.axes.fill(
        xs, ys, facecolor=shade, alpha=0.09, edgecolor=shade, zorder=0.1 + 0.01 * plane.height
    )
    x, y = plane.at((plane.left, -d))
    canvas.axes.text(
        x, y - 0.025, title, color=shade, fontsize=10, weight="bold", va="top", zorder=6
    )


def _mapping(
    canvas: _Canvas, pairs: Iterable[tuple[Point, Point]], shift: float, shade: str
) -> None:
    pairs = list(pairs)
    if len(pairs) > MOST_MAPPINGS:
        return
    faint = 0.55 if len(pairs) <= CROWD else 0.1
    for (x, y), (mx, my) in pairs:
        canvas.axes.plot(
            [x + shift, mx + shift],
            [y, my],
            color=shade,
            alpha=faint,
            linewidth=1,
            linestyle=(0, (3, 3)),
            zorder=1,
        )


def _underlay(canvas: _Canvas, plane: _Plane, drawing: Drawing, machines: dict[str, Point]) -> None:
    crowded = len(drawing.underlay.links) > CROWDED_LINKS
    for name, point in machines.items():
        _box(canvas, plane.at(point), name, crowded=len(machines) > CROWD)
    for link in drawing.underlay.links:
        ends = [plane.at(machines[link.a]), plane.at(machines[link.b])]
        _line(canvas, ends, "#555555", 1.2 if crowded else 4.0)
        if not crowded:
            _label(canvas, ends, link.rate.replace(", ", "\n"), "#333333")


def _overlay(
    canvas: _Canvas,
    plane: _Plane,
    network: DrawnNetwork,
    routers: dict[str, Point],
    hosts: dict[str, Point],
    index: int,
) -> None:
    shade = colour(index)
    crowded = len(routers) > CROWD
    for host, router in network.hosts.items():
        _line(canvas, [plane.at(hosts[host]), plane.at(routers[router])], GREY, 0.9)
        _box(canvas, plane.at(hosts[host]), host, crowded=crowded or len(hosts) > CROWD)
    for router, point in routers.items():
        _circle(canvas, plane.at(point), router, shade, crowded=crowded)
    few = len(network.links) <= CROWDED_LINKS
    for link in network.links:
        ends = [plane.at(routers[link.a]), plane.at(routers[link.b])]
        _line(canvas, ends, shade, 2.0 if few else 1.0)
        terms = link_terms(link)
        if few:
            _label(canvas, ends, "\n".join([link.name, *terms]), shade)


def _line(canvas: _Canvas, ends: list[Point], shade: str, width: float) -> None:
    xs, ys = zip(*ends, strict=True)
    canvas.axes.plot(xs, ys, color=shade, linewidth=width, solid_capstyle="round", zorder=2)


def _short(name: str, limit: int = 14) -> str:
    return name if len(name) <= limit else f"{name[: limit - 1]}…"


def _box(canvas: _Canvas, at: Point, name: str, *, crowded: bool) -> None:
    if crowded:
        canvas.axes.plot(*at, marker="s", markersize=3, color="#333333", zorder=3)
        return
    text = _short(name)
    canvas.labels.append((*at, CHARACTER * len(text) / 2 + 0.03, LINE / 2 + 0.02))
    box = {"boxstyle": "square,pad=0.35", "facecolor": "white", "edgecolor": "#333333"}
    canvas.axes.text(*at, text, ha="center", va="center", fontsize=8.5, bbox=box, zorder=4)


def _circle(canvas: _Canvas, at: Point, name: str, shade: str, *, crowded: bool) -> None:
    if crowded:
        canvas.axes.plot(*at, marker="o", markersize=5, color=shade, zorder=3)
        return
    canvas.labels.append((*at, ROUTER_SIZE, ROUTER_SIZE))
    canvas.axes.plot(
        *at,
        marker="o",
        markersize=24,
        markerfacecolor="white",
        markeredgecolor=shade,
        markeredgewidth=1.8,
        zorder=3,
    )
    inside = len(name) <= 4
    canvas.axes.text(
        at[0],
        at[1] if inside else at[1] - ROUTER_SIZE,
        _short(name),
        ha="center",
        va="center" if inside else "top",
        fontsize=8.5,
        zorder=4,
    )


def _label(canvas: _Canvas, ends: list[Point], text: str, shade: str) -> None:
    """Write on a line where it hides no other label, as near to the middle as that goes."""
    lines = text.split("\n")
    half = CHARACTER * max(map(len, lines)) / 2 + 0.01, LINE * len(lines) / 2 + 0.005
    (ax, ay), (bx, by) = ends
    best = (float("inf"), 0.0, 0.0)
    for part in (0.5, 0.4, 0.6, 0.32, 0.68, 0.25, 0.75):
        x, y = ax + part * (bx - ax), ay + part * (by - ay)
        hidden = sum(_overlap((x, y, *half), other) for other in canvas.labels)
        best = min(best, (hidden, x, y), key=lambda choice: choice[0])
    _, x, y = best
    canvas.labels.append((x, y, *half))
    canvas.axes.text(
        x,
        y,
        text,
        ha="center",
        va="center",
        fontsize=7.5,
        color=shade,
        linespacing=1.15,
        bbox={
            "boxstyle": "round,pad=0.15",
            "facecolor": "white",
            "edgecolor": "none",
            "alpha": 0.9,
        },
        zorder=5,
    )


def _overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> float:
    wide = one[2] + other[2] - abs(one[0] - other[0])
    high = one[3] + other[3] - abs(one[1] - other[1])
    return wide * high if wide > 0 and high > 0 else 0.0
