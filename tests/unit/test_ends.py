"""NICs with names and addresses of the user's, and links that come to them later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vnemu.errors import InputError
from vnemu.model.ends import later_nics
from vnemu.model.existence import added, with_new_nic
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.routing.bird import bird_files
from vnemu.routing.static import static_routes
from vnemu.routing.view import View
from vnemu.schema.load import load_topology
from vnemu.schema.topology import VirtualLinkDoc
from vnemu.schema.violations import read

TEXT = """
underlay: {{machines: [rm1]}}
networks:
  a:
    ipv4: 10.0.0.0/16
    ipv6: false
    routers:
      r1: {{loopbacks: [192.0.2.101/32, 192.0.2.201/32]}}
      r2: {{nics: 3}}
      r3:
    links:
      - endpoints: [r1, r2]
        ends:
          r1: {{nic: eth1, addresses: [10.9.0.9/24]}}
          r2: {{nic: ens3, addresses: [10.9.0.10/24]}}
      - {{endpoints: [r2, r3]{third}}}
    routing: {routing}
"""


def topology(tmp_path: Path, routing: str = "static", third: str = "") -> Topology:
    file = tmp_path / "t.yaml"
    file.write_text(TEXT.format(routing=routing, third=third))
    return resolve(load_topology(file))


@pytest.fixture
def plain(tmp_path: Path) -> Topology:
    return topology(tmp_path)


def names(topology: Topology, path: str) -> list[str]:
    return [nic.name for nic in topology.nodes[path].nics]


def add(topology: Topology, **keys: Any) -> Topology:
    doc = read(VirtualLinkDoc, {"endpoints": ["r1", "r2"], **keys})
    return added(topology, "a/new", doc)


def test_names_and_addresses(plain: Topology) -> None:
    assert names(plain, "a/r1") == ["eth1"]
    assert names(plain, "a/r2") == ["ens3", "eth1", "eth2"]
    assert [nic.number for nic in plain.nodes["a/r2"].nics] == [0, 1, 2]
    assert [str(a) for a in plain.nodes["a/r1"].loopbacks] == ["192.0.2.101/32", "192.0.2.201/32"]
    assert str(plain.nodes["a/r1"].os.router_id) == "192.0.2.101"


def test_devices_in_the_fabric_are_named_by_number(plain: Topology) -> None:
    assert plain.vifs["a/r1", "eth1"] == "a.r1.0"
    assert plain.vifs["a/r2", "ens3"] == "a.r2.0"


def test_later_names_avoid_those_that_are_taken(plain: Topology) -> None:
    later = later_nics(plain.nodes["a/r1"].nics)
    assert [next(later), next(later)] == [(2, "eth2"), (3, "eth3")]
    assert names(with_new_nic(plain, "a/r1"), "a/r1") == ["eth1", "eth2"]


def test_a_new_link_takes_the_nic_that_is_named(plain: Topology) -> None:
    ends = {"r1": {"nic": "ens7"}, "r2": {"nic": "eth2"}}
    after = add(plain, ends=ends)
    assert names(after, "a/r1") == ["eth1", "ens7"]
    assert after.links["a/new"].b_nic == "eth2"


def test_subnets_of_new_links_keep_clear_of_addresses_that_were_given(plain: Topology) -> None:
    ends = {"r1": {"addresses": ["10.0.0.9/24"]}, "r2": {"addresses": ["10.0.0.10/24"]}}
    after = added(
        add(plain, ends=ends), "a/other", read(VirtualLinkDoc, {"endpoints": ["r1", "r3"]})
    )
    assert str(after.nodes["a/r1"].nics[-1].addresses[0]) == "10.0.1.1/30"


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ({"r2": {"nic": "ens3"}}, r"the NIC ens3 of r2 is plugged into a/r1-r2"),
        ({"r1": {"addresses": ["10.9.0.1/24"]}}, r"r2 has not"),
        ({"r3": {"nic": "x"}}, r"'r3' is not an end of it"),
        ({"r1": {"addresses": ["2001:db8::1/64"]}, "r2": {"addresses": []}}, r"no IPv6"),
        ({"r1": {"nic": "lo"}}, r"the kernel keeps"),
    ],
)
def test_what_a_new_link_cannot_have(plain: Topology, ends: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        add(plain, ends=ends)


def test_an_end_without_addresses_is_not_routed_over(tmp_path: Path) -> None:
    third = ", ends: {r2: {addresses: []}, r3: {addresses: []}}"
    network = topology(tmp_path, third=third).networks["a"]
    routes = static_routes(network)
    assert [str(route.destination) for route in routes["a/r3"]] == []
    assert routes["a/r1"] != []


def test_bird_knows_the_names(tmp_path: Path) -> None:
    found = topology(tmp_path, routing="{protocol: ospf, bfd: true}")
    text = bird_files(View(found, found.nodes["a/r2"]))["bird.conf"]
    assert 'interface "lo", "eth*", "ens3";' in text
    assert 'interface "eth*", "ens3" { interval' in text
    assert 'interface "ens3" {' in text
