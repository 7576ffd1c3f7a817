"""Where frames are captured: what a person names, as devices of the kernel; pure.

A NIC of a node is heard at its vif, outside of the VR. A frame that arrives there was
sent by the NIC; one that leaves by the vif comes to it, delayed and shaped already. A
physical link is heard at its ports, in the machines at its ends: tunnels are seen there.
"""

from __future__ import annotations

from dataclasses import dataclass

from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Topology
from vnemu.plan.objects import FABRIC, machine_namespace
from vnemu.schema.wording import instead_of


@dataclass(frozen=True, slots=True)
class Tap:
    """A device that is listened to.

    Parameters:
        name: what it is for people, such as ``a/r1:eth0`` or ``rm1:to-rm2``.
        namespace, device: where it is heard.
        faces: whether the device is the other end of what it is called after, so that
            what arrives there was sent by that.
    """

    name: str
    namespace: str
    device: str
    faces: bool


def taps_of(topology: Topology, what: str) -> tuple[Tap, ...]:
    """The devices at which something is captured.

    Parameters:
        what: a VL (``a/core``) or a physical link (``rm1-rm2``): both of its ends; with one
            of them (``a/core:r1``, ``rm1-rm2:rm1``) that alone; a node (``a/r1``) or a
            machine (``rm1``): all of its NICs, or one (``a/r1:eth0``, ``rm1:to-rm2``). Where
            a VL is called like a node, the VL is meant.

    Raises:
        InputError: if there is none.
    """
    name, colon, part = what.partition(":")
    ends, nics = _ends(topology, name), _nics(topology, name)
    if colon and part in (parts := {**nics, **ends}):
        return (parts[part],)
    found = () if colon else tuple((ends or nics).values())
    if not found:
        raise InputError([_unknown(topology, what, name, [*ends, *nics])])
    return found


def nic_name(node: str, nic: str) -> str:
    """What a NIC of a node is called, such as ``a/r1:eth0``."""
    return f"{node}:{nic}"


def _ends(topology: Topology, name: str) -> dict[str, Tap]:
    """The taps of a link by the names of its ends; none if there is no such link."""
    if name in topology.links:
        link = topology.links[name]
        joined = {nic.link: nic.name for nic in topology.nodes[link.a].nics}
        other = {nic.link: nic.name for nic in topology.nodes[link.b].nics}
        taps = [_vif(topology, link.a, joined[name]), _vif(topology, link.b, other[name])]
        return dict(zip((_bare(link.a), _bare(link.b)), taps, strict=True))
    if name in topology.underlay.links:
        wire = topology.underlay.links[name]
        return {machine: _port(topology, name, machine) for machine in (wire.a, wire.b)}
    return {}


def _nics(topology: Topology, name: str) -> dict[str, Tap]:
    """The taps of a node or machine by the names of its NICs; none if there is no such."""
    if name in topology.nodes:
        nics = topology.nodes[name].nics
        return {nic.name: _vif(topology, name, nic.name) for nic in nics}
    ports = topology.underlay.ports.items()
    taps = [_port(topology, *port) for port, _ in ports if port[1] == name]
    return {tap.device: tap for tap in taps}


def _vif(topology: Topology, node: str, nic: str) -> Tap:
    return Tap(nic_name(node, nic), FABRIC, topology.vifs[node, nic], faces=True)


def _port(topology: Topology, link: str, machine: str) -> Tap:
    device = topology.underlay.ports[link, machine]
    return Tap(f"{machine}:{device}", machine_namespace(machine), device, faces=False)


def _bare(path: str) -> str:
    return path.rpartition("/")[2]


def _unknown(topology: Topology, what: str, name: str, parts: list[str]) -> Problem:
    if parts:
        hint = instead_of(what, [f"{name}:{part}" for part in parts])
        return Problem("", f"{name} has no end or NIC '{what.partition(':')[2]}'", hint)
    underlay = topology.underlay
    if name in topology.nodes or name in underlay.machines:
        return Problem("", f"{name} has no NIC: nothing can be captured there")
    names = [*topology.links, *topology.nodes, *underlay.links, *underlay.machines]
    message = f"there is no link, node or machine '{name}' to capture at"
    return Problem("", message, instead_of(name, names))
