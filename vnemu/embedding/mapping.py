"""The mapping of virtual networks on the underlay, and the admission of guarantees.

In the paper's terms: VR -> RM is single-valued but not injective (an RM hosts
several VRs); VL -> physical links is neither (a VL crosses several physical
links, and a physical link carries several VLs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

from vnemu.errors import InputError, Problem
from vnemu.model.life import all_run, is_powered
from vnemu.model.overlay import Topology, VirtualLink
from vnemu.model.quality import BOTH_WAYS, Way
from vnemu.model.underlay import PhysicalLink, Underlay
from vnemu.units import Rate

Direction = tuple[str, bool]
"""A VL, and whether it is crossed from its end a to its end b."""
Port = tuple[str, str]
"""A physical link, and the RM that sends on it."""


@dataclass(frozen=True)
class UnderlayPath:
    """The way of a VL through the underlay.

    Parameters:
        machines: the RMs from the VL's end `a` to its end `b`; one when both
            ends live on the same RM.
        links: names of the physical links between them.
        number: tells the path from all others (from 1); a tunnel has it as its key.
        beside: more paths of the same VL, over which its frames are spread evenly; no
            two have a physical link in common.
    """

    machines: tuple[str, ...]
    links: tuple[str, ...]
    number: int
    beside: tuple[UnderlayPath, ...] = ()

    @property
    def ways(self) -> tuple[UnderlayPath, ...]:
        """All paths of the VL, this one first."""
        return (self, *self.beside)

    @cached_property
    def all_links(self) -> tuple[str, ...]:
        """The physical links of all paths of the VL."""
        if not self.beside:
            return self.links
        return tuple(name for way in self.ways for name in way.links)

    def over(self, physical: str) -> UnderlayPath:
        """That of the paths which crosses a physical link."""
        if not self.beside:
            return self
        return next(way for way in self.ways if physical in way.links)

    def hops(self) -> Iterator[tuple[str, str, str]]:
        """Each physical link with the RM before and the RM behind it, from a to b."""
        return zip(self.links, self.machines[:-1], self.machines[1:], strict=True)

    def passes(self, underlay: Underlay, forward: bool) -> bool:
        """Whether its physical links let frames pass, from a to b or (not `forward`) back."""
        return all(underlay.passes(name, a if forward else b) for name, a, b in self.hops())


@dataclass(frozen=True)
class Mapping:
    """Where every VR, host and VL is, and why.

    Parameters:
        machines: RM by node path.
        paths: underlay path by VL path.
        why: a sentence by node path or VL path.
    """

    machines: dict[str, str] = field(hash=False)
    paths: dict[str, UnderlayPath] = field(hash=False)
    why: dict[str, str] = field(hash=False)

    def within(self, topology: Topology) -> Mapping:
        """What it says of the nodes and VLs that a topology still has."""
        there = topology.nodes.keys() | topology.links.keys()
        return Mapping(
            {path: machine for path, machine in self.machines.items() if path in topology.nodes},
            {path: way for path, way in self.paths.items() if path in topology.links},
            {path: why for path, why in self.why.items() if path in there},
        )

    @cached_property
    def crossing(self) -> dict[str, tuple[str, ...]]:
        """The VLs that cross each physical link."""
        found: dict[str, list[str]] = {}
        for link, path in self.paths.items():
            for physical in path.all_links:
                found.setdefault(physical, []).append(link)
        return {physical: tuple(links) for physical, links in found.items()}

    @cached_property
    def users(self) -> dict[Port, tuple[Direction, ...]]:
        """What is sent from each port: VLs, each in one direction."""
        found: dict[Port, list[Direction]] = {}
        for link, path in self.paths.items():
            for physical, before, behind in chain.from_iterable(w.hops() for w in path.ways):
                found.setdefault((physical, before), []).append((link, True))
                found.setdefault((physical, behind), []).append((link, False))
        return {port: tuple(users) for port, users in found.items()}


def admit(topology: Topology, mapping: Mapping, physical_links: Iterable[str]) -> None:
    """Check that each of `physical_links` can hold the guarantees of the VLs that cross it.

    Raises:
        InputError: naming link, capacity, what is taken and by whom.
    """
    problems = [
        problem
        for name in physical_links
        for port in ports(topology.underlay.links[name])
        if (problem := overcommitted(topology, port, mapping.users.get(port, ())))
    ]
    if problems:
        raise InputError(dict.fromkeys(problems))


def ports(physical: PhysicalLink) -> tuple[Port, Port]:
    """The two ports of a physical link, its end a's first."""
    return (physical.name, physical.a), (physical.name, physical.b)


def overcommitted(topology: Topology, port: Port, users: Iterable[Direction]) -> Problem | None:
    """The problem of a port whose guarantees exceed its capacity, if it has one."""
    physical = topology.underlay.links[port[0]]
    capacity = physical.sent_by(port[1]).rate
    owed = [
        (topology.links[path], topology.links[path].bounds(forward)[0])
        for path, forward in users
        if path not in topology.idle
    ]
    taken = sum(guarantee for _, guarantee in owed)
    if taken <= capacity.bps:
        return None
    owed = [(link, guarantee) for link, guarantee in owed if guarantee]
    terms = " + ".join(f"{Rate(guarantee)} ({link.path})" for link, guarantee in owed)
    total = f" = {Rate(taken)}" if owed[1:] else ""
    alike = physical.is_symmetric and all(link.is_symmetric for link, _ in owed)
    name = port[0] if alike else f"{port[0]} ({physical.direction(port[1] == physical.a)})"
    return Problem(
        owed[-1][0].written_at,
        f"physical link {name} has {capacity}, but is to guarantee {terms}{total}",
        f"take {Rate(taken - capacity.bps)} of guarantees away, or move a virtual link "
        "to another path",
    )


def has_carrier(topology: Topology, mapping: Mapping, link: VirtualLink) -> bool:
    """Whether the NICs at a VL's ends see a carrier.

    They do unless it was taken away, an end is stopped, or the VL is to lose it with a failed
    physical link.
    """
    if not is_powered(topology, link):
        return False
    if not link.carrier or link.on_failure != "carrier":
        return link.carrier
    crossed = mapping.paths[link.path].all_links
    return not any(topology.underlay.has_failed(name) for name in crossed)


def passing(topology: Topology, mapping: Mapping, link: VirtualLink) -> frozenset[Way]:
    """The ways in which a VL takes frames from its ends: those not cut.

    Nothing leaves or reaches a node that does not run, or is on a failed RM.
    """
    if not all_run(topology, link):
        return frozenset()
    failed = topology.underlay.failed_machines
    if failed and not failed.isdisjoint((mapping.machines[link.a], mapping.machines[link.b])):
        return frozenset()
    return BOTH_WAYS - link.cut
