"""Where VRs and VLs go: the same every time, explained, and never more than there is."""

from __future__ import annotations

import networkx as nx
import pytest
from hypothesis import given

from tests.random_topologies import Data, documents, from_data, topologies, topology
from vnemu.embedding.mapping import Mapping, admit, ports
from vnemu.embedding.strategies import embed
from vnemu.errors import InputError
from vnemu.model.overlay import Topology

RING = """
underlay:
  machines: [m1, m2, m3, m4]
  links:
    - {endpoints: [m1, m2], rate: 10mbit}
    - {endpoints: [m2, m3], rate: 10mbit}
    - {endpoints: [m3, m4], rate: 10mbit}
    - {endpoints: [m4, m1], rate: 10mbit}
networks:
  a:
    routers: {r1: {on: m1}, r2: {on: %s}}
    links: [%s]
"""

TWO = """{name: x, endpoints: [r1, r2], guarantee: %s},
      {name: y, endpoints: [r1, r2], guarantee: %s}"""


def paths(text: str) -> dict[str, tuple[str, ...]]:
    return {path: found.machines for path, found in embed(topology(text)).paths.items()}


@given(documents())
def test_the_same_file_is_embedded_the_same(data: Data) -> None:
    assert embed(from_data(data)) == embed(from_data(data))


@given(topologies())
def test_every_path_joins_its_ends_over_physical_links(topo: Topology) -> None:
    mapping = embed(topo)
    assert set(mapping.paths) == set(topo.links)
    for path, way in mapping.paths.items():
        link = topo.links[path]
        ends = mapping.machines[link.a], mapping.machines[link.b]
        assert (way.machines[0], way.machines[-1]) == ends
        for name, before, behind in way.hops():
            physical = topo.underlay.links[name]
            assert {physical.a, physical.b} == {before, behind}


@given(topologies())
def test_placement_keeps_to_the_file_and_hosts_to_their_routers(topo: Topology) -> None:
    mapping = embed(topo)
    assert set(mapping.machines) == set(topo.nodes)
    for path, node in topo.nodes.items():
        assert mapping.machines[path] in topo.underlay.machines
        assert node.on in {None, mapping.machines[path]}
        assert node.at is None or mapping.machines[path] == mapping.machines[node.at]


@given(topologies())
def test_without_guarantees_paths_are_shortest(topo: Topology) -> None:
    if any(link.has_guarantee for link in topo.links.values()):
        return
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(topo.underlay.machines)
    graph.add_edges_from((link.a, link.b) for link in topo.underlay.links.values())
    for way in embed(topo).paths.values():
        hops = nx.shortest_path_length(graph, way.machines[0], way.machines[-1])
        assert len(way.links) == hops


@given(topologies())
def test_everything_is_explained_and_numbered(topo: Topology) -> None:
    mapping = embed(topo)
    assert set(mapping.why) == {*topo.nodes, *topo.links}
    assert all(mapping.why.values())
    assert [way.number for way in mapping.paths.values()] == list(range(1, len(topo.links) + 1))


@given(topologies())
def test_guarantees_fit(topo: Topology) -> None:
    mapping = embed(topo)
    for physical in topo.underlay.links.values():
        for port in ports(physical):
            users = mapping.users.get(port, ())
            taken = sum(topo.links[path].quality(forward).guaranteed for path, forward in users)
            assert taken <= physical.sent_by(port[1]).rate.bps


def test_equal_paths_are_used_in_turn() -> None:
    found = paths(RING % ("m3", "{name: x, endpoints: [r1, r2]}, {name: y, endpoints: [r1, r2]}"))
    assert set(found.values()) == {("m1", "m2", "m3"), ("m1", "m4", "m3")}


def test_a_guarantee_goes_the_longer_way_when_the_short_one_is_full() -> None:
    links = TWO % ("8mbit", "6mbit")
    found = paths(RING % ("m2", links))
    assert found == {"a/x": ("m1", "m2"), "a/y": ("m1", "m4", "m3", "m2")}


def test_the_largest_guarantee_chooses_first() -> None:
    links = TWO % ("6mbit", "8mbit")
    assert paths(RING % ("m2", links))["a/y"] == ("m1", "m2")


def test_guarantees_are_admitted_up_to_the_last_bit() -> None:
    links = "{name: x, endpoints: [r1, r2], guarantee: %s, path: [m1, m2]}"
    assert embed(topology(RING % ("m2", links % "10mbit")))
    with pytest.raises(InputError, match="has 10mbit, but is to guarantee"):
        embed(topology(RING % ("m2", links % "10000001bit")))


def test_a_guarantee_is_of_one_direction() -> None:
    links = (
        "{name: x, endpoints: [r1, r2], path: [m1, m2], directions: {r1>r2: {guarantee: 8mbit}}},"
        "{name: y, endpoints: [r1, r2], path: [m1, m2], directions: {%s: {guarantee: 8mbit}}}"
    )
    assert embed(topology(RING % ("m2", links % "r2>r1")))
    with pytest.raises(InputError, match=r"m1-m2 \(m1>m2\) has 10mbit, .* 8mbit \(a/x\) \+ 8mbit"):
        embed(topology(RING % ("m2", links % "r1>r2")))


def test_a_slow_way_back_is_no_room() -> None:
    links = "{name: x, endpoints: [r1, r2], guarantee: 8mbit}"
    slow = "{endpoints: [m1, m2], rate: 10mbit, directions: {m2>m1: {rate: 1mbit}}}"
    text = (RING % ("m2", links)).replace("{endpoints: [m1, m2], rate: 10mbit}", slow)
    assert paths(text) == {"a/x": ("m1", "m4", "m3", "m2")}


def test_guarantees_on_one_machine_cost_nothing() -> None:
    links = "{name: x, endpoints: [r1, r2], guarantee: 1gbit}"
    assert paths(RING % ("m1", links)) == {"a/x": ("m1",)}


def test_unplaced_routers_go_near_their_neighbours_and_spread() -> None:
    text = """
underlay:
  machines: [m1, m2, m3]
  links: [{endpoints: [m1, m2], rate: 10mbit}, {endpoints: [m2, m3], rate: 10mbit}]
networks:
  a: {routers: {r1: {on: m3}, r2: {}}, links: [{endpoints: [r1, r2]}]}
  b: {routers: [r1]}
  c: {routers: [r1]}
"""
    mapping = embed(topology(text))
    assert mapping.machines["a/r2"] == "m3"
    assert mapping.machines["b/r1"] == "m1"
    assert mapping.machines["c/r1"] == "m2"
    assert mapping.why["a/r1"] == "as declared"


@given(topologies())
def test_admission_of_what_is_embedded(topo: Topology) -> None:
    mapping: Mapping = embed(topo)
    admit(topo, mapping, topo.underlay.links)
