"""Faults and their repair, as data: each gives another topology, which is planned again."""

from __future__ import annotations

from dataclasses import replace

from vnemu.errors import InputError, Problem
from vnemu.model.change import find, ways
from vnemu.model.overlay import Topology, VirtualLink
from vnemu.model.underlay import PhysicalLink
from vnemu.schema.wording import instead_of


def virtual_link(topology: Topology, path: str) -> VirtualLink:
    """The VL called `path` (network/link).

    Raises:
        InputError: if there is none.
    """
    if "/" not in path:
        near = [link for link in topology.links if link.endswith(f"/{path}")]
        raise InputError([Problem("", f"'{path}' is no virtual link", instead_of(path, near))])
    link = find(topology, path)
    assert isinstance(link, VirtualLink), "its name has a slash"
    return link


def with_carrier(topology: Topology, path: str, carrier: bool) -> Topology:
    """The topology with the carrier of a VL on or off.

    Raises:
        InputError: if there is no such VL.
    """
    return topology.with_links({path: replace(virtual_link(topology, path), carrier=carrier)})


def with_cut(topology: Topology, name: str, direction: str | None, is_cut: bool) -> Topology:
    """The topology with a VL or physical link cut in a direction (None: both), or mended.

    Raises:
        InputError: if there is no such link or direction.
    """
    link = find(topology, name)
    which = ways(link, direction)
    cut = link.cut | which if is_cut else link.cut - which
    if isinstance(link, VirtualLink):
        return topology.with_links({name: replace(link, cut=cut)})
    return topology.with_physical_links({name: replace(link, cut=cut)})


def with_failure(
    topology: Topology, name: str, direction: str | None, has_failed: bool
) -> Topology:
    """The topology with a physical link (in a direction; None: both) or an RM failed, or repaired.

    Raises:
        InputError: if there is no such link, RM or direction.
    """
    if direction is not None:
        return with_cut(topology, _physical(topology, name).name, direction, has_failed)
    underlay = topology.underlay
    if _is_machine(topology, name):
        others = underlay.failed_machines - {name}
        machines = others | {name} if has_failed else others
        return replace(topology, underlay=replace(underlay, failed_machines=machines))
    link = _physical(topology, name)
    cut = link.cut if has_failed else frozenset()
    return topology.with_physical_links({name: replace(link, failed=has_failed, cut=cut)})


def _is_machine(topology: Topology, name: str) -> bool:
    """A name that both a physical link and an RM have means the link."""
    return name not in topology.underlay.links and name in topology.underlay.machines


def _physical(topology: Topology, name: str) -> PhysicalLink:
    link = topology.underlay.links.get(name)
    if link is None:
        names = [*topology.underlay.links, *topology.underlay.machines]
        message = f"there is no physical link or machine '{name}'"
        raise InputError([Problem("", message, instead_of(name, names))])
    return link
