"""From model and mapping to the objects wanted (docs/design.md draws the result)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Interface

from vnemu.embedding.mapping import Mapping, UnderlayPath, has_carrier, passing
from vnemu.embedding.shares import Granted
from vnemu.model.overlay import Nic, Node, Topology, VirtualLink, VirtualNetwork
from vnemu.model.underlay import PhysicalLink
from vnemu.plan.capacity import capacity_of
from vnemu.plan.diff import FragmentKey, Plan
from vnemu.plan.impair import impaired_port, local_link, queue_of, round_trip
from vnemu.plan.objects import (
    FABRIC,
    Address,
    Block,
    Htb,
    HtbClass,
    Namespace,
    Neighbour,
    Object,
    Port,
    Route,
    Veth,
    machine_namespace,
    node_namespace,
)
from vnemu.plan.sizes import OVERHEAD, VR_MTU, tunnel_kind
from vnemu.plan.tunnels import tunnelled, vl_class, wire_ends, wires_round_trip
from vnemu.routing.static import StaticRoute, static_routes
from vnemu.units import Duration

UNDERLAY_MTU = 9216
"""Room for a VR's frame and its encapsulation, so that nothing is ever fragmented."""


def build(
    topology: Topology,
    mapping: Mapping,
    only: Iterable[FragmentKey] | None = None,
    granted: Granted | None = None,
) -> Plan:
    """Plan a topology: all of it, or only some fragments (planned again after a change).

    Parameters:
        granted: the shares of the physical links, if they are known.
    """
    builder = _Builder(topology, mapping, granted)
    keys = builder.keys() if only is None else only
    return Plan({key: {o.key: o for o in builder.fragment(key)} for key in keys})


def share_key(physical: str, path: str) -> FragmentKey:
    """The fragment with the share that the VL `path` has of a physical link."""
    return ("share", f"{physical} {path}")


@lru_cache(maxsize=8)
def _static_routes(network: VirtualNetwork) -> dict[str, list[StaticRoute]]:
    """The same for as long as a lab runs, and not quickly found for a large network."""
    return static_routes(network)


def _port_mac(number: int, end: int) -> bytes:
    return bytes((0x06, end, *number.to_bytes(4, "big")))


def _vif_mac(mac: bytes) -> bytes:
    return bytes((0x0E, *mac[1:]))


def _reaches(nic: Nic, route: StaticRoute) -> bool:
    """Whether a route's next hop is a neighbour at the NIC: a copy may be plugged in elsewhere."""
    return any(route.via in address.network for address in nic.addresses)


