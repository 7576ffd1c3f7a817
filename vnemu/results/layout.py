"""Where things stand in a drawing: the same places every time for the same topology."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import networkx as nx

from vnemu.results.runinfo import Drawing, DrawnNetwork

Point = tuple[float, float]

# Distances in units of half a plane's width.
AROUND_RM = 0.2
HOST_AWAY = (0.34, 0.5)
HOST_ANGLES = 16
ENOUGH_ROOM = 0.3
MOST_WEIGHED = 1000
FIRST_AT = math.pi / 3
LONGEST_LINE = 8
SHARING_RMS = 4
EXACT_UP_TO = 60
# What is spread so evenly is as good as it is.
ROUND = 0.1


def machine_places(drawing: Drawing) -> dict[str, Point]:
    """Place the RMs in the plane, within -1 to 1 in both directions."""
    edges = [(link.a, link.b) for link in drawing.underlay.links]
    return _places(drawing.underlay.machines, edges)


def router_places(network: DrawnNetwork, machines: Mapping[str, Point]) -> dict[str, Point]:
    """Place a VN's VRs: above their RMs, or on their own where many share an RM."""
    on: dict[str, list[str]] = {}
    for router, machine in network.routers.items():
        on.setdefault(machine, []).append(router)
    if max(map(len, on.values()), default=0) > SHARING_RMS:
        return _places(list(network.routers), [(link.a, link.b) for link in network.links])
    places: dict[str, Point] = {}
    for machine, routers in on.items():
        centre = machines.get(machine, (0.0, 0.0))
        radius = AROUND_RM if len(routers) > 1 else 0.0
        places |= {
            router: _turned(centre, radius, FIRST_AT + math.tau * index / len(routers))
            for index, router in enumerate(routers)
        }
    return places


def graph_places(
    routers: Sequence[str], links: Sequence[tuple[str, str]], added: Sequence[tuple[str, str]] = ()
) -> dict[str, Point]:
    """Place VRs by how they are joined, wherever their RMs are.

    Parameters:
        routers: their names.
        links: what they are joined by at first.
        added: what there is later too; of use for those that had no VL.
    """
    joined = {name for link in links for name in link}
    later = [link for link in added if not joined.issuperset(link)]
    return _lying(_places(routers, [*links, *later]))


def _lying(places: Mapping[str, Point]) -> dict[str, Point]:
    """Turn points so that they spread out from left to right (along their principal axis)."""
    count = len(places) or 1
    mx, my = (sum(point[axis] for point in places.values()) / count for axis in (0, 1))
    moved = {name: (x - mx, y - my) for name, (x, y) in places.items()}
    xx, yy = (sum(point[axis] ** 2 for point in moved.values()) for axis in (0, 1))
    xy = sum(x * y for x, y in moved.values())
    if math.hypot(xx - yy, 2 * xy) < ROUND * (xx + yy):
        return dict(places)
    angle = math.atan2(2 * xy, xx - yy) / 2
    cos, sin = math.cos(angle), math.sin(angle)
    return {name: (x * cos + y * sin, y * cos - x * sin) for name, (x, y) in moved.items()}


def host_places(network: DrawnNetwork, routers: Mapping[str, Point]) -> dict[str, Point]:
    """Place a VN's hosts beside their VRs, where there is most room."""
    shrink = min(1.0, 8.0 / max(len(routers), 1))
    taken = [*routers.values(), *_starts_of_links(network, routers, shrink)]
    if len(taken) > MOST_WEIGHED:
        taken = []
    places: dict[str, Point] = {}
    for host, router in network.hosts.items():
        around = _around(routers.get(router, (0.0, 0.0)), shrink)
        places[host] = max(around, key=lambda point: (_room(point, taken), point))
        taken.append(places[host])
    return places


