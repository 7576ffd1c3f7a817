"""References and rules between the parts of a topology file, all checked at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import combinations

from vnemu.errors import Problem
from vnemu.model.addressing import (
    DEFAULT_IPV4,
    DEFAULT_IPV6,
    SHORTEST_IPV4_POOL,
    SHORTEST_IPV6_POOL,
    Pools,
)
from vnemu.model.ends import check_link_ends, is_numbered
from vnemu.model.overlay import IpNetwork
from vnemu.model.quality import PLAIN, Quality, WireQuality, contradictions, settings, with_settings
from vnemu.model.routing_check import check_routing
from vnemu.schema.load import Loaded, problem
from vnemu.schema.topology import NetworkDoc, PhysicalLinkDoc, TopologyDoc, VirtualLinkDoc
from vnemu.schema.wording import did_you_mean, instead_of, some

Path = tuple[str | int, ...]
Report = Callable[[Path, str, str], None]


def link_name(link: PhysicalLinkDoc | VirtualLinkDoc) -> str:
    """A link's name: its own, or its endpoints'."""
    return link.name or "-".join(link.endpoints)


def access_name(host: str, router: str) -> str:
    """The name of the VL that attaches a host to its router."""
    return f"{host}-{router}"


def pools(network: NetworkDoc) -> Pools:
    """The address pools of a network, defaults filled in."""
    ipv4 = DEFAULT_IPV4 if network.ipv4 is None else network.ipv4 or None
    ipv6 = DEFAULT_IPV6 if network.ipv6 is None else network.ipv6 or None
    return Pools(ipv4, ipv6)


def check(loaded: Loaded[TopologyDoc]) -> list[Problem]:
    """Return all that is wrong between the parts of a topology file, in no order."""
    found: list[Problem] = []

    def report(path: Path, message: str, hint: str = "") -> None:
        found.append(problem(loaded, path, message, hint))

    _check_underlay(loaded.doc, report)
    for name, network in loaded.doc.networks.items():
        where: Path = ("networks", name)
        _check_nodes(loaded.doc, network, where, report)
        _check_links(loaded.doc, network, where, report)
        _check_connected(network, where, report)
        _check_addresses(network, where, report)
        check_routing(network, pools(network), where, report)
    return found


def _known(name: str, among: Iterable[str], kind: str, path: Path, report: Report) -> bool:
    names = list(among)
    if name in names:
        return True
    report(path, f"there is no {kind} '{name}'", instead_of(name, names) if names else "")
    return False


def _check_underlay(doc: TopologyDoc, report: Report) -> None:
    seen: set[str] = set()
    for index, link in enumerate(doc.underlay.links):
        where: Path = ("underlay", "links", index)
        for end in link.endpoints:
            _known(end, doc.underlay.machines, "machine", (*where, "endpoints"), report)
        _check_ends(link, where, report)
        _check_unique(link_name(link), seen, where, "physical link", report)
        _check_quality(link, WireQuality(link.rate), where, report)


def _check_ends(link: PhysicalLinkDoc | VirtualLinkDoc, where: Path, report: Report) -> None:
    if link.endpoints[0] == link.endpoints[1]:
        report(
            (*where, "endpoints"),
            f"the link's two ends are both '{link.endpoints[0]}'",
            "a link joins two different ones",
        )


def _check_unique(name: str, seen: set[str], where: Path, kind: str, report: Report) -> None:
    if name in seen:
        report(where, f"a second {kind} is called '{name}'", "give it a name: of its own")
    seen.add(name)


def _check_nodes(doc: TopologyDoc, network: NetworkDoc, where: Path, report: Report) -> None:
    for name, router in network.routers.items():
        if router.on is not None:
            path = (*where, "routers", name, "on")
            _known(router.on, doc.underlay.machines, "machine", path, report)
    for name, host in network.hosts.items():
        path = (*where, "hosts", name)
        _known(host.at, network.routers, "router", (*path, "at"), report)
        if name in network.routers:
            report(path, f"'{name}' is a router already", "give the host another name")


def _check_links(doc: TopologyDoc, network: NetworkDoc, where: Path, report: Report) -> None:
    seen = {access_name(name, host.at) for name, host in network.hosts.items()}
    for index, link in enumerate(network.links):
        path = (*where, "links", index)
        for end in link.endpoints:
            if end in network.hosts and end not in network.routers:
                hint = "a host is attached by at: in hosts"
                report((*path, "endpoints"), f"'{end}' is a host: a link joins two routers", hint)
            else:
                _known(end, network.routers, "router", (*path, "endpoints"), report)
        _check_ends(link, path, report)
        _check_unique(link_name(link), seen, path, "link of this network", report)
        _check_quality(link, PLAIN, path, report)
        _check_paths(doc, link, path, report)
    _check_nics(network, where, report)


def _check_paths(doc: TopologyDoc, link: VirtualLinkDoc, where: Path, report: Report) -> None:
    for machine in link.path or ():
        _known(machine, doc.underlay.machines, "machine", (*where, "path"), report)
    for number, machines in enumerate(link.paths):
        for machine in machines:
            path = (*where, "paths", number)
            _known(machine, doc.underlay.machines, "machine", path, report)
    if link.path and link.paths:
        hint = "list all of its paths in paths:"
        report((*where, "path"), "a link has path: or paths:, not both", hint)


def _check_nics(network: NetworkDoc, where: Path, report: Report) -> None:
    """A router has a NIC for each of its links at least."""
    links = Counter(end for link in network.links for end in link.endpoints)
    links.update(host.at for host in network.hosts.values())
    for name, router in network.routers.items():
        if router.nics is not None and router.nics < links[name]:
            report(
                (*where, "routers", name, "nics"),
                f"router '{name}' has {links[name]} links, but is to have {router.nics} NICs",
                "raise nics: or leave it out",
            )


def _check_quality(
    link: PhysicalLinkDoc | VirtualLinkDoc,
    plain: Quality | WireQuality,
    where: Path,
    report: Report,
) -> None:
    """No contradictions, in either direction; each is told where it was written."""
    both = with_settings(plain, settings(link))
    known = list(contradictions(both))
    for wrong in known:
        report((*where, wrong.key), wrong.message, wrong.hint)
    a, b = link.endpoints
    ways = (f"{a}>{b}", f"{b}>{a}")
    for way, doc in (link.directions or {}).items():
        path = (*where, "directions", way)
        if way not in ways:
            hint = did_you_mean(way, ways) or f"it has {' and '.join(ways)}"
            report(path, f"the link has no direction '{way}'", hint)
            continue
        for wrong in contradictions(with_settings(both, settings(doc))):
            if wrong not in known:
                report((*path, wrong.key), f"{way}: {wrong.message}", wrong.hint)


def _check_connected(network: NetworkDoc, where: Path, report: Report) -> None:
    """A VN is a connected graph (the paper's definition)."""
    group = {name: name for name in network.routers}

    def root(name: str) -> str:
        while group[name] != name:
            group[name] = group[group[name]]
            name = group[name]
        return name

    for link in network.links:
        a, b = link.endpoints
        if a in group and b in group:
            group[root(a)] = root(b)
    first = next(iter(network.routers))
    apart = [name for name in network.routers if root(name) != root(first)]
    if apart:
        report(
            where,
            f"the network is not connected: no chain of links joins {first} and {some(apart)}",
            "add a link, or make it two networks",
        )


def _check_addresses(network: NetworkDoc, where: Path, report: Report) -> None:
    own = pools(network)
    if not own.versions:
        report(where, "has neither IPv4 nor IPv6", "leave out ipv4: false or ipv6: false")
        return
    _check_room(network, own, where, report)
    check_link_ends(network, own, where, report)
    for version in (4, 6):
        _check_subnets(network, own, version, where, report)


def _check_room(network: NetworkDoc, own: Pools, where: Path, report: Report) -> None:
    for version, pool, longest in (
        (4, own.ipv4, SHORTEST_IPV4_POOL),
        (6, own.ipv6, SHORTEST_IPV6_POOL),
    ):
        if pool is not None and pool.prefixlen > longest:
            report(
                (*where, f"ipv{version}"),
                f"{pool} is too small for a network",
                f"a pool is a /{longest} or larger",
            )
            return
    links, routers = own.room()
    wanted = len(network.links) + len(network.hosts)
    if wanted > links or len(network.routers) > routers:
        report(
            where,
            f"the address pools have room for {links} links and {routers} routers, "
            f"but there are {wanted} and {len(network.routers)}",
            "give the network a larger ipv4: or ipv6: pool",
        )


def _check_subnets(
    network: NetworkDoc, own: Pools, version: int, where: Path, report: Report
) -> None:
    key = f"ipv{version}"
    pool: IpNetwork | None = own.ipv4 if version == 4 else own.ipv6
    given: list[tuple[Path, IpNetwork]] = []
    for index, link in enumerate(network.links):
        subnet: IpNetwork | None = link.ipv4 if version == 4 else link.ipv6
        if subnet is None:
            continue
        path = (*where, "links", index, key)
        if pool is None:
            report(path, f"the network has no IPv{version}", f"take away {key}: false above")
        elif pool.overlaps(subnet) and is_numbered(network):
            report(
                path,
                f"{subnet} overlaps the network's pool {pool}, from which other links are numbered",
                f"choose a prefix outside of it, or another {key}: pool for the network",
            )
        if subnet.num_addresses < 2:
            report(path, f"{subnet} has no room for two addresses", "use a shorter prefix")
        given.append((path, subnet))
    for (_, one), (path, other) in combinations(given, 2):
        if one.overlaps(other):
            report(path, f"{other} overlaps {one} of another link in this network", "change one")