class _Builder:
    """Makes one fragment at a time; holds only what several fragments need."""

    def __init__(
        self, topology: Topology, mapping: Mapping, granted: Granted | None = None
    ) -> None:
        self._topology = topology
        self._mapping = mapping
        self._tunnels = tunnel_kind(topology.underlay.tunnel)
        self._granted = granted or Granted(topology, mapping)
        self._delays: dict[tuple[str, ...], int] = {}

    def keys(self) -> Iterator[FragmentKey]:
        """All fragments of the plan, in the order of creation."""
        yield ("fabric", "")
        for machine in self._topology.underlay.machines:
            yield ("machine", machine)
        for link in self._topology.underlay.links:
            yield ("wire", link)
        for path in self._topology.nodes:
            yield ("node", path)
        for path in self._topology.links:
            yield ("link", path)
        for link in self._topology.underlay.links:
            for path in self._mapping.crossing.get(link, ()):
                yield share_key(link, path)

    def fragment(self, key: FragmentKey) -> Iterator[Object]:
        """The objects of one fragment; none of a VL that is gone, or not there any more."""
        kind, name = key
        topology = self._topology
        match kind:
            case "fabric":
                yield Namespace(FABRIC, "fabric")
            case "machine":
                yield Namespace(machine_namespace(name), "machine")
            case "wire":
                yield from self._wire(self._topology.underlay.links[name])
            case "node" if name in topology.nodes:
                yield from self._node(topology.nodes[name])
            case "link" if name in topology.links:
                yield from self._link(topology.links[name])
            case "share":
                link, _, path = name.partition(" ")
                way = self._mapping.paths.get(path)
                if way is not None and link in way.all_links:
                    yield from self._share(topology.underlay.links[link], path)

    def _wire(self, link: PhysicalLink) -> Iterator[Object]:
        """A physical link: the pair, its addresses, capacity and delay."""
        underlay = self._topology.underlay
        number = underlay.numbers[link.name]
        addresses = wire_ends(number)
        overhead = OVERHEAD[self._tunnels]
        ports = [
            Port(
                machine_namespace(machine),
                underlay.ports[link.name, machine],
                _port_mac(number, end),
            )
            for end, machine in enumerate((link.a, link.b))
        ]
        yield Veth(ports[0], ports[1], UNDERLAY_MTU)
        for end, port in enumerate(ports):
            peer = ports[1 - end]
            sends, arrives = (link.forward, link.backward)[:: 1 - 2 * end]
            yield Address(port.namespace, port.device, IPv4Interface((addresses[end], 31)))
            yield Neighbour(port.namespace, port.device, addresses[1 - end], peer.mac)
            yield Htb(port.namespace, port.device, sends.rate.bps, overhead, leaf=False)
            yield from impaired_port(arrives, port, f"ifb{number}", UNDERLAY_MTU)
            if not underlay.passes(link.name, link.other((link.a, link.b)[end])):
                yield Block(port.namespace, port.device)

    def _node(self, node: Node) -> Iterator[Object]:
        """A VR or host: its namespace, NICs, addresses, forwarding capacity and start-up routes."""
        name = node_namespace(node.path)
        yield Namespace(name, node.kind)
        for interface in node.loopbacks:
            yield Address(name, "lo", interface)
        for nic in node.nics:
            vif = Port(FABRIC, self._topology.vifs[node.path, nic.name], _vif_mac(nic.mac))
            yield Veth(vif, Port(name, nic.name, nic.mac), VR_MTU, carrier=self._sees(nic))
            for interface in nic.addresses:
                yield Address(name, nic.name, interface)
        yield from capacity_of(node, self._topology.vifs)
        for route in self._routes_at_start(node):
            yield Route(name, route.destination, route.via, route.nic)

    def _routes_at_start(self, node: Node) -> Iterator[StaticRoute]:
        """What its Router OS was given when it started; it keeps that, come what may."""
        network = self._topology.networks[node.network].at_start
        if not node.os.speaks("static"):
            return
        origin = node.name if node.started_as is None else node.started_as
        nics = {nic.name: nic for nic in node.nics}
        for route in _static_routes(network).get(f"{node.network}/{origin}", ()):
            nic = nics.get(route.nic)
            if nic is not None and (node.started_as is None or _reaches(nic, route)):
                yield route

    def _sees(self, nic: Nic) -> bool:
        """Whether a NIC has carrier: not without a VL."""
        link = self._topology.links.get(nic.link)
        return link is not None and has_carrier(self._topology, self._mapping, link)

    def _link(self, link: VirtualLink) -> Iterator[Object]:
        """A VL: a patch on one RM, or a tunnel with a patch at either end."""
        path = self._mapping.paths[link.path]
        vif_a = self._topology.vifs[link.a, link.a_nic]
        vif_b = self._topology.vifs[link.b, link.b_nic]
        if path.links:
            yield from tunnelled(self._topology, link, path, (vif_a, vif_b))
        else:
            yield from local_link(link, path.number, (vif_a, vif_b), VR_MTU)
        open_ways = passing(self._topology, self._mapping, link)
        for way, sender in (("forward", vif_a), ("backward", vif_b)):
            if way not in open_ways:
                yield Block(FABRIC, sender)

    def _share(self, link: PhysicalLink, path: str) -> Iterator[Object]:
        """The classes of a VL at both ports of a physical link that it crosses."""
        virtual = self._topology.links[path]
        way = self._mapping.paths[path].over(link.name)
        minor = vl_class(way.number)
        trip = self._round_trip(virtual, way)
        before = way.machines[way.links.index(link.name)]
        ports = self._topology.underlay.ports
        for machine in (link.a, link.b):
            namespace = machine_namespace(machine)
            device = ports[link.name, machine]
            share = self._granted[link.name, machine][path]
            quality = virtual.forward if machine == before else virtual.backward
            yield HtbClass(namespace, device, minor, share.assured, share.ceiling)
            yield queue_of(namespace, device, minor, quality, share.ceiling, trip)

    def _round_trip(self, link: VirtualLink, way: UnderlayPath) -> Duration:
        """The delay of a VL and of the physical links on one of its paths, there and back."""
        if way.links not in self._delays:
            self._delays[way.links] = wires_round_trip(self._topology.underlay, way)
        return Duration(round_trip(link).amount + self._delays[way.links])
