"""From one state of a lab to the next: verbs are folded, then admitted together; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

from vnemu.embedding.mapping import Mapping, admit
from vnemu.embedding.paths import told_apart
from vnemu.embedding.shares import Granted
from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Topology


@dataclass(frozen=True)
class State:
    """What a lab is at a moment: a topology and where it is.

    Parameters:
        notes: what the last verbs did by themselves, in words (VLs remapped after a
            failure).
        ended: what the last verbs destroyed or stopped: names of networks, paths of nodes.
    """

    topology: Topology
    mapping: Mapping
    notes: tuple[str, ...] = ()
    ended: frozenset[str] = field(default=frozenset(), compare=False)

    @cached_property
    def granted(self) -> Granted:
        """The shares of the physical links."""
        return Granted(self.topology, self.mapping)

    def without(self, path: str, topology: Topology) -> State:
        """The state with another topology, which lacks `path` or in which it is stopped."""
        return replace(self, topology=topology, ended=self.ended | {path})

    def check_not_ended(self, path: str, ended: str, begun: str) -> None:
        """See that what begins was not ended by a verb of the same change.

        All verbs of a change happen at once: what is there before and after it would go on.

        Raises:
            InputError: saying that it was `ended`, and is `begun` now.
        """
        if path in self.ended:
            message = f"{path} is {ended} and {begun} in one change"
            raise InputError([Problem("", message, "make two of it, one after the other")])


class Verb(Protocol):
    """One change, as a frozen value; ``str`` says it in the timeline's words."""

    def carried_out(self, state: State) -> State:
        """The state after it. Guarantees are not checked yet (`carry_out` does).

        Raises:
            InputError: if it names what is not there, or cannot be done.
        """


def carry_out(state: State, verbs: Iterable[Verb]) -> State:
    """The state after all of `verbs`: one atomic change.

    A guarantee may be broken in between, if another verb makes room for it.

    Raises:
        InputError: if one cannot be done, or a physical link cannot hold the
            guarantees that are on it in the end.
    """
    after = replace(state, notes=(), ended=frozenset())
    for verb in verbs:
        after = verb.carried_out(after)
    _check_copies(state.topology, after.topology)
    after = replace(after, mapping=told_apart(state.mapping, after.mapping))
    admit(after.topology, after.mapping, touched(state, after))
    return after


def _check_copies(before: Topology, after: Topology) -> None:
    """A new copy takes over what its original has: that has to be there."""
    if before.nodes is after.nodes:
        return
    for path, node in after.nodes.items():
        origin = node.copied_from
        if path not in before.nodes and origin and origin not in before.nodes:
            message = f"{origin} is made and copied in one change"
            raise InputError([Problem("", message, "make two of it, one after the other")])


def touched(before: State, after: State) -> list[str]:
    """The physical links that changed, or that a VL crosses or crossed which changed."""
    old, new = before.topology, after.topology
    found: dict[str, None] = {}
    for name, physical in new.underlay.links.items():
        if physical is not old.underlay.links.get(name):
            found[name] = None
    same = before.mapping.paths is after.mapping.paths
    places = [after.mapping.paths] if same else [before.mapping.paths, after.mapping.paths]
    for path in changed_links(before, after):
        for paths in places:
            if path in paths:
                for name in paths[path].all_links:
                    found[name] = None
    return list(found)


def changed_links(before: State, after: State) -> list[str]:
    """The VLs that are new, gone, otherwise, elsewhere, or of a network paused or resumed.

    Values are frozen, so what is the same object has not changed: of a thousand VLs
    this finds the one that did in no time.
    """
    old, new = before.topology.links, after.topology.links
    old_ways, ways = before.mapping.paths, after.mapping.paths
    idle = before.topology.idle ^ after.topology.idle
    if old is new and old_ways is ways and not idle:
        return []
    found = [
        path
        for path, link in new.items()
        if link is not old.get(path) or ways[path] is not old_ways.get(path) or path in idle
    ]
    return found + [path for path in old if path not in new]


def moved_links(before: State, after: State) -> list[str]:
    """The VLs whose path is another one."""
    old = before.mapping.paths
    return [p for p, way in after.mapping.paths.items() if p in old and way != old[p]]
