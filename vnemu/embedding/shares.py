"""Who may send how much over a physical link.

Every VL that crosses a link is *assured* a rate there: what a max-min fair
division with guarantees as floors and limits as ceilings gives it when all want
as much as they can get (water-filling; Bertsekas and Gallager, Data Networks,
2nd edition, section 6.5.2). What some leave unused, the others share equally:
that is how HTB lends between sibling classes with equal quanta.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vnemu.embedding.mapping import Mapping
from vnemu.model.overlay import Topology

Direction = tuple[str, bool]
"""A VL, and whether it is crossed from its end a to its end b."""
Port = tuple[str, str]
"""A physical link, and the RM that sends on it."""

_ROUNDS = 100
LEAST = 1000
"""Bit/s that a class keeps when guarantees take a whole link: HTB has no class of rate 0."""


@dataclass(frozen=True, slots=True)
class Share:
    """A VL's part of a physical link, in bit/s: what it is assured, and its ceiling."""

    assured: int
    ceiling: int


def shares(topology: Topology, mapping: Mapping, physical: str) -> dict[str, Share]:
    """The shares of all VLs that cross the physical link, the same in both directions."""
    capacity = topology.underlay.links[physical].rate.bps
    links = [topology.links[path] for path in mapping.crossing.get(physical, ())]
    floors = [link.guarantee.bps if link.guarantee else 0 for link in links]
    ceilings = [min(link.limit.bps, capacity) if link.limit else capacity for link in links]
    level = water_level(capacity, floors, ceilings)
    return {
        link.path: Share(min(max(level, floor, LEAST), ceiling), ceiling)
        for link, floor, ceiling in zip(links, floors, ceilings, strict=True)
    }


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


def ideal_rates(
    topology: Topology, mapping: Mapping, demands: Sequence[Demand]
) -> dict[str, float]:
    """The rate in bit/s of frames that each flow gets when shaping is perfect.

    Within a VL, flows of a fixed rate come first (nothing slows them down) and
    greedy ones share the rest equally. A flow that no limit and no physical link
    holds back is left out: it runs as fast as the machine.
    """
    infinity = float("inf")
    rates = {d.name: infinity if d.rate is None else float(d.rate) for d in demands}
    for _ in range(len(demands) + 1):
        wanted: dict[Direction, float] = {}
        for demand in demands:
            for link in demand.links:
                wanted[link] = wanted.get(link, 0.0) + rates[demand.name]
        granted = _fill(topology, mapping, wanted)
        fresh = _split(demands, rates, granted)
        if all(abs(fresh[n] - rates[n]) < 1 or fresh[n] == rates[n] for n in rates):
            break
        rates = fresh
    return {name: rate for name, rate in rates.items() if rate != infinity}


def _fill(
    topology: Topology, mapping: Mapping, wanted: dict[Direction, float]
) -> dict[Direction, float]:
    """What each VL direction gets end to end: the least of what its hops grant it.

    At each hop it is granted what it would get if it wanted all it can, while the
    others there want what they get end to end; this is repeated until nothing
    moves. (A distributed form of max-min fairness: Charny, Clark and Jain,
    Congestion Control with Explicit Rate Indication, ICC 1995.)
    """
    hops: dict[Direction, list[Port]] = {}
    users: dict[Port, dict[Direction, int]] = {}
    most: dict[Direction, float] = {}
    for direction, want in wanted.items():
        path, forward = direction
        limit = topology.links[path].limit
        most[direction] = min(want, limit.bps) if limit else want
        hops[direction] = [(n, a if forward else b) for n, a, b in mapping.paths[path].hops()]
        for port in hops[direction]:
            assured = shares(topology, mapping, port[0])[path].assured
            users.setdefault(port, {})[direction] = assured
    got = dict(most)
    for _ in range(_ROUNDS):
        fresh = {
            direction: min(
                [most[direction]]
                + [
                    _lent(
                        float(topology.underlay.links[port[0]].rate.bps),
                        users[port],
                        {**{u: got[u] for u in users[port]}, direction: most[direction]},
                    )[direction]
                    for port in hops[direction]
                ]
            )
            for direction in wanted
        }
        if all(fresh[d] == got[d] or abs(fresh[d] - got[d]) < 1 for d in wanted):
            return fresh
        got = fresh
    return got


def _lent(
    capacity: float, assured: dict[Direction, int], wants: dict[Direction, float]
) -> dict[Direction, float]:
    """What a shaped port gives: first what is assured, then equal parts of what is left."""
    got = {user: min(wants[user], float(assured[user])) for user in assured}
    spare = capacity - sum(got.values())
    queue = sorted((u for u in got if wants[u] > got[u]), key=lambda u: wants[u] - got[u])
    for position, user in enumerate(queue):
        part = min(wants[user] - got[user], spare / (len(queue) - position))
        got[user] += part
        spare -= part
    return got


def _split(
    demands: Sequence[Demand],
    rates: dict[str, float],
    granted: dict[Direction, float],
) -> dict[str, float]:
    fresh = dict(rates)
    for link, total in granted.items():
        users = [d for d in demands if link in d.links]
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
