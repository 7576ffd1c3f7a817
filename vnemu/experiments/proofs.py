"""Gets the isolation proofs of an experiment ready before its traffic starts."""

from __future__ import annotations

from contextlib import ExitStack

from vnemu.experiments.prepare import Experiment
from vnemu.lab import Lab
from vnemu.model.overlay import VirtualNetwork
from vnemu.plan.objects import FABRIC
from vnemu.plan.tunnels import tunnel_ends
from vnemu.traffic.isolation import Forgery, Proof, Sender


def proofs_of(experiment: Experiment, lab: Lab, stack: ExitStack) -> dict[tuple[str, str], Proof]:
    """The proofs that the timeline asks for, by (sending, listening) network."""
    found: dict[tuple[str, str], Proof] = {}
    for event in experiment.events:
        if event.prove is not None and event.prove not in found:
            found[event.prove] = _proof(lab, *event.prove)
            stack.callback(found[event.prove].close)
    return found


def _proof(lab: Lab, one: str, other: str) -> Proof:
    sending, listening = lab.topology.networks[one], lab.topology.networks[other]
    senders = [
        Sender(lab[node.path], nic.name) for node in sending.nodes.values() for nic in node.nics
    ]
    return Proof(
        senders,
        [lab[node.path] for node in sending.nodes.values()],
        [lab[node.path] for node in listening.nodes.values()],
        lambda call: lab.kernel.inside(FABRIC, call),
        _devices(lab, listening),
        _forgery(lab, listening),
    )


def _devices(lab: Lab, network: VirtualNetwork) -> frozenset[str]:
    """The VMM's devices of a network: its vifs and the inner sides of its tunnels."""
    vifs = {
        lab.topology.vifs[node.path, nic.name]
        for node in network.nodes.values()
        for nic in node.nics
    }
    paths = [way for link in network.links.values() for way in lab.mapping.paths[link.path].ways]
    tunnels = {f"t{path.number}{end}" for path in paths if path.links for end in "ab"}
    return frozenset(vifs | tunnels)


def _forgery(lab: Lab, network: VirtualNetwork) -> Forgery:
    macs = tuple(nic.mac.hex(":") for node in network.nodes.values() for nic in node.nics)
    paths = [way for link in network.links.values() for way in lab.mapping.paths[link.path].ways]
    tunnels = []
    for path in paths:
        if path.links:
            one, other = tunnel_ends(path.number)
            tunnels.append((path.number, str(one), str(other)))
    return Forgery(macs, tuple(tunnels))
