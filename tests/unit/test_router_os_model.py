"""What a topology file says of routing, and the Router OS that it means."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import pytest
import yaml

from vnemu.errors import InputError
from vnemu.model.overlay import Node, Topology
from vnemu.model.resolve import resolve
from vnemu.model.router_os import private_as
from vnemu.model.routing import Protocol, Timer, Timers
from vnemu.schema.load import load_topology
from vnemu.units import Duration


def _topology(tmp_path: Path, network: str) -> Topology:
    file = tmp_path / "t.yaml"
    file.write_text(f"underlay: {{machines: [m]}}\nnetworks:\n  a: {network}\n", encoding="utf-8")
    return resolve(load_topology(file))


def _router(tmp_path: Path, network: str, name: str = "r1") -> Node:
    return _topology(tmp_path, network).nodes[f"a/{name}"]


def test_static_is_the_default(tmp_path: Path) -> None:
    os = _router(tmp_path, "{routers: [r1]}").os
    assert (os.protocols, os.daemon, os.is_dynamic) == (("static",), None, False)


@pytest.mark.parametrize(
    ("routing", "protocols", "daemon"),
    [
        ("ospf", ("ospf",), "bird"),
        ("[ospf, bgp]", ("ospf", "bgp"), "bird"),
        ("isis", ("isis",), "frr"),
        ("[ospf, isis]", ("ospf", "isis"), "frr"),
        ("{protocol: rip, daemon: frr}", ("rip",), "frr"),
        ("none", ("none",), None),
    ],
)
def test_protocols_and_daemons(
    routing: str, protocols: tuple[str, ...], daemon: str | None, tmp_path: Path
) -> None:
    os = _router(tmp_path, f"{{routers: [r1], routing: {routing}}}").os
    assert (os.protocols, os.daemon) == (protocols, daemon)


def test_a_router_says_what_is_other_than_in_its_network(tmp_path: Path) -> None:
    topology = _topology(
        tmp_path,
        "{routers: {r1: {}, r2: {routing: {bfd: false, daemon: frr, cost: 7, id: 1.1.1.1}}},"
        " links: [{endpoints: [r1, r2]}], routing: {protocol: ospf, hello: 1s, bfd: true}}",
    )
    one, other = (topology.nodes[path].os for path in ("a/r1", "a/r2"))
    assert one.bfd is not None
    assert (one.bfd.interval, one.bfd.multiplier) == (Duration(10**8), 3)
    assert (one.daemon, one.cost, one.router_id) == ("bird", None, IPv4Address("10.0.128.1"))
    assert (other.bfd, other.daemon, other.cost) == (None, "frr", 7)
    assert other.router_id == IPv4Address("1.1.1.1")
    assert one.timers == other.timers


def test_without_ipv4_the_router_id_is_the_number(tmp_path: Path) -> None:
    node = _router(
        tmp_path, "{ipv4: false, routers: [r0, r1], links: [{endpoints: [r0, r1]}], routing: ospf}"
    )
    assert node.os.router_id == IPv4Address("0.0.0.2")


@pytest.mark.parametrize(
    ("number", "asn"), [(1, 64512), (1023, 65534), (1024, 4_200_001_023), (5000, 4_200_004_999)]
)
def test_private_as(number: int, asn: int) -> None:
    assert private_as(number) == asn


def test_only_speakers_of_bgp_have_an_as(tmp_path: Path) -> None:
    topology = _topology(
        tmp_path,
        "{routers: {r1: {}, r2: {routing: ospf}}, links: [{endpoints: [r1, r2]}],"
        " routing: {protocol: bgp, as: 65001}}",
    )
    assert [node.os.asn for node in topology.nodes.values()] == [65001, None]


@pytest.mark.parametrize(
    ("timers", "protocol", "timer", "seconds"),
    [
        (Timers(), "ospf", "hello", 10),
        (Timers(), "ospf", "dead", 40),
        (Timers(hello=Duration(10**9)), "ospf", "dead", 4),
        (Timers(hello=Duration(10**9)), "isis", "dead", 10),
        (Timers(hello=Duration(10**9), dead=Duration(3 * 10**9)), "ospf", "dead", 3),
        (Timers(hello=Duration(10**9)), "babel", "update", 4),
        (Timers(update=Duration(10**9)), "rip", "timeout", 6),
        (Timers(hello=Duration(10**9)), "rip", "timeout", 180),
        (Timers(keepalive=Duration(10**9)), "bgp", "hold", 3),
    ],
)
def test_timers_follow(timers: Timers, protocol: Protocol, timer: Timer, seconds: int) -> None:
    assert timers.of(protocol, timer).seconds == seconds


def test_links_have_costs_and_areas(tmp_path: Path) -> None:
    topology = _topology(
        tmp_path,
        "{routers: [r1, r2], links: [{endpoints: [r1, r2], cost: 5, area: 0.0.0.2}],"
        " routing: ospf}",
    )
    link = topology.links["a/r1-r2"]
    assert (link.cost, link.area) == (5, IPv4Address("0.0.0.2"))


@pytest.mark.parametrize(
    ("routing", "message"),
    [
        ("ospff", "routing.protocol must be 'static', 'none', 'ospf'"),
        ("[ospf, bgpp]", "routing.protocol.1 must be"),
        ("[]", "routing.protocol needs at least 1 entry"),
        (
            "{protocol: ospf, daemon: quagga}",
            "routing.daemon must be 'bird' or 'frr', not 'quagga'",
        ),
        ("{protocol: ospf, helo: 1s}", "unknown key 'helo' in networks.a.routing; did you mean"),
        ("{protocol: ospf, area: x}", "routing.area: 'x' is none: an area is a number like 0"),
        ("{protocol: ospf, hello: 1}", "a duration needs a unit: write it like 1s"),
        ("{protocol: bgp, as: 0}", "routing.as must be at least 1"),
        ("{protocol: ospf, bfd: {interval: 1s, multiplier: 1}}", "multiplier must be at least 2"),
        ("{protocol: ospf, id: 1.1.1.1}", "unknown key 'id' in networks.a.routing"),
    ],
)
def test_wrong_words(routing: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        _topology(tmp_path, f"{{routers: [r1], routing: {routing}}}")
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path}/t.yaml:3: ")


def test_the_resolved_file_means_the_same(tmp_path: Path) -> None:
    text = "{routers: {r1: {routing: {daemon: frr}}}, routing: {protocol: ospf, bfd: true}}"
    before = _router(tmp_path, text)
    dumped = load_topology(tmp_path / "t.yaml").doc.model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(dumped), encoding="utf-8")
    assert resolve(load_topology(tmp_path / "t.yaml")).nodes["a/r1"].os == before.os
