"""The bytes of filters, as pyroute2's decoders read them, and what their programs do."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import socket
import struct
from collections import Counter
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from tests.netlink_decoding import INGRESS, REPLACING, decoded, nested, options
from vnemu.drivers import bpf, filters, tc
from vnemu.drivers.netlink import Request, attributes


class TestFilters:
    def test_the_hook(self) -> None:
        found = decoded(tc.hook(101), tcmsg)
        assert (found["handle"], found["parent"]) == (0xFFFF0000, INGRESS)
        assert found.get_attr("TCA_KIND") == "ingress"
        both = decoded(tc.hook(101, both_ways=True), tcmsg)
        assert (both["handle"], both["parent"]) == (0xFFFF0000, INGRESS)
        assert both.get_attr("TCA_KIND") == "clsact"

    def test_redirect_takes_every_frame(self) -> None:
        request = filters.redirect(101, 202)
        found = decoded(request, tcmsg)
        assert (request.kind, request.flags) == (44, REPLACING)
        assert (found["parent"], found["handle"]) == (0xFFFFFFF2, 0x80000001)
        assert found["info"] == 0x100 << 16 | struct.unpack("=H", struct.pack(">H", 0x0003))[0]
        assert found.get_attr("TCA_KIND") == "u32"
        assert selector(request) == (1, 0, 0, [(0, 0, 0, 0)])
        action = nested(found, "TCA_OPTIONS", "TCA_U32_ACT", "TCA_ACT_PRIO_1")
        assert action.get_attr("TCA_ACT_KIND") == "mirred"
        parms = nested(action, "TCA_ACT_OPTIONS", "TCA_MIRRED_PARMS")
        assert (parms["eaction"], parms["ifindex"], parms["action"]) == (1, 202, 4)

    def test_classifier_table(self) -> None:
        table, entry = filters.new_classifier_table(101)
        assert nested(decoded(table, tcmsg), "TCA_OPTIONS", "TCA_U32_DIVISOR") == 256
        assert decoded(table, tcmsg)["handle"] == 1 << 20
        assert attributes(options(entry))[3] == struct.pack("=I", 1 << 20)  # TCA_U32_LINK
        # The bucket is the last byte of the IPv4 destination, 16 bytes into the header.
        assert selector(entry) == (0, 16, 0xFF, [(0, 0, 0, 0)])

    @pytest.mark.parametrize("address", ["100.96.0.2", "100.96.1.2", "100.97.255.223"])
    def test_classify(self, address: str) -> None:
        destination = IPv4Address(address)
        request = filters.classify(101, destination, 0x11)
        found = decoded(request, tcmsg)
        content = found.get_attr("TCA_OPTIONS")
        assert content.get_attr("TCA_U32_CLASSID") == 0x10011
        bucket = content.get_attr("TCA_U32_HASH")
        assert bucket >> 12 & 0xFF == int(destination) & 0xFF
        assert found["handle"] & ~0xFFF == bucket
        assert found["handle"] & 0xFFF
        assert selector(request) == (1, 0, 0, [(0xFFFFFFFF, int(destination), 16, 0)])
        gone = decoded(filters.declassify(101, destination), tcmsg)
        assert (gone["handle"], gone["parent"]) == (found["handle"], 0x10000)

    @given(st.lists(st.integers(0, 2 * 0xFFEF), unique=True, max_size=50))
    def test_every_tunnel_end_has_a_classifier_of_its_own(self, numbers: list[int]) -> None:
        first = int(IPv4Address("100.96.0.0"))
        requests = [filters.classify(1, IPv4Address(first + n), 1) for n in numbers]
        handles = {tc.TCMSG.unpack_from(request.body)[3] for request in requests}
        assert len(handles) == len(numbers)

    def test_classifier_minor(self) -> None:
        request = filters.classify(1, IPv4Address("100.96.0.2"), 0x1234)
        assert filters.classifier_minor(request.body) == 0x1234

    def test_redirect_target(self) -> None:
        assert filters.redirect_target(filters.redirect(1, 77).body) == 77

    def test_a_detour_is_for_frames_that_leave(self) -> None:
        request = filters.detour(101, 77)
        found = decoded(request, tcmsg)
        assert found["parent"] == 0xFFFFFFF3
        content = attributes(options(request))
        assert content[filters.BPF_OPS] == struct.pack("=HBBI", 0x06, 0, 0, 0xFFFFFFFF)
        assert filters.BPF_FLAGS not in content  # an action acts; after an ifb it does not again
        assert filters.detour_target(request.body) == 77
        gone = decoded(filters.end_detour(101), tcmsg)
        assert (gone["parent"], gone["info"]) == (found["parent"], found["info"])

    def test_no_redirect(self) -> None:
        assert filters.redirect_target(tc.tc_body(1)) == 0

    def test_a_block_comes_before_diversions_and_these_before_the_patch(self) -> None:
        requests = [
            filters.block(1),
            filters.divert(1, 3, 4, 9, by_flow=True),
            filters.divert(1, 1, 4, 9, by_flow=True),
            filters.redirect(1, 9),
        ]
        preferences = [decoded(request, tcmsg)["info"] >> 16 for request in requests]
        assert preferences == sorted(set(preferences))

    def test_block(self) -> None:
        request = filters.block(101)
        found = decoded(request, tcmsg)
        assert (found["parent"], found["handle"]) == (0xFFFFFFF2, 1)
        assert found.get_attr("TCA_KIND") == "bpf"
        content = attributes(options(request))
        assert content[filters.BPF_OPS_LEN] == struct.pack("=H", 1)
        assert content[filters.BPF_OPS] == struct.pack("=HBBI", 0x06, 0, 0, 2)  # ret TC_ACT_SHOT
        assert content[filters.BPF_FLAGS] == struct.pack("=I", 1)  # direct action
        assert filters.is_block(request.body)
        assert not filters.is_block(filters.divert(1, 1, 2, 9, by_flow=True).body)

    @pytest.mark.parametrize(("by_flow", "shown"), [(True, ("flow", 5)), (False, ("packet", 3))])
    def test_a_diversion_is_read_back(self, by_flow: bool, shown: tuple[str, int]) -> None:
        request = filters.divert(1, 2, 5, 77, by_flow)
        assert filters.diversion(request.body) == (77, *shown)

    @pytest.mark.parametrize(
        ("made", "removed"),
        [
            (filters.block(1), filters.unblock(1)),
            (filters.redirect(1, 2), filters.end_redirect(1)),
            (filters.divert(1, 3, 4, 2, by_flow=True), filters.end_diversion(1, 3)),
        ],
    )
    def test_what_is_removed_is_all_of_its_preference(
        self, made: Request, removed: Request
    ) -> None:
        one, other = decoded(made, tcmsg), decoded(removed, tcmsg)
        assert (removed.kind, other["handle"]) == (45, 0)
        assert [one[name] for name in ("index", "parent", "info")] == [
            other[name] for name in ("index", "parent", "info")
        ]


def selector(request: Request) -> tuple[int, int, int, list[tuple[int, ...]]]:
    """Flags, hash offset, hash mask and keys (struct tc_u32_sel, which pyroute2 misreads)."""
    data = attributes(options(request))[filters.U32_SEL]
    flags, number, offset, mask = struct.unpack_from(">BxB7xHI", data)
    offset = struct.unpack("=H", struct.pack(">H", offset))[0]
    keys = [
        struct.unpack_from(">II", data, 16 + 16 * i) + struct.unpack_from("=ii", data, 24 + 16 * i)
        for i in range(number)
    ]
    assert len(data) == 16 + 16 * number
    return flags, offset, mask, keys


SO_ATTACH_FILTER = 26


def matched(program: bytes, frames: Iterable[bytes]) -> list[bool]:
    """Which frames the kernel's own interpreter lets through, at the ear of a socket."""
    voice, ear = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with voice, ear:
        code = ctypes.create_string_buffer(program, len(program))
        lines = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
        ear.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, lines)
        return [_passes(voice, ear, frame) for frame in frames]


