"""VRs that come, go and are copied in running networks; nothing that exists is renumbered."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain

from vnemu.errors import InputError, Problem
from vnemu.model.addressing import Pools, nic_mac
from vnemu.model.check import check
from vnemu.model.existence import free_node_number, network_of_new
from vnemu.model.life import check_not_paused, node_of
from vnemu.model.networks import as_file
from vnemu.model.overlay import Interface, Nic, Node, Topology, VirtualNetwork
from vnemu.model.resolve import network_of
from vnemu.model.router_os import private_as
from vnemu.schema.networks import network_from
from vnemu.schema.routing import RoutingDoc
from vnemu.schema.texts import NO_TEXTS, Texts
from vnemu.schema.topology import NetworkDoc, RouterDoc


def created(
    topology: Topology,
    path: str,
    doc: RouterDoc,
    files: Texts = NO_TEXTS,
    *,
    written_at: str = "",
) -> Topology:
    """The topology with one more VR, which no VL leads to yet.

    Its loopback addresses, unless `doc` says them, are the first of the network's pools
    that are free. It routes as `doc` says, or else as its network does.

    Parameters:
        path: network/name of the new VR.
        doc: what a file would say of it.
        files: that it names and which have been read.
        written_at: file:line of what says so.

    Raises:
        InputError: with what is wrong with it.
    """
    network = _home(topology, path)
    check_not_paused(network, path)
    name = path.partition("/")[2]
    number, loopbacks = _free_loopbacks(network)
    if doc.loopbacks is None:
        doc = doc.model_copy(update={"loopbacks": list(loopbacks)})
    node = _only_router(topology, network, name, doc, files)
    if node.os.asn is not None and node.os.asn == private_as(1):
        node = replace(node, os=replace(node.os, asn=private_as(number)))
    nics = _renumbered(network, node)
    node = replace(node, nics=nics, started_as="", written_at=written_at)
    return _with_new(topology, network, node)


def copied(topology: Topology, path: str, new: str) -> Topology:
    """The topology with a copy of a VR: the same NICs, with MACs of their own, and unplugged.

    It runs if its original does, and is stopped otherwise.

    Raises:
        InputError: if there is no such VR, or the name cannot be the copy's.
    """
    node = node_of(topology, path)
    network = _home(topology, new)
    if node.kind != "router":
        raise InputError([Problem("", f"{path} is a host: only VRs are copied", "")])
    if network.name != node.network:
        hint = f"call it {node.network}/{new.partition('/')[2]}"
        raise InputError([Problem("", f"{new} is not in the network of {path}", hint)])
    nics = tuple(replace(nic, node=new, link="") for nic in _renumbered(network, node))
    copy = replace(
        node,
        name=new.partition("/")[2],
        nics=nics,
        on=None,
        state="running" if node.state == "running" else "stopped",
        copied_from=path,
        started_as=node.name if node.started_as is None else node.started_as,
    )
    return _with_new(topology, network, copy)


def destroyed(topology: Topology, path: str) -> Topology:
    """The topology without a VR or host, its VLs, and the NICs at their other ends.

    Raises:
        InputError: if there is no such node, a host hangs on it, or it is the last VR
            of its network.
    """
    node = node_of(topology, path)
    network = topology.networks[node.network]
    hosts = [host.path for host in network.nodes.values() if host.at == path]
    if hosts:
        message = f"{path} cannot be destroyed: {', '.join(hosts)} live behind it"
        hint = f"first destroy {' and '.join(hosts)}"
        raise InputError([Problem("", message, hint)])
    if [router.path for router in network.routers] == [path]:
        message = f"{path} is the last VR of network {network.name}"
        raise InputError([Problem("", message, f"destroy_network: {network.name}")])
    gone = {link.path for link in network.links.values() if path in (link.a, link.b)}
    nodes = {
        other.name: _without_nics(other, gone)
        for other in network.nodes.values()
        if other.path != path
    }
    links = {name: link for name, link in network.links.items() if link.path not in gone}
    after = replace(network, nodes=nodes, links=links, started=network.at_start)
    return topology.with_network(after, gone)


def _without_nics(node: Node, gone: set[str]) -> Node:
    """The node without the NICs that those VLs are plugged in."""
    kept = tuple(nic for nic in node.nics if nic.link not in gone)
    return node if len(kept) == len(node.nics) else replace(node, nics=kept)


def _only_router(
    topology: Topology, network: VirtualNetwork, name: str, doc: RouterDoc, files: Texts
) -> Node:
    """The VR that a file would mean which says the network and this VR alone.

    Raises:
        InputError: with all that is wrong with it.
    """
    alone = NetworkDoc.model_construct(
        ipv4=network.ipv4 or False,
        ipv6=network.ipv6 or False,
        routers={name: doc},
        routing=network.routing or RoutingDoc.model_validate({}),
    )
    loaded = as_file(topology, network_from(alone, network.name, files))
    problems = check(loaded)
    if problems:
        raise InputError(sorted(problems))
    return network_of(network.name, network.number, loaded).nodes[name]


def _renumbered(network: VirtualNetwork, node: Node) -> tuple[Nic, ...]:
    """Its NICs with MAC addresses that no node of the network has."""
    number = free_node_number(network)
    macs = (nic_mac(network.number, number, nic.number) for nic in node.nics)
    return tuple(replace(nic, mac=mac) for nic, mac in zip(node.nics, macs, strict=True))


def _home(topology: Topology, path: str) -> VirtualNetwork:
    """The network that a new VR is to be in."""
    network = network_of_new(topology, path)
    if path in topology.nodes:
        message = f"there is a node '{path}' already"
        raise InputError([Problem("", message, "give it another name")])
    return network


def _with_new(topology: Topology, network: VirtualNetwork, node: Node) -> Topology:
    nodes = {**network.nodes, node.name: node}
    return topology.with_network(replace(network, nodes=nodes, started=network.at_start))


def _free_loopbacks(network: VirtualNetwork) -> tuple[int, tuple[Interface, ...]]:
    """The first number of a VR whose loopback addresses no node has, and these."""
    pools = Pools(network.ipv4, network.ipv6)
    taken = set(chain.from_iterable(node.loopbacks for node in network.nodes.values()))
    _, room = pools.room()
    for number in range(1, room + 1):
        loopbacks = pools.loopbacks(number)
        if taken.isdisjoint(loopbacks):
            return number, loopbacks
    message = f"the address pools of network {network.name} have room for {room} routers only"
    raise InputError([Problem("", message, "destroy one first")])
