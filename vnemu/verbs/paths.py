"""The verb that moves a VL to another path of the underlay."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain

from vnemu.embedding.paths import rerouted
from vnemu.errors import InputError, Problem
from vnemu.model.faults import virtual_link
from vnemu.schema.wording import instead_of
from vnemu.verbs.state import State

Path = tuple[str, ...]


@dataclass(frozen=True)
class Move:
    """Let a VL take another path; its VRs do not notice.

    Parameters:
        path: the RMs to cross, in order; None: the best path now, around what has failed.
        avoid: RMs and physical links that it must not cross.
        paths: several paths to be aggregated, in place of `path`.
    """

    link: str
    path: Path | None = None
    avoid: Path = ()
    paths: tuple[Path, ...] = ()

    @property
    def wanted(self) -> tuple[Path, ...]:
        """The paths that were asked for; empty to have one chosen."""
        return self.paths or ((self.path,) if self.path else ())

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        topology = state.topology
        link = virtual_link(topology, self.link)
        _check_known(state, self.avoid, chain.from_iterable(self.wanted))
        moved = topology.with_links({link.path: replace(link, paths=self.wanted)})
        avoid = set(self.avoid) if self.wanted else {*self.avoid, *out_of_order(state)}
        mapping = rerouted(moved, state.mapping, [link.path], avoid)
        return replace(state, topology=moved, mapping=mapping)

    def __str__(self) -> str:
        to = f" to {' and '.join('-'.join(path) for path in self.wanted)}" if self.wanted else ""
        around = f" around {', '.join(self.avoid)}" if self.avoid else ""
        return f"move {self.link}{to}{around}"


def out_of_order(state: State) -> list[str]:
    """The physical links over which not everything passes, and the RMs that have failed."""
    underlay = state.topology.underlay
    links = (
        link.name
        for link in underlay.links.values()
        if not (underlay.passes(link.name, link.a) and underlay.passes(link.name, link.b))
    )
    return [*links, *underlay.failed_machines]


def _check_known(state: State, avoid: Iterable[str], path: Iterable[str]) -> None:
    underlay = state.topology.underlay
    machines = list(underlay.machines)
    either = [*machines, *underlay.links]
    problems = [
        Problem("", f"there is no machine or physical link '{name}'", instead_of(name, either))
        for name in avoid
        if name not in either
    ]
    problems += [
        Problem("", f"there is no machine '{name}'", instead_of(name, machines))
        for name in dict.fromkeys(path)
        if name not in machines
    ]
    if problems:
        raise InputError(problems)
