"""Routes as the kernel tells of them, and tables that follow what it tells."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.netlink import attribute, u32
from vnemu.drivers.route_messages import Route, joined, route, without
from vnemu.drivers.route_monitor import RouteChange, RouteTable

NAMES = {1: "lo", 100: "eth0", 101: "eth1"}


def name(index: int) -> str:
    return NAMES.get(index, str(index))


def body(
    prefix: str, *hops: tuple[str, int], metric: int = 32, protocol: int = 12, **changes: int
) -> bytes:
    """The message of a route by gateways (empty: on the link) and devices."""
    network = ip_network(prefix)
    family = rt.AF_INET if network.version == 4 else rt.AF_INET6
    table, kind, flags = (changes.get(key, usual) for key, usual in HEAD.items())
    packed = rt.RTMSG.pack(family, network.prefixlen, 0, 0, table, protocol, 0, kind, flags)
    if network.prefixlen:
        packed += attribute(rt.RTA_DST, network.network_address.packed)
    packed += attribute(6, u32(metric))
    parts = [(gateway_of(gateway), index) for gateway, index in hops]
    if len(parts) == 1:
        return packed + parts[0][0] + attribute(rt.RTA_OIF, u32(parts[0][1]))
    several = b"".join(struct.pack("=HBBi", 8 + len(g), 0, 0, i) + g for g, i in parts)
    return packed + (attribute(9, several) if several else b"")


HEAD = {"table": 254, "kind": 1, "flags": 0}


def gateway_of(gateway: str) -> bytes:
    return attribute(rt.RTA_GATEWAY, ip_address(gateway).packed) if gateway else b""


def test_a_route() -> None:
    found = route(body("10.0.0.0/30", ("10.0.0.2", 100)), name)
    assert found == Route("10.0.0.0/30", 32, ("10.0.0.2@eth0",), "bird")
    assert route(body("0.0.0.0/0", ("", 101), protocol=2), name) == Route(
        "0.0.0.0/0", 32, ("@eth1",), "kernel"
    )


def test_several_next_hops_in_order() -> None:
    found = route(body("fd00::3/128", ("fe80::2", 101), ("fe80::1", 100), protocol=188), name)
    assert found == Route("fd00::3/128", 32, ("fe80::1@eth0", "fe80::2@eth1"), "ospf")


def test_a_gateway_of_the_other_version() -> None:
    packed = rt.RTMSG.pack(rt.AF_INET, 32, 0, 0, 254, 186, 0, 1, 0)
    packed += attribute(rt.RTA_DST, bytes((10, 0, 0, 1))) + attribute(rt.RTA_OIF, u32(100))
    packed += attribute(18, struct.pack("=H", 10) + ip_address("fe80::1").packed)
    found = route(packed, name)
    assert found is not None
    assert (found.next_hops, found.protocol) == (("fe80::1@eth0",), "bgp")


def test_nowhere() -> None:
    found = route(body("10.0.0.0/8", kind=7), name)
    assert found is not None
    assert found.next_hops == ("unreachable",)


def test_what_leads_to_no_other_node_is_left_out() -> None:
    assert route(body("10.0.0.1/32", ("", 1), table=255, kind=2), name) is None
    assert route(body("10.0.0.1/32", ("", 100), flags=0x200), name) is None
    assert route(body("fe80::/64", ("", 100)), name) is None
    assert route(body("ff00::/8", ("", 100)), name) is None


def test_parts_of_a_route() -> None:
    one, two = (Route("fd00::/64", 32, (hop,), "bird") for hop in ("fe80::1@eth0", "fe80::2@eth1"))
    both = joined(two, one)
    assert both.next_hops == ("fe80::1@eth0", "fe80::2@eth1")
    assert without(both, one) == two
    assert without(both, both) is None


class Follower:
    """A table and what it reported."""

    def __init__(self) -> None:
        self.told: list[RouteChange] = []
        self.table = RouteTable("a/r1", name, self.told.append)

    def heard(self) -> list[tuple[float, str, str, tuple[str, ...]]]:
        told = [(c.at, c.action, c.route.prefix, c.route.next_hops) for c in self.told]
        self.told.clear()
        return told

    def listed(self, at: float, *bodies: bytes) -> None:
        self.table.begin_list()
        for each in bodies:
            self.table.listed(each)
        self.table.end_list(at)


ONE = body("10.0.0.0/24", ("10.1.0.1", 100))
OTHER = body("10.0.0.0/24", ("10.2.0.1", 101))
SIX = body("fd00::/64", ("fe80::1", 100), ("fe80::2", 101))


def test_a_table_reports_what_changes() -> None:
    node = Follower()
    node.listed(1, ONE)
    assert node.heard() == [(1, "there", "10.0.0.0/24", ("10.1.0.1@eth0",))]
    node.table.notified(2, rt.RTM_NEWROUTE, ONE)
    assert node.heard() == [], "the same again is no change"
    node.table.notified(3, rt.RTM_NEWROUTE, OTHER)
    node.table.notified(4, rt.RTM_DELROUTE, OTHER)
    node.table.notified(5, rt.RTM_DELROUTE, OTHER)
    assert node.heard() == [
        (3, "set", "10.0.0.0/24", ("10.2.0.1@eth1",)),
        (4, "gone", "10.0.0.0/24", ("10.2.0.1@eth1",)),
    ]


def test_an_ipv6_route_goes_next_hop_by_next_hop() -> None:
    node = Follower()
    node.listed(1, SIX)
    node.table.notified(2, rt.RTM_DELROUTE, body("fd00::/64", ("fe80::1", 100)))
    node.table.notified(3, rt.RTM_DELROUTE, body("fd00::/64", ("fe80::2", 101)))
    assert [told[1:] for told in node.heard()] == [
        ("there", "fd00::/64", ("fe80::1@eth0", "fe80::2@eth1")),
        ("set", "fd00::/64", ("fe80::2@eth1",)),
        ("gone", "fd00::/64", ("fe80::2@eth1",)),
    ]


def test_a_new_list_tells_what_came_without_a_word() -> None:
    node = Follower()
    node.listed(1, ONE, SIX)
    node.heard()
    node.listed(2, SIX)
    assert node.heard() == [(2, "gone", "10.0.0.0/24", ("10.1.0.1@eth0",))]


def test_what_is_told_while_it_is_listed_comes_last() -> None:
    node = Follower()
    node.listed(1)
    node.table.begin_list()
    node.table.listed(ONE)
    node.table.notified(2, rt.RTM_NEWROUTE, OTHER)
    node.table.listed(SIX)
    node.table.end_list(3)
    assert [told[:3] for told in node.heard()] == [
        (2, "set", "10.0.0.0/24"),
        (3, "set", "fd00::/64"),
    ]
    assert node.table.routes["10.0.0.0/24", 32].next_hops == ("10.2.0.1@eth1",)


def test_parts_of_an_ipv6_route_are_listed_one_by_one() -> None:
    node = Follower()
    hops = [("fe80::1", 100), ("fe80::2", 101)]
    node.listed(1, *(body("fd00::/64", hop) for hop in hops))
    assert node.heard()[-1][3] == ("fe80::1@eth0", "fe80::2@eth1")
