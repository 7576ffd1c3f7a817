"""Shares of a physical link, and the ideal that measurements are held against."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.random_topologies import topologies, topology
from vnemu.embedding.mapping import Mapping, ports
from vnemu.embedding.shares import LEAST, Demand, Granted, ideal_rates, shares, water_level
from vnemu.embedding.strategies import embed
from vnemu.model.overlay import Topology
from vnemu.routing.static import trace

M = 10**6

TWO = """
underlay: {machines: [m1, m2], links: [{endpoints: [m1, m2], rate: 32mbit}]}
networks:
  a:
    routers: {r1: {on: m1}, r2: {on: m2}}
    links: [{name: core, endpoints: [r1, r2]%s}]
  b:
    routers: {r1: {on: m1}, r2: {on: m2}}
    links: [{name: core, endpoints: [r1, r2]%s}]
"""


def assured(a: str = "", b: str = "") -> tuple[float, float]:
    topo = topology(TWO % (a, b))
    found = shares(topo, embed(topo), ("m1-m2", "m1"))
    return found["a/core"].assured / M, found["b/core"].assured / M


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("", "", (16, 16)),
        (", guarantee: 30mbit", "", (30, 2)),
        (", guarantee: 10mbit", "", (16, 16)),
        (", limit: 2mbit", "", (2, 30)),
        (", limit: 2mbit", ", guarantee: 31mbit", (1, 31)),
        (", guarantee: 32mbit", "", (32, LEAST / M)),
        (", guarantee: 20mbit", ", guarantee: 12mbit", (20, 12)),
        (", limit: 2mbit", ", limit: 3mbit", (2, 3)),
        (", limit: 100mbit", "", (16, 16)),
    ],
)
def test_assured_on_the_papers_link(a: str, b: str, expected: tuple[float, float]) -> None:
    assert assured(a, b) == expected


@st.composite
def bounds(draw: st.DrawFn) -> tuple[int, list[int], list[int]]:
    """A capacity, and floors (which fit) and ceilings of some VLs."""
    capacity = draw(st.integers(10_000, 10**10))
    count = draw(st.integers(1, 8))
    floors, left = [], capacity
    for _ in range(count):
        floors.append(draw(st.integers(0, left)))
        left -= floors[-1]
    ceilings = [draw(st.integers(max(floor, 1), capacity)) for floor in floors]
    return capacity, floors, ceilings


@given(bounds())
def test_water_level_fills_the_link_or_all_are_full(
    case: tuple[int, list[int], list[int]],
) -> None:
    capacity, floors, ceilings = case
    level = water_level(capacity, floors, ceilings)
    taken = [min(max(level, f), c) for f, c in zip(floors, ceilings, strict=True)]
    assert sum(taken) <= capacity
    full = all(t == c for t, c in zip(taken, ceilings, strict=True))
    assert full or sum(taken) > capacity - len(floors)


@given(bounds())
def test_water_level_does_not_depend_on_the_order(
    case: tuple[int, list[int], list[int]],
) -> None:
    capacity, floors, ceilings = case
    assert water_level(capacity, floors, ceilings) == water_level(
        capacity, floors[::-1], ceilings[::-1]
    )


@pytest.mark.parametrize(
    ("a", "there", "back"),
    [
        (", directions: {r1>r2: {limit: 2mbit}}", (2, 30), (16, 16)),
        (", directions: {r2>r1: {guarantee: 30mbit}}", (16, 16), (30, 2)),
        (", limit: 2mbit, directions: {r2>r1: {limit: none}}", (2, 30), (16, 16)),
    ],
)
def test_each_direction_has_its_own(
    a: str, there: tuple[float, float], back: tuple[float, float]
) -> None:
    topo = topology(TWO % (a, ""))
    mapping = embed(topo)
    for sender, expected in (("m1", there), ("m2", back)):
        found = shares(topo, mapping, ("m1-m2", sender))
        assert (found["a/core"].assured / M, found["b/core"].assured / M) == expected


@given(topologies())
def test_shares_keep_capacity_floors_and_ceilings(topo: Topology) -> None:
    mapping = embed(topo)
    for physical in topo.underlay.links.values():
        for port in ports(physical):
            capacity = physical.sent_by(port[1]).rate.bps
            users = dict(mapping.users.get(port, ()))
            found = shares(topo, mapping, port)
            assert set(found) == set(users)
            assert sum(s.assured for s in found.values()) <= capacity + LEAST * len(found)
            for path, share in found.items():
                quality = topo.links[path].quality(users[path])
                assert LEAST <= share.assured <= share.ceiling <= capacity
                assert share.assured >= quality.guaranteed
                assert not quality.limit or share.ceiling <= quality.limit.bps


def greedy(topo: Topology, start: str, end: str, name: str, rate: int | None = None) -> Demand:
    network = topo.networks[start.split("/", maxsplit=1)[0]]
    crossed = tuple((link.path, forward) for link, forward in trace(network, start, end))
    return Demand(name, crossed, rate)


def ideals(text: str, *demands: tuple[str, str, int | None]) -> list[float]:
    topo = topology(text)
    flows = [greedy(topo, a, b, str(n), rate) for n, (a, b, rate) in enumerate(demands)]
    found = ideal_rates(Granted(topo, embed(topo)), flows)
    return [round(found[flow.name] / M, 3) for flow in flows]


A, B = ("a/r1", "a/r2", None), ("b/r1", "b/r2", None)
BACK, B_BACK = ("a/r2", "a/r1", None), ("b/r2", "b/r1", None)


@pytest.mark.parametrize(
    ("a", "b", "demands", "expected"),
    [
        ("", "", (A, B), [16, 16]),
        (", guarantee: 30mbit", "", (A, B), [30, 2]),
        (", guarantee: 30mbit", "", (B,), [32]),
        (", limit: 2mbit", "", (A, B), [2, 30]),
        (", directions: {r1>r2: {limit: 2mbit}}", "", (A, B, BACK), [2, 30, 32]),
        (", directions: {r2>r1: {guarantee: 30mbit}}", "", (A, BACK, B, B_BACK), [16, 30, 16, 2]),
        ("", "", (A,), [32]),
        ("", "", (A, BACK), [32, 32]),
        ("", "", (A, A, B), [8, 8, 16]),
        ("", "", (A, ("b/r1", "b/r2", 4 * M)), [28, 4]),
        ("", "", (("a/r1", "a/r2", 10 * M), A, B), [10, 6, 16]),
        (", guarantee: 30mbit", "", (("a/r1", "a/r2", 5 * M), B), [5, 27]),
    ],
)
def test_ideal_on_the_papers_link(
    a: str, b: str, demands: tuple[tuple[str, str, int | None], ...], expected: list[float]
) -> None:
    assert ideals(TWO % (a, b), *demands) == pytest.approx(expected, abs=0.01)


def test_a_flow_that_nothing_holds_back_has_no_ideal() -> None:
    topo = topology(
        "underlay: {machines: [m]}\n"
        "networks: {a: {routers: [r1, r2], links: [{endpoints: [r1, r2]}]}}"
    )
    assert ideal_rates(Granted(topo, embed(topo)), [greedy(topo, "a/r1", "a/r2", "x")]) == {}


def test_a_slow_way_back_holds_one_direction() -> None:
    wire = "rate: 32mbit, directions: {m2>m1: {rate: 1mbit}}"
    text = (TWO % ("", "")).replace("rate: 32mbit", wire)
    assert ideals(text, A, B, BACK) == [16, 16, 1]


def test_what_a_flow_leaves_because_of_another_link_goes_to_its_neighbours() -> None:
    text = (
        "underlay: {machines: [m]}\n"
        "networks: {a: {routers: [r1, r2, r3], links: "
        "[{endpoints: [r1, r2], limit: 5mbit}, {endpoints: [r2, r3], limit: 2mbit}]}}"
    )
    assert ideals(text, ("a/r1", "a/r2", None), ("a/r1", "a/r3", None)) == [3, 2]


def test_a_limit_on_one_machine_holds() -> None:
    text = (
        "underlay: {machines: [m]}\n"
        "networks: {a: {routers: [r1, r2], links: [{endpoints: [r1, r2], limit: 5mbit}]}}"
    )
    assert ideals(text, A) == [5]


@pytest.mark.parametrize(
    ("capacity", "demands", "expected"),
    [
        ("20mbit", [("a/h1", "a/r2", None)], [20]),
        ("20mbit", [("a/h1", "a/r2", None), ("a/r2", "a/h1", None)], [10, 10]),
        ("20mbit", [("a/h1", "a/r2", 15 * M), ("a/r2", "a/h1", None)], [15, 5]),
        ("20mbit", [("a/h1", "a/r2", None), ("a/r2", "a/r1", None)], [10, 10]),
        ("20mbit", [("a/r1", "a/r2", None)], [32]),  # its own
        ("100mbit", [("a/h1", "a/r2", None), ("a/r2", "a/h1", None)], [32, 32]),
        ("20mbit 1kpps", [("a/h1", "a/r2", None)], [20]),
        ("1kpps", [("a/h1", "a/r2", None)], [32]),  # it depends on what the packets are
    ],
)
def test_a_router_is_a_hop_that_all_directions_share(
    capacity: str, demands: list[tuple[str, str, int | None]], expected: list[float]
) -> None:
    text = (
        "underlay: {machines: [m1, m2], links: [{endpoints: [m1, m2], rate: 32mbit}]}\n"
        "networks:\n  a:\n    routers:\n"
        f"      r1: {{on: m1, resources: {{forwarding: {capacity}}}}}\n      r2: {{on: m2}}\n"
        "    hosts: {h1: {at: r1}}\n    links: [{endpoints: [r1, r2]}]\n"
    )
    assert ideals(text, *demands) == pytest.approx(expected, abs=0.01)


@given(topologies(), st.data())
def test_ideals_fit_the_links_and_leave_nothing_unused(topo: Topology, data: st.DataObject) -> None:
    mapping = embed(topo)
    ends = st.sampled_from(sorted(topo.nodes))
    flows = []
    for number in range(data.draw(st.integers(1, 4))):
        start = data.draw(ends)
        end = data.draw(st.sampled_from(sorted(topo.networks[topo.nodes[start].network].nodes)))
        end = f"{topo.nodes[start].network}/{end}"
        if start != end:
            rate = data.draw(st.sampled_from([None, 3 * M, 300 * M]))
            flows.append(greedy(topo, start, end, str(number), rate))
    found = ideal_rates(Granted(topo, mapping), flows)
    used = _usage(topo, mapping, flows, found)
    for hop, rate in used.items():
        assert rate <= _capacity(topo, hop) * 1.001 + 10
    for flow in flows:
        if flow.name in found and flow.rate is None:
            assert any(
                used[hop] >= _capacity(topo, hop) * 0.98
                for link, forward in flow.links
                for hop in _hops(topo, mapping, link, forward)
            ), f"{flow} could have more than {found[flow.name]}"


Hop = tuple[str, str]


def _hops(topo: Topology, mapping: Mapping, link: str, forward: bool) -> list[Hop]:
    """All that may hold a flow back: the VL, each physical link in its direction, the VR behind."""
    physical = [(name, a if forward else b) for name, a, b in mapping.paths[link].hops()]
    behind = topo.links[link].b if forward else topo.links[link].a
    return [(link, "forward" if forward else ""), *physical, (behind, "router")]


def _capacity(topo: Topology, hop: Hop) -> float:
    if hop[1] == "router":
        capacity = topo.nodes[hop[0]].resources.forwarding
        return capacity.rate.bps if capacity and capacity.rate else float("inf")
    if hop[0] in topo.underlay.links:
        return topo.underlay.links[hop[0]].sent_by(hop[1]).rate.bps
    limit = topo.links[hop[0]].quality(bool(hop[1])).limit
    return limit.bps if limit else float("inf")


def _usage(
    topo: Topology, mapping: Mapping, flows: list[Demand], found: dict[str, float]
) -> dict[Hop, float]:
    used: dict[Hop, float] = {}
    for flow in flows:
        for link, forward in flow.links:
            for hop in _hops(topo, mapping, link, forward):
                used[hop] = used.get(hop, 0.0) + found.get(flow.name, 0.0)
    return used


AGGREGATED = """
underlay:
  machines: [m1, m2, m3]
  links:
    - {endpoints: [m1, m2], rate: 10mbit}
    - {endpoints: [m1, m3], rate: 30mbit}
    - {endpoints: [m3, m2], rate: 30mbit}
networks:
  a:
    routers: {r1: {on: m1}, r2: {on: m2}}
    links: [{name: core, endpoints: [r1, r2], paths: [[m1, m2], [m1, m3, m2]]%s}]
"""


@pytest.mark.parametrize(
    ("more", "rate", "expected"),
    [
        ("", None, 40 * M),
        (", limit: 30mbit", None, 25 * M),
        (", guarantee: 20mbit", None, 40 * M),
        ("", 15 * M, 15 * M),
        ("", 30 * M, 25 * M),
    ],
)
def test_what_an_aggregated_link_carries(more: str, rate: int | None, expected: float) -> None:
    """Frames are spread evenly, a limit likewise; a path gives no more than it has."""
    topo = topology(AGGREGATED % more)
    demand = Demand("flow", (("a/core", True),), rate)
    assert ideal_rates(Granted(topo, embed(topo)), [demand]) == {
        "flow": pytest.approx(expected, abs=2)
    }
