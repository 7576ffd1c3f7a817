"""Routing messages told from each other, and kept for Wireshark."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnemu.drivers.control_messages import protocol_of
from vnemu.drivers.pcapng import PcapngFile

MARKER = b"\xff" * 16
KEEPALIVE = MARKER + b"\x00\x13\x04"


def ethernet(kind: int, rest: bytes) -> bytes:
    return bytes(12) + kind.to_bytes(2, "big") + rest


def four(protocol: int, rest: bytes, options: int = 0) -> bytes:
    head = bytes([0x45 + options, *bytes(8), protocol, *bytes(10 + 4 * options)])
    return ethernet(0x0800, head + rest)


def six(protocol: int, rest: bytes) -> bytes:
    return ethernet(0x86DD, bytes([0x60, *bytes(5), protocol, *bytes(33)]) + rest)


def udp(port: int) -> bytes:
    return (49152).to_bytes(2, "big") + port.to_bytes(2, "big") + bytes(28)


def tcp(payload: bytes, source: int = 179) -> bytes:
    return source.to_bytes(2, "big") + bytes(10) + b"\x80" + bytes(19) + payload


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (four(89, bytes(44)), ("ospf", 1)),
        (six(89, bytes(36)), ("ospfv3", 1)),
        (four(17, udp(520), options=1), ("rip", 1)),
        (six(17, udp(521)), ("ripng", 1)),
        (six(17, udp(6696)), ("babel", 1)),
        (four(17, udp(3784)), ("bfd", 1)),
        (four(17, udp(53)), ("", 1)),
        (four(6, tcp(b"")), ("bgp", 0)),
        (four(6, tcp(KEEPALIVE), options=2), ("bgp", 1)),
        (six(6, tcp(KEEPALIVE * 3, 40000)), ("bgp", 3)),
        (ethernet(100, b"\xfe\xfe\x03" + bytes(97)), ("isis", 1)),
        (ethernet(100, b"\x42\x42\x03" + bytes(97)), ("", 0)),
    ],
)
def test_the_protocol_of_a_frame(frame: bytes, found: tuple[str, int]) -> None:
    assert protocol_of(frame) == found


def test_a_capture_is_read_by_scapy(tmp_path: Path) -> None:
    utils = pytest.importorskip("scapy.utils")
    file = PcapngFile((tmp_path / "x.pcapng").open("wb", buffering=0))
    at = 1_800_000_000_123_456_789
    file.write("a/r1 eth0", at, b"12345", 5, True)
    file.write("a/r2 eth10", at + 1, b"123456", 600, False)
    file.write("a/r1 eth0", at + 2, b"1234", 4, False)
    file.close()
    with utils.RawPcapNgReader(str(tmp_path / "x.pcapng")) as reader:
        found = [(data, about) for data, about in reader]
    assert [data for data, _ in found] == [b"12345", b"123456", b"1234"]
    assert [about.ifname for _, about in found] == [b"a/r1 eth0", b"a/r2 eth10", b"a/r1 eth0"]
    assert [about.wirelen for _, about in found] == [5, 600, 4]
    assert [about.direction for _, about in found] == [2, 1, 1]
    times = [(about.tshigh << 32) + about.tslow for _, about in found]
    assert times == [at, at + 1, at + 2]
