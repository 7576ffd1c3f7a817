"""From model and mapping to the objects wanted (docs/design.md draws the result)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from ipaddress import IPv4Address, IPv4Interface

from vnemu.embedding.mapping import Mapping, UnderlayPath
from vnemu.embedding.shares import Share, shares
from vnemu.model.impairment import Impairment
from vnemu.model.overlay import Node, Topology, VirtualLink
from vnemu.model.underlay import PhysicalLink
from vnemu.plan.diff import FragmentKey, Plan
from vnemu.plan.impair import impaired_wire, local_link, netem
from vnemu.plan.objects import (
    FABRIC,
    Address,
    Classifier,
    Htb,
    HtbClass,
    Namespace,
    Neighbour,
    Object,
    Patch,
    Port,
    Queue,
    Route,
    Tunnel,
    Veth,
    machine_namespace,
    node_namespace,
)
from vnemu.plan.sizes import FRAME, OVERHEAD, gso_bytes, queue_bytes, tunnel_kind
from vnemu.routing.static import StaticRoute, static_routes

VR_MTU = 1500
UNDERLAY_MTU = 9216
"""Room for a VR's frame and its encapsulation, so that nothing is ever fragmented."""

FIRST_VL_CLASS = 0x10

_WIRES = int(IPv4Address("100.64.0.0"))
_TUNNELS = int(IPv4Address("100.96.0.0"))


def tunnel_ends(number: int) -> tuple[IPv4Address, IPv4Address]:
    """The outer addresses of a tunnel, at the VL's end `a` and at its end `b`."""
    return IPv4Address(_TUNNELS + 2 * number), IPv4Address(_TUNNELS + 2 * number + 1)


def wire_ends(number: int) -> tuple[IPv4Address, IPv4Address]:
    """The addresses of a physical link's two ports."""
    return IPv4Address(_WIRES + 2 * number), IPv4Address(_WIRES + 2 * number + 1)


def vl_class(number: int) -> int:
    """The HTB class of the tunnel `number`, the same on every port it crosses."""
    return FIRST_VL_CLASS + number


def build(topology: Topology, mapping: Mapping, only: Iterable[FragmentKey] | None = None) -> Plan:
    """Plan a topology: all of it, or only some fragments (planned again after a change)."""
    builder = _Builder(topology, mapping)
    keys = builder.keys() if only is None else only
    return Plan({key: {o.key: o for o in builder.fragment(key)} for key in keys})


def share_key(physical: str, path: str) -> FragmentKey:
    """The fragment with the share that the VL `path` has of a physical link."""
    return ("share", f"{physical} {path}")


def reshared(
    before: Topology, after: Topology, mapping: Mapping, physical: Iterable[str]
) -> Iterator[FragmentKey]:
    """The fragments of the shares of `physical` links that differ between two topologies."""
    for name in physical:
        old = shares(before, mapping, name)
        for path, share in shares(after, mapping, name).items():
            if share != old[path]:
                yield share_key(name, path)


def _port_mac(number: int, end: int) -> bytes:
    return bytes((0x06, end, *number.to_bytes(4, "big")))


def _tunnel_mac(number: int, end: int) -> bytes:
    return bytes((0x0A, end, *number.to_bytes(4, "big")))


def _vif_mac(mac: bytes) -> bytes:
    return bytes((0x0E, *mac[1:]))


