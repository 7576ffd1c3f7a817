"""Whole virtual networks that come, go, pause and resume while the others run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from vnemu.errors import InputError, Problem
from vnemu.model.check import check
from vnemu.model.overlay import Node, NodeState, Topology, VirtualNetwork
from vnemu.model.resolve import network_of
from vnemu.schema.load import Loaded
from vnemu.schema.networks import WrittenNetwork
from vnemu.schema.topology import MachineDoc, TopologyDoc, UnderlayDoc
from vnemu.schema.wording import instead_of

MOST_NETWORKS = 256
"""Their numbers are one byte of the NICs' MAC addresses."""


def created(topology: Topology, written: WrittenNetwork) -> Topology:
    """The topology with one more network; nothing that exists is renumbered.

    It gets the smallest number that no network has; so what was destroyed and created
    again has the same addresses.

    Raises:
        InputError: with everything that is wrong with it, at its lines.
    """
    if written.name in topology.networks:
        message = f"there is a network '{written.name}' already"
        hint = f"give it another name, or first: destroy_network {written.name}"
        raise InputError([Problem("", message, hint)])
    loaded = as_file(topology, written)
    problems = check(loaded)
    if problems:
        raise InputError(sorted(problems))
    network = network_of(written.name, _free_number(topology), loaded)
    return topology.with_network(network)


def destroyed(topology: Topology, name: str) -> Topology:
    """The topology without a network.

    Raises:
        InputError: if there is none of that name.
    """
    return topology.without_network(named(topology, name).name)


def paused(topology: Topology, name: str) -> Topology:
    """The topology with all nodes of a network paused, and nothing guaranteed to it.

    Raises:
        InputError: if there is no such network, or it is paused.
    """
    network = named(topology, name)
    if network.paused is not None:
        raise InputError(
            [Problem("", f"network {name} is paused already", "there is nothing to do")]
        )
    running = [node.name for node in network.nodes.values() if node.state == "running"]
    still = replace(network, paused=frozenset(running))
    return topology.with_network(_with_state(still, running, "paused"))


def resumed(topology: Topology, name: str) -> Topology:
    """The topology with a network as it was when it was paused.

    What had been paused or stopped before stays so.

    Raises:
        InputError: if there is no such network, or it is not paused.
    """
    network = named(topology, name)
    if network.paused is None:
        raise InputError([Problem("", f"network {name} is not paused", "there is nothing to do")])
    again = [
        node.name
        for node in network.nodes.values()
        if node.name in network.paused and node.state == "paused"
    ]
    return topology.with_network(_with_state(replace(network, paused=None), again, "running"))


def named(topology: Topology, name: str) -> VirtualNetwork:
    """The network of that name.

    Raises:
        InputError: if there is none.
    """
    network = topology.networks.get(name)
    if network is None:
        hint = instead_of(name, list(topology.networks)) if topology.networks else ""
        raise InputError([Problem("", f"there is no network '{name}'", hint)])
    return network


def _with_state(network: VirtualNetwork, names: list[str], state: NodeState) -> VirtualNetwork:
    changed: Mapping[str, Node] = {
        name: replace(network.nodes[name], state=state) for name in names
    }
    # Its VRs stay as they were configured.
    return replace(network, nodes={**network.nodes, **changed}, started=network.at_start)


def as_file(topology: Topology, written: WrittenNetwork) -> Loaded[TopologyDoc]:
    """The network as a topology file would have it that has this underlay."""
    machines = {name: MachineDoc() for name in topology.underlay.machines}
    doc = TopologyDoc.model_construct(
        underlay=UnderlayDoc.model_construct(machines=machines),
        networks={written.name: written.doc},
    )
    return Loaded(doc, written.document, written.name, texts=written.texts)


def _free_number(topology: Topology) -> int:
    taken = {network.number for network in topology.networks.values()}
    number = next(number for number in count() if number not in taken)
    if number >= MOST_NETWORKS:
        message = f"a lab has at most {MOST_NETWORKS} networks"
        raise InputError([Problem("", message, "destroy one first")])
    return number
