"""A plan in words: the mapping and its reasons, the addresses, the ordered actions."""

from __future__ import annotations

from collections.abc import Iterator

from vnemu.embedding.mapping import Mapping
from vnemu.embedding.shares import shares
from vnemu.model.impairment import Impairment
from vnemu.model.overlay import Topology
from vnemu.plan.build import build
from vnemu.plan.diff import Action, diff
from vnemu.units import Rate


def first_actions(topology: Topology, mapping: Mapping) -> list[Action]:
    """The actions that bring a lab up from nothing."""
    return diff(build(topology, mapping).fragments, {})


def explain(topology: Topology, mapping: Mapping) -> str:
    """The whole plan as text, the same every time."""
    sections = (
        ("Where the nodes are", _placed(topology, mapping)),
        ("Where the virtual links go", _paths(topology, mapping)),
        ("Tunnels between machines", _tunnels(topology)),
        ("Delay, jitter and loss, each direction", _impaired(topology)),
        ("Shares of the physical links, each direction", _shares(topology, mapping)),
        ("Addresses", _addresses(topology)),
        ("Actions", (f"  {action}" for action in first_actions(topology, mapping))),
    )
    lines = [f"Plan of {topology.name}"]
    for title, section in sections:
        shown = list(section)
        lines += ["", title, *shown] if shown else []
    return "\n".join(lines) + "\n"


def _placed(topology: Topology, mapping: Mapping) -> Iterator[str]:
    for path in topology.nodes:
        yield f"  {path:<16} {mapping.machines[path]:<12} {mapping.why[path]}"


def _paths(topology: Topology, mapping: Mapping) -> Iterator[str]:
    for path in topology.links:
        way = " - ".join(mapping.paths[path].machines)
        yield f"  {path:<16} {way:<24} {mapping.why[path]}"


def _tunnels(topology: Topology) -> Iterator[str]:
    declared = topology.underlay.tunnel
    if not topology.underlay.links:
        return
    if declared == "auto":
        yield "  shown as vxlan; tunnel: auto becomes gre on a kernel that has it"
    else:
        yield f"  {declared}"


def _impaired(topology: Topology) -> Iterator[str]:
    for name, physical in topology.underlay.links.items():
        if physical.impairment:
            yield f"  {name:<16} {physical.impairment}, physical link"
    for path, link in topology.links.items():
        if link.impairment:
            yield f"  {path:<16} {link.impairment}"


def _shares(topology: Topology, mapping: Mapping) -> Iterator[str]:
    for name, link in topology.underlay.links.items():
        yield f"  {name}: {link.rate}"
        for path, share in shares(topology, mapping, name).items():
            assured, ceiling = Rate(share.assured), Rate(share.ceiling)
            yield f"    {path:<16} assured {assured}, at most {ceiling}"


def _addresses(topology: Topology) -> Iterator[str]:
    for node in topology.nodes.values():
        if node.loopbacks:
            yield f"  {node.path:<16} lo    {' '.join(str(a.ip) for a in node.loopbacks)}"
        for nic in node.nics:
            shown = " ".join(str(address) for address in nic.addresses)
            yield f"  {node.path:<16} {nic.name:<5} {shown}"


def as_data(topology: Topology, mapping: Mapping) -> dict[str, object]:
    """The plan as plain data, for ``--json`` (docs/cli.md describes it)."""
    return {
        "name": topology.name,
        "nodes": {
            path: {
                "kind": node.kind,
                "machine": mapping.machines[path],
                "why": mapping.why[path],
                "loopbacks": [str(a.ip) for a in node.loopbacks],
                "nics": {
                    nic.name: {"link": nic.link, "addresses": [str(a) for a in nic.addresses]}
                    for nic in node.nics
                },
            }
            for path, node in topology.nodes.items()
        },
        "links": {
            path: {
                "ends": [link.a, link.b],
                "machines": list(mapping.paths[path].machines),
                "physical_links": list(mapping.paths[path].links),
                "why": mapping.why[path],
                "limit": str(link.limit) if link.limit else None,
                "guarantee": str(link.guarantee) if link.guarantee else None,
                **_impairment(link.impairment),
            }
            for path, link in topology.links.items()
        },
        "tunnel": topology.underlay.tunnel,
        "physical_links": {
            name: {
                "ends": [physical.a, physical.b],
                "rate": str(physical.rate),
                **_impairment(physical.impairment),
            }
            for name, physical in topology.underlay.links.items()
        },
        "shares": {
            name: {
                path: {"assured": str(Rate(s.assured)), "at_most": str(Rate(s.ceiling))}
                for path, s in shares(topology, mapping, name).items()
            }
            for name in topology.underlay.links
        },
        "actions": [
            {"do": a.verb, "what": str(a.target), "for": " ".join(a.reason).strip()}
            for a in first_actions(topology, mapping)
        ],
    }


def _impairment(impairment: Impairment) -> dict[str, str | None]:
    return {
        "delay": str(impairment.delay) if impairment.delay.amount else None,
        "jitter": str(impairment.jitter) if impairment.jitter.amount else None,
        "loss": str(impairment.loss) if impairment.loss.amount else None,
    }
