"""From a topology file that was read to the model it means."""

from __future__ import annotations

from collections.abc import Mapping

from vnemu.errors import InputError
from vnemu.model.addressing import ends, nic_mac
from vnemu.model.check import access_name, check, link_name, pools
from vnemu.model.ends import loopbacks_of, nic_name, own_addresses
from vnemu.model.overlay import (
    Interface,
    IpNetwork,
    Nic,
    Node,
    Topology,
    VirtualLink,
    VirtualNetwork,
)
from vnemu.model.quality import PLAIN, Q, Quality, WireQuality, settings, with_settings
from vnemu.model.resources import UNLIMITED, Resources
from vnemu.model.router_os import router_os
from vnemu.model.underlay import PhysicalLink, Underlay
from vnemu.schema.ends import EndDoc
from vnemu.schema.load import Loaded
from vnemu.schema.topology import NetworkDoc, PhysicalLinkDoc, TopologyDoc, VirtualLinkDoc


def resolve(loaded: Loaded[TopologyDoc]) -> Topology:
    """Settle all that a topology file leaves open: names, addresses, defaults.

    Raises:
        InputError: with everything that is wrong between the file's parts.
    """
    problems = check(loaded)
    if problems:
        raise InputError(sorted(problems, key=lambda problem: problem.by_line))
    networks = {
        name: network_of(name, number, loaded) for number, name in enumerate(loaded.doc.networks)
    }
    return Topology(
        name=loaded.doc.name or loaded.name,
        underlay=_underlay(loaded),
        networks=networks,
        nodes={node.path: node for vn in networks.values() for node in vn.nodes.values()},
        links={link.path: link for vn in networks.values() for link in vn.links.values()},
    )


def qualities(doc: PhysicalLinkDoc | VirtualLinkDoc, plain: Q) -> tuple[Q, Q]:
    """The qualities of a link's two directions, over one without any property."""
    both = with_settings(plain, settings(doc))
    a, b = doc.endpoints
    directions = doc.directions or {}
    own = [directions.get(f"{a}>{b}"), directions.get(f"{b}>{a}")]
    forward, backward = (with_settings(both, settings(part)) if part else both for part in own)
    return forward, backward


def declared_paths(doc: VirtualLinkDoc) -> tuple[tuple[str, ...], ...]:
    """The paths that a document asks for; none: one is chosen."""
    return tuple(tuple(path) for path in ([doc.path] if doc.path else doc.paths))


def _underlay(loaded: Loaded[TopologyDoc]) -> Underlay:
    doc = loaded.doc.underlay
    links = {
        link_name(link): PhysicalLink(
            link_name(link),
            link.endpoints[0],
            link.endpoints[1],
            *qualities(link, WireQuality(link.rate)),
            written_at=loaded.document.where(("underlay", "links", index)),
        )
        for index, link in enumerate(doc.links)
    }
    where = loaded.document.where(("underlay", "tunnel"))
    return Underlay(tuple(doc.machines), links, doc.tunnel, where)


def network_of(name: str, number: int, loaded: Loaded[TopologyDoc]) -> VirtualNetwork:
    """One network of a file that passed the checks.

    Parameters:
        number: its own in the topology.
    """
    doc = loaded.doc.networks[name]

    def where(*path: str | int) -> str:
        return loaded.document.where(("networks", name, *path))

    builder = _Builder(name, number, doc)
    for index, link in enumerate(doc.links):
        ends = (link.endpoints[0], link.endpoints[1])
        builder.add(link_name(link), ends, link, link.ends, where("links", index))
    for host, host_doc in doc.hosts.items():
        ends = (host, host_doc.at)
        builder.add(access_name(*ends), ends, None, host_doc.ends, where("hosts", host))
    return VirtualNetwork(
        name,
        builder.pools.versions,
        builder.nodes(loaded),
        builder.links,
        builder.pools.ipv4,
        builder.pools.ipv6,
        number,
        routing=doc.routing,
    )


