"""The places of the underlay that verbs name: which there are, and which are out of order."""

from __future__ import annotations

from collections.abc import Iterable

from vnemu.errors import InputError, Problem
from vnemu.schema.wording import instead_of
from vnemu.verbs.state import State


def out_of_order(state: State) -> list[str]:
    """The physical links over which not everything passes, and the RMs that have failed."""
    underlay = state.topology.underlay
    links = (
        link.name
        for link in underlay.links.values()
        if not (underlay.passes(link.name, link.a) and underlay.passes(link.name, link.b))
    )
    return [*links, *underlay.failed_machines]


def check_known(state: State, avoid: Iterable[str], path: Iterable[str]) -> None:
    """Check names of RMs and physical links to `avoid`, and of the RMs of a `path`.

    Raises:
        InputError: with those that are not there.
    """
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
