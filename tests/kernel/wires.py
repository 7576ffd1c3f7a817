"""Frames sent and heard on the devices of a kernel, one by one."""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections import defaultdict
from ipaddress import IPv4Address

from tests.kernel.conformance_cases import (
    mac,
)
from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.kernel import Kernel
from vnemu.drivers.netlink import NetlinkSocket, attributes
from vnemu.plan.diff import Action
from vnemu.plan.facts import differences, facts
from vnemu.plan.objects import (
    Object,
    Port,
)

ETHERTYPE = 0x88B5  # for experiments: nothing else sends it
ETH_P_ALL = 3
QUIET_S = 0.3
PATIENCE_S = 10.0
IFLA_OPERSTATE, IF_OPER_UNKNOWN, IF_OPER_UP = 16, 0, 6
SO_RCVBUFFORCE = 33
BREATH = 50
"""Frames that a socket has room for, whatever the kernel allows its user."""
NUMBER = struct.Struct(">I")


def change(kernel: Kernel, old: Object, new: Object) -> None:
    kernel.apply([Action(("test", ""), old, new)])


def seen(kernel: Kernel, *items: Object) -> bool:
    return differences(facts(items), kernel.observe(facts(items))) == []


def settled(kernel: Kernel) -> None:
    """Wait for what the kernel does later when a carrier came: until then it drops frames."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if all(_is_settled(namespace.socket) for namespace in kernel.namespaces.values()):
            return
        time.sleep(0.01)
    raise AssertionError("a device has a carrier and is not operational")


def _is_settled(netlink: NetlinkSocket) -> bool:
    for answer in netlink.dump(rt.RTM_GETLINK, rt.LIST_DEVICES_BARE):
        (state,) = attributes(answer, rt.IFINFO.size)[IFLA_OPERSTATE]
        found = rt.device(answer)
        wrong = state == IF_OPER_UNKNOWN or (state == IF_OPER_UP) is not found.carrier
        if found.kind == "veth" and found.up and wrong:
            return False
    return True


class Wires:
    """Packet sockets on devices, by which frames are sent and heard."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._stack = contextlib.ExitStack()
        self._sent = 0
        self._heard: defaultdict[str, list[bytes]] = defaultdict(list)
        self._ears: dict[str, socket.socket] = {}
        self._voices: dict[str, socket.socket] = {}

    def close(self) -> None:
        """Close all sockets."""
        self._stack.close()

    def _socket(self, port: Port, protocol: int) -> socket.socket:
        kind = socket.AF_PACKET, socket.SOCK_RAW, 0
        made = self._kernel.inside(port.namespace, lambda: socket.socket(*kind))
        self._stack.enter_context(made)
        made.bind((port.device, protocol))
        return made

    def listen(self, *ports: Port, protocol: int = ETHERTYPE) -> None:
        """Open an ear at each port, when frames can pass there."""
        settled(self._kernel)
        for port in ports:
            ear = self._socket(port, protocol)
            with contextlib.suppress(PermissionError):
                # Who reads may have to wait for the processor.
                ear.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 24)
            self._ears[port.device] = ear

    def send(self, port: Port, frame: bytes) -> None:
        self._say(port, frame)
        self.count()

    def _say(self, port: Port, frame: bytes) -> None:
        if port.device not in self._voices:
            self._voices[port.device] = self._socket(port, 0)
        self._voices[port.device].send(frame)

    def count(self) -> None:
        """A frame was sent: now and then, let the kernel catch up and make room in the ears."""
        self._sent += 1
        if self._sent % BREATH == 0:
            time.sleep(0.002)
            for device in self._ears:
                self._hear(device, 0.0)

    def _hear(self, device: str, quiet: float) -> None:
        ear = self._ears[device]
        ear.settimeout(quiet)
        with contextlib.suppress(TimeoutError, BlockingIOError):
            while True:
                self._heard[device].append(ear.recv(2000))

    def delay(self, port: Port, device: str, frame: bytes) -> float:
        """The seconds from sending a frame to its arrival at `device`."""
        start = time.monotonic()
        self._say(port, frame)
        self._ears[device].settimeout(PATIENCE_S)
        self._ears[device].recv(2000)
        return time.monotonic() - start

    def heard(self, device: str) -> list[bytes]:
        """The frames that have arrived since the last call, and until it is quiet."""
        self._hear(device, QUIET_S)
        return self._heard.pop(device, [])


def frame(number: int, size: int = 100) -> bytes:
    head = b"\xff" * 6 + mac(0x77) + struct.pack(">H", ETHERTYPE)
    return head + NUMBER.pack(number) + bytes(size - 18)


def number(found: bytes) -> int:
    return int(NUMBER.unpack_from(found, 14)[0])


def datagram(port: int, payload: int = 0) -> bytes:
    ends = IPv4Address("10.0.0.1").packed + IPv4Address("10.0.0.2").packed
    head = struct.pack(">BBHHHBBH", 0x45, 0, 28, 0, 0, 64, 17, 0) + ends
    udp = struct.pack(">HHHH", port, 9, 8, 0)
    return b"\xff" * 6 + mac(0x77) + b"\x08\x00" + head + udp + NUMBER.pack(payload) + bytes(20)
