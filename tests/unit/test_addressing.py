"""Addresses: unique within a network, the same for the same file."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.random_topologies import Data, documents, from_data, topologies, topology
from vnemu.model.addressing import Pools, ends, nic_mac
from vnemu.model.overlay import Interface, Topology, VirtualNetwork


def interfaces(network: VirtualNetwork) -> list[Interface]:
    return [interface for node in network.nodes.values() for interface in node.addresses]


@given(topologies())
def test_addresses_are_unique_within_a_network(topo: Topology) -> None:
    for network in topo.networks.values():
        addresses = [interface.ip for interface in interfaces(network)]
        assert len(set(addresses)) == len(addresses)


@given(topologies())
def test_macs_are_unique_and_local(topo: Topology) -> None:
    macs = [nic.mac for node in topo.nodes.values() for nic in node.nics]
    assert len(set(macs)) == len(macs)
    assert all(len(mac) == 6 and mac[0] & 3 == 2 for mac in macs)


@given(documents())
def test_the_same_file_gives_the_same_addresses(data: Data) -> None:
    assert from_data(data) == from_data(data)


@given(topologies())
def test_both_ends_of_a_link_share_its_subnets_and_nobody_else_has_them(topo: Topology) -> None:
    for network in topo.networks.values():
        nics = {(n.path, nic.name): nic for n in network.nodes.values() for nic in n.nics}
        seen: set[object] = set()
        for link in network.links.values():
            near, far = nics[link.a, link.a_nic], nics[link.b, link.b_nic]
            subnets = [a.network for a in near.addresses]
            assert subnets == [a.network for a in far.addresses]
            assert [a.version for a in near.addresses] == list(network.versions)
            assert seen.isdisjoint(subnets)
            seen.update(subnets)


@given(topologies())
def test_loopbacks_are_in_no_links_subnet(topo: Topology) -> None:
    for network in topo.networks.values():
        subnets = [
            a.network for n in network.nodes.values() for nic in n.nics for a in nic.addresses
        ]
        for node in network.routers:
            for loopback in node.loopbacks:
                assert not any(loopback.ip in subnet for subnet in subnets)


def test_networks_may_have_the_same_addresses() -> None:
    text = "underlay: {machines: [m]}\nnetworks: {a: {routers: [r]}, b: {routers: [r]}}"
    topo = topology(text)
    assert interfaces(topo.networks["a"]) == interfaces(topo.networks["b"])


def test_the_first_addresses() -> None:
    topo = topology(
        "underlay: {machines: [m]}\n"
        "networks: {a: {routers: [r1, r2], hosts: {h: {at: r2}}, links: [{endpoints: [r1, r2]}]}}"
    )
    shown = {n.name: [str(a) for nic in n.nics for a in nic.addresses] for n in topo.nodes.values()}
    assert shown == {
        "r1": ["10.0.0.1/30", "fd00:0:0:1::1/64"],
        "r2": ["10.0.0.2/30", "fd00:0:0:1::2/64", "10.0.0.6/30", "fd00:0:0:2::2/64"],
        "h": ["10.0.0.5/30", "fd00:0:0:2::1/64"],
    }
    assert [str(a) for a in topo.nodes["a/r2"].loopbacks] == ["10.0.128.2/32", "fd00::2/128"]


def test_subnets_of_ones_own() -> None:
    topo = topology(
        "underlay: {machines: [m]}\n"
        "networks: {a: {routers: [r1, r2],"
        " links: [{endpoints: [r1, r2], ipv4: 192.0.2.0/31, ipv6: 'fd99::/127'}]}}"
    )
    (nic,) = topo.nodes["a/r1"].nics
    assert [str(a) for a in nic.addresses] == ["192.0.2.0/31", "fd99::/127"]
    (nic,) = topo.nodes["a/r2"].nics
    assert [str(a) for a in nic.addresses] == ["192.0.2.1/31", "fd99::1/127"]


@pytest.mark.parametrize("subnet", ["192.0.2.0/30", "192.0.2.0/24"])
def test_ends_are_the_first_two_hosts(subnet: str) -> None:
    near, far = ends([IPv4Network(subnet)])
    assert [str(i.ip) for i in (*near, *far)] == ["192.0.2.1", "192.0.2.2"]


@given(
    st.integers(16, 28),
    st.integers(32, 56),
    st.sampled_from([(True, True), (True, False), (False, True)]),
)
def test_there_is_room_for_what_is_said(four: int, six: int, versions: tuple[bool, bool]) -> None:
    pools = Pools(
        IPv4Network(((0x0A << 24), four)) if versions[0] else None,
        IPv6Network((0xFD << 120, six)) if versions[1] else None,
    )
    links, routers = pools.room()
    for subnet in pools.link_subnets(links - 1):
        pool = pools.ipv4 if subnet.version == 4 else pools.ipv6
        assert pool is not None
        assert subnet.subnet_of(pool)  # type: ignore[arg-type]  # both are of one version
        assert not any(i.ip in subnet for i in pools.loopbacks(routers))


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(1, 65535), st.integers(0, 65535))))
def test_macs_come_from_all_numbers(numbers: list[tuple[int, int, int]]) -> None:
    assert len({nic_mac(*n) for n in numbers}) == len(set(numbers))
