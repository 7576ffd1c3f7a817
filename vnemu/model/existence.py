"""VLs and NICs that come and go while their VRs run; nothing that exists is renumbered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, count

from vnemu.errors import InputError, Problem
from vnemu.model.addressing import Pools, ends, nic_mac
from vnemu.model.ends import end_problems, later_nics, own_addresses
from vnemu.model.faults import virtual_link
from vnemu.model.life import node_of
from vnemu.model.overlay import (
    Interface,
    IpNetwork,
    Nic,
    Node,
    Topology,
    VirtualLink,
    VirtualNetwork,
)
from vnemu.model.quality import Quality, contradictions
from vnemu.model.resolve import declared_paths, qualities
from vnemu.schema.ends import EndDoc
from vnemu.schema.fields import check_node_path
from vnemu.schema.topology import VirtualLinkDoc
from vnemu.schema.wording import instead_of


def added(topology: Topology, path: str, doc: VirtualLinkDoc) -> Topology:
    """The topology with one more VL, each end at a NIC that is free or a new one.

    Its subnets, unless `doc` names them, are the first of the network's pools that
    no NIC has an address in.

    Parameters:
        path: network/link of the new VL.
        doc: what a file would say of it.

    Raises:
        InputError: with what is wrong with it.
    """
    network = network_of_new(topology, path)
    problems = list(_problems(topology, network, path, doc))
    if problems:
        raise InputError([Problem("", f"{path}: {message}", hint) for message, hint in problems])
    addresses = own_addresses(doc.ends, doc.endpoints) or ends(_subnets(network, doc))
    nodes = [network.nodes[end] for end in doc.endpoints]
    nics = [
        _plugged(topology, node, path, own, doc.ends.get(node.name))
        for node, own in zip(nodes, addresses, strict=True)
    ]
    forward, backward = qualities(doc, Quality())
    link = VirtualLink(
        network=network.name,
        name=path.partition("/")[2],
        a=nodes[0].path,
        b=nodes[1].path,
        a_nic=nics[0].name,
        b_nic=nics[1].name,
        forward=forward,
        backward=backward,
        paths=declared_paths(doc),
        spread=doc.spread,
        on_failure=doc.on_failure,
    )
    wrong = dict.fromkeys(w for q in (forward, backward) for w in contradictions(q))
    if wrong:
        raise InputError([Problem("", f"{path}: {w.message}", w.hint) for w in wrong])
    changed = {node.name: _with_nic(node, nic) for node, nic in zip(nodes, nics, strict=True)}
    return topology.with_network(_running(network, changed, {**network.links, link.name: link}))


def removed(topology: Topology, path: str) -> Topology:
    """The topology without a VL and the NICs at its ends.

    Raises:
        InputError: if there is no such VL, or a host hangs on it.
    """
    link = virtual_link(topology, path)
    if link.access:
        hint = f"down: {path} unplugs it"
        raise InputError([Problem("", f"{path} attaches a host, which has no other link", hint)])
    network = topology.networks[link.network]
    changed = {}
    for end, nic in ((link.a, link.a_nic), (link.b, link.b_nic)):
        node = topology.nodes[end]
        changed[node.name] = replace(node, nics=tuple(n for n in node.nics if n.name != nic))
    links = {name: other for name, other in network.links.items() if name != link.name}
    return topology.with_network(_running(network, changed, links), gone={path})


def with_new_nic(topology: Topology, path: str) -> Topology:
    """The topology with one more NIC at a node, which no VL is plugged in.

    Raises:
        InputError: if there is no such node.
    """
    node = node_of(topology, path)
    network = topology.networks[node.network]
    changed = {node.name: _with_nic(node, _new_nic(topology, node, "", ()))}
    return topology.with_network(_running(network, changed, network.links))


def _running(
    network: VirtualNetwork, nodes: Mapping[str, Node], links: dict[str, VirtualLink]
) -> VirtualNetwork:
    """The network changed under its running VRs, which stay as they were configured."""
    return replace(network, nodes={**network.nodes, **nodes}, links=links, started=network.at_start)


def network_of_new(topology: Topology, path: str) -> VirtualNetwork:
    """The network in which something new is to be called `path` (network/name).

    Raises:
        InputError: if there is none, or a VL is called so.
    """
    try:
        name = check_node_path(path).partition("/")[0]
    except ValueError as error:
        raise InputError(str(error)) from None
    network = topology.networks.get(name)
    if network is None:
        hint = instead_of(name, list(topology.networks))
        raise InputError([Problem("", f"there is no network '{name}'", hint)])
    if path in topology.links:
        raise InputError([Problem("", f"there is a link '{path}' already", "give it another name")])
    return network


def _problems(
    topology: Topology, network: VirtualNetwork, path: str, doc: VirtualLinkDoc
) -> Iterator[tuple[str, str]]:
    """What is wrong with a new VL, as message and hint."""
    routers = [node.name for node in network.routers]
    for end in doc.endpoints:
        if end not in routers:
            yield f"there is no router '{end}' in network {network.name}", instead_of(end, routers)
    if doc.endpoints[0] == doc.endpoints[1]:
        yield f"the link's two ends are both '{doc.endpoints[0]}'", "a link joins two routers"
    for machine in dict.fromkeys(chain.from_iterable(declared_paths(doc))):
        if machine not in topology.underlay.machines:
            machines = list(topology.underlay.machines)
            yield f"there is no machine '{machine}'", instead_of(machine, machines)
    yield from _subnet_problems(network, doc)
    yield from end_problems(doc.ends, doc.endpoints, network.versions)
    yield from _plug_problems(network, doc)


def _plug_problems(network: VirtualNetwork, doc: VirtualLinkDoc) -> Iterator[tuple[str, str]]:
    """A NIC that is asked for by name has to be free."""
    for end, said in doc.ends.items():
        nics = network.nodes[end].nics if end in network.nodes else ()
        link = next((nic.link for nic in nics if nic.name == said.nic), "")
        if link:
            yield f"the NIC {said.nic} of {end} is plugged into {link}", "name another, or none"


def _subnet_problems(network: VirtualNetwork, doc: VirtualLinkDoc) -> Iterator[tuple[str, str]]:
    taken = list(_taken(network, doc))
    for version, subnet in ((4, doc.ipv4), (6, doc.ipv6)):
        if subnet is None:
            continue
        if version not in network.versions:
            yield f"network {network.name} has no IPv{version}", f"leave out ipv{version}:"
        if subnet.num_addresses < 2:
            yield f"{subnet} has no room for two addresses", "use a shorter prefix"
        if any(subnet.overlaps(other) for other in taken if other.version == version):
            yield f"{subnet} overlaps a prefix in use", "choose another, or leave it out"


def _taken(network: VirtualNetwork, doc: VirtualLinkDoc) -> Iterator[IpNetwork]:
    """The subnets in use, beside those of NICs that nothing is plugged in.

    A copy of a VR, which is unplugged, may so take the place of its original. No node
    gets two NICs in one subnet, plugged or not.
    """
    for node in network.nodes.values():
        used = [nic for nic in node.nics if nic.link]
        if node.name in doc.endpoints:
            free = [nic for nic in node.nics if not nic.link]
            chosen = _free_nic(node, doc.ends.get(node.name))
            used += [nic for nic in free if nic is not chosen]
        for nic in used:
            yield from (address.network for address in nic.addresses)


def _free_nic(node: Node, end: EndDoc | None) -> Nic | None:
    """The NIC that is named, else the first one; None: nothing can be plugged in there."""
    name = end.nic if end else None
    free = (nic for nic in node.nics if not nic.link and name in (None, nic.name))
    return next(free, None)


def _subnets(network: VirtualNetwork, doc: VirtualLinkDoc) -> list[IpNetwork]:
    pools = Pools(network.ipv4, network.ipv6)
    taken = set(_taken(network, doc))
    irregular = [net for net in taken if net.prefixlen != (30 if net.version == 4 else 64)]
    own: dict[int, IpNetwork | None] = {4: doc.ipv4, 6: doc.ipv6}
    room, _ = pools.room()
    for number in range(room):
        numbered = pools.link_subnets(number)
        if taken.isdisjoint(numbered) and not _overlap(irregular, numbered):
            return [own.get(net.version) or net for net in numbered]
    message = f"the address pools of network {network.name} have room for {room} links only"
    raise InputError([Problem("", message, "remove a link, or name ipv4: and ipv6:")])


def _overlap(some: Iterable[IpNetwork], others: Sequence[IpNetwork]) -> bool:
    return any(a.overlaps(b) for a in some for b in others if a.version == b.version)


def _plugged(
    topology: Topology, node: Node, link: str, addresses: tuple[Interface, ...], end: EndDoc | None
) -> Nic:
    """The NIC for a new VL: the one that is named, else the first free one, else a new one."""
    found = _free_nic(node, end)
    if found is not None:
        return replace(found, link=link, addresses=addresses)
    return _new_nic(topology, node, link, addresses, end.nic if end else None)


def _new_nic(
    topology: Topology,
    node: Node,
    link: str,
    addresses: tuple[Interface, ...],
    wanted: str | None = None,
) -> Nic:
    """A NIC with the next number, higher than any that the VR was started with."""
    network = topology.networks[node.network]
    nics = _all_nics(network, node)
    node_number = _node_number(nics[0]) if nics else free_node_number(network)
    number, name = next(later_nics(nics))
    mac = nic_mac(network.number, node_number, number)
    return Nic(node.path, wanted or name, link, mac, addresses, number)


def _all_nics(network: VirtualNetwork, node: Node) -> list[Nic]:
    """The NICs that a node was started with, and those that it has now."""
    started = network.at_start.nodes.get(node.name) if node.started_as is None else None
    return [*(started.nics if started else ()), *node.nics]


def _node_number(nic: Nic) -> int:
    """The number of its node in a NIC's MAC address."""
    return int.from_bytes(nic.mac[2:4], "big")


def free_node_number(network: VirtualNetwork) -> int:
    """The first number that no node has in the MAC addresses of its NICs."""
    nodes = network.nodes.values()
    taken = {_node_number(nic) for node in nodes for nic in _all_nics(network, node)}
    return next(number for number in count(1) if number not in taken)


def _with_nic(node: Node, nic: Nic) -> Node:
    others = (other for other in node.nics if other.name != nic.name)
    return replace(node, nics=tuple(sorted((*others, nic), key=lambda n: n.number)))
