"""What a VR forwards, limited as a whole: by all its NICs together, in bits and in packets."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.carried import carried
from tests.kernel.features import need
from tests.kernel.test_lab import address, lab_of, ping, wrong
from tests.kernel.test_lab_verbs import _refusing
from tests.rates import end
from vnemu.drivers import rtnetlink as rt
from vnemu.errors import ExperimentFailed, KernelRefused, MissingCapability
from vnemu.lab import Lab

LIMITED = """
underlay:
  machines: [rm1, rm2]
  links: [{endpoints: [rm1, rm2], rate: 1gbit}]
networks:
  a:
    routers: {r1: {on: rm1, resources: {%s}}, r2: {on: rm2}, r3: {on: rm1}}
    hosts: {c1: {at: r1}, c2: {at: r1}, c3: {at: r2}, c4: {at: r3}}
    links:
      - {name: far, endpoints: [r1, r2]}
      - {name: near, endpoints: [r1, r3]}
"""
FLOWS = (("a/c1", "a/c3"), ("a/c4", "a/c2"))
"""They have no NIC of r1 in common; one goes on through a tunnel, the other came by a patch."""
HEADERS, SEGMENT, FRAME = 66, 1448, 1514
DATA = 1 / (1 + HEADERS / (2 * FRAME))
"""Acknowledgements come in too: one for two segments (RFC 9293, 3.8.6.3)."""
MEASURED_S, WINDOWS = 0.8, 12
"""A machine that is busy with something else loses time: the best window counts."""
SMALL = 60
# Sends datagrams of so many bytes to an address, about so many a second.
FLOOD = """
import socket, sys, time
to, size, rate = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
begun, sent = time.monotonic(), 0
while True:
    while sent < (time.monotonic() - begun) * rate:
        s.sendto(bytes(size), (to, 9))
        sent += 1
    time.sleep(0.002)
"""

# Sends as many datagrams at once as a queue of 16 frames has room for beside others.
BURST = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for _ in range(14):
    s.sendto(b"x", (sys.argv[1], 9))
"""


@pytest.fixture(autouse=True)
def _needs() -> None:
    need("ifb", "tbf", "bpf")


def lab_with(capacity: str, folder: Path) -> contextlib.AbstractContextManager[Lab]:
    return lab_of(LIMITED % (f"forwarding: {capacity}" if capacity else ""), folder)


@contextlib.contextmanager
def streams(lab: Lab) -> Iterator[None]:
    """TCP over each of `FLOWS`, as fast as it gets."""
    with contextlib.ExitStack() as stack:
        for _, target in FLOWS:
            stack.callback(end, lab[target].popen("iperf3", "-s", stdout=subprocess.DEVNULL))
        time.sleep(0.5)
        for start, target in FLOWS:
            argv = ("iperf3", "-c", address(lab, target), "-t", "60")
            stack.callback(end, lab[start].popen(*argv, stdout=subprocess.DEVNULL))
        time.sleep(0.5)
        yield


@contextlib.contextmanager
def floods(lab: Lab, pps: int, flows: tuple[tuple[str, str], ...] = FLOWS) -> Iterator[None]:
    """Small datagrams over each of `flows`, `pps` a second all together."""
    with contextlib.ExitStack() as stack:
        for start, target in flows:
            argv = (address(lab, target), str(SMALL), str(pps / len(flows)))
            python = lab[start].popen(sys.executable, "-S", "-c", FLOOD, *argv)
            stack.callback(end, python)
        time.sleep(0.3)
        yield


def received(lab: Lab) -> tuple[int, int]:
    """Bytes and packets that came to the ends of `FLOWS`; joined segments are one packet."""
    octets = packets = 0
    for _, target in FLOWS:
        socket = lab.kernel.namespaces[f"vr:{target}"].socket
        for found in map(rt.device, socket.dump(rt.RTM_GETLINK, rt.LIST_DEVICES)):
            if found.name == "eth0":
                octets, packets = octets + found.received[0], packets + found.received[1]
    return octets, packets


def passed(lab: Lab, what: Callable[[int, int], float]) -> float:
    """How much of something comes through a second."""
    begun, before = time.monotonic(), received(lab)
    time.sleep(MEASURED_S)
    after, taken = received(lab), time.monotonic() - begun
    return what(after[0] - before[0], after[1] - before[1]) / taken


def comes_to(
    lab: Lab, what: Callable[[int, int], float], wanted: float, within: float = 0.03
) -> bool:
    """Whether as much as `wanted` comes through a second, in one window or another."""
    found: list[float] = []
    while len(found) < WINDOWS and (not found or abs(found[-1] / wanted - 1) > within):
        found.append(passed(lab, what))
    assert found[-1] == pytest.approx(wanted, rel=within), found
    return True


def full_frames(octets: int, packets: int) -> float:
    """Bits of the full frames that the payload came in."""
    return (octets - packets * HEADERS) * 8 * FRAME / SEGMENT


def count(octets: int, packets: int) -> float:
    return packets


@pytest.mark.skipif(not shutil.which("iperf3"), reason="iperf3 is not installed")
class TestBits:
    def test_flows_by_different_nics_share_it(self, tmp_path: Path) -> None:
        with lab_with("50mbit", tmp_path) as lab, streams(lab):
            assert comes_to(lab, full_frames, 50e6 * DATA, within=0.05)
            lab.limit("a/r1", forwarding="10mbit")
            assert comes_to(lab, full_frames, 10e6 * DATA, within=0.05)
            lab.limit("a/r1", forwarding="none")
            assert passed(lab, full_frames) > 75e6
            assert wrong(lab) == []


