"""VLs and NICs that come and go while their VRs run; nothing that exists is renumbered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain, count

from vnemu.errors import InputError, Problem
from vnemu.model.addressing import Pools, ends, nic_mac
from vnemu.model.faults import virtual_link
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
    network = _network_of_new(topology, path)
    problems = list(_problems(topology, network, path, doc))
    if problems:
        raise InputError([Problem("", f"{path}: {message}", hint) for message, hint in problems])
    addresses = ends(_subnets(network, doc))
    nodes = [network.nodes[end] for end in doc.endpoints]
    nics = [_plugged(topology, node, path, own) for node, own in zip(nodes, addresses, strict=True)]
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
    node = topology.nodes.get(path)
    if node is None:
        hint = instead_of(path, list(topology.nodes))
        raise InputError([Problem("", f"there is no node '{path}'", hint)])
    network = topology.networks[node.network]
    changed = {node.name: _with_nic(node, _new_nic(topology, node, "", ()))}
    return topology.with_network(_running(network, changed, network.links))


def _running(
    network: VirtualNetwork, nodes: Mapping[str, Node], links: dict[str, VirtualLink]
) -> VirtualNetwork:
    """The network changed under its running VRs, which stay as they were configured."""
    return replace(network, nodes={**network.nodes, **nodes}, links=links, started=network.at_start)


def _network_of_new(topology: Topology, path: str) -> VirtualNetwork:
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


def _subnet_problems(network: VirtualNetwork, doc: VirtualLinkDoc) -> Iterator[tuple[str, str]]:
    taken = list(_taken(network))
    for version, subnet in ((4, doc.ipv4), (6, doc.ipv6)):
        if subnet is None:
            continue
        if version not in network.versions:
            yield f"network {network.name} has no IPv{version}", f"leave out ipv{version}:"
        if subnet.num_addresses < 2:
            yield f"{subnet} has no room for two addresses", "use a shorter prefix"
        if any(subnet.overlaps(other) for other in taken if other.version == version):
            yield f"{subnet} overlaps a prefix in use", "choose another, or leave it out"


def _taken(network: VirtualNetwork) -> Iterator[IpNetwork]:
    for node in network.nodes.values():
        for nic in node.nics:
            yield from (address.network for address in nic.addresses)


def _subnets(network: VirtualNetwork, doc: VirtualLinkDoc) -> list[IpNetwork]:
    pools = Pools(network.ipv4, network.ipv6)
    taken = set(_taken(network))
    own: dict[int, IpNetwork | None] = {4: doc.ipv4, 6: doc.ipv6}
    room, _ = pools.room()
    for number in range(room):
        numbered = pools.link_subnets(number)
        if taken.isdisjoint(numbered):
            return [own.get(net.version) or net for net in numbered]
    message = f"the address pools of network {network.name} have room for {room} links only"
    raise InputError([Problem("", message, "remove a link, or name ipv4: and ipv6:")])


def _plugged(topology: Topology, node: Node, link: str, addresses: tuple[Interface, ...]) -> Nic:
    """The NIC for a new VL: the first that no VL is plugged in, else a new one."""
    free = next((nic for nic in node.nics if not nic.link), None)
    if free is not None:
        return replace(free, link=link, addresses=addresses)
    return _new_nic(topology, node, link, addresses)


def _new_nic(topology: Topology, node: Node, link: str, addresses: tuple[Interface, ...]) -> Nic:
    """A NIC with the next number, higher than any that the VR was started with."""
    network = topology.networks[node.network]
    at_start = network.at_start.nodes[node.name]
    first = 1 + max((nic.number for nic in (*at_start.nics, *node.nics)), default=-1)
    network_number = list(topology.networks).index(network.name)
    node_number = 1 + list(network.nodes).index(node.name)
    for number in count(first):
        mac = nic_mac(network_number, node_number, number)
        nic = Nic(node.path, f"eth{number}", link, mac, addresses)
        if _names_stay(topology, _with_nic(node, nic)):
            return nic
    raise AssertionError("numbers do not end")


def _names_stay(topology: Topology, changed: Node) -> bool:
    """Whether no device of the fabric gets another name when `changed` has one more NIC."""
    after = replace(topology, nodes={**topology.nodes, changed.path: changed})
    return all(after.vifs[key] == name for key, name in topology.vifs.items())


def _with_nic(node: Node, nic: Nic) -> Node:
    others = (other for other in node.nics if other.name != nic.name)
    return replace(node, nics=tuple(sorted((*others, nic), key=lambda n: n.number)))
