"""The mapping of virtual networks on the underlay, and the admission of guarantees.

In the paper's terms: VR -> RM is single-valued but not injective (an RM hosts
several VRs); VL -> physical links is neither (a VL crosses several physical
links, and a physical link carries several VLs).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Topology
from vnemu.units import Rate


@dataclass(frozen=True)
class UnderlayPath:
    """The way of a VL through the underlay.

    Parameters:
        machines: the RMs from the VL's end `a` to its end `b`; one when both
            ends live on the same RM.
        links: names of the physical links between them.
        number: tells the VL from all others (from 1); a tunnel has it as its key.
    """

    machines: tuple[str, ...]
    links: tuple[str, ...]
    number: int

    def hops(self) -> Iterator[tuple[str, str, str]]:
        """Each physical link with the RM before and the RM behind it, from a to b."""
        return zip(self.links, self.machines[:-1], self.machines[1:], strict=True)


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

    @cached_property
    def crossing(self) -> dict[str, tuple[str, ...]]:
        """The VLs that cross each physical link."""
        found: dict[str, list[str]] = {}
        for link, path in self.paths.items():
            for physical in path.links:
                found.setdefault(physical, []).append(link)
        return {physical: tuple(links) for physical, links in found.items()}


def admit(topology: Topology, mapping: Mapping, physical_links: Iterable[str]) -> None:
    """Check that each of `physical_links` can hold the guarantees of the VLs that cross it.

    Raises:
        InputError: naming link, capacity, what is taken and by whom.
    """
    problems = [
        problem
        for name in physical_links
        if (problem := overcommitted(topology, name, mapping.crossing.get(name, ())))
    ]
    if problems:
        raise InputError(problems)


def overcommitted(topology: Topology, physical: str, links: Iterable[str]) -> Problem | None:
    """The problem of a physical link whose guarantees exceed its capacity, if it has one."""
    guaranteed = [link for link in links if topology.links[link].guarantee is not None]
    taken = sum(_guarantee(topology, link) for link in guaranteed)
    capacity = topology.underlay.links[physical].rate
    if taken <= capacity.bps:
        return None
    terms = " + ".join(f"{Rate(_guarantee(topology, link))} ({link})" for link in guaranteed)
    total = f" = {Rate(taken)}" if guaranteed[1:] else ""
    return Problem(
        topology.links[guaranteed[-1]].written_at,
        f"physical link {physical} has {capacity}, but is to guarantee {terms}{total}",
        f"take {Rate(taken - capacity.bps)} of guarantees away, or move a virtual link "
        "to another path",
    )


def _guarantee(topology: Topology, link: str) -> int:
    guarantee = topology.links[link].guarantee
    return guarantee.bps if guarantee else 0
