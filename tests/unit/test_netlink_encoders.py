"""The bytes of every encoder, as pyroute2's decoders read them."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.netlink import Request

MAC = bytes((2, 0, 0, 0, 0, 1))
MAC_TEXT = "02:00:00:00:00:01"
FAR_MAC = bytes((2, 0, 0, 0, 0, 2))
END = rt.End(7, 101, "near", MAC, 1500)
EXCLUSIVE = 0x400 | 0x200
REPLACING = 0x400 | 0x100
ROOT, INGRESS = 0xFFFFFFFF, 0xFFFFFFF1


def decoded(request: Request, message: type) -> Any:
    size = 16 + len(request.body)
    assert size % 4 == 0
    header = struct.pack("=IHHII", size, request.kind, request.flags | 1, 1, 0)
    found = message(header + request.body)
    found.decode()
    return found


def nested(message: Any, *path: str) -> Any:
    for name in path:
        message = message.get_attr(name)
    return message


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
        assert rt.attributes(rt.set_gro(101, 1).body, 16) == {58: b"\1\0\0\0", 64: b"\1\0\0\0"}
        made = rt.attributes(rt.new_ifb(replace(END, gro=1)).body, 16)
        assert (made[58], made[64]) == (b"\1\0\0\0",) * 2
        assert not {58, 64} & rt.attributes(rt.new_ifb(END).body, 16).keys()

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


class TestShaper:
    def test_root(self) -> None:
        request = rt.new_htb(101, 1, rt.size_table(50, 1448, 66))
        found = decoded(request, tcmsg)
        assert (request.kind, request.flags) == (36, EXCLUSIVE)
        assert (found["index"], found["handle"], found["parent"]) == (101, 0x10000, ROOT)
        assert found.get_attr("TCA_KIND") == "htb"
        init = nested(found, "TCA_OPTIONS", "TCA_HTB_INIT")
        assert (init["version"], init["rate2quantum"], init["defcls"]) == (3, 10, 1)

    @pytest.mark.parametrize(
        ("rate", "ceil"),
        [(125, 125_000), (4_000_000, 4_000_000), (2**32 - 1, 2**32), (12_500_000_000, 2**40)],
    )
    @pytest.mark.parametrize("parent", [0, 1])
    def test_class(self, rate: int, ceil: int, parent: int) -> None:
        request = rt.htb_class(101, 0x11, parent, rate, ceil)
        found = decoded(request, tcmsg)
        assert (request.kind, request.flags) == (40, EXCLUSIVE)
        assert (found["handle"], found["parent"]) == (0x10011, 0x10000 | parent)
        options = found.get_attr("TCA_OPTIONS")
        parms = options.get_attr("TCA_HTB_PARMS")
        most = 2**32 - 1
        assert (parms["rate"], parms["ceil"]) == (min(rate, most), min(ceil, most))
        assert options.get_attr("TCA_HTB_RATE64") == (rate if rate > most else None)
        assert options.get_attr("TCA_HTB_CEIL64") == (ceil if ceil > most else None)
        assert parms["quantum"] == 1514
        assert parms["rate_cell_log"] == parms["rate_overhead"] == 0

    @pytest.mark.parametrize("rate", [125, 125_000, 4_000_000, 12_500_000_000])
    def test_burst_in_ticks_of_64_ns(self, rate: int) -> None:
        parms = nested(
            decoded(rt.htb_class(1, 2, 1, rate, rate), tcmsg), "TCA_OPTIONS", "TCA_HTB_PARMS"
        )
        expected_ns = rt.burst(rate) / rate * 1e9
        assert parms["buffer"] == parms["cbuffer"] == int(min(expected_ns // 64, 2**32 - 1))
        assert rt.burst(rate) >= 2 * 1514

    def test_change_makes_no_new_class(self) -> None:
        assert rt.htb_class(101, 0x11, 1, 1, 1, new=False).flags == 0

    def test_delete_class(self) -> None:
        request = rt.delete_class(101, 0x11)
        assert request.kind == 41
        assert decoded(request, tcmsg)["handle"] == 0x10011

    def test_byte_queue(self) -> None:
        request = rt.byte_queue(101, 0x11, 30_280)
        found = decoded(request, tcmsg)
        assert request.flags == EXCLUSIVE
        assert (found["handle"], found["parent"]) == (0x120000, 0x10011)
        assert found.get_attr("TCA_KIND") == "bfifo"
        assert struct.unpack("=I", _options(request)) == (30_280,)

    @pytest.mark.parametrize("minor", [1, 0x10, 0xFFFE])
    def test_queues_of_different_classes_have_different_handles(self, minor: int) -> None:
        handle = decoded(rt.byte_queue(1, minor, 1), tcmsg)["handle"]
        assert handle & 0xFFFF == 0
        assert 0x20000 <= handle <= 0xFFFF0000

    def test_delete_root(self) -> None:
        request = rt.delete_root(101)
        assert request.kind == 37
        assert decoded(request, tcmsg)["parent"] == ROOT

    def test_netem(self) -> None:
        request = rt.netem(101, 5_000_000_000, 0, 0.25, 1234)
        found = decoded(request, tcmsg)
        assert (found["parent"], found.get_attr("TCA_KIND")) == (ROOT, "netem")
        options = _options(request)
        assert struct.unpack_from("=IIIIII", options) == (0, 1234, 2**30, 0, 0, 0)
        attributes = rt.attributes(options, 24)
        assert attributes[10] == struct.pack("=q", 5_000_000_000)
        assert attributes[11] == bytes(8)
        assert attributes[6][:4] == bytes(4)  # no rate, also if there was one before

    def test_netem_keeps_order_under_jitter(self) -> None:
        attributes = rt.attributes(_options(rt.netem(1, 10**7, 4 * 10**9, 0.0, 1)), 24)
        assert attributes[11] == struct.pack("=q", 4 * 10**9)
        assert struct.unpack("=IiIi", attributes[6]) == (2**32 - 1, 0, 0, 0)
        (octets_a_second,) = struct.unpack("=Q", attributes[8])
        assert 1514 * 10**9 // octets_a_second <= 1  # ns for a full frame

    @pytest.mark.parametrize(("loss", "shown"), [(0.0, 0), (1.0, 2**32 - 1), (0.001, 4294967)])
    def test_netem_loss(self, loss: float, shown: int) -> None:
        assert struct.unpack_from("=IIIIII", _options(rt.netem(1, 0, 0, loss, 9)))[2] == shown


def _options(request: Request) -> bytes:
    return rt.attributes(request.body, 20)[rt.TCA_OPTIONS]


class TestFilters:
    def test_ingress(self) -> None:
        found = decoded(rt.new_ingress(101), tcmsg)
        assert (found["handle"], found["parent"]) == (0xFFFF0000, INGRESS)
        assert found.get_attr("TCA_KIND") == "ingress"
        assert decoded(rt.delete_ingress(101), tcmsg)["parent"] == INGRESS

    def test_redirect_takes_every_frame(self) -> None:
        request = rt.redirect(101, 202)
        found = decoded(request, tcmsg)
        assert (request.kind, request.flags) == (44, REPLACING)
        assert (found["parent"], found["handle"]) == (0xFFFF0000, 0x80000001)
        assert found["info"] == 1 << 16 | struct.unpack("=H", struct.pack(">H", 0x0003))[0]
        assert found.get_attr("TCA_KIND") == "u32"
        assert selector(request) == (1, 0, 0, [(0, 0, 0, 0)])
        action = nested(found, "TCA_OPTIONS", "TCA_U32_ACT", "TCA_ACT_PRIO_1")
        assert action.get_attr("TCA_ACT_KIND") == "mirred"
        parms = nested(action, "TCA_ACT_OPTIONS", "TCA_MIRRED_PARMS")
        assert (parms["eaction"], parms["ifindex"], parms["action"]) == (1, 202, 4)

    def test_classifier_table(self) -> None:
        table, entry = rt.new_classifier_table(101)
        assert nested(decoded(table, tcmsg), "TCA_OPTIONS", "TCA_U32_DIVISOR") == 256
        assert decoded(table, tcmsg)["handle"] == 1 << 20
        assert rt.attributes(_options(entry))[3] == struct.pack("=I", 1 << 20)  # TCA_U32_LINK
        # The bucket is the last byte of the IPv4 destination, 16 bytes into the header.
        assert selector(entry) == (0, 16, 0xFF, [(0, 0, 0, 0)])

    @pytest.mark.parametrize("address", ["100.96.0.2", "100.96.1.2", "100.97.255.223"])
    def test_classify(self, address: str) -> None:
        destination = IPv4Address(address)
        request = rt.classify(101, destination, 0x11)
        found = decoded(request, tcmsg)
        options = found.get_attr("TCA_OPTIONS")
        assert options.get_attr("TCA_U32_CLASSID") == 0x10011
        bucket = options.get_attr("TCA_U32_HASH")
        assert bucket >> 12 & 0xFF == int(destination) & 0xFF
        assert found["handle"] & ~0xFFF == bucket
        assert found["handle"] & 0xFFF
        assert selector(request) == (1, 0, 0, [(0xFFFFFFFF, int(destination), 16, 0)])
        gone = decoded(rt.declassify(101, destination), tcmsg)
        assert (gone["handle"], gone["parent"]) == (found["handle"], 0x10000)

    @given(st.lists(st.integers(0, 2 * 0xFFEF), unique=True, max_size=50))
    def test_every_tunnel_end_has_a_classifier_of_its_own(self, numbers: list[int]) -> None:
        first = int(IPv4Address("100.96.0.0"))
        requests = [rt.classify(1, IPv4Address(first + n), 1) for n in numbers]
        handles = {rt.TCMSG.unpack_from(request.body)[3] for request in requests}
        assert len(handles) == len(numbers)


def selector(request: Request) -> tuple[int, int, int, list[tuple[int, ...]]]:
    """Flags, hash offset, hash mask and keys (struct tc_u32_sel, which pyroute2 misreads)."""
    data = rt.attributes(_options(request))[rt.U32_SEL]
    flags, number, offset, mask = struct.unpack_from(">BxB7xHI", data)
    offset = struct.unpack("=H", struct.pack(">H", offset))[0]
    keys = [
        struct.unpack_from(">II", data, 16 + 16 * i) + struct.unpack_from("=ii", data, 24 + 16 * i)
        for i in range(number)
    ]
    assert len(data) == 16 + 16 * number
    return flags, offset, mask, keys


class TestAnswers:
    """The decoders take what the kernel sends, which has the form of the requests."""

    @pytest.mark.parametrize("rates", [(125, 250), (2**31, 2**32), (2**40, 2**41)])
    def test_class_rates(self, rates: tuple[int, int]) -> None:
        assert rt.class_rates(rt.htb_class(1, 2, 1, *rates).body) == rates

    def test_queue_limit(self) -> None:
        assert rt.queue_limit(rt.byte_queue(1, 2, 4321).body) == 4321

    def test_redirect_target(self) -> None:
        assert rt.redirect_target(rt.redirect(1, 77).body) == 77

    def test_no_redirect(self) -> None:
        assert rt.redirect_target(rt.tc_body(1)) == 0

    def test_classifier_minor(self) -> None:
        assert rt.classifier_minor(rt.classify(1, IPv4Address("100.96.0.2"), 0x1234).body) == 0x1234

    @pytest.mark.parametrize("ppm", [0, 1, 1000, 333_333, 10**6])
    def test_netem_quality(self, ppm: int) -> None:
        request = rt.netem(1, 10**10, 10**9, ppm / 1e6, 77)
        assert rt.netem_quality(request.body) == (10**10, 10**9, ppm, 77)

    def test_netem_is_not_there(self) -> None:
        assert rt.netem_quality(rt.new_htb(1, 0).body) is None

    def test_counters_of_a_qdisc_without_statistics(self) -> None:
        assert rt.counters(rt.tc_body(1)) == rt.Counters(0, 0, 0, 0)


def charged(overhead: int, length: int) -> int:
    """What the kernel makes of a packet of `length` bytes (__qdisc_calculate_pkt_len)."""
    table = rt.attributes(rt.attributes(rt.size_table(overhead, 1448, 66))[8])
    cell_log, size_log, _, shift, _, _, _, slots = struct.unpack("=BBhiIIII", table[1])
    data = struct.unpack(f"={slots}H", table[2])
    slot = max(length + shift, 0) >> cell_log
    if slot < slots:
        return data[slot] << size_log
    return data[-1] * (slot // slots) + data[slot % slots]


class TestSizeTable:
    @pytest.mark.parametrize("overhead", [0, 50])
    def test_a_full_frame_is_charged_as_it_is(self, overhead: int) -> None:
        assert charged(overhead, 1514 + overhead) == 1514

    @pytest.mark.parametrize("overhead", [0, 50])
    @given(segments=st.integers(2, 44))
    def test_full_segments_are_charged_frame_by_frame(self, overhead: int, segments: int) -> None:
        packet = 66 + segments * 1448 + overhead
        assert charged(overhead, packet) == pytest.approx(segments * 1514, rel=0.01)

    @pytest.mark.parametrize("overhead", [0, 50])
    @given(length=st.integers(60, 1513))
    def test_small_frames_are_charged_within_8_bytes(self, overhead: int, length: int) -> None:
        # The entries of bare acknowledgements and of full frames are exact for these.
        usual = {66 // 16: 66, 1514 // 16: 1514}.get(length // 16)
        charge = charged(overhead, length + overhead)
        assert charge == usual if usual else abs(charge - length) <= 8

    @given(st.integers(60, 65_600), st.integers(1, 1000))
    def test_a_longer_packet_is_not_cheaper(self, length: int, more: int) -> None:
        longer = min(length + more, 65_600)
        assert charged(50, longer + 50) >= charged(50, length + 50) - 8

    def test_the_largest_packet_has_an_entry(self) -> None:
        assert charged(50, 65_536 + 14 + 50) > 65_536
