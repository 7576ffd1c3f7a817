"""The bytes of every encoder, as pyroute2's decoders read them."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from tests.netlink_decoding import EXCLUSIVE, REPLACING, decoded, nested
from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.netlink import attributes

MAC = bytes((2, 0, 0, 0, 0, 1))
MAC_TEXT = "02:00:00:00:00:01"
FAR_MAC = bytes((2, 0, 0, 0, 0, 2))
END = rt.End(7, 101, "near", MAC, 1500)


class TestLinks:
    def test_veth(self) -> None:
        request = rt.new_veth(END, rt.End(8, 102, "far", FAR_MAC, 9216))
        assert (request.kind, request.flags) == (16, EXCLUSIVE)
        found = decoded(request, ifinfmsg)
        assert found["index"] == 101
        assert found.get_attr("IFLA_IFNAME") == "near"
        assert found.get_attr("IFLA_MTU") == 1500
        assert found.get_attr("IFLA_ADDRESS") == MAC_TEXT
        assert found.get_attr("IFLA_NET_NS_FD") == 7
        assert nested(found, "IFLA_LINKINFO", "IFLA_INFO_KIND") == "veth"
        peer = nested(found, "IFLA_LINKINFO", "IFLA_INFO_DATA", "VETH_INFO_PEER")
        assert peer["index"] == 102
        assert peer.get_attr("IFLA_IFNAME") == "far"
        assert peer.get_attr("IFLA_MTU") == 9216
        assert peer.get_attr("IFLA_ADDRESS") == "02:00:00:00:00:02"
        assert peer.get_attr("IFLA_NET_NS_FD") == 8

    def test_vxlan(self) -> None:
        local, remote = IPv4Address("100.96.0.2"), IPv4Address("100.96.0.3")
        found = decoded(rt.new_vxlan(END, 0xABCDE, local, remote), ifinfmsg)
        assert nested(found, "IFLA_LINKINFO", "IFLA_INFO_KIND") == "vxlan"
        data = nested(found, "IFLA_LINKINFO", "IFLA_INFO_DATA")
        assert data.get_attr("IFLA_VXLAN_ID") == 0xABCDE
        assert data.get_attr("IFLA_VXLAN_LOCAL") == str(local)
        assert data.get_attr("IFLA_VXLAN_GROUP") == str(remote)
        assert data.get_attr("IFLA_VXLAN_PORT") == 4789
        assert data.get_attr("IFLA_VXLAN_LEARNING") == 0
        assert data.get_attr("IFLA_VXLAN_UDP_CSUM") == 0

    def test_gretap(self) -> None:
        local, remote = IPv4Address("100.96.0.2"), IPv4Address("100.96.0.3")
        found = decoded(rt.new_gretap(END, 9, 0xABCDE, local, remote), ifinfmsg)
        assert nested(found, "IFLA_LINKINFO", "IFLA_INFO_KIND") == "gretap"
        assert found.get_attr("IFLA_LINK_NETNSID") == 9
        assert found.get_attr("IFLA_NET_NS_FD") == 7
        data = nested(found, "IFLA_LINKINFO", "IFLA_INFO_DATA")
        assert data.get_attr("IFLA_GRE_IKEY") == data.get_attr("IFLA_GRE_OKEY") == 0xABCDE
        keyed = 0x2000
        assert data.get_attr("IFLA_GRE_IFLAGS") == data.get_attr("IFLA_GRE_OFLAGS") == keyed
        assert data.get_attr("IFLA_GRE_LOCAL") == str(local)
        assert data.get_attr("IFLA_GRE_REMOTE") == str(remote)
        assert data.get_attr("IFLA_GRE_TTL") == 64
        assert data.get_attr("IFLA_GRE_PMTUDISC") == 1

    def test_number_of_a_namespace(self) -> None:
        request = rt.number_namespace(7, 3)
        assert (request.kind, request.flags) == (88, 0)
        # struct rtgenmsg padded, NETNSA_NSID (1), NETNSA_FD (3)
        assert request.body == struct.pack("=IHHIHHI", 0, 8, 1, 3, 8, 3, 7)

    def test_ifb(self) -> None:
        found = decoded(rt.new_ifb(END), ifinfmsg)
        assert nested(found, "IFLA_LINKINFO", "IFLA_INFO_KIND") == "ifb"
        assert found.get_attr("IFLA_IFNAME") == "near"

    def test_set_up(self) -> None:
        request = rt.set_up(101)
        found = decoded(request, ifinfmsg)
        assert (request.kind, request.flags) == (16, 0)
        assert (found["index"], found["flags"], found["change"]) == (101, 1, 1)

    def test_set_down(self) -> None:
        found = decoded(rt.set_down(101), ifinfmsg)
        assert (found["index"], found["flags"], found["change"]) == (101, 0, 1)

    def test_delete(self) -> None:
        request = rt.delete_link(101)
        assert request.kind == 17
        assert decoded(request, ifinfmsg)["index"] == 101

    def test_gso(self) -> None:
        found = decoded(rt.set_gso(101, 1514), ifinfmsg)
        assert found.get_attr("IFLA_GSO_MAX_SIZE") == 1514
        assert (found["flags"], found["change"]) == (0, 0)

    def test_gro(self) -> None:
        attrs = decoded(rt.set_gro(101, 1), ifinfmsg)["attrs"]
        assert "IFLA_GSO_MAX_SIZE" not in dict(attrs)
        assert attributes(rt.set_gro(101, 1).body, 16) == {58: b"\1\0\0\0", 64: b"\1\0\0\0"}
        made = attributes(rt.new_ifb(replace(END, gro=1)).body, 16)
        assert (made[58], made[64]) == (b"\1\0\0\0",) * 2
        assert not {58, 64} & attributes(rt.new_ifb(END).body, 16).keys()

    def test_a_name_of_15_characters(self) -> None:
        found = decoded(rt.new_ifb(rt.End(7, 1, "n" * 15, MAC, 1500)), ifinfmsg)
        assert found.get_attr("IFLA_IFNAME") == "n" * 15


@pytest.mark.parametrize(
    ("address", "length"), [("10.0.0.1", 30), ("100.96.0.2", 32), ("fd00::1", 64)]
)
@pytest.mark.parametrize("encode", [rt.new_address, rt.delete_address])
def test_address(encode: Any, address: str, length: int) -> None:
    ip = ip_address(address)
    request = encode(101, ip, length)
    found = decoded(request, ifaddrmsg)
    assert request.kind == (20 if encode is rt.new_address else 21)
    assert found["family"] == (2 if ip.version == 4 else 10)
    assert (found["prefixlen"], found["index"]) == (length, 101)
    assert found.get_attr("IFA_LOCAL") == found.get_attr("IFA_ADDRESS") == address
    if encode is rt.new_address:
        assert found.get_attr("IFA_FLAGS") == 0x02  # no duplicate detection


@pytest.mark.parametrize("encode", [rt.new_route, rt.delete_route])
@pytest.mark.parametrize(
    ("destination", "length", "via"),
    [
        ("10.9.0.0", 16, "10.0.0.2"),
        ("0.0.0.0", 0, "10.0.0.2"),
        ("fd00:9::", 48, "fd00::2"),
        ("::", 0, "fd00::2"),
        ("10.9.0.0", 16, None),
        ("fd00:9::", 48, None),
    ],
)
def test_route(encode: Any, destination: str, length: int, via: str | None) -> None:
    target = ip_address(destination)
    found = decoded(encode(target, length, via and ip_address(via), 101), rtmsg)
    assert found["family"] == (2 if target.version == 4 else 10)
    assert (found["dst_len"], found["table"], found["type"]) == (length, 254, 1)
    assert found["scope"] == (253 if via is None and target.version == 4 else 0)
    assert found.get_attr("RTA_DST") == (destination if length else None)
    assert found.get_attr("RTA_GATEWAY") == via
    assert found.get_attr("RTA_OIF") == 101


@pytest.mark.parametrize("via", [IPv4Address("10.0.0.2"), IPv6Address("fd00::2")])
def test_a_route_takes_the_place_of_another(via: IPv4Address | IPv6Address) -> None:
    assert rt.new_route(via, via.max_prefixlen, via, 1).flags == EXCLUSIVE
    assert rt.new_route(via, via.max_prefixlen, via, 1, new=False).flags == REPLACING


@pytest.mark.parametrize("address", [IPv4Address("100.64.0.1"), IPv6Address("fd00::1")])
def test_neighbour(address: IPv4Address | IPv6Address) -> None:
    request = rt.new_neighbour(101, address, MAC)
    found = decoded(request, ndmsg)
    assert (request.kind, request.flags) == (28, REPLACING)
    assert (found["ifindex"], found["state"]) == (101, 0x80)
    assert found.get_attr("NDA_DST") == str(address)
    assert found.get_attr("NDA_LLADDR") == MAC_TEXT
    gone = decoded(rt.delete_neighbour(101, address), ndmsg)
    assert (gone["ifindex"], gone.get_attr("NDA_DST")) == (101, str(address))
