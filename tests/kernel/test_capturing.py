"""Captures of a lab: what is seen where, and how they end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vnemu.drivers.capture import Capture, Chosen, Counts
from vnemu.drivers.pcapng import FRAME, INTERFACE, Block, blocks
from vnemu.errors import ExperimentFailed
from vnemu.lab import Lab

TOPOLOGY = """
underlay: {machines: [rm1, rm2], links: [{endpoints: [rm1, rm2], rate: 100mbit}]}
networks:
  a:
    routers: {r1: {on: rm1}, r2: {on: rm2}, r3: {on: rm2}}
    links:
      - {name: core, endpoints: [r1, r2]}
      - {name: side, endpoints: [r2, r3]}
"""
PATIENCE_S = 10.0


class Scene:
    """A lab, and files of what is captured there."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.file = folder / "x.pcapng"

    def capture(self, what: str, chosen: Chosen | None = None) -> Capture:
        with self.file.open("wb") as file:
            return self.lab.capture(what, file.fileno(), chosen)

    def ping(self, *options: str, source: str = "a/r1", target: str = "a/r2") -> None:
        address = str(self.lab.topology.nodes[target].addresses[0].ip)
        done = self.lab[source].run("ping", "-n", "-W5", *(options or ("-c1",)), address)
        assert done.returncode == 0, done.stdout

    def frames(self) -> list[tuple[str, str, Block]]:
        """Interface, direction and block of each frame, in the order of the file."""
        with self.file.open("rb") as file:
            found = list(blocks(file))
        names = [block.interface_name for block in found if block.kind == INTERFACE]
        ways = {True: "out", False: "in"}
        frames = [block for block in found if block.kind == FRAME]
        return [(names[block.interface], ways[block.outward], block) for block in frames]

    def seen(self) -> list[tuple[str, str]]:
        return [(name, way) for name, way, _ in self.frames()]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    (tmp_path / "t.yaml").write_text(TOPOLOGY)
    with Lab.from_file(tmp_path / "t.yaml") as lab:
        yield Scene(lab, tmp_path)


ICMP = Chosen("icmp")


def test_a_virtual_link_is_seen_at_both_ends(scene: Scene) -> None:
    capture = scene.capture("a/core", ICMP)
    scene.ping()
    counts = capture.stop()
    one, other = "a/r1:eth0", "a/r2:eth0"
    assert scene.seen() == [(one, "out"), (other, "in"), (other, "out"), (one, "in")]
    assert {name: (c.packets, c.dropped) for name, c in counts.items()} == {
        one: (2, 0),
        other: (2, 0),
    }


def test_one_end_one_nic_and_a_node(scene: Scene) -> None:
    for what, found in (
        ("a/core:r2", ["a/r2:eth0"]),
        ("a/r2:eth1", ["a/r2:eth1"]),
        ("a/r2", ["a/r2:eth0", "a/r2:eth1"]),
    ):
        capture = scene.capture(what, ICMP)
        scene.ping(target="a/r3")
        assert list(capture.stop()) == found
        assert {name for name, _ in scene.seen()} == set(found)


def test_tunnels_are_seen_on_a_physical_link(scene: Scene) -> None:
    capture = scene.capture("rm1-rm2")
    scene.ping("-c1", "-p", "c0ffee")
    capture.stop()
    frames = [found for found in scene.frames() if b"\xc0\xff\xee" * 4 in found[2].frame]
    there = [("rm1:to-rm2", "out"), ("rm2:to-rm1", "in")]
    back = [("rm2:to-rm1", "out"), ("rm1:to-rm2", "in")]
    assert [(name, way) for name, way, _ in frames] == [*there, *back]
    inner = scene.lab.topology.nodes["a/r1"].nics[0].mac
    for _, _, block in frames:
        assert block.frame[12:14] == b"\x08\x00"
        assert block.frame[23] in {17, 47}  # VXLAN is UDP, GRE is a protocol
        assert block.frame.find(inner) >= 42


def test_vlan_tags_stay(scene: Scene) -> None:
    capture = scene.capture("a/r1:eth0")
    tagged = bytes.fromhex("ffffffffffff 020000000001 8100 6007 88b5") + bytes(60)
    text = (
        "import socket; s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW); "
        f"s.bind(('eth0', 0)); s.send(bytes.fromhex('{tagged.hex()}'))"
    )
    assert scene.lab["a/r1"].run("python3", "-c", text).returncode == 0
    capture.stop()
    assert [block.frame for _, _, block in scene.frames() if block.frame[:1] == b"\xff"] == [tagged]


def ended(capture: Capture, within_s: float = PATIENCE_S) -> Counts:
    begun = time.monotonic()
    counts = capture.wait()
    assert time.monotonic() - begun < within_s
    return counts


def test_it_ends_by_itself(scene: Scene) -> None:
    capture = scene.capture("a/core", Chosen("icmp", count=3))
    scene.ping()
    assert sum(found.packets for found in ended(capture).values()) == 3
    assert len(scene.seen()) == 3
    (quiet,) = ended(scene.capture("a/r1:eth0", Chosen("icmp", seconds=0.1))).values()
    assert (quiet.packets, quiet.dropped) == (0, 0)


def test_it_ends_when_nobody_reads(scene: Scene) -> None:
    source, output = os.pipe()
    capture = scene.lab.capture("a/core", output)
    os.close(output)
    os.close(source)
    ended(capture)


def test_it_ends_when_its_device_is_gone(scene: Scene) -> None:
    capture = scene.capture("a/side")
    scene.lab.remove("a/side")
    ended(capture)


def test_it_goes_on_when_a_link_was_down(scene: Scene) -> None:
    capture = scene.capture("a/core", ICMP)
    scene.lab.down("a/core")
    scene.lab.up("a/core")
    scene.ping("-c1")
    capture.stop()
    assert len(scene.seen()) == 4


def test_what_is_lost_is_counted(scene: Scene) -> None:
    """Nobody reads for a while: what the ring has no room for is told at the end."""
    source, output = os.pipe()
    capture = scene.lab.capture("a/core:r1", output, ICMP)
    os.close(output)
    scene.ping("-q", "-i", "0.002", "-c", "60", "-s", "60000")
    with os.fdopen(source, "rb") as stream:
        reader = threading.Thread(target=lambda: (time.sleep(0.2), stream.read()))
        reader.start()
        (counts,) = capture.stop().values()
        reader.join()
    assert counts.dropped > 0
    assert counts.packets + counts.dropped >= 2 * 60 * 40  # each is cut into frames


def test_what_was_killed_can_be_read(scene: Scene) -> None:
    capture = scene.capture("a/core:r1", ICMP)
    scene.ping("-c", "5", "-i", "0.05")
    deadline = time.monotonic() + PATIENCE_S
    while len(scene.seen()) < 10 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert capture.pid is not None
    os.kill(capture.pid, signal.SIGKILL)
    with pytest.raises(ExperimentFailed, match="was killed"):
        capture.wait()
    assert len(scene.seen()) == 10


def test_it_ends_with_the_lab(scene: Scene) -> None:
    """What this leaves is looked for after each test."""
    scene.capture("a/core")
    scene.capture("rm1-rm2")