class _Builder:
    """Hands out NICs and addresses while a network's links are gone through."""

    def __init__(self, name: str, number: int, doc: NetworkDoc) -> None:
        self.name = name
        self.number = number
        self.doc = doc
        self.pools = pools(doc)
        self.links: dict[str, VirtualLink] = {}
        names = [*doc.routers, *doc.hosts]
        self._numbers = {node: index for index, node in enumerate(names, 1)}
        self._alike: dict[Quality, Quality] = {}
        self._nics: dict[str, list[Nic]] = {node: [] for node in names}

    def add(
        self,
        name: str,
        nodes: tuple[str, str],
        doc: VirtualLinkDoc | None,
        given: Mapping[str, EndDoc],
        written_at: str,
    ) -> None:
        """Add the VL `name`; `doc` is None for a host's access link."""
        a, b = nodes
        near, far = own_addresses(given, nodes) or ends(self._subnets(doc))
        found = qualities(doc, PLAIN) if doc else (PLAIN, PLAIN)
        # One value for all VLs that are alike: a change of many is settled once then.
        forward, backward = (self._alike.setdefault(quality, quality) for quality in found)
        path = f"{self.name}/{name}"
        self.links[name] = VirtualLink(
            network=self.name,
            name=name,
            a=f"{self.name}/{a}",
            b=f"{self.name}/{b}",
            a_nic=self._nic(a, path, near, given.get(a)),
            b_nic=self._nic(b, path, far, given.get(b)),
            forward=forward,
            backward=backward,
            paths=declared_paths(doc) if doc else (),
            spread=doc.spread if doc else "flow",
            access=doc is None,
            on_failure=doc.on_failure if doc else "silent",
            cost=doc.cost if doc else None,
            area=doc.area if doc else None,
            written_at=written_at,
        )

    def _subnets(self, doc: VirtualLinkDoc | None) -> list[IpNetwork]:
        own: dict[int, IpNetwork | None] = {4: doc.ipv4, 6: doc.ipv6} if doc else {}
        numbered = self.pools.link_subnets(len(self.links))
        return [own.get(net.version) or net for net in numbered]

    def _nic(
        self, node: str, link: str, addresses: tuple[Interface, ...], end: EndDoc | None = None
    ) -> str:
        nics = self._nics[node]
        number = len(nics)
        mac = nic_mac(self.number, self._numbers[node], number)
        name = nic_name(number, end)
        nics.append(Nic(f"{self.name}/{node}", name, link, mac, addresses, number))
        return nics[-1].name

    def nodes(self, loaded: Loaded[TopologyDoc]) -> dict[str, Node]:
        """All nodes with the NICs handed out, and those that no VL is plugged in."""
        for name, router in self.doc.routers.items():
            while len(self._nics[name]) < (router.nics or 0):
                self._nic(name, "", ())
        routers = {}
        for number, (name, doc) in enumerate(self.doc.routers.items(), 1):
            loopbacks = loopbacks_of(doc, number, self.pools)
            routers[name] = Node(
                self.name,
                name,
                "router",
                tuple(self._nics[name]),
                on=doc.on,
                loopbacks=loopbacks,
                os=router_os(loaded, self.name, name, loopbacks),
                resources=_resources(loaded, self.name, name),
                written_at=loaded.document.where(("networks", self.name, "routers", name)),
            )
        hosts = {
            name: Node(self.name, name, "host", tuple(self._nics[name]), at=f"{self.name}/{doc.at}")
            for name, doc in self.doc.hosts.items()
        }
        return {**routers, **hosts}


def _resources(loaded: Loaded[TopologyDoc], network: str, router: str) -> Resources:
    doc = loaded.doc.networks[network].routers[router].resources
    if doc is None:
        return UNLIMITED
    where = loaded.document.where(("networks", network, "routers", router, "resources"))
    return Resources(doc.cpu, doc.cpus, doc.memory, doc.disk, doc.forwarding, where)
