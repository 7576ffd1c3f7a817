"""Static routes: every address is reached, by a shortest path, in both IP versions."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Network, IPv6Network

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.random_topologies import topologies, topology
from vnemu.model.overlay import Interface, IpAddress, Topology, VirtualNetwork
from vnemu.routing.static import StaticRoute, join_prefixes, static_routes, trace


def graph(network: VirtualNetwork) -> nx.Graph[str]:
    found: nx.Graph[str] = nx.Graph()
    found.add_nodes_from(node.path for node in network.nodes.values())
    found.add_edges_from((link.a, link.b) for link in network.links.values())
    return found


def owners(network: VirtualNetwork) -> dict[IpAddress, str]:
    return {
        i.ip: node.path for node in network.nodes.values() for i in interfaces(network, node.path)
    }


def interfaces(network: VirtualNetwork, path: str) -> list[Interface]:
    node = network.nodes[path.split("/")[1]]
    return list(node.addresses)


def next_hop(
    network: VirtualNetwork, routes: dict[str, list[StaticRoute]], here: str, target: IpAddress
) -> IpAddress:
    """Where a packet goes from `here`: the longest prefix decides; the target if it is near."""
    if any(target in i.network for i in interfaces(network, here)):
        return target
    fitting = [r for r in routes[here] if target in r.destination]
    assert fitting, f"{here} has no route to {target}"
    return max(fitting, key=lambda r: r.destination.prefixlen).via


@given(topologies())
def test_every_address_is_reached_on_a_shortest_path(topo: Topology) -> None:
    for network in topo.networks.values():
        routes, whose = static_routes(network), owners(network)
        distance = dict(nx.all_pairs_shortest_path_length(graph(network)))
        for start in routes:
            for target, owner in whose.items():
                hops, here = 0, start
                while here != owner:
                    here = whose[next_hop(network, routes, here, target)]
                    hops += 1
                    assert hops <= len(routes), f"{start} -> {target} goes in a circle"
                # An address of a link may be reached by way of the link's other end.
                near = min(
                    (distance[start][node] for node in distance if _is_on(network, node, target)),
                )
                assert hops <= near + (1 if here != start else 0)


def _is_on(network: VirtualNetwork, node: str, target: IpAddress) -> bool:
    return any(target in i.network for i in interfaces(network, node))


@given(topologies())
def test_loopbacks_are_reached_in_the_fewest_hops(topo: Topology) -> None:
    for network in topo.networks.values():
        routes, whose = static_routes(network), owners(network)
        distance = dict(nx.all_pairs_shortest_path_length(graph(network)))
        for node in network.routers:
            for start in routes:
                for loopback in node.loopbacks:
                    hops, here = 0, start
                    while here != node.path:
                        here = whose[next_hop(network, routes, here, loopback.ip)]
                        hops += 1
                    assert hops == distance[start][node.path]


@given(topologies())
def test_gateways_are_neighbours_on_the_named_nic(topo: Topology) -> None:
    for network in topo.networks.values():
        for path, routes in static_routes(network).items():
            nics = {nic.name: nic for nic in network.nodes[path.split("/")[1]].nics}
            for route in routes:
                assert any(route.via in a.network for a in nics[route.nic].addresses)


@given(topologies())
def test_trace_follows_the_routes(topo: Topology) -> None:
    for network in topo.networks.values():
        paths = [node.path for node in network.nodes.values()]
        distance = dict(nx.all_pairs_shortest_path_length(graph(network)))
        for start in paths:
            for end in paths:
                crossed = trace(network, start, end)
                assert len(crossed) == distance[start][end]
                here = start
                for link, forward in crossed:
                    assert here == (link.a if forward else link.b)
                    here = link.b if forward else link.a
                assert here == end


def test_a_host_has_one_default_route_per_version() -> None:
    topo = topology("underlay: {machines: [m]}\nnetworks: {a: {routers: [r], hosts: {h: {at: r}}}}")
    routes = static_routes(topo.networks["a"])["a/h"]
    assert [str(r.destination) for r in routes] == ["0.0.0.0/0", "::/0"]


def test_routing_none_plans_no_routes() -> None:
    from tests.random_topologies import plan
    from vnemu.plan.objects import Route

    topo = topology(
        "underlay: {machines: [m]}\n"
        "networks: {a: {routers: [r1, r2], links: [{endpoints: [r1, r2]}], routing: none}}"
    )
    assert not [o for o in plan(topo).objects().values() if isinstance(o, Route)]


@st.composite
def prefixes(draw: st.DrawFn, width: int) -> list[tuple[int, int]]:
    """Prefixes close together, so that many can be joined."""
    base = draw(st.integers(0, 2**width - 2**10)) & ~0x3FF
    found = []
    for _ in range(draw(st.integers(0, 30))):
        length = draw(st.integers(width - 8, width))
        host = width - length
        found.append((base + (draw(st.integers(0, 255)) >> host << host), length))
    return found


@pytest.mark.parametrize(("width", "kind"), [(32, IPv4Network), (128, IPv6Network)])
@given(data=st.data())
def test_join_prefixes_does_what_ipaddress_does(
    width: int, kind: type[IPv4Network | IPv6Network], data: st.DataObject
) -> None:
    drawn = data.draw(prefixes(width))
    expected = ipaddress.collapse_addresses([kind(p) for p in drawn])  # type: ignore[type-var]
    joined = [kind(p) for p in join_prefixes(drawn, width)]
    assert joined == list(expected)


def test_all_addresses_join_to_one() -> None:
    assert join_prefixes([(0, 1), (1 << 31, 1)], 32) == [(0, 0)]