def _passes(voice: socket.socket, ear: socket.socket, frame: bytes) -> bool:
    voice.send(frame)
    with contextlib.suppress(BlockingIOError):
        return ear.recv(2000, socket.MSG_DONTWAIT) == frame
    return False


def way(frame: bytes, ways: int) -> int:
    """The way that a frame takes: 0 is the patch's own target."""
    found = [n for n in range(1, ways) if matched(bpf.flows(ways, n), [frame]) == [True]]
    assert len(found) <= 1
    return found[0] if found else 0


def ethernet(kind: int, content: bytes) -> bytes:
    return bytes(12) + struct.pack(">H", kind) + content


UDP, TCP, ICMP = 17, 6, 1


def ipv4(
    source: str,
    destination: str,
    ports: tuple[int, int] = (1, 2),
    protocol: int = UDP,
    fragment: int = 0x4000,
    options: bytes = b"",
    rest: bytes = bytes(12),
) -> bytes:
    first = 0x45 + len(options) // 4
    ends = IPv4Address(source).packed + IPv4Address(destination).packed
    head = struct.pack(">BBHHHBBH", first, 0, 99, 7, fragment, 64, protocol, 0)
    return ethernet(0x0800, head + ends + options + struct.pack(">HH", *ports) + rest)


def ipv6(
    source: str, destination: str, ports: tuple[int, int] = (1, 2), protocol: int = UDP
) -> bytes:
    ends = IPv6Address(source).packed + IPv6Address(destination).packed
    head = struct.pack(">IHBB", 6 << 28, 99, protocol, 64)
    return ethernet(0x86DD, head + ends + struct.pack(">HH", *ports) + bytes(12))


