"""The way that packets take when routing has adapted: the cheapest over the VLs that are usable."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from vnemu.embedding.mapping import Direction
from vnemu.model.overlay import Node, VirtualLink, VirtualNetwork
from vnemu.routing.view import COSTS

_HOP = 1


def cheapest(
    network: VirtualNetwork, start: str, end: str, usable: Callable[[VirtualLink], bool]
) -> tuple[Direction, ...] | None:
    """The VLs from one node to another, each with whether it goes from a to b; None: no way.

    Costs are those that the VRs were told; where only hops count (BGP) each is one.
    Of ways that cost the same it is one with the fewest hops (E. W. Dijkstra, A note on two
    problems in connexion with graphs, Numerische Mathematik 1, 1959).

    Parameters:
        usable: whether routers can use a VL, which takes both its directions.
    """
    edges: dict[str, list[tuple[VirtualLink, str, bool]]] = {}
    for link in network.links.values():
        if usable(link):
            edges.setdefault(link.a, []).append((link, link.b, True))
            edges.setdefault(link.b, []).append((link, link.a, False))
    nodes = {node.path: node for node in network.nodes.values()}
    queue: list[tuple[int, int, str, tuple[Direction, ...]]] = [(0, 0, start, ())]
    done: set[str] = set()
    while queue:
        cost, hops, here, way = heapq.heappop(queue)
        if here == end:
            return way
        if here in done or (hops and nodes[here].kind == "host"):
            continue
        done.add(here)
        for link, peer, forward in edges.get(here, ()):
            further = cost + _cost(nodes[here], link)
            heapq.heappush(queue, (further, hops + 1, peer, (*way, (link.path, forward))))
    return None


def _cost(node: Node, link: VirtualLink) -> int:
    usual = COSTS.get(node.os.protocols[0])
    if link.access or usual is None:
        return _HOP
    return link.cost or node.os.cost or usual
