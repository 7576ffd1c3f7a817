"""New paths at once for the VLs that ask for it when a physical link fails."""

from __future__ import annotations

from dataclasses import replace

from vnemu.embedding.mapping import admit
from vnemu.embedding.paths import rerouted
from vnemu.errors import InputError
from vnemu.model.overlay import VirtualLink
from vnemu.verbs.places import out_of_order
from vnemu.verbs.state import State


def remapped(state: State, why: str) -> State:
    """The state with the VLs that ask for it moved away from what has failed.

    The largest guarantees choose first. An aggregated VL goes on over those of its
    paths that are left. A VL that no path has room for stays where it is, without
    service; `State.notes` says all that was done.

    Parameters:
        why: what happened, in words.
    """
    broken = set(out_of_order(state))
    affected = [
        link
        for link in state.topology.links.values()
        if link.on_failure == "remap" and broken.intersection(_crossed(state, link))
    ]
    for link in sorted(affected, key=_guarantee, reverse=True):
        try:
            after = _around(state, link, broken)
        except InputError as error:
            note = f"{why}: {link.path} stays without service ({error.problems[0].message})"
            state = replace(state, notes=(*state.notes, note))
            continue
        ways = " and ".join("-".join(w.machines) for w in after.mapping.paths[link.path].ways)
        reason = {link.path: f"remapped, since {why}"}
        mapping = replace(after.mapping, why={**after.mapping.why, **reason})
        note = f"{why}: {link.path} goes over {ways} now"
        state = replace(after, mapping=mapping, notes=(*state.notes, note))
    return state


def _crossed(state: State, link: VirtualLink) -> set[str]:
    """The physical links and RMs on the paths of a VL."""
    ways = state.mapping.paths[link.path].ways
    return {name for way in ways for name in (*way.links, *way.machines)}


def _guarantee(link: VirtualLink) -> int:
    return max(link.forward.guaranteed, link.backward.guaranteed)


def _around(state: State, link: VirtualLink, broken: set[str]) -> State:
    """The state with one VL elsewhere.

    Raises:
        InputError: if there is no path for it, or none with room for its guarantee.
    """
    left = tuple(
        way.machines
        for way in state.mapping.paths[link.path].ways
        if broken.isdisjoint((*way.links, *way.machines))
    )
    topology = state.topology.with_links({link.path: replace(link, paths=left)})
    mapping = rerouted(topology, state.mapping, [link.path], broken)
    admit(topology, mapping, mapping.paths[link.path].all_links)
    return replace(state, topology=topology, mapping=mapping)
