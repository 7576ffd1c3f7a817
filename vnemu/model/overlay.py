"""The overlay: virtual networks (VNs) of virtual routers (VRs) and virtual links (VLs).

All values are frozen; a change at run time is a new value.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from typing import Literal

from vnemu.model.naming import device_name
from vnemu.model.quality import PLAIN, Quality, Way
from vnemu.model.resources import UNLIMITED, Resources
from vnemu.model.routing import STATIC, RouterOs
from vnemu.model.underlay import PhysicalLink, Underlay
from vnemu.schema.routing import RoutingDoc

Interface = IPv4Interface | IPv6Interface
IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network
OnFailure = Literal["silent", "carrier", "remap"]
NodeState = Literal["running", "paused", "stopped"]


@dataclass(frozen=True)
class Nic:
    """A virtual network interface (NIC) of a node.

    Parameters:
        name: as the node sees it: eth0, eth1, … unless the file gives it another.
        link: path of the VL (network/link) that is plugged in; empty: none.
        mac: six bytes.
        addresses: in the order IPv4, IPv6.
        number: among the NICs of its node, which it keeps when others go.
    """

    node: str
    name: str
    link: str
    mac: bytes
    addresses: tuple[Interface, ...]
    number: int

    def address(self, version: int) -> Interface | None:
        """The NIC's address of that IP version."""
        return next((a for a in self.addresses if a.version == version), None)


@dataclass(frozen=True)
class Node:
    """A virtual router, or an end system (host) behind one.

    Parameters:
        path: network/name.
        on: the RM the file asks for; None to let the embedding choose. For a
            host, None: it lives with its router.
        at: path of a host's router; None for a router.
        loopbacks: addresses of the router itself.
        os: its Router OS; a host has static routes.
        state: paused, it neither computes nor forwards, yet keeps its carrier; stopped,
            its peers see no carrier either (`vnemu.model.life`).
        copied_from: path of the VR that it began as a copy of; empty: it is none.
        resources: the limits of what it may use.
        started_as: the node of `VirtualNetwork.at_start` whose configuration it was started
            with; None: that of its own name; empty: it came later, with one of its own.
        written_at: file:line of its declaration.
    """

    network: str
    name: str
    kind: Literal["router", "host"]
    nics: tuple[Nic, ...]
    on: str | None = None
    at: str | None = None
    loopbacks: tuple[Interface, ...] = ()
    os: RouterOs = STATIC
    state: NodeState = "running"
    copied_from: str = ""
    started_as: str | None = None
    resources: Resources = UNLIMITED
    written_at: str = field(default="", compare=False)

    @property
    def path(self) -> str:
        """network/name."""
        return f"{self.network}/{self.name}"

    @property
    def addresses(self) -> tuple[Interface, ...]:
        """All its addresses, loopbacks first."""
        return (*self.loopbacks, *(a for nic in self.nics for a in nic.addresses))


