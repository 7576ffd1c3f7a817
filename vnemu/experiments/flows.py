"""A flow as a file says it, and what iperf3 is to do for it; pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from vnemu.model.overlay import Topology
from vnemu.schema.experiment import FlowDoc, ProbeDoc
from vnemu.schema.wording import KeyPath, instead_of
from vnemu.traffic.iperf3 import FlowSpec, full_datagram

Wrong = tuple[KeyPath, str, str]
"""The key that something is wrong with, what that is, and what to do."""


def wrong_ends(topology: Topology, entry: FlowDoc | ProbeDoc) -> Iterator[Wrong]:
    """What is wrong with the ends of a flow or probe."""
    nodes = topology.nodes
    for key, end in (("from", entry.from_), ("to", entry.to)):
        if end not in nodes:
            yield (key,), f"there is no node '{end}'", instead_of(end, list(nodes))
    if entry.from_ not in nodes or entry.to not in nodes:
        return
    source, target = nodes[entry.from_], nodes[entry.to]
    if source.network != target.network:
        message = f"'{entry.name}' leads from network {source.network} to {target.network}"
        yield (), message, "networks do not reach each other: choose two nodes of one"
    elif source is target:
        yield (), f"'{entry.name}' leads from {source.path} to itself", "choose another"
    versions = topology.networks[target.network].versions
    if entry.ip is not None and entry.ip not in versions:
        yield ("ip",), f"network {target.network} has no IPv{entry.ip}", ""
    elif not any(a.version == version_of(topology, entry.to, entry.ip) for a in target.addresses):
        yield ("to",), f"{target.path} has no address", "join it to others: add"


def version_of(topology: Topology, node: str, wanted: Literal[4, 6] | None) -> Literal[4, 6]:
    """The IP version of what goes to a node; 4 where nothing is wanted and its network has it."""
    if wanted is not None:
        return wanted
    return 4 if 4 in topology.networks[topology.nodes[node].network].versions else 6


def address_of(topology: Topology, node: str, version: int) -> str:
    """The address at which a node is reached."""
    return str(next(a.ip for a in topology.nodes[node].addresses if a.version == version))


def flow_spec(topology: Topology, doc: FlowDoc, port: int, start: float, stop: float) -> FlowSpec:
    """What iperf3 is to do for a flow whose ends are fine (`wrong_ends`).

    Parameters:
        port: that no other flow to its target has.
        start, stop: as of `FlowSpec`.
    """
    version = version_of(topology, doc.to, doc.ip)
    length = doc.udp.length.bytes if doc.udp and doc.udp.length else full_datagram(version)
    return FlowSpec(
        name=doc.name,
        source=doc.from_,
        target=doc.to,
        address=address_of(topology, doc.to, version),
        nic=topology.nodes[doc.to].nics[0].name,
        protocol="udp" if doc.udp else "tcp",
        version=version,
        port=port,
        start=start,
        stop=stop,
        rate=doc.udp.rate.bps if doc.udp else None,
        length=length,
        parallel=doc.tcp.parallel if doc.tcp else 1,
        congestion=doc.tcp.congestion if doc.tcp else None,
    )