def _around(centre: Point, shrink: float) -> list[Point]:
    """Return where a host may stand: on an ellipse, as planes are drawn flat."""
    wide, deep = HOST_AWAY[0] * shrink, HOST_AWAY[1] * shrink
    angles = [math.tau * step / HOST_ANGLES for step in range(HOST_ANGLES)]
    return [(centre[0] + wide * math.cos(a), centre[1] + deep * math.sin(a)) for a in angles]


def _starts_of_links(
    network: DrawnNetwork, routers: Mapping[str, Point], shrink: float
) -> list[Point]:
    """Return the points where VLs leave the surroundings of their VRs."""
    points = []
    for link in network.links:
        for one, other in ((link.a, link.b), (link.b, link.a)):
            (ax, ay), (bx, by) = routers[one], routers[other]
            far = math.hypot(bx - ax, by - ay) or 1.0
            part = min(1.0, HOST_AWAY[0] * shrink / far)
            points.append((ax + part * (bx - ax), ay + part * (by - ay)))
    return points


def _room(point: Point, taken: Sequence[Point]) -> float:
    """Return how far the nearest thing is, up to a distance that is far enough, outside first."""
    near = min((_seen_distance(point, other) for other in taken), default=ENOUGH_ROOM)
    outside = 0.05 * math.hypot(*point)
    return min(near, ENOUGH_ROOM) + outside


def _seen_distance(one: Point, other: Point) -> float:
    # As drawn: sheared and flat (see drawing.py).
    dx, dy = one[0] - other[0], 0.42 * (one[1] - other[1])
    return math.hypot(dx + dy, 1.5 * dy)


def _turned(centre: Point, radius: float, angle: float) -> Point:
    return centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)


def _places(names: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, Point]:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from(edges)
    if len(graph) <= 1:
        return dict.fromkeys(graph, (0.0, 0.0))
    line = _line(graph)
    if line:
        return _rows(line)
    ring = _ring(graph)
    if ring or not nx.is_connected(graph):
        return _circle(ring or list(names))
    return _sprung(graph)


def _line(graph: nx.Graph[str]) -> list[str]:
    ends = [name for name, degree in graph.degree() if degree == 1]
    if len(ends) != 2 or not nx.is_tree(graph):
        return []
    return list(nx.dfs_preorder_nodes(graph, ends[0]))


def _rows(line: Sequence[str]) -> dict[str, Point]:
    """Place a line in one row, or folded into several when it is long."""
    columns = len(line)
    if columns > LONGEST_LINE:
        columns = math.ceil(math.sqrt(2 * len(line)))
    rows = math.ceil(len(line) / columns)
    places: dict[str, Point] = {}
    for index, name in enumerate(line):
        row, column = divmod(index, columns)
        across = column if row % 2 == 0 else columns - 1 - column
        down = row / (rows - 1) if rows > 1 else 0.5
        places[name] = (2 * across / (columns - 1) - 1, 1 - 2 * down)
    return places


def _ring(graph: nx.Graph[str]) -> list[str]:
    if not nx.is_connected(graph) or any(degree != 2 for _, degree in graph.degree()):
        return []
    return list(nx.dfs_preorder_nodes(graph, next(iter(graph))))


def _circle(names: Sequence[str]) -> dict[str, Point]:
    # Begun at the far left corner and turned so that four make a square.
    step = math.tau / len(names)
    first = math.pi - step / 2
    radius = math.sqrt(2) if len(names) == 4 else 1.0
    return {name: _turned((0.0, 0.0), radius, first - step * i) for i, name in enumerate(names)}


def _sprung(graph: nx.Graph[str]) -> dict[str, Point]:
    start = nx.circular_layout(graph)
    if len(graph) <= EXACT_UP_TO:
        found = nx.kamada_kawai_layout(graph, pos=start)
    else:
        found = nx.spring_layout(graph, pos=start, seed=1, iterations=60)
    reach = max(max(abs(float(x)), abs(float(y))) for x, y in found.values()) or 1.0
    return {name: (float(x) / reach, float(y) / reach) for name, (x, y) in found.items()}
