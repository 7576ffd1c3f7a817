"""VLs between RMs: a tunnel for each of their paths, pinned to it by host routes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface

from vnemu.embedding.mapping import UnderlayPath
from vnemu.model.overlay import Topology, VirtualLink
from vnemu.model.quality import WireQuality
from vnemu.model.underlay import PhysicalLink, Underlay
from vnemu.plan.impair import impairing_cable, netem
from vnemu.plan.objects import (
    FABRIC,
    Address,
    Classifier,
    Object,
    Patch,
    Route,
    Tunnel,
    machine_namespace,
)
from vnemu.plan.sizes import FRAME, VR_MTU, declared_room, gso_bytes, tunnel_kind

_WIRES = int(IPv4Address("100.64.0.0"))
_TUNNELS = int(IPv4Address("100.96.0.0"))
_FIRST_VL_CLASS = 0x10


@lru_cache(maxsize=4096)
def tunnel_ends(number: int) -> tuple[IPv4Address, IPv4Address]:
    """The outer addresses of a tunnel, at the VL's end `a` and at its end `b`."""
    return IPv4Address(_TUNNELS + 2 * number), IPv4Address(_TUNNELS + 2 * number + 1)


def wire_ends(number: int) -> tuple[IPv4Address, IPv4Address]:
    """The addresses of a physical link's two ports."""
    return IPv4Address(_WIRES + 2 * number), IPv4Address(_WIRES + 2 * number + 1)


def vl_class(number: int) -> int:
    """The HTB class of the tunnel `number`, the same on every port it crosses."""
    return _FIRST_VL_CLASS + number


def tunnelled(
    topology: Topology, link: VirtualLink, path: UnderlayPath, vifs: tuple[str, str]
) -> Iterator[Object]:
    """A VL between RMs: its tunnels, and the patches between them and the vifs of its ends."""
    for way in path.ways:
        yield from _tunnel(topology, link, way)
    cable = impairing_cable(path.number, VR_MTU) if link.is_impaired else None
    if cable is not None:
        yield cable
    for vif, letter, forward in ((vifs[0], "a", False), (vifs[1], "b", True)):
        tunnel, *others = (f"t{way.number}{letter}" for way in path.ways)
        yield Patch(FABRIC, vif, tunnel, tuple(others), link.spread)
        arrives = vif
        if cable is not None:
            near, far = (cable.a, cable.b) if forward else (cable.b, cable.a)
            yield Patch(FABRIC, far.device, vif)
            arrives = near.device
        for device in (tunnel, *others):
            yield Patch(FABRIC, device, arrives)
        arriving = link.quality(forward).impairment
        if arriving:
            rate = sum(_slowest(topology.underlay, way, forward) for way in path.ways)
            yield netem(FABRIC, arrives, arriving, rate)


def wires_round_trip(underlay: Underlay, way: UnderlayPath) -> int:
    """The delay of the physical links on a path, there and back, in ns."""
    wires = [wire for forward in (True, False) for wire in _crossed(underlay, way, forward)]
    return sum(wire.impairment.delay.amount for wire in wires)


def _crossed(underlay: Underlay, way: UnderlayPath, forward: bool) -> Iterator[WireQuality]:
    """The quality of each physical link of a path, in the direction of travel."""
    for name, before, behind in way.hops():
        yield underlay.links[name].sent_by(before if forward else behind)


def _slowest(underlay: Underlay, way: UnderlayPath, forward: bool) -> int:
    return min(wire.rate.bps for wire in _crossed(underlay, way, forward))


def _largest(underlay: Underlay, link: VirtualLink, way: UnderlayPath, forward: bool) -> int:
    """The largest packet that may cross a VL whole in one direction."""
    quality = link.quality(forward)
    wires = list(_crossed(underlay, way, forward))
    if quality.impairment.is_lossy or any(wire.impairment.is_lossy for wire in wires):
        return FRAME
    rate = min(wire.rate.bps for wire in wires)
    sent = min(rate, link.bounds(forward)[1] or rate)
    return gso_bytes(rate, declared_room(quality.queue, sent))


def _tunnel(topology: Topology, link: VirtualLink, way: UnderlayPath) -> Iterator[Object]:
    """Both ends of a tunnel, and the host routes that pin it to its path."""
    number = way.number
    outer_a, outer_b = tunnel_ends(number)
    for end, letter, machine, local, remote in (
        (0, "a", way.machines[0], outer_a, outer_b),
        (1, "b", way.machines[-1], outer_b, outer_a),
    ):
        outer = machine_namespace(machine)
        yield Tunnel(
            f"t{number}{letter}",
            outer,
            tunnel_kind(topology.underlay.tunnel),
            number,
            local,
            remote,
            bytes((0x0A, end, *number.to_bytes(4, "big"))),
            VR_MTU,
            _largest(topology.underlay, link, way, forward=end == 0),
            joins=not link.quality(forward=end == 1).impairment.is_lossy,
        )
        yield Address(outer, "lo", IPv4Interface((local, 32)))
    yield from _pins(topology.underlay, way)
    yield from _classifiers(topology.underlay, way)


def _classifiers(underlay: Underlay, way: UnderlayPath) -> Iterator[Classifier]:
    """What puts a tunnel into its class at each port on its path."""
    outer_a, outer_b = tunnel_ends(way.number)
    minor = vl_class(way.number)
    for name, before, behind in way.hops():
        for machine, destination in ((before, outer_b), (behind, outer_a)):
            port = underlay.ports[name, machine]
            yield Classifier(machine_namespace(machine), port, destination, minor)


def _pins(underlay: Underlay, way: UnderlayPath) -> Iterator[Route]:
    """Host routes to both ends, those nearest to the destination first.

    In this order one path becomes another, pin by pin, without a loop on the way.
    """
    outer_a, outer_b = tunnel_ends(way.number)
    hops = list(way.hops())
    for name, before, _ in reversed(hops):
        yield _pin(underlay, underlay.links[name], before, outer_b)
    for name, _, behind in hops:
        yield _pin(underlay, underlay.links[name], behind, outer_a)


def _pin(underlay: Underlay, link: PhysicalLink, machine: str, destination: IPv4Address) -> Route:
    ends = wire_ends(underlay.numbers[link.name])
    via = ends[1] if machine == link.a else ends[0]
    network = IPv4Interface((destination, 32)).network
    return Route(machine_namespace(machine), network, via, underlay.ports[link.name, machine])
