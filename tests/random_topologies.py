"""Hypothesis strategies for topologies, and a short way from text to a model."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import strategies as st

from vnemu.embedding.strategies import embed
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.plan.build import build
from vnemu.plan.diff import Plan
from vnemu.schema.document import Document
from vnemu.schema.load import Loaded
from vnemu.schema.topology import TopologyDoc

Data = dict[str, Any]


def loaded(text: str) -> Loaded[TopologyDoc]:
    document = Document.parse(text, "t.yaml")
    return Loaded(TopologyDoc.model_validate(document.data), document, "t")


def topology(text: str) -> Topology:
    return resolve(loaded(text))


def from_data(data: Data) -> Topology:
    return topology(json.dumps(data))


def plan(topo: Topology) -> Plan:
    return build(topo, embed(topo))


def yaml_of(data: Data) -> str:
    return yaml.safe_dump(data, sort_keys=False)


@st.composite
def trees(draw: st.DrawFn, names: list[str], extra: int = 2) -> list[tuple[str, str]]:
    """The edges of a connected graph: a random tree and up to `extra` more edges."""
    edges = [
        (draw(st.sampled_from(names[:number])), name) for number, name in enumerate(names) if number
    ]
    for _ in range(draw(st.integers(0, extra)) if len(names) > 1 else 0):
        a, b = draw(st.permutations(names))[:2]
        if (a, b) not in edges and (b, a) not in edges:
            edges.append((a, b))
    return edges


RATES = st.sampled_from(["5mbit", "10mbit", "32mbit", "100mbit", "1gbit"])


QUALITIES = st.sampled_from(
    [
        {},
        {"delay": "10ms"},
        {"loss": "0.1%"},
        {"delay": "20ms", "jitter": "5ms"},
        {"delay": "1ms", "jitter": "1ms", "loss": "2%"},
        {"delay": "5ms", "jitter": "1ms", "distribution": "normal", "reorder": "1%"},
        {"loss": {"p": "1%", "r": "20%"}, "duplicate": "1%"},
    ]
)


CAPACITIES = ("50mbit", "1kpps", "1gbit 90kpps")
LIMITS = st.sampled_from([{}, *({"resources": {"forwarding": each}} for each in CAPACITIES)])


def directions(draw: st.DrawFn, ends: tuple[str, str], *more: str) -> Data:
    """Now and then, another quality in one direction, and another of the rates in `more`."""
    if not draw(st.booleans()):
        return {}
    a, b = draw(st.permutations(ends))
    quality = {"delay": "30ms", **draw(QUALITIES), **{key: draw(RATES) for key in more}}
    return {"directions": {f"{a}>{b}": quality}}


@st.composite
def networks(draw: st.DrawFn, machines: list[str], most: int = 5) -> Data:
    routers = [f"r{n}" for n in range(1, draw(st.integers(1, most)) + 1)]
    links: list[Data] = []
    for edge in draw(trees(routers)):
        link: Data = {"endpoints": list(edge), **draw(QUALITIES)}
        if draw(st.booleans()):
            link["limit"] = draw(RATES)
        elif draw(st.booleans()):
            link["guarantee"] = draw(st.sampled_from(["10kbit", "100kbit"]))
        link |= directions(draw, edge, *(["limit"] if draw(st.booleans()) else []))
        links.append(link)
    placed: Data = {
        r: {"on": draw(st.sampled_from(machines))} if draw(st.booleans()) else {} for r in routers
    }
    placed = {r: {**placed[r], **draw(LIMITS)} for r in routers}
    hosts = {
        f"h{n}": {"at": draw(st.sampled_from(routers))} for n in range(draw(st.integers(0, 2)))
    }
    versions = draw(st.sampled_from([{}, {"ipv4": False}, {"ipv6": False}]))
    return {"routers": placed, "hosts": hosts, "links": links, **versions}


@st.composite
def documents(draw: st.DrawFn, machines: int = 4) -> Data:
    """A valid topology file, as data."""
    names = [f"m{n}" for n in range(1, draw(st.integers(1, machines)) + 1)]
    physical = [
        {"endpoints": list(e), "rate": draw(RATES), **draw(QUALITIES)} | directions(draw, e, "rate")
        for e in draw(trees(names))
    ]
    tunnel = draw(st.sampled_from(["auto", "gre", "vxlan"]))
    return {
        "underlay": {"machines": names, "links": physical, "tunnel": tunnel},
        "networks": {name: draw(networks(names)) for name in ["a", "b"][: draw(st.integers(1, 2))]},
    }


def topologies(machines: int = 4) -> st.SearchStrategy[Topology]:
    return documents(machines).map(from_data)
