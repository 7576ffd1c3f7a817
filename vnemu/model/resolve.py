"""From a topology file that was read to the model it means."""

from __future__ import annotations

from collections.abc import Callable

from vnemu.errors import InputError
from vnemu.model.addressing import ends, nic_mac
from vnemu.model.check import access_name, check, link_name, pools
from vnemu.model.overlay import (
    Interface,
    IpNetwork,
    Nic,
    Node,
    Topology,
    VirtualLink,
    VirtualNetwork,
)
from vnemu.model.underlay import PhysicalLink, Underlay
from vnemu.schema.load import Loaded
from vnemu.schema.topology import NetworkDoc, TopologyDoc, VirtualLinkDoc
from vnemu.units import Duration, Share


def resolve(loaded: Loaded[TopologyDoc]) -> Topology:
    """Settle all that a topology file leaves open: names, addresses, defaults.

    Raises:
        InputError: with everything that is wrong between the file's parts.
    """
    problems = check(loaded)
    if problems:
        raise InputError(sorted(problems, key=lambda p: _by_line(p.where)))
    networks = {
        name: _network(name, number, loaded) for number, name in enumerate(loaded.doc.networks)
    }
    return Topology(
        name=loaded.doc.name or loaded.name,
        underlay=_underlay(loaded),
        networks=networks,
        nodes={node.path: node for vn in networks.values() for node in vn.nodes.values()},
        links={link.path: link for vn in networks.values() for link in vn.links.values()},
    )


def _by_line(where: str) -> tuple[str, int]:
    file, _, line = where.rpartition(":")
    return (file, int(line)) if line.isdigit() else (where, 0)


def _underlay(loaded: Loaded[TopologyDoc]) -> Underlay:
    doc = loaded.doc.underlay
    links = {
        link_name(link): PhysicalLink(
            link_name(link),
            link.endpoints[0],
            link.endpoints[1],
            link.rate,
            link.delay or Duration(0),
            link.jitter or Duration(0),
            link.loss or Share(0),
            loaded.document.where(("underlay", "links", index)),
        )
        for index, link in enumerate(doc.links)
    }
    where = loaded.document.where(("underlay", "tunnel"))
    return Underlay(tuple(doc.machines), links, doc.tunnel, where)


def _network(name: str, number: int, loaded: Loaded[TopologyDoc]) -> VirtualNetwork:
    doc = loaded.doc.networks[name]

    def where(*path: str | int) -> str:
        return loaded.document.where(("networks", name, *path))

    builder = _Builder(name, number, doc)
    for index, link in enumerate(doc.links):
        ends = (link.endpoints[0], link.endpoints[1])
        builder.add(link_name(link), ends, link, where("links", index))
    for host, host_doc in doc.hosts.items():
        ends = (host, host_doc.at)
        builder.add(access_name(*ends), ends, None, where("hosts", host))
    return VirtualNetwork(
        name,
        builder.pools.versions,
        builder.nodes(lambda name: where("routers", name)),
        builder.links,
        doc.routing.protocol,
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
        self._nics: dict[str, list[Nic]] = {node: [] for node in names}

    def add(
        self, name: str, nodes: tuple[str, str], doc: VirtualLinkDoc | None, written_at: str
    ) -> None:
        """Add the VL `name`; `doc` is None for a host's access link."""
        a, b = nodes
        near, far = ends(self._subnets(doc))
        path = f"{self.name}/{name}"
        self.links[name] = VirtualLink(
            network=self.name,
            name=name,
            a=f"{self.name}/{a}",
            b=f"{self.name}/{b}",
            a_nic=self._nic(a, path, near),
            b_nic=self._nic(b, path, far),
            limit=doc.limit if doc else None,
            guarantee=doc.guarantee if doc else None,
            delay=(doc and doc.delay) or Duration(0),
            jitter=(doc and doc.jitter) or Duration(0),
            loss=(doc and doc.loss) or Share(0),
            path_by_user=tuple(doc.path) if doc and doc.path else None,
            access=doc is None,
            written_at=written_at,
        )

    def _subnets(self, doc: VirtualLinkDoc | None) -> list[IpNetwork]:
        own: dict[int, IpNetwork | None] = {4: doc.ipv4, 6: doc.ipv6} if doc else {}
        numbered = self.pools.link_subnets(len(self.links))
        return [own.get(net.version) or net for net in numbered]

    def _nic(self, node: str, link: str, addresses: tuple[Interface, ...]) -> str:
        nics = self._nics[node]
        mac = nic_mac(self.number, self._numbers[node], len(nics))
        nics.append(Nic(f"{self.name}/{node}", f"eth{len(nics)}", link, mac, addresses))
        return nics[-1].name

    def nodes(self, where: Callable[[str], str]) -> dict[str, Node]:
        """All nodes with the NICs handed out."""
        routers = {
            name: Node(
                self.name,
                name,
                "router",
                tuple(self._nics[name]),
                on=doc.on,
                loopbacks=self.pools.loopbacks(number),
                written_at=where(name),
            )
            for number, (name, doc) in enumerate(self.doc.routers.items(), 1)
        }
        hosts = {
            name: Node(self.name, name, "host", tuple(self._nics[name]), at=f"{self.name}/{doc.at}")
            for name, doc in self.doc.hosts.items()
        }
        return {**routers, **hosts}
