"""What the plan makes of directions, queues and faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.random_topologies import topologies, topology
from vnemu.drivers.probe import needs
from vnemu.embedding.mapping import Mapping
from vnemu.embedding.strategies import embed
from vnemu.model.change import Change, reshaped
from vnemu.model.overlay import Topology
from vnemu.model.quality import Quality
from vnemu.model.quality import Queue as Declared
from vnemu.plan.build import build
from vnemu.plan.diff import Action, diff
from vnemu.plan.explain import as_data, explain
from vnemu.plan.impair import queue_of
from vnemu.plan.objects import Block, Netem, Object, Patch, Queue, Tunnel, Veth
from vnemu.plan.sizes import queue_bytes
from vnemu.units import Duration, Size

MS = 10**6
TEXT = """
underlay:
  machines: [m1, m2, m3]
  links:
    - {endpoints: [m1, m2], rate: 32mbit}
    - {endpoints: [m2, m3], rate: 32mbit}
networks:
  a:
    routers: {r1: {on: m1}, r2: {on: m2}, r3: {on: m3}}
    links:
      - {name: x, endpoints: [r1, r2]%s}
      - {name: y, endpoints: [r3, r1]%s}
      - {name: z, endpoints: [r2, r3]}
"""


def made(x: str = "", y: str = "") -> tuple[Topology, Mapping]:
    topo = topology(TEXT % (x, y))
    return topo, embed(topo)


def objects(topo: Topology, mapping: Mapping) -> list[Object]:
    return list(build(topo, mapping).objects().values())


def change(topo: Topology, after: Topology, mapping: Mapping) -> list[Action]:
    return diff(build(after, mapping).fragments, build(topo, mapping).fragments)


def blocked(topo: Topology, mapping: Mapping) -> set[tuple[str, str]]:
    return {(o.namespace, o.device) for o in objects(topo, mapping) if isinstance(o, Block)}


def unplugged(topo: Topology, mapping: Mapping) -> set[str]:
    return {o.a.device for o in objects(topo, mapping) if isinstance(o, Veth) and not o.carrier}


class TestQueues:
    @pytest.mark.parametrize(
        ("queue", "expected"),
        [
            (Declared(), 100_000),
            (Declared(time=Duration(50 * MS)), 200_000),
            (Declared(time=Duration(1)), 3028),
            (Declared(size=Size(5000)), 5000),
            (Declared("codel"), 100_000),
        ],
    )
    def test_room(self, queue: Declared, expected: int) -> None:
        found = queue_of("n", "d", 1, Quality(queue=queue), 32 * 10**6, Duration(0))
        assert (found.limit, found.discipline) == (expected, queue.discipline)

    def test_options(self) -> None:
        queue = Declared("codel", target=Duration(5 * MS), ecn=False)
        found = queue_of("n", "d", 1, Quality(queue=queue), 10**6, Duration(0))
        assert found.options == (("target", 5 * MS), ("ecn", 0))

    def test_room_for_a_round_trip(self) -> None:
        assert queue_bytes(32 * 10**6, Duration(20 * MS)) == 100_000
        assert queue_bytes(32 * 10**6, Duration(100 * MS)) == 400_000
        assert queue_bytes(10**12, Duration(60 * 1000 * MS)) == 2**31 - 1

    def test_the_round_trip_is_of_the_whole_path(self) -> None:
        topo, mapping = made(y=", delay: 30ms")
        topo = reshaped(topo, {"m1-m2": Change.parse(delay="10ms")})
        shares = build(topo, mapping).fragments["share", "m2-m3 a/y"].values()
        limits = {o.limit for o in shares if isinstance(o, Queue)}
        assert limits == {int(32e6 / 8 * 0.080)}

    def test_a_short_queue_gets_single_frames(self) -> None:
        topo, mapping = made()
        fast = reshaped(topo, {"m1-m2": Change.parse(rate="1gbit")})
        for queue, gso in (("none", 65536), ("100kb", 1514), ("50ms", 65536)):
            after = reshaped(fast, {"a/x": Change.parse(queue=queue)})
            fragment = build(after, mapping).fragments["link", "a/x"].values()
            assert {o.gso for o in fragment if isinstance(o, Tunnel)} == {gso}


@pytest.mark.parametrize("way", ["r1>r2", "r2>r1"])
def test_an_impairment_of_one_direction_is_at_its_receiver(way: str) -> None:
    topo, mapping = made()
    after = reshaped(topo, {"a/x": Change.parse(way, delay="5ms", loss="1%")})
    actions = change(topo, after, mapping)
    netems = [a.target for a in actions if isinstance(a.target, Netem)]
    near, far = ("d1a", "d1b") if way == "r1>r2" else ("d1b", "d1a")
    assert [netem.device for netem in netems] == [near]
    patches = {a.target.source: a.target.target for a in actions if isinstance(a.target, Patch)}
    assert patches[far] == topo.vifs[f"a/{way[-2:]}", "eth0"]
    tunnels = {o.device: (o.gso, o.joins) for o in objects(after, mapping) if isinstance(o, Tunnel)}
    sender, other = ("t1a", "t1b") if way == "r1>r2" else ("t1b", "t1a")
    assert tunnels[sender] == (1514, True)
    assert tunnels[other] == (1514, False)


class TestFaults:
    @pytest.mark.parametrize(
        ("cut", "ends"),
        [
            ({"forward"}, ["a/r1"]),
            ({"backward"}, ["a/r2"]),
            ({"forward", "backward"}, ["a/r1", "a/r2"]),
        ],
    )
    def test_a_cut_blocks_what_the_sender_sends(self, cut: Any, ends: list[str]) -> None:
        topo, mapping = made()
        after = topo.with_links({"a/x": replace(topo.links["a/x"], cut=frozenset(cut))})
        assert blocked(after, mapping) == {("fabric", topo.vifs[end, "eth0"]) for end in ends}
        assert [a.verb for a in change(topo, after, mapping)] == ["create"] * len(ends)

    def test_a_failed_link_blocks_both_ports(self) -> None:
        topo, mapping = made()
        link = topo.underlay.links["m1-m2"]
        after = topo.with_physical_links({link.name: replace(link, failed=True)})
        assert blocked(after, mapping) == {("rm:m1", "to-m2"), ("rm:m2", "to-m1")}
        cut = topo.with_physical_links({link.name: replace(link, cut=frozenset({"forward"}))})
        assert blocked(cut, mapping) == {("rm:m2", "to-m1")}

    def test_a_failed_machine_blocks_its_links_and_ends(self) -> None:
        topo, mapping = made()
        after = replace(topo, underlay=replace(topo.underlay, failed_machines=frozenset({"m3"})))
        vifs = {topo.vifs[end] for end in (("a/r1", "eth1"), ("a/r2", "eth1"))}
        vifs |= {topo.vifs["a/r3", nic] for nic in ("eth0", "eth1")}
        ports = {("rm:m2", "to-m3"), ("rm:m3", "to-m2")}
        assert blocked(after, mapping) == ports | {("fabric", vif) for vif in vifs}

    def test_carrier(self) -> None:
        topo, mapping = made()
        after = topo.with_links({"a/x": replace(topo.links["a/x"], carrier=False)})
        assert unplugged(after, mapping) == {topo.vifs["a/r1", "eth0"], topo.vifs["a/r2", "eth0"]}
        assert {a.verb for a in change(topo, after, mapping)} == {"change"}

    def test_a_failure_on_the_path_takes_the_carrier_of_those_who_ask(self) -> None:
        topo, mapping = made(y=", on_failure: carrier")
        link = topo.underlay.links["m1-m2"]
        after = topo.with_physical_links({link.name: replace(link, failed=True)})
        assert unplugged(after, mapping) == {topo.vifs["a/r3", "eth0"], topo.vifs["a/r1", "eth1"]}

    @given(topologies(), st.data())
    def test_faults_only_add_blocks_and_change_carriers(self, topo: Topology, data: Any) -> None:
        mapping = embed(topo)
        machine = data.draw(st.sampled_from(topo.underlay.machines))
        underlay = replace(topo.underlay, failed_machines=frozenset({machine}))
        after = replace(topo, underlay=underlay)
        actions = change(topo, after, mapping)
        assert all(isinstance(a.target, Block) and a.verb == "create" for a in actions)


class TestShown:
    def test_directions_in_words(self) -> None:
        topo, mapping = made(", directions: {r2>r1: {delay: 5ms, queue: 50ms, limit: 1mbit}}")
        text = explain(topo, mapping)
        assert "\n  a/x              r2>r1: delay 5ms\n" in text
        assert "\n  a/x              r1>r2 none, r2>r1 50ms\n" in text
        assert (
            "\n  m1-m2, m2>m1: 32mbit\n    a/x              assured 1mbit, at most 1mbit\n" in text
        )

    def test_directions_as_data(self) -> None:
        topo, mapping = made(", delay: 9ms, directions: {r2>r1: {loss: {p: 1%, r: 20%}}}")
        topo = reshaped(topo, {"m2-m3": Change.parse("m3>m2", rate="1mbit")})
        shown: Any = as_data(topo, mapping)
        assert shown["links"]["a/x"]["delay"] == "9ms"
        assert shown["links"]["a/x"]["loss"] == {
            "r1>r2": None,
            "r2>r1": "in bursts (p 1%, r 20%, bad 100%, good 0%)",
        }
        assert shown["physical_links"]["m2-m3"]["rate"] == {"m2>m3": "32mbit", "m3>m2": "1mbit"}
        assert set(shown["shares"]["m2-m3"]) == {"m2>m3", "m3>m2"}
        assert set(shown["shares"]["m1-m2"]) == {"a/x", "a/y"}


class TestNeeds:
    def test_the_line_that_needs_it(self) -> None:
        queue = ", queue: {discipline: fq_codel}"
        topo, _ = made(queue, ", directions: {r1>r3: {delay: 5ms}}")
        found = needs(topo)
        assert found["fq_codel"] == "t.yaml:11: virtual link a/x has the queue fq_codel"
        assert found["netem"] == ("t.yaml:12: virtual link a/y has r3>r1 none, r1>r3 delay 5ms")
        assert not {"ifb", "bpf", "red"} & set(found)

    def test_faults_need_filters(self) -> None:
        topo, _ = made()
        cut = topo.with_links({"a/x": replace(topo.links["a/x"], cut=frozenset({"forward"}))})
        assert "bpf" in needs(cut)
