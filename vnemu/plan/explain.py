"""A plan in words: the mapping and its reasons, the addresses, the ordered actions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from vnemu.embedding.mapping import Mapping, ports
from vnemu.embedding.shares import Share, shares
from vnemu.model.overlay import Topology, VirtualLink
from vnemu.model.quality import Quality, Queue, WireQuality
from vnemu.model.underlay import PhysicalLink
from vnemu.model.words import by_direction, in_words
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
        ("Queues, each direction", _queues(topology)),
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
        way = " + ".join(" - ".join(way.machines) for way in mapping.paths[path].ways)
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
        for way, text in by_direction(physical, lambda wire: wire.impairment).items():
            if text:
                yield f"  {name:<16} {text}, physical link{way and f' {way}'}"
    for path, link in topology.links.items():
        for way, text in by_direction(link, lambda quality: quality.impairment).items():
            if text:
                yield f"  {path:<16} {way and f'{way}: '}{text}"


def _queues(topology: Topology) -> Iterator[str]:
    for path, link in topology.links.items():
        text = in_words(link, _queue)
        if text:
            yield f"  {path:<16} {text}"


def _queue(quality: Quality) -> str:
    return str(quality.queue) if quality.queue != Queue() else ""


def _shares(topology: Topology, mapping: Mapping) -> Iterator[str]:
    for name, link in topology.underlay.links.items():
        there, back = (shares(topology, mapping, port) for port in ports(link))
        if link.forward.rate == link.backward.rate and there == back:
            yield from _port(f"{name}: {link.forward.rate}", there)
        else:
            yield from _port(f"{name}, {link.direction(True)}: {link.forward.rate}", there)
            yield from _port(f"{name}, {link.direction(False)}: {link.backward.rate}", back)


def _port(title: str, granted: dict[str, Share]) -> Iterator[str]:
    yield f"  {title}"
    for path, share in granted.items():
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
    actions = [
        {"do": a.verb, "what": str(a.target), "for": " ".join(a.reason).strip()}
        for a in first_actions(topology, mapping)
    ]
    return {**described(topology, mapping), "actions": actions}


def described(topology: Topology, mapping: Mapping) -> dict[str, Any]:
    """What a topology is and where, as plain data; without the actions that it takes."""
    return {
        "name": topology.name,
        "nodes": {
            path: {
                "kind": node.kind,
                "machine": mapping.machines[path],
                "at": node.at,
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
                "beside": [list(way.machines) for way in mapping.paths[path].beside],
                "why": mapping.why[path],
                **_quality(link, _OF_VIRTUAL),
            }
            for path, link in topology.links.items()
        },
        "tunnel": topology.underlay.tunnel,
        "machines": list(topology.underlay.machines),
        "physical_links": {
            name: {
                "ends": [physical.a, physical.b],
                **_quality(physical, _OF_PHYSICAL),
            }
            for name, physical in topology.underlay.links.items()
        },
        "shares": {
            name: _granted(topology, mapping, physical)
            for name, physical in topology.underlay.links.items()
        },
    }


_OF_IMPAIRMENT = (
    "delay",
    "jitter",
    "distribution",
    "delay_correlation",
    "loss",
    "duplicate",
    "corrupt",
    "reorder",
)
_OF_VIRTUAL = ("limit", "guarantee", *_OF_IMPAIRMENT, "queue")
_OF_PHYSICAL = ("rate", *_OF_IMPAIRMENT)


def _quality(link: VirtualLink | PhysicalLink, names: tuple[str, ...]) -> dict[str, object]:
    """A link's properties: a text, None, or where the directions differ one by direction."""
    found: dict[str, object] = {}
    for name in names:
        said = by_direction(link, partial(_property, name))
        found[name] = said.get("") if "" in said else said
    return found


def _property(name: str, quality: Quality | WireQuality) -> object:
    if name == "queue":
        assert isinstance(quality, Quality)
        return _queue(quality)
    value = getattr(quality if hasattr(quality, name) else quality.impairment, name)
    if name == "distribution" and value == "uniform":
        return None
    return value if getattr(value, "amount", value) else None


def _granted(topology: Topology, mapping: Mapping, physical: PhysicalLink) -> dict[str, object]:
    """The shares by VL; where the directions differ, by direction first."""
    there, back = (
        {
            path: {"assured": str(Rate(s.assured)), "at_most": str(Rate(s.ceiling))}
            for path, s in shares(topology, mapping, port).items()
        }
        for port in ports(physical)
    )
    if there == back:
        return dict(there)
    return {physical.direction(True): there, physical.direction(False): back}
