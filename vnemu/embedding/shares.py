"""Who may send how much over a physical link.

Every VL that crosses a link is *assured* a rate there: what a max-min fair
division with guarantees as floors and limits as ceilings gives it when all want
as much as they can get (water-filling; Bertsekas and Gallager, Data Networks,
2nd edition, section 6.5.2). What some leave unused, the others share equally:
that is how HTB lends between sibling classes with equal quanta.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vnemu.embedding.mapping import Direction, Mapping, Port
from vnemu.model.overlay import Topology

_ROUNDS = 100
LEAST = 1000
"""Bit/s that a class keeps when guarantees take a whole link: HTB has no class of rate 0."""


class Share(NamedTuple):
    """A VL's part of a physical link, in bit/s: what it is assured, and its ceiling."""

    assured: int
    ceiling: int


def shares(topology: Topology, mapping: Mapping, port: Port) -> dict[str, Share]:
    """The shares of all VLs that cross a physical link, in the direction of one port.

    Those of paused networks keep the least that there is.
    """
    capacity = topology.underlay.links[port[0]].sent_by(port[1]).rate.bps
    crossing = mapping.users.get(port, ())
    bounds = [topology.links[path].bounds(forward) for path, forward in crossing]
    ceilings = [min(ceiling or capacity, capacity) for _, ceiling in bounds]
    asked = [
        (path, floor, ceiling)
        for (path, _), (floor, _), ceiling in zip(crossing, bounds, ceilings, strict=True)
    ]
    idle = topology.idle
    wanting = [each for each in asked if each[0] not in idle] if idle else asked
    level = water_level(capacity, [each[1] for each in wanting], [each[2] for each in wanting])
    least = max(level, LEAST)
    found = {
        path: Share(min(floor if floor > least else least, ceiling), ceiling)
        for path, floor, ceiling in asked
    }
    if len(wanting) < len(asked):
        found |= {path: Share(LEAST, ceiling) for path, _, ceiling in asked if path in idle}
    return found


class Granted:
    """The shares on each port of a topology, found when they are first asked for."""

    def __init__(self, topology: Topology, mapping: Mapping) -> None:
        self.topology = topology
        self.mapping = mapping
        self._found: dict[Port, dict[str, Share]] = {}

    def __getitem__(self, port: Port) -> dict[str, Share]:
        if port not in self._found:
            self._found[port] = shares(self.topology, self.mapping, port)
        return self._found[port]


def water_level(capacity: int, floors: Sequence[int], ceilings: Sequence[int]) -> int:
    """The level at which all take `capacity` together, none below its floor or over its ceiling.

    All numbers are in bit/s; the level is rounded down.
    """
    taken = sum(floors)
    rising = 0
    level = 0
    # Going up, one more rises with the water at its floor, one less from its ceiling on.
    steps = sorted([(floor, 1) for floor in floors] + [(ceiling, -1) for ceiling in ceilings])
    for height, change in steps:
        if rising and taken + rising * (height - level) >= capacity:
            return level + (capacity - taken) // rising
        taken += rising * (height - level)
        level = height
        rising += change
    return level


@dataclass(frozen=True)
class Demand:
    """What a flow would send if nothing held it back.

    Parameters:
        links: the VLs it crosses, each with whether it goes from a to b.
        rate: bit/s of frames; None: as much as it gets.
    """

    name: str
    links: tuple[Direction, ...]
    rate: int | None = None


def ideal_rates(granted: Granted, demands: Sequence[Demand]) -> dict[str, float]:
    """The rate in bit/s of frames that each flow gets when shaping is perfect.

    Within a VL, and in a VR that forwards only so many bits a second, flows of a fixed
    rate come first (nothing slows them down) and greedy ones share the rest equally. A
    flow that none of these and no physical link holds back is left out: it runs as fast
    as the machine.

    Each flow is granted what it would get if it wanted all it can, while the others
    want what they got in the round before; this is repeated until nothing moves.
    """
    infinity = float("inf")
    most = {d.name: infinity if d.rate is None else float(d.rate) for d in demands}
    rates = most
    for _ in range(_ROUNDS):
        fresh = {}
        same = _divided(granted, demands, rates)
        for name, want in most.items():
            raised = rates[name] != want
            divided = _divided(granted, demands, rates | {name: want}) if raised else same
            fresh[name] = divided[name]
        if all(abs(fresh[n] - rates[n]) < 1 or fresh[n] == rates[n] for n in rates):
            break
        rates = fresh
    return {name: rate for name, rate in rates.items() if rate != infinity}


def _divided(
    granted: Granted, demands: Sequence[Demand], rates: dict[str, float]
) -> dict[str, float]:
    """What the flows get when each wants its rate of `rates`."""
    wanted: dict[Direction, list[_Want]] = {}
    for demand in demands:
        for link in demand.links:
            wanted.setdefault(link, []).append((demand, rates[demand.name]))
    shared = [
        (total, [demand for demand, _ in wanted[link]])
        for link, total in _fill(granted, wanted).items()
    ]
    return _split(rates, [*shared, *_routers(granted.topology, demands)])