class TestPackets:
    def test_small_datagrams(self, tmp_path: Path) -> None:
        with lab_with("1kpps", tmp_path) as lab, floods(lab, 3000):
            assert comes_to(lab, count, 1000)
            lab.limit("a/r1", forwarding="10mbit 500pps")
            assert comes_to(lab, count, 500)
            frame_bits = (SMALL + 42) * 8
            lab.limit("a/r1", forwarding=f"{500 * frame_bits}bit 800pps")
            assert comes_to(lab, count, 500, within=0.05)  # sizes count in steps of 16 bytes
            assert wrong(lab) == []

    def test_it_holds_for_what_comes_later_and_elsewhere(self, tmp_path: Path) -> None:
        """A link that is plugged in has no way past it, and a move takes it along."""
        with lab_with("500pps", tmp_path) as lab, floods(lab, 2000):
            lab.move("a/r1", to="rm2")
            assert comes_to(lab, count, 500)
            lab.remove("a/near")
            lab.add("a/new", ["r3", "r1"])
            assert wrong(lab) == []
            detours = [item for item in lab.plan.objects().values() if "detour" in str(item)]
            assert len(detours) == len(lab.topology.nodes["a/r1"].nics)

    def test_what_goes_elsewhere_is_not_counted(self, tmp_path: Path) -> None:
        with lab_with("10pps", tmp_path) as lab:
            here = address(lab, "a/r3", nic=0)
            done = lab["a/c4"].run("ping", "-q", "-c50", "-i0.01", "-W1", here)
            assert "50 received" in done.stdout


class TestChange:
    def test_below_it_nothing_is_lost_or_sent_again(self, tmp_path: Path) -> None:
        """Neither by its presence, nor when it comes, changes and goes."""
        with lab_with("", tmp_path) as lab:
            assert ping(lab, "a/c1", address(lab, "a/c3"))
            with carried(lab, *FLOWS[0], tcp_mbit=20, probe_hz=500) as seen:
                for capacity in ("500mbit", "90kpps", "1gbit 90kpps", "none") * 2:
                    lab.limit("a/r1", forwarding=capacity)
                    time.sleep(0.15)
            assert (seen.lost, seen.resent) == ([], 0)
            assert wrong(lab) == []

    def test_what_waits_when_it_ends_is_not_lost(self, tmp_path: Path) -> None:
        with lab_with("", tmp_path) as lab:
            lab.limit("a/r1", forwarding="100pps")
            target = address(lab, "a/c3")
            assert ping(lab, "a/c1", target)
            begun = received(lab)[1]
            lab["a/c1"].run(sys.executable, "-S", "-c", BURST, target)
            lab.limit("a/r1", forwarding="none")
            deadline = time.monotonic() + 5
            while received(lab)[1] < begun + 14 and time.monotonic() < deadline:
                time.sleep(0.01)
            assert received(lab)[1] >= begun + 14

    def test_a_cut_link_stays_cut_and_a_paused_vr_silent(self, tmp_path: Path) -> None:
        with lab_with("1mbit", tmp_path) as lab:
            there = address(lab, "a/c3")
            assert ping(lab, "a/c1", there)
            lab.cut("a/far", "r1>r2")
            lab.limit("a/r1", forwarding="2mbit")
            assert not ping(lab, "a/c1", there)
            lab.mend("a/far", "r1>r2")
            lab.pause("a/r1")
            lab.limit("a/r1", forwarding="none")
            lab.limit("a/r1", forwarding="2mbit")
            assert not ping(lab, "a/c1", there)
            lab.resume("a/r1")
            assert ping(lab, "a/c1", there)

    @pytest.mark.parametrize(
        ("before", "asked"), [("", "1mbit"), ("1mbit", "5kpps"), ("1mbit", "none")]
    )
    def test_a_refused_change_leaves_what_was(
        self, before: str, asked: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with lab_with(before, tmp_path) as lab:
            there, batches = lab.topology, 0
            while True:
                refusing = _refusing(batches, monkeypatch)
                with refusing as failed, contextlib.suppress(KernelRefused):
                    lab.limit("a/r1", forwarding=asked)
                if not failed:
                    break
                assert lab.topology is there
                assert wrong(lab) == []
                batches += 1
            assert batches > 0
            assert wrong(lab) == []

    def test_it_goes_when_another_limit_fails(self, tmp_path: Path) -> None:
        with lab_with("", tmp_path) as lab:
            lab["a/r1"].run("dd", "if=/dev/zero", "of=/run/x", "bs=1000", "count=300")
            with pytest.raises(ExperimentFailed, match="a/r1 cannot be limited"):
                lab.limit("a/r1", disk="100kb", forwarding="1mbit")
            assert lab.topology.nodes["a/r1"].resources.forwarding is None
            assert not [item for item in lab.plan.objects().values() if "detour" in str(item)]
            assert wrong(lab) == []


class TestRefusal:
    @pytest.mark.parametrize("feature", ["ifb", "tbf", "bpf"])
    def test_a_kernel_that_cannot(
        self, feature: str, tmp_path: Path, lacking: Callable[[str], None]
    ) -> None:
        with lab_with("", tmp_path) as lab:
            lacking(feature)
            message = rf"a/r1 is to have forwarding: 1mbit: this kernel has no {feature}"
            with pytest.raises(MissingCapability, match=message):
                lab.limit("a/r1", forwarding="1mbit")
            assert lab.topology.nodes["a/r1"].resources.forwarding is None
        with (
            pytest.raises(MissingCapability, match=rf"t\.yaml:7: {message}"),
            lab_with("1mbit", tmp_path),
        ):
            pass
