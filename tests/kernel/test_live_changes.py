"""What frames meet while their way changes: none is lost that need not be."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from tests.kernel.conformance_cases import (
    NAMESPACES,
    ON_VIF_4,
    ON_VIF_6,
    PATCH,
    ROUTE_4,
    ROUTE_6,
    ROUTED,
    ROUTER,
    SPREAD,
    UNPLUGGED,
    VIF,
    VIF2,
    VIFS,
    WAYS,
    create,
    mac,
)
from tests.kernel.features import need
from tests.kernel.test_lab import lab_of
from tests.kernel.test_vr_life import MESH
from tests.kernel.wires import (
    ETH_P_ALL,
    NUMBER,
    Wires,
    change,
    datagram,
    frame,
    number,
    seen,
    settled,
)
from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.kernel import Batch, Kernel
from vnemu.plan.diff import Action
from vnemu.plan.objects import (
    FABRIC,
    Block,
    Neighbour,
    Object,
    Patch,
    Port,
)


class TestCarrier:
    def test_the_other_end_sees_it_and_keeps_what_it_has(self, kernel: Kernel) -> None:
        kept = [ON_VIF_4, ON_VIF_6, ROUTE_4, ROUTE_6]
        kernel.apply(create(*ROUTED, ROUTE_4, ROUTE_6))
        assert carrier(kernel, VIF.b)
        change(kernel, VIF, UNPLUGGED)
        assert not carrier(kernel, VIF.b)
        assert seen(kernel, UNPLUGGED, *kept)
        change(kernel, UNPLUGGED, VIF)
        assert carrier(kernel, VIF.b)
        assert seen(kernel, VIF, *kept)

    def test_one_made_without_it_has_none(self, kernel: Kernel) -> None:
        kernel.apply(create(*NAMESPACES, ROUTER, UNPLUGGED))
        assert not carrier(kernel, VIF.b)

    def test_frames_pass_again_afterwards(self, kernel: Kernel, wires: Wires) -> None:
        kernel.apply(create(*VIFS, PATCH))
        wires.listen(VIF2.b)
        for shown in (UNPLUGGED, VIF):
            change(kernel, VIF if shown is UNPLUGGED else UNPLUGGED, shown)
            settled(kernel)
            with contextlib.suppress(OSError):
                wires.send(VIF.b, frame(1))
            assert len(wires.heard("eth1")) == (shown is VIF)


def carrier(kernel: Kernel, port: Port) -> bool:
    """As a Router OS would read it."""
    settled(kernel)
    with contextlib.closing(kernel.inside(port.namespace, _any_socket)) as probe_socket:
        return bool(_flags(probe_socket, port.device) & 0x40)  # IFF_RUNNING


def _any_socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def _flags(asked: socket.socket, device: str) -> int:
    answer = fcntl.ioctl(asked, 0x8913, device.encode().ljust(40, b"\0"))  # SIOCGIFFLAGS
    return int(struct.unpack_from("=H", answer, 16)[0])


class TestBlock:
    @pytest.fixture(autouse=True)
    def _bpf(self) -> None:
        need("bpf")

    def test_nothing_passes_one_way_and_the_carrier_stays(
        self, kernel: Kernel, wires: Wires
    ) -> None:
        block = Block(FABRIC, "vif")
        kernel.apply(create(*VIFS, PATCH, Patch(FABRIC, "vif2", "vif")))
        wires.listen(VIF.b, VIF2.b)
        for blocked in (False, True, False):
            if blocked:
                kernel.apply(create(block))
            wires.send(VIF.b, frame(1))
            wires.send(VIF2.b, frame(2))
            assert bool(wires.heard("eth1")) is not blocked
            assert wires.heard("eth0")
            assert seen(kernel, VIF, VIF2)
            if blocked:
                kernel.apply([Action(("test", ""), block, None)])

    def test_diverted_frames_are_stopped_too(self, kernel: Kernel, wires: Wires) -> None:
        kernel.apply(create(*VIFS, *WAYS, replace(SPREAD, spread="packet"), Block(FABRIC, "vif")))
        ends = [VIF2.b, *(way.b for way in WAYS)]
        wires.listen(*ends)
        for n in range(50):
            wires.send(VIF.b, frame(n))
        assert not any(wires.heard(end.device) for end in ends)


class TestSpread:
    ENDS = (VIF2.b, *(way.b for way in WAYS))

    @pytest.fixture(autouse=True)
    def _bpf(self) -> None:
        need("bpf")

    def heard(self, wires: Wires) -> dict[str, list[bytes]]:
        return {end.device: wires.heard(end.device) for end in self.ENDS}

    def test_by_packet_all_take_an_even_part(self, kernel: Kernel, wires: Wires) -> None:
        kernel.apply(create(*VIFS, *WAYS, replace(SPREAD, spread="packet")))
        wires.listen(*self.ENDS)
        for n in range(2000):
            wires.send(VIF.b, frame(n))
        counts = {device: len(frames) for device, frames in self.heard(wires).items()}
        assert sum(counts.values()) == 2000
        assert list(counts.values()) == pytest.approx([500] * 4, abs=5 * (500 * 0.75) ** 0.5)

    def test_by_flow_each_takes_one_way(self, kernel: Kernel, wires: Wires) -> None:
        kernel.apply(create(*VIFS, *WAYS, SPREAD))
        wires.listen(*self.ENDS, protocol=0x0800)
        for n in range(2000):
            wires.send(VIF.b, datagram(40_000 + n % 400, n))
        heard = self.heard(wires)
        ways: dict[bytes, set[str]] = {}
        for device, frames in heard.items():
            for found in frames:
                ways.setdefault(found[34:36], set()).add(device)
        assert sum(map(len, heard.values())) == 2000
        assert len(ways) == 400
        assert all(len(taken) == 1 for taken in ways.values())
        counts = Counter(next(iter(taken)) for taken in ways.values())
        assert [counts[end.device] for end in self.ENDS] == pytest.approx([100] * 4, abs=45)


def under_traffic(send: Callable[[int], None], act: Callable[[], None], count: int) -> None:
    """Send numbered frames from a thread, one every 0.2 ms at most, while `act` goes on."""
    failed: list[Exception] = []

    def speak() -> None:
        try:
            for n in range(count):
                send(n)
                time.sleep(0.0002)
        except Exception as error:  # told by the other thread
            failed.append(error)

    thread = threading.Thread(target=speak)
    thread.start()
    while thread.is_alive():
        act()
    thread.join()
    assert not failed


class Turns:
    """Goes through states of an object, again and again."""

    def __init__(self, kernel: Kernel, *states: Object) -> None:
        self._kernel = kernel
        self._states = states
        self.count = 0

    def __call__(self) -> None:
        old, new = (self._states[(self.count + n) % len(self._states)] for n in (0, 1))
        change(self._kernel, old, new)
        self.count += 1


class TestSwitches:
    COUNT = 2000

    @pytest.mark.parametrize("spread", [False, True], ids=["one", "several"])
    def test_a_patch_is_turned_without_a_loss(
        self, spread: bool, kernel: Kernel, wires: Wires
    ) -> None:
        states = [PATCH, replace(PATCH, target="w0")]
        if spread:
            need("bpf")
            others = replace(PATCH, target="w1", others=("w0", "w2"), spread="packet")
            states += [SPREAD, others]
        ends = [VIF2.b, *(way.b for way in WAYS)]
        kernel.apply(create(*VIFS, *WAYS, PATCH))
        wires.listen(*ends)
        turns = Turns(kernel, *states)
        under_traffic(lambda n: wires.send(VIF.b, frame(n)), turns, self.COUNT)
        found = sorted(number(f) for end in ends for f in wires.heard(end.device))
        assert turns.count > 10
        assert found == list(range(self.COUNT))

    def test_a_route_is_turned_without_a_loss(self, kernel: Kernel, wires: Wires) -> None:
        one = replace(ROUTE_4, destination=IPv4Network("10.9.0.0/16"))
        other = replace(one, via=IPv4Address("10.0.1.2"), device="eth1")
        neighbours = [
            Neighbour(ROUTER.name, "eth0", one.via, mac(0x50)),
            Neighbour(ROUTER.name, "eth1", other.via, mac(0x51)),
        ]
        kernel.apply(create(*ROUTED, *neighbours, one))
        wires.listen(VIF.a, VIF2.a, protocol=ETH_P_ALL)
        turns = Turns(kernel, one, other)
        with contextlib.closing(kernel.inside(ROUTER.name, _any_socket)) as voice:

            def send(n: int) -> None:
                voice.sendto(NUMBER.pack(n), ("10.9.0.1", 9))
                wires.count()

            under_traffic(send, turns, self.COUNT)
        frames = [f for device in ("vif", "vif2") for f in wires.heard(device)]
        numbers = sorted(NUMBER.unpack_from(f, 42)[0] for f in frames if f[12:14] == b"\x08\x00")
        assert turns.count > 10
        assert numbers == list(range(self.COUNT))


def test_cables_are_used_when_frames_pass_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel drops all frames on one whose carrier it has not looked after yet."""
    send, looked, idle = Kernel._send, [], []

    def looking(kernel: Kernel, batches: dict[str, Batch], tolerated: frozenset[int]) -> None:
        actions = [action for batch in batches.values() for _, action in batch]
        if any(each.old is not None and isinstance(each.new, Patch) for each in actions):
            fabric = kernel.namespaces[FABRIC].socket
            answers = list(fabric.dump(rt.RTM_GETLINK, rt.LIST_DEVICES_BARE))
            cables = [answer for answer in answers if rt.device(answer).name[0] in "cs"]
            looked.append(len(cables))
            idle.extend(rt.device(each).name for each in cables if not rt.runs(each))
        send(kernel, batches, tolerated)

    with lab_of(MESH % ((", limit: 50mbit",) * 4), tmp_path) as lab:
        monkeypatch.setattr(Kernel, "_send", looking)
        for machine in ("rm2", "rm3", "rm4", "rm1"):
            lab.move("a/r1", to=machine)
    assert max(looked) > 0
    assert idle == []
