"""The verb that moves a VL to another path of the underlay."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

from vnemu.embedding.paths import rerouted
from vnemu.errors import InputError, Problem
from vnemu.model.faults import virtual_link
from vnemu.verbs.life import MoveRouter
from vnemu.verbs.places import check_known, out_of_order
from vnemu.verbs.state import State

Path = tuple[str, ...]


@dataclass(frozen=True)
class Move:
    """Let a VL take another path; its VRs do not notice.

    Of a VR by that name, when there is no such VL: as `MoveRouter`.

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
        if self.link in topology.nodes and self.link not in topology.links:
            self._check_no_path()
            return MoveRouter(self.link, avoid=self.avoid).carried_out(state)
        link = virtual_link(topology, self.link)
        check_known(state, self.avoid, chain.from_iterable(self.wanted))
        moved = topology.with_links({link.path: replace(link, paths=self.wanted)})
        avoid = set(self.avoid) if self.wanted else {*self.avoid, *out_of_order(state)}
        mapping = rerouted(moved, state.mapping, [link.path], avoid)
        return replace(state, topology=moved, mapping=mapping)

    def _check_no_path(self) -> None:
        if self.wanted:
            message = f"'{self.link}' is a VR or host: paths are of virtual links"
            raise InputError([Problem("", message, "name the machine that it moves to")])

    def __str__(self) -> str:
        to = f" to {' and '.join('-'.join(path) for path in self.wanted)}" if self.wanted else ""
        around = f" around {', '.join(self.avoid)}" if self.avoid else ""
        return f"move {self.link}{to}{around}"