class _Builder:
    """Makes one fragment at a time; holds only what several fragments need."""

    def __init__(self, topology: Topology, mapping: Mapping) -> None:
        self._topology = topology
        self._mapping = mapping
        self._tunnels = tunnel_kind(topology.underlay.tunnel)
        self._shares: dict[str, dict[str, Share]] = {}

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
        """The objects of one fragment."""
        kind, name = key
        match kind:
            case "fabric":
                yield Namespace(FABRIC, "fabric")
            case "machine":
                yield Namespace(machine_namespace(name), "machine")
            case "wire":
                yield from self._wire(self._topology.underlay.links[name])
            case "node":
                yield from self._node(self._topology.nodes[name])
            case "link":
                yield from self._link(self._topology.links[name])
            case "share":
                link, _, path = name.partition(" ")
                yield from self._share(self._topology.underlay.links[link], path)

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
            yield Address(port.namespace, port.device, IPv4Interface((addresses[end], 31)))
            yield Neighbour(port.namespace, port.device, addresses[1 - end], peer.mac)
            yield Htb(port.namespace, port.device, link.rate.bps, overhead, leaf=False)
            yield from impaired_wire(link, port, f"ifb{number}", UNDERLAY_MTU)

    def _node(self, node: Node) -> Iterator[Object]:
        """A VR or host: its namespace, NICs, addresses and start-up routes."""
        name = node_namespace(node.path)
        yield Namespace(name, node.kind)
        for interface in node.loopbacks:
            yield Address(name, "lo", interface)
        for nic in node.nics:
            vif = Port(FABRIC, self._topology.vifs[node.path, nic.name], _vif_mac(nic.mac))
            yield Veth(vif, Port(name, nic.name, nic.mac), VR_MTU)
            for interface in nic.addresses:
                yield Address(name, nic.name, interface)
        for route in self._routes.get(node.path, ()):
            yield Route(name, route.destination, route.via, route.nic)

    @cached_property
    def _routes(self) -> dict[str, list[StaticRoute]]:
        found: dict[str, list[StaticRoute]] = {}
        for network in self._topology.networks.values():
            if network.routing == "static":
                found.update(static_routes(network))
        return found

    def _link(self, link: VirtualLink) -> Iterator[Object]:
        """A VL: a patch on one RM, or a tunnel with a patch at either end."""
        path = self._mapping.paths[link.path]
        vif_a = self._topology.vifs[link.a, link.a_nic]
        vif_b = self._topology.vifs[link.b, link.b_nic]
        if not path.links:
            limit = link.limit.bps if link.limit else None
            yield from local_link(path.number, (vif_a, vif_b), limit, link.impairment, VR_MTU)
            return
        yield from self._tunnel(path, link.impairment)
        slowest = self._slowest(path)
        for vif, tunnel in ((vif_a, f"t{path.number}a"), (vif_b, f"t{path.number}b")):
            yield Patch(FABRIC, vif, tunnel)
            yield Patch(FABRIC, tunnel, vif)
            if link.impairment:
                yield netem(FABRIC, vif, link.impairment, slowest)

    def _slowest(self, path: UnderlayPath) -> int:
        return min(self._topology.underlay.links[name].rate.bps for name in path.links)

    def _largest(self, path: UnderlayPath, impairment: Impairment) -> int:
        """The largest packet that may cross a path whole."""
        links = self._topology.underlay.links
        if impairment.is_lossy or any(links[name].impairment.is_lossy for name in path.links):
            return FRAME
        return gso_bytes(self._slowest(path))

    def _tunnel(self, path: UnderlayPath, impairment: Impairment) -> Iterator[Object]:
        """Both ends of a tunnel, and the host routes that pin it to its path."""
        number = path.number
        outer_a, outer_b = tunnel_ends(number)
        links = self._topology.underlay.links
        gso = self._largest(path, impairment)
        for end, letter, machine, local, remote in (
            (0, "a", path.machines[0], outer_a, outer_b),
            (1, "b", path.machines[-1], outer_b, outer_a),
        ):
            outer = machine_namespace(machine)
            mac = _tunnel_mac(number, end)
            yield Tunnel(
                f"t{number}{letter}",
                outer,
                self._tunnels,
                number,
                local,
                remote,
                mac,
                VR_MTU,
                gso,
                joins=not impairment.is_lossy,
            )
            yield Address(outer, "lo", IPv4Interface((local, 32)))
        for name, before, behind in path.hops():
            yield self._pin(links[name], before, outer_b)
            yield self._pin(links[name], behind, outer_a)

    def _pin(self, link: PhysicalLink, machine: str, destination: IPv4Address) -> Route:
        underlay = self._topology.underlay
        ends = wire_ends(underlay.numbers[link.name])
        via = ends[1] if machine == link.a else ends[0]
        network = IPv4Interface((destination, 32)).network
        return Route(machine_namespace(machine), network, via, underlay.ports[link.name, machine])

    def _share(self, link: PhysicalLink, path: str) -> Iterator[Object]:
        """The classes of a VL at both ports of a physical link that it crosses."""
        share = self._granted(link.name)[path]
        way = self._mapping.paths[path]
        outer_a, outer_b = tunnel_ends(way.number)
        minor = vl_class(way.number)
        before = next(a for name, a, _ in way.hops() if name == link.name)
        for machine in (link.a, link.b):
            namespace = machine_namespace(machine)
            device = self._topology.underlay.ports[link.name, machine]
            destination = outer_b if machine == before else outer_a
            yield HtbClass(namespace, device, minor, share.assured, share.ceiling)
            yield Queue(namespace, device, minor, queue_bytes(share.ceiling))
            yield Classifier(namespace, device, destination, minor)

    def _granted(self, link: str) -> dict[str, Share]:
        if link not in self._shares:
            self._shares[link] = shares(self._topology, self._mapping, link)
        return self._shares[link]
