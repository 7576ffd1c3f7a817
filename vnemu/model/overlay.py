"""The overlay: virtual networks (VNs) of virtual routers (VRs) and virtual links (VLs).

All values are frozen; a change at run time is a new value.
"""

from __future__ import annotations

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

from vnemu.model.impairment import Impairment
from vnemu.model.naming import device_name
from vnemu.model.underlay import Underlay
from vnemu.units import Duration, Rate, Share

Interface = IPv4Interface | IPv6Interface
IpAddress = IPv4Address | IPv6Address
IpNetwork = IPv4Network | IPv6Network


@dataclass(frozen=True)
class Nic:
    """A virtual network interface (NIC) of a node, attached to a VL.

    Parameters:
        name: as the node sees it: eth0, eth1, …
        link: path of the VL (network/link).
        mac: six bytes.
        addresses: in the order IPv4, IPv6.
    """

    node: str
    name: str
    link: str
    mac: bytes
    addresses: tuple[Interface, ...]

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
        written_at: file:line of its declaration.
    """

    network: str
    name: str
    kind: Literal["router", "host"]
    nics: tuple[Nic, ...]
    on: str | None = None
    at: str | None = None
    loopbacks: tuple[Interface, ...] = ()
    written_at: str = field(default="", compare=False)

    @property
    def path(self) -> str:
        """network/name."""
        return f"{self.network}/{self.name}"


@dataclass(frozen=True)
class VirtualLink:
    """A virtual link: to its two nodes one direct hop.

    Parameters:
        a, b: paths of its end nodes.
        limit: never more than this in each direction; None: no limit of its own.
        guarantee: never less than this, when wanted; None: no guarantee.
        delay, jitter, loss: see `Impairment`.
        path_by_user: the RMs it shall cross, in order; None to let the embedding choose.
        access: whether it attaches a host to its router.
        written_at: file:line of its declaration.
    """

    network: str
    name: str
    a: str
    b: str
    a_nic: str
    b_nic: str
    limit: Rate | None = None
    guarantee: Rate | None = None
    delay: Duration = Duration(0)
    jitter: Duration = Duration(0)
    loss: Share = Share(0)
    path_by_user: tuple[str, ...] | None = None
    access: bool = False
    written_at: str = field(default="", compare=False)

    @property
    def path(self) -> str:
        """network/name."""
        return f"{self.network}/{self.name}"

    @property
    def impairment(self) -> Impairment:
        """Its delay, jitter and loss together."""
        return Impairment(self.delay, self.jitter, self.loss)


@dataclass(frozen=True)
class VirtualNetwork:
    """One overlay: an undirected connected graph of VRs, with its end systems."""

    name: str
    versions: tuple[int, ...]
    nodes: dict[str, Node] = field(hash=False)
    links: dict[str, VirtualLink] = field(hash=False)
    routing: str = "static"

    @property
    def routers(self) -> list[Node]:
        """The VRs, in the order of the file."""
        return [node for node in self.nodes.values() if node.kind == "router"]


@dataclass(frozen=True)
class Topology:
    """An underlay and the virtual networks on it: all that a topology file means.

    `nodes` and `links` are by path, over all networks.
    """

    name: str
    underlay: Underlay
    networks: dict[str, VirtualNetwork] = field(hash=False)
    nodes: dict[str, Node] = field(hash=False)
    links: dict[str, VirtualLink] = field(hash=False)

    @cached_property
    def vifs(self) -> dict[tuple[str, str], str]:
        """The VMM's end of each NIC: (node path, NIC name) -> device in the fabric."""
        names: dict[tuple[str, str], str] = {}
        taken = {"lo"}
        for path, node in self.nodes.items():
            for number, nic in enumerate(node.nics):
                name = device_name(f"{path.replace('/', '.')}.{number}", taken)
                taken.add(name)
                names[path, nic.name] = name
        return names

    def with_links(self, changed: dict[str, VirtualLink]) -> Topology:
        """The same topology with some VLs replaced (same paths, other properties)."""
        networks = dict(self.networks)
        for name in {link.network for link in changed.values()}:
            own = {k: v for k, v in changed.items() if v.network == name}
            networks[name] = replace(networks[name], links={**networks[name].links, **own})
        return replace(self, networks=networks, links={**self.links, **changed})
