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
    links: tuple[tuple[str, bool], ...]
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
        wanted: dict[tuple[str, bool], float] = {}
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
    topology: Topology, mapping: Mapping, wanted: dict[tuple[str, bool], float]
) -> dict[tuple[str, bool], float]:
    """What each VL direction gets: its assured rate, then equal parts of what is left."""
    room: dict[tuple[str, str], float] = {}
    crossed: dict[tuple[str, bool], list[tuple[str, str]]] = {}
    most: dict[tuple[str, bool], float] = {}
    got: dict[tuple[str, bool], float] = {}
    for direction, want in wanted.items():
        path, forward = direction
        limit = topology.links[path].limit
        most[direction] = min(want, limit.bps) if limit else want
        hops = [(name, a if forward else b) for name, a, b in mapping.paths[path].hops()]
        crossed[direction] = hops
        assured = [shares(topology, mapping, name)[path].assured for name, _ in hops]
        got[direction] = min([most[direction], *assured])
        for hop in hops:
            room.setdefault(hop, float(topology.underlay.links[hop[0]].rate.bps))
    for direction, hops in crossed.items():
        for hop in hops:
            room[hop] -= got[direction]
    _lend(room, crossed, most, got)
    return got


def _lend(
    room: dict[tuple[str, str], float],
    crossed: dict[tuple[str, bool], list[tuple[str, str]]],
    most: dict[tuple[str, bool], float],
    got: dict[tuple[str, bool], float],
) -> None:
    def hungry() -> list[tuple[str, bool]]:
        return [
            d
            for d, hops in crossed.items()
            if hops and most[d] - got[d] > 1 and all(room[hop] > 1 for hop in hops)
        ]

    while active := hungry():
        users = {hop: sum(hop in crossed[d] for d in active) for d in active for hop in crossed[d]}
        wanted = min(most[d] - got[d] for d in active)
        step = min(wanted, *(room[hop] / count for hop, count in users.items()))
        for direction in active:
            got[direction] += step
            for hop in crossed[direction]:
                room[hop] -= step


def _split(
    demands: Sequence[Demand],
    rates: dict[str, float],
    granted: dict[tuple[str, bool], float],
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
