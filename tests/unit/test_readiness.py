"""Who shall reach whom before a network counts as ready; no kernel needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnemu.drivers.echo import checksum
from vnemu.embedding.strategies import embed
from vnemu.model.resolve import resolve
from vnemu.readiness import pairs, quiet_s
from vnemu.schema.load import load_topology
from vnemu.verbs.faults import Cut, Down, Fail
from vnemu.verbs.state import State, Verb, carry_out

LINE = """
underlay:
  machines: [rm1, rm2]
  links: [{{name: wire, endpoints: [rm1, rm2], rate: 10mbit}}]
networks:
  a:
    {ipv6}
    routing: {routing}
    routers: {{r1: {{on: rm1}}, r2: {{on: rm1}}, r3: {{on: rm2{r3}}}}}
    hosts: {{c1: {{at: r1}}}}
    links:
      - {{name: near, endpoints: [r1, r2]}}
      - {{name: far, endpoints: [r2, r3]}}
"""


def state(
    folder: Path, routing: str = "ospf", *verbs: Verb, r3: str = "", ipv6: str = "ipv6: false"
) -> State:
    file = folder / "t.yaml"
    file.write_text(LINE.format(routing=routing, r3=r3, ipv6=ipv6))
    topology = resolve(load_topology(file))
    return carry_out(State(topology, embed(topology)), verbs)


def asked(state: State) -> set[str]:
    network = state.topology.networks["a"]
    found = list(pairs(state.topology, state.mapping, network))
    assert len(set(found)) == len(found)
    return {f"{p.start[2:]}-{p.end[2:]}" for p in found}


EVERYBODY = {"r1-r2", "r1-r3", "r2-r3", "r1-c1", "r2-c1", "r3-c1"}


class TestPairs:
    def test_all_routers_and_hosts(self, tmp_path: Path) -> None:
        assert asked(state(tmp_path)) == EVERYBODY

    def test_in_both_versions(self, tmp_path: Path) -> None:
        both = state(tmp_path, ipv6="ipv6: fd00::/48")
        found = list(pairs(both.topology, both.mapping, both.topology.networks["a"]))
        assert [pair.version for pair in found].count(6) == len(EVERYBODY) == len(found) / 2
        assert str(found[0]) == "a/r1 and a/r2 (10.0.128.1, 10.0.128.2)"

    @pytest.mark.parametrize(
        "verb", [Cut("a/far"), Cut("a/far", "r2>r3"), Down("a/far"), Fail("wire"), Fail("rm2")]
    )
    def test_not_what_no_working_link_joins(self, verb: Verb, tmp_path: Path) -> None:
        assert asked(state(tmp_path, "ospf", verb)) == {"r1-r2", "r1-c1", "r2-c1"}

    @pytest.mark.parametrize("other", ["none", "static", "rip"])
    def test_not_over_a_link_where_both_speak_nothing_in_common(
        self, other: str, tmp_path: Path
    ) -> None:
        apart = state(tmp_path, r3=f", routing: {{protocol: {other}}}")
        assert asked(apart) == {"r1-r2", "r1-c1", "r2-c1"}

    def test_several_protocols_join(self, tmp_path: Path) -> None:
        joined = state(tmp_path, r3=", routing: {protocol: [ospf, rip]}")
        assert asked(joined) == EVERYBODY


class TestQuiet:
    @pytest.mark.parametrize(
        ("routing", "seconds"),
        [
            ("{protocol: ospf, hello: 1s}", 6),
            ("{protocol: ospf, hello: 7s}", 8),
            ("{protocol: ospf, hello: 60s}", 11),
            ("rip", 6),
            ("bgp", 6),
            ("{protocol: [ospf, rip], hello: 1s}", 6),
        ],
    )
    def test_it_follows_from_the_timers(self, routing: str, seconds: int, tmp_path: Path) -> None:
        network = state(tmp_path, routing).topology.networks["a"]
        assert quiet_s(network) == seconds

    @pytest.mark.parametrize(("routing", "dynamic"), [("static", False), ("bgp", True)])
    def test_dynamic(self, routing: str, dynamic: bool, tmp_path: Path) -> None:
        assert state(tmp_path, routing).topology.networks["a"].is_dynamic is dynamic


def test_checksum() -> None:
    """The example of RFC 1071, 3."""
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0xFFFF - 0xDDF2