@dataclass(frozen=True)
class VirtualLink:
    """A virtual link: to its two nodes one direct hop.

    Parameters:
        a, b: paths of its end nodes.
        forward, backward: its quality from `a` to `b`, and back.
        paths: the RMs that it shall cross, in order; several: it is aggregated over as
            many paths; none: the embedding chooses one.
        spread: over several paths, whether all frames of a flow take the same one, or
            each any.
        access: whether it attaches a host to its router.
        carrier: False: both NICs see that their cable is gone.
        cut: the directions in which nothing passes, though the carrier stays.
        on_failure: what a failed physical link on its path does to it: nothing that the
            VRs see but silence, loss of carrier, or a new path at once.
        cost, area: what the routing protocols were told; None: that of its ends.
        written_at: file:line of its declaration.
    """

    network: str
    name: str
    a: str
    b: str
    a_nic: str
    b_nic: str
    forward: Quality = PLAIN
    backward: Quality = PLAIN
    paths: tuple[tuple[str, ...], ...] = ()
    spread: Literal["flow", "packet"] = "flow"
    access: bool = False
    carrier: bool = True
    cut: frozenset[Way] = frozenset()
    on_failure: OnFailure = "silent"
    cost: int | None = None
    area: IPv4Address | None = None
    written_at: str = field(default="", compare=False)

    @property
    def path(self) -> str:
        """network/name."""
        return f"{self.network}/{self.name}"

    def quality(self, forward: bool) -> Quality:
        """Its quality from `a` to `b`, or back."""
        return self.forward if forward else self.backward

    def with_qualities(self, forward: Quality, backward: Quality) -> VirtualLink:
        """The same VL with other qualities."""
        # As dataclasses.replace, which takes ten times as long: it counts for 1000 VLs.
        other = object.__new__(VirtualLink)
        other.__dict__.update(self.__dict__, forward=forward, backward=backward)
        return other

    def bounds(self, forward: bool) -> tuple[int, int]:
        """Its guarantee and its limit on each of its paths, in bit/s; 0: none."""
        quality = self.forward if forward else self.backward
        floor = quality.guarantee.amount if quality.guarantee else 0
        ceiling = quality.limit.amount if quality.limit else 0
        ways = len(self.paths)
        return (floor, ceiling) if ways < 2 else (-(-floor // ways), ceiling // ways)

    def direction(self, forward: bool) -> str:
        """A direction, as it is written: ``r1>r2``."""
        a, b = self.a.rpartition("/")[2], self.b.rpartition("/")[2]
        return f"{a}>{b}" if forward else f"{b}>{a}"

    @property
    def is_symmetric(self) -> bool:
        """Whether both directions have the same quality."""
        return self.forward == self.backward

    @property
    def has_guarantee(self) -> bool:
        """Whether it has a guarantee in either direction."""
        return bool(self.forward.guarantee or self.backward.guarantee)

    @property
    def is_impaired(self) -> bool:
        """Whether it is impaired in either direction."""
        return bool(self.forward.impairment or self.backward.impairment)


@dataclass(frozen=True)
class VirtualNetwork:
    """One overlay: an undirected connected graph of VRs, with its end systems.

    Parameters:
        ipv4, ipv6: the pools that its links are numbered from; None: it does without.
        number: its own in the topology, for its MAC addresses.
        paused: names of the nodes that were paused with it; None: it is not paused.
        started: what it was when its VRs were started; None: what it is.
        routing: what its file says of the routing of all of its VRs.
    """

    name: str
    versions: tuple[int, ...]
    nodes: dict[str, Node] = field(hash=False)
    links: dict[str, VirtualLink] = field(hash=False)
    ipv4: IPv4Network | None = None
    ipv6: IPv6Network | None = None
    number: int = 0
    paused: frozenset[str] | None = None
    started: VirtualNetwork | None = field(default=None, compare=False)
    routing: RoutingDoc | None = field(default=None, compare=False, repr=False)

    @property
    def at_start(self) -> VirtualNetwork:
        """What its VRs were configured for; VLs that come and go later do not change that."""
        return self.started or self

    @property
    def is_dynamic(self) -> bool:
        """Whether any of its VRs speaks a routing protocol."""
        return any(node.os.is_dynamic for node in self.nodes.values())

    @property
    def routers(self) -> list[Node]:
        """The VRs, in the order of the file."""
        return [node for node in self.nodes.values() if node.kind == "router"]


@dataclass(frozen=True)
class Topology:
    """An underlay and the virtual networks on it: all that a topology file means.

    `nodes` and `links` are by path, over all networks.

    Parameters:
        held: the vifs that there were before the last change; those that stay keep their name.
    """

    name: str
    underlay: Underlay
    networks: dict[str, VirtualNetwork] = field(hash=False)
    nodes: dict[str, Node] = field(hash=False)
    links: dict[str, VirtualLink] = field(hash=False)
    held: dict[tuple[str, str], str] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def vifs(self) -> dict[tuple[str, str], str]:
        """The VMM's end of each NIC: (node path, NIC name) -> device in the fabric."""
        names: dict[tuple[str, str], str] = {}
        taken = {"lo", *self.held.values()}
        for path, node in self.nodes.items():
            for nic in node.nics:
                name = self.held.get((path, nic.name))
                if name is None:
                    name = device_name(f"{path.replace('/', '.')}.{nic.number}", taken)
                    taken.add(name)
                names[path, nic.name] = name
        return names

    @cached_property
    def idle(self) -> frozenset[str]:
        """The VLs of paused networks: they have no part of any physical link."""
        paused = (network for network in self.networks.values() if network.paused is not None)
        return frozenset(link.path for network in paused for link in network.links.values())

    def with_links(self, changed: dict[str, VirtualLink]) -> Topology:
        """The same topology with some VLs replaced (same paths, other properties)."""
        if not changed:
            return self
        networks = dict(self.networks)
        own: dict[str, dict[str, VirtualLink]] = {}
        for link in changed.values():
            own.setdefault(link.network, {})[link.name] = link
        for name, links in own.items():
            networks[name] = replace(networks[name], links={**networks[name].links, **links})
        return replace(self, networks=networks, links={**self.links, **changed})

    def with_network(self, network: VirtualNetwork, gone: Collection[str] = ()) -> Topology:
        """The same topology with another version of a network.

        Parameters:
            gone: paths of its links that are no more.
        """
        links = {path: link for path, link in self.links.items() if path not in gone}
        nodes = {
            path: node
            for path, node in self.nodes.items()
            if node.network != network.name or node.name in network.nodes
        }
        return replace(
            self,
            networks={**self.networks, network.name: network},
            nodes={**nodes, **{node.path: node for node in network.nodes.values()}},
            links={**links, **{link.path: link for link in network.links.values()}},
            held=self.vifs,
        )

    def without_network(self, name: str) -> Topology:
        """The same topology without a network."""
        return replace(
            self,
            networks={other: net for other, net in self.networks.items() if other != name},
            nodes={path: node for path, node in self.nodes.items() if node.network != name},
            links={path: link for path, link in self.links.items() if link.network != name},
            held=self.vifs,
        )

    def with_physical_links(self, changed: dict[str, PhysicalLink]) -> Topology:
        """The same topology with some physical links replaced (same ends, other properties)."""
        if not changed:
            return self
        links = {**self.underlay.links, **changed}
        return replace(self, underlay=replace(self.underlay, links=links))
