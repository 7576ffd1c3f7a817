"""The states of VRs and hosts, and the transitions between them (docs/model.md draws them).

| state | its processes | its VLs | its peers see |
|---|---|---|---|
| running | run | as they are | carrier |
| paused | rest, and use no CPU | nothing passes, in either direction | carrier |
| stopped | there are none | nothing passes | no carrier, as of a router without power |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Node, NodeState, Topology, VirtualLink, VirtualNetwork
from vnemu.schema.wording import instead_of

Transition = Literal["pause", "resume", "stop", "start"]


@dataclass(frozen=True)
class _Allowed:
    """Where a transition leads from and to; `done` is how it is said of a node."""

    origins: frozenset[NodeState]
    to: NodeState
    done: str


TRANSITIONS: Mapping[Transition, _Allowed] = MappingProxyType(
    {
        "pause": _Allowed(frozenset({"running"}), "paused", "paused"),
        "resume": _Allowed(frozenset({"paused"}), "running", "resumed"),
        "stop": _Allowed(frozenset({"running", "paused"}), "stopped", "stopped"),
        "start": _Allowed(frozenset({"stopped"}), "running", "started"),
    }
)
"""All that there are. A node is created running, and may be moved, copied and destroyed in
every state."""

_WAY_OUT: Mapping[NodeState, Transition] = MappingProxyType(
    {"paused": "resume", "stopped": "start"}
)


def node_of(topology: Topology, path: str) -> Node:
    """The VR or host called `path` (network/name).

    Raises:
        InputError: if there is none.
    """
    node = topology.nodes.get(path)
    if node is None:
        raise InputError([_no_node(topology, path)])
    return node


def _no_node(topology: Topology, path: str) -> Problem:
    network = topology.networks.get(path)
    if network is not None:
        hint = f"name one of it, like {next(iter(network.nodes.values())).path}"
        return Problem("", f"'{path}' is a network, not a VR or host", hint)
    hint = instead_of(path, list(topology.nodes))
    if path in topology.links:
        return Problem("", f"'{path}' is a virtual link, not a VR or host", hint)
    return Problem("", f"there is no node '{path}'", hint)


def with_state(topology: Topology, path: str, transition: Transition) -> Topology:
    """The topology after a transition of one of its nodes.

    Raises:
        InputError: if there is no such node, or it is in a state that the transition
            does not lead from, or its whole network is paused.
    """
    node = node_of(topology, path)
    check_not_paused(topology.networks[node.network], path)
    allowed = TRANSITIONS[transition]
    if node.state not in allowed.origins:
        raise InputError([_refusal(node, allowed)])
    return with_node(topology, replace(node, state=allowed.to))


def check_not_paused(network: VirtualNetwork, path: str) -> None:
    """See that `path` is not in a network that is paused as a whole.

    Raises:
        InputError: if it is.
    """
    if network.paused is not None:
        hint = f"resume that first (resume: {network.name})"
        raise InputError([Problem("", f"{path} is in the paused network {network.name}", hint)])


def _refusal(node: Node, allowed: _Allowed) -> Problem:
    if node.state == allowed.to:
        return Problem("", f"{node.path} is {node.state} already", "there is nothing to do")
    message = f"{node.path} is {node.state}: it cannot be {allowed.done}"
    verb = _WAY_OUT[node.state]
    return Problem("", message, f"{verb} it first ({verb}: {node.path})")


def with_node(topology: Topology, node: Node) -> Topology:
    """The topology with another version of a node, whose Router OS stays as it was configured."""
    network = topology.networks[node.network]
    nodes = {**network.nodes, node.name: node}
    return topology.with_network(replace(network, nodes=nodes, started=network.at_start))


def all_run(topology: Topology, link: VirtualLink) -> bool:
    """Whether both ends of a VL run: else nothing passes it."""
    nodes = topology.nodes
    return nodes[link.a].state == nodes[link.b].state == "running"


def is_powered(topology: Topology, link: VirtualLink) -> bool:
    """Whether neither end of a VL is stopped: else both see no carrier."""
    return "stopped" not in (topology.nodes[link.a].state, topology.nodes[link.b].state)
