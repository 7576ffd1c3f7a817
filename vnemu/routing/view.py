"""A virtual network as one of its VRs is told of it: its NICs, neighbours and sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, collapse_addresses
from itertools import islice

from vnemu.model.ends import later_nics
from vnemu.model.overlay import IpAddress, IpNetwork, Nic, Node, Topology, VirtualLink
from vnemu.model.overlay import VirtualNetwork as Network
from vnemu.model.routing import IGPS, Protocol, RouterOs, Timer

SPARE_NICS = 8
"""So many NICs that may come later are configured in advance, where names are needed."""

# What a link costs when nothing is said; one for both daemons, whose own differ.
COSTS: dict[Protocol, int] = {"ospf": 10, "isis": 10, "babel": 96, "rip": 1}


@dataclass(frozen=True)
class Port:
    """A NIC of a VR, and what is at the other end of its VL.

    Parameters:
        link: None: no VL is plugged in.
        peer, far: the node and the NIC at the other end.
    """

    os: RouterOs
    nic: Nic
    link: VirtualLink | None = None
    peer: Node | None = None
    far: Nic | None = None

    @property
    def name(self) -> str:
        """The NIC's name."""
        return self.nic.name

    def speaks(self, protocol: Protocol) -> bool:
        """Whether the protocol is to be spoken here: both ends do, or nobody knows the other."""
        return self.os.speaks(protocol) and (self.peer is None or self.peer.os.speaks(protocol))

    @property
    def area(self) -> IPv4Address:
        """Its OSPF area."""
        return self.link.area if self.link and self.link.area is not None else self.os.area

    def cost(self, protocol: Protocol) -> int:
        """What it costs to send through it: the VL's own cost, the VR's, or the default."""
        own = self.link.cost if self.link else None
        return own or self.os.cost or COSTS[protocol]


@dataclass(frozen=True)
class Session:
    """A BGP session in one IP version.

    Parameters:
        name: unique in the VR, of letters, digits and ``_``.
        is_direct: between the two ends of a VL, not between loopbacks.
        reflects: what it learns from its neighbours within the AS it tells the others.
    """

    name: str
    version: int
    local: IpAddress
    remote: IpAddress
    remote_as: int
    is_internal: bool
    is_direct: bool
    reflects: bool = False


class View:
    """What the configuration of one VR is made from."""

    def __init__(self, topology: Topology, node: Node) -> None:
        network = topology.networks[node.network].at_start
        self.network = network
        declared = node.started_as is None
        self.node = network.nodes.get(node.name, node) if declared else node
        self.os = self.node.os
        self.versions = network.versions
        nics = {(n.path, nic.name): (n, nic) for n in network.nodes.values() for nic in n.nics}
        self.ports = [self._port(nic, nics) for nic in self.node.nics]

    def _port(self, nic: Nic, nics: dict[tuple[str, str], tuple[Node, Nic]]) -> Port:
        link = next((li for li in self.network.links.values() if li.path == nic.link), None)
        if link is None:
            return Port(self.os, nic)
        is_a = (link.a, link.a_nic) == (self.node.path, nic.name)
        peer, far = nics[(link.b, link.b_nic) if is_a else (link.a, link.a_nic)]
        return Port(self.os, nic, link, peer, far)

    def loopbacks(self, version: int) -> list[IpNetwork]:
        """Its loopback addresses of that version, as networks."""
        return [i.network for i in self.node.loopbacks if i.version == version]

    def speaking(self, protocol: Protocol) -> list[Port]:
        """The ports at which a protocol is spoken."""
        return [port for port in self.ports if port.speaks(protocol)]

    def silent(self, protocol: Protocol) -> list[Port]:
        """The ports at which it is not: to hosts, and to VRs that do not speak it."""
        return [port for port in self.ports if not port.speaks(protocol)]

    @property
    def spare(self) -> list[str]:
        """The names of NICs that may come later."""
        return [name for _, name in islice(later_nics(self.node.nics), SPARE_NICS)]

    def seconds(self, protocol: Protocol, timer: Timer) -> int:
        """A timer in whole seconds."""
        return self.os.timers.of(protocol, timer).amount // 10**9

    def ms(self, protocol: Protocol, timer: Timer) -> int:
        """A timer in milliseconds."""
        return self.os.timers.of(protocol, timer).amount // 10**6

    def others(self, protocol: Protocol) -> list[Protocol]:
        """What is redistributed into a protocol of the inside.

        From BGP only if there is a VR that hears of it in no other way.
        """
        igps: list[Protocol] = [other for other in self.os.igps if other != protocol]
        return [*igps, "bgp"] if self.os.speaks("bgp") and self._feeds else igps

    @property
    def _feeds(self) -> bool:
        return any(not node.os.speaks("bgp") for node in self._inside().values())

    def _inside(self) -> dict[str, Node]:
        """The VRs that it reaches through its interior protocols, itself among them."""
        found = {self.node.path: self.node}
        waiting = [self.node]
        neighbours = _inner_neighbours(self.network)
        while waiting:
            for peer in neighbours.get(waiting.pop().path, ()):
                if peer.path not in found:
                    found[peer.path] = peer
                    waiting.append(peer)
        return found

    def own_prefixes(self, version: int) -> list[IpNetwork]:
        """What its autonomous system is made of: it announces that, and what it is told by BGP."""
        mine = [
            a.network
            for node in self._inside().values()
            if node.os.asn in (None, self.os.asn)
            for a in node.addresses
            if a.version == version
        ]
        return list(collapse_addresses(mine))  # type: ignore[type-var]

    def sessions(self) -> Iterator[Session]:
        """Its BGP sessions, one in each IP version."""
        if not self.os.speaks("bgp"):
            return
        mesh = self._mesh()
        for port in self.speaking("bgp"):
            if port.peer is not None and port.peer.path not in mesh:
                yield from self._direct(port)
        for number, node in enumerate(mesh.values(), 1):
            yield from self._over_loopbacks(number, node)

    def _mesh(self) -> dict[str, Node]:
        """The VRs of its AS that its interior protocols reach."""
        if not self.os.igps:
            return {}
        return {
            path: node
            for path, node in self._inside().items()
            if path != self.node.path and node.os.asn == self.os.asn
        }

    def _direct(self, port: Port) -> Iterator[Session]:
        assert port.peer is not None
        assert port.far is not None
        remote_as = port.peer.os.asn
        assert remote_as is not None
        inner = remote_as == self.os.asn
        for version in self.versions:
            near, far = port.nic.address(version), port.far.address(version)
            if near is not None and far is not None:
                name = f"{port.name}_ipv{version}"
                yield Session(name, version, near.ip, far.ip, remote_as, inner, True, inner)

    def _over_loopbacks(self, number: int, node: Node) -> Iterator[Session]:
        assert self.os.asn is not None
        for version in self.versions:
            near = next((i.ip for i in self.node.loopbacks if i.version == version), None)
            far = next((i.ip for i in node.loopbacks if i.version == version), None)
            if near is not None and far is not None:
                name = f"inner{number}_ipv{version}"
                yield Session(name, version, near, far, self.os.asn, True, False)


def _inner_neighbours(network: Network) -> dict[str, list[Node]]:
    """The VRs that share an interior protocol over a VL."""
    found: dict[str, list[Node]] = {}
    nodes = {node.path: node for node in network.nodes.values()}
    for link in network.links.values():
        a, b = nodes[link.a], nodes[link.b]
        if IGPS.intersection(a.os.protocols).intersection(b.os.protocols):
            found.setdefault(a.path, []).append(b)
            found.setdefault(b.path, []).append(a)
    return found