FLOWS = {
    "ports of one pair": [ipv4("10.0.0.1", "10.0.1.1", (p, 5201)) for p in range(40000, 41000)],
    "pairs of ports": [ipv4("10.0.0.1", "10.0.1.1", (p, p)) for p in range(40000, 41000)],
    "hosts": [ipv4(f"10.0.{n >> 8}.{n & 255}", "10.9.0.1") for n in range(1000)],
    "pairs of hosts": [ipv4(f"10.0.0.{n + 1}", f"10.9.0.{n + 1}", (5, 5)) for n in range(250)],
    "ping": [ipv4("10.0.0.1", f"10.0.1.{n}", protocol=ICMP) for n in range(250)],
    "ipv6 ports": [ipv6("fd00::1", "fd00:1::1", (p, 5201), TCP) for p in range(40000, 41000)],
    "ipv6 hosts": [ipv6(f"fd00::{n:x}", "fd00:1::1") for n in range(1000)],
}


class TestFlows:
    @pytest.mark.parametrize("ways", [2, 3, 5])
    @pytest.mark.parametrize("flows", FLOWS.values(), ids=FLOWS)
    def test_flows_are_spread_evenly(self, flows: list[bytes], ways: int) -> None:
        expected = len(flows) / ways
        for number in range(1, ways):
            count = sum(matched(bpf.flows(ways, number), flows))
            assert count == pytest.approx(expected, abs=4.5 * expected**0.5)

    def test_each_flow_takes_one_way(self) -> None:
        taken = Counter(way(frame, 4) for frame in FLOWS["pairs of ports"][:100])
        assert set(taken) == {0, 1, 2, 3}

    def test_all_frames_of_a_flow_take_the_same(self) -> None:
        for port in range(50):
            frames = [
                ipv4("10.0.0.1", "10.0.0.2", (port, 80), TCP, rest=bytes([n]) * (20 + n))
                for n in range(5)
            ]
            assert len({way(frame, 3) for frame in frames}) == 1

    def test_the_fragments_of_a_datagram_take_the_same(self) -> None:
        more, third = 0x2000, 0x0100
        for host in range(50):
            ends = "10.0.0.1", f"10.0.0.{host}"
            frames = [ipv4(*ends, (9, 9), fragment=more), ipv4(*ends, (1234, 77), fragment=third)]
            assert len({way(frame, 3) for frame in frames}) == 1

    def test_options_before_the_ports_are_skipped(self) -> None:
        for port in range(50):
            plain = ipv4("10.0.0.1", "10.0.0.2", (port, 80))
            longer = ipv4("10.0.0.1", "10.0.0.2", (port, 80), options=bytes(8))
            assert way(plain, 3) == way(longer, 3)

    @pytest.mark.parametrize("kind", [0x0806, 0x8847, 0x1234])
    def test_what_is_not_ip_takes_the_first(self, kind: int) -> None:
        assert way(ethernet(kind, bytes(range(60))), 5) == 0

    @pytest.mark.parametrize("length", [14, 20, 33, 34, 37])
    def test_what_is_cut_short_takes_the_first(self, length: int) -> None:
        assert {way(frame[:length], 3) for frame in FLOWS["hosts"][:30]} == {0}


@pytest.mark.parametrize("ways", [2, 3, 10])
def test_by_chance_it_takes_its_part(ways: int) -> None:
    count = 5000
    found = matched(bpf.one_in(ways), itertools.repeat(b"frame", count))
    deviation = (count / ways * (1 - 1 / ways)) ** 0.5
    assert sum(found) == pytest.approx(count / ways, abs=5 * deviation)