_Want = tuple[Demand, float]
"""A flow, and the rate it had so far, in bit/s."""
_Strand = tuple[str, bool, int]
"""A direction of a VL, on one of its paths."""


def _fill(granted: Granted, wanted: dict[Direction, list[_Want]]) -> dict[Direction, float]:
    """What each VL direction gets end to end: on each of its paths the least that its hops grant.

    At each hop it is granted what it would get if it wanted all it can, while the
    others there want what they get end to end; this is repeated until nothing
    moves. (A distributed form of max-min fairness: Charny, Clark and Jain,
    Congestion Control with Explicit Rate Indication, ICC 1995.) Over several
    paths a flow of a fixed rate is spread evenly, and greedy ones find what is free.
    """
    hops: dict[_Strand, list[Port]] = {}
    users: dict[Port, dict[_Strand, int]] = {}
    most: dict[_Strand, float] = {}
    topology, mapping = granted.topology, granted.mapping
    for (path, forward), flows in wanted.items():
        limit = topology.links[path].bounds(forward)[1]
        ways = mapping.paths[path].ways
        part = sum(min(had, flow.rate / len(ways)) if flow.rate else had for flow, had in flows)
        for number, way in enumerate(ways):
            strand = (path, forward, number)
            most[strand] = min(part, limit) if limit else part
            hops[strand] = [(name, a if forward else b) for name, a, b in way.hops()]
            for port in hops[strand]:
                users.setdefault(port, {})[strand] = granted[port][path].assured
    got = _settled(topology, hops, users, most)
    return {
        (path, forward): min(
            sum(got[path, forward, n] for n in range(len(mapping.paths[path].ways))),
            sum(had for _, had in flows),
        )
        for (path, forward), flows in wanted.items()
    }


def _settled(
    topology: Topology,
    hops: dict[_Strand, list[Port]],
    users: dict[Port, dict[_Strand, int]],
    most: dict[_Strand, float],
) -> dict[_Strand, float]:
    """What each strand gets when no hop would grant it more."""
    got = dict(most)
    for _ in range(_ROUNDS):
        fresh = {
            strand: min(
                [most[strand]]
                + [
                    _lent(
                        float(topology.underlay.links[port[0]].sent_by(port[1]).rate.bps),
                        users[port],
                        {**{u: got[u] for u in users[port]}, strand: most[strand]},
                    )[strand]
                    for port in ports
                ]
            )
            for strand, ports in hops.items()
        }
        if all(fresh[s] == got[s] or abs(fresh[s] - got[s]) < 1 for s in hops):
            return fresh
        got = fresh
    return got


def _lent(
    capacity: float, assured: dict[_Strand, int], wants: dict[_Strand, float]
) -> dict[_Strand, float]:
    """What a shaped port gives: first what is assured, then equal parts of what is left."""
    got = {user: min(wants[user], float(assured[user])) for user in assured}
    spare = capacity - sum(got.values())
    queue = sorted((u for u in got if wants[u] > got[u]), key=lambda u: wants[u] - got[u])
    for position, user in enumerate(queue):
        part = min(wants[user] - got[user], spare / (len(queue) - position))
        got[user] += part
        spare -= part
    return got


def _routers(topology: Topology, demands: Sequence[Demand]) -> Iterator[tuple[float, list[Demand]]]:
    """The forwarding capacities of VRs in bit/s, each with the flows that come in to it."""
    entering: dict[str, list[Demand]] = {}
    for demand in demands:
        for path, forward in demand.links:
            link = topology.links[path]
            entering.setdefault(link.b if forward else link.a, []).append(demand)
    for path, users in entering.items():
        capacity = topology.nodes[path].resources.forwarding
        if capacity is not None and capacity.rate is not None:
            yield float(capacity.rate.bps), users


def _split(
    rates: dict[str, float], shared: Iterable[tuple[float, list[Demand]]]
) -> dict[str, float]:
    """What the flows get of what they share, each so many bit/s: the least of it."""
    fresh = dict(rates)
    for total, users in shared:
        left = _give((d for d in users if d.rate is not None), rates, fresh, total)
        _give((d for d in users if d.rate is None), rates, fresh, left)
    return fresh


def _give(
    users: Iterable[Demand], rates: dict[str, float], fresh: dict[str, float], total: float
) -> float:
    """Divide `total` equally, none beyond what it wants; return what is left."""
    queue = sorted(users, key=lambda demand: rates[demand.name])
    for position, demand in enumerate(queue):
        part = min(rates[demand.name], total / (len(queue) - position))
        fresh[demand.name] = min(fresh[demand.name], part)
        total -= part
    return max(total, 0.0)
