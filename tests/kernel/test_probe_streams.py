"""UDP probes on real namespaces: what they say of a cut is what the kernel was told."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.features import need
from vnemu.errors import ExperimentFailed
from vnemu.experiments.prepare import prepare
from vnemu.experiments.runner import run
from vnemu.lab import Lab
from vnemu.plan.diff import Action
from vnemu.results.analysis import analyse
from vnemu.results.reader import read_run
from vnemu.results.record import RunWriter, StreamInfo
from vnemu.results.schema import StreamResult
from vnemu.results.streams import StreamSamples, read_streams, stream_result
from vnemu.schema.load import load_experiment
from vnemu.traffic.stream import PORT, Streams, StreamSpec

CUT_S = 0.3
RIGHT_TO_S = 0.002
TRIES = 5

TOPOLOGY = {
    "underlay": {"machines": ["m1"]},
    "networks": {
        "a": {
            "routers": ["r1", "r2"],
            "hosts": {"c1": {"at": "r1"}, "c2": {"at": "r2"}},
            "links": [{"name": "core", "endpoints": ["r1", "r2"]}],
        }
    },
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    file = tmp_path / "t.yaml"
    file.write_text(json.dumps(TOPOLOGY))
    with Lab.from_file(file) as lab:
        yield lab


def address(lab: Lab, path: str, version: int) -> str:
    own = lab.topology.nodes[path].addresses
    return str(next(each.ip for each in own if each.version == version))


def spec(lab: Lab, name: str, ends: tuple[str, str], **changes: Any) -> StreamSpec:
    version = changes.pop("version", 4)
    one, other = (address(lab, end, version) for end in ends)
    values = {"interval": 0.001, "size": 32, **changes}
    return StreamSpec(name, *ends, one, other, version, **values)


@contextlib.contextmanager
def streams(lab: Lab, folder: Path, *specs: StreamSpec) -> Iterator[Streams]:
    """Streams that run; t0 is when they began."""
    made = Streams(
        specs, lambda node, call: lab[node].inside(call), folder / "streams.bin", folder / "log"
    )
    with contextlib.closing(made):
        made.open()
        made.wait_ready()
        made.start(time.monotonic_ns())
        yield made
        made.check()


def found(folder: Path, specs: Sequence[StreamSpec]) -> dict[str, StreamSamples]:
    infos = [
        StreamInfo(name=s.name, from_=s.source, to=s.target, interval_s=s.interval, ip=s.version)
        for s in specs
    ]
    samples, overflowed = read_streams(folder, infos)
    assert overflowed == 0
    return samples


def results(folder: Path, *specs: StreamSpec) -> dict[str, StreamResult]:
    return {name: stream_result(s, 0.0) for name, s in found(folder, specs).items()}


class Timed:
    """When the kernel began and ended to carry actions out."""

    def __init__(self, lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
        self.spans: list[tuple[float, float]] = []
        self._apply = lab.kernel.apply
        monkeypatch.setattr(lab.kernel, "apply", self._timed)

    def _timed(self, actions: Sequence[Action]) -> None:
        begin = time.monotonic()
        self._apply(actions)
        self.spans.append((begin, time.monotonic()))

    def shortest_and_longest(self) -> tuple[float, float]:
        """How long nothing passed between the first change and the last, at least and at most."""
        (begun, done), (over, mended) = self.spans[0], self.spans[-1]
        return over - done, mended - begun


def test_an_outage_is_right_to_2_ms(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that holds up the sender, in one of several tries; else to that pause."""
    probe = spec(lab, "p", ("a/c1", "a/c2"))
    for attempt in range(TRIES):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with monkeypatch.context() as patch, streams(lab, folder, probe):
            time.sleep(0.2)
            timed = Timed(lab, patch)
            lab.cut("a/core")
            time.sleep(CUT_S)
            lab.mend("a/core")
            time.sleep(0.2)
        shortest, longest = timed.shortest_and_longest()
        ways = list(results(folder, probe).values())
        wrong = [max(shortest - o, o - longest) for o in (way.outage_ms / 1e3 for way in ways)]
        print(f"cut for {shortest:.6f} to {longest:.6f} s: {ways}")
        assert all(way.lost > 200 and not way.duplicated and not way.reordered for way in ways)
        pause = max(way.pause_max_ms or 0.0 for way in ways) / 1e3
        assert max(wrong) <= RIGHT_TO_S + pause
        if max(wrong) <= RIGHT_TO_S:
            break
    assert max(wrong) <= RIGHT_TO_S


def test_only_the_direction_that_is_cut_loses_probes(lab: Lab, tmp_path: Path) -> None:
    probe = spec(lab, "p", ("a/c1", "a/c2"))
    with streams(lab, tmp_path, probe):
        time.sleep(0.1)
        lab.cut("a/core", direction="r1>r2")
        time.sleep(0.1)
    ways = results(tmp_path, probe)
    assert ways["p<"].lost == 0
    assert ways["p>"].lost >= 50


def test_paces_versions_sizes_and_shared_ends(lab: Lab, tmp_path: Path) -> None:
    specs = [
        spec(lab, "fast", ("a/c1", "a/c2"), version=6),
        spec(lab, "slow", ("a/c1", "a/c2"), interval=0.02, size=1400),
        spec(lab, "routers", ("a/r1", "a/r2"), interval=0.02, version=6),
        spec(lab, "mixed", ("a/r1", "a/c2"), size=2000),
        spec(lab, "again", ("a/c2", "a/c1")),
    ]
    with streams(lab, tmp_path, *specs):
        time.sleep(0.5)
    ways = results(tmp_path, *specs)
    assert {name: way.lost for name, way in ways.items()} == dict.fromkeys(ways, 0)
    for name, way in ways.items():
        interval_ms = 20 if name[:-1] in {"slow", "routers"} else 1
        assert way.sent == pytest.approx(500 / interval_ms, rel=0.3), name
        assert 0 <= (way.delay_median_ms or -1) < 5, name


def test_a_node_without_a_route_sends_what_is_lost(lab: Lab, tmp_path: Path) -> None:
    """What its own kernel refuses counts as sent, and the node's other probes still leave."""
    attached = next(
        nic
        for nic in lab.topology.nodes["a/r1"].nics
        if nic.link == lab.topology.nodes["a/c1"].nics[0].link
    )
    probes = [
        spec(lab, "p", ("a/c1", "a/c2")),
        replace(spec(lab, "q", ("a/c1", "a/r1")), target_address=str(attached.addresses[0].ip)),
    ]
    with streams(lab, tmp_path, *probes):
        time.sleep(0.1)
        lab["a/c1"].run("ip", "route", "del", "default")
        time.sleep(0.1)
    ways = results(tmp_path, *probes)
    assert ways["p>"].sent == ways["q>"].sent
    assert ways["p>"].lost >= 30
    assert ways["p<"].lost == ways["q>"].lost == ways["q<"].lost == 0


def test_strangers_are_not_counted(lab: Lab, tmp_path: Path) -> None:
    probe = spec(lab, "p", ("a/c1", "a/c2"))
    stranger = lab["a/r1"].inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    with stranger, streams(lab, tmp_path, probe):
        for data in (b"", b"x", bytes(32), struct.pack("<HHIq", 0x766E, 99, 0, 0)):
            stranger.sendto(data, (address(lab, "a/c2", 4), PORT))
        time.sleep(0.1)
    ways = results(tmp_path, probe)
    assert all(way.lost == way.duplicated == way.reordered == 0 for way in ways.values())


def test_duplicates_and_reordering_by_netem(lab: Lab, tmp_path: Path) -> None:
    need("netem")
    probe = spec(lab, "p", ("a/c1", "a/c2"))
    lab.reshape("a/core", direction="r1>r2", delay="5ms", duplicate="10%", reorder="10%")
    with streams(lab, tmp_path, probe):
        time.sleep(0.5)
    ways = results(tmp_path, probe)
    there, back = ways["p>"], ways["p<"]
    assert there.delay_median_ms == pytest.approx(5, abs=1)
    assert 0.02 < there.duplicated / there.sent < 0.3
    assert there.reordered / there.sent > 0.2  # one that goes at once overtakes five
    assert back.duplicated == back.reordered == there.lost == back.lost == 0


def test_one_that_dies_is_an_error(lab: Lab, tmp_path: Path) -> None:
    probe = spec(lab, "p", ("a/c1", "a/c2"))
    with contextlib.ExitStack() as stack:
        made = stack.enter_context(streams(lab, tmp_path, probe))
        time.sleep(0.05)
        assert made.pid is not None
        os.kill(made.pid, signal.SIGKILL)
        time.sleep(0.2)
        with pytest.raises(ExperimentFailed, match="probe streams died"):
            made.check()
        stack.pop_all()
        made.close()


def test_without_streams_there_is_no_process(lab: Lab, tmp_path: Path) -> None:
    with streams(lab, tmp_path) as made:
        assert made.pid is None
    assert not (tmp_path / "streams.bin").exists()


EXPERIMENT = {
    "topology": TOPOLOGY,
    "probes": [
        {"name": "hosts", "from": "a/c1", "to": "a/c2", "udp": {}},
        {"name": "routers", "from": "a/r1", "to": "a/r2", "udp": {"size": "100b"}, "ip": 6},
    ],
    "timeline": [
        {"at": "500ms", "cut": "a/core", "name": "cut"},
        {"at": "1s", "mend": "a/core"},
    ],
    "duration": "1500ms",
    "expect": [
        {"outage": "hosts", "event": "cut", "min": "400ms", "max": "600ms"},
        {"outage": "routers", "max": "600ms"},
        {"probe": "hosts", "event": 2, "lost": 60},
    ],
}


def test_an_experiment(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text(json.dumps(EXPERIMENT))
    loaded = load_experiment(tmp_path / "e.yaml")
    run(prepare(loaded), RunWriter(tmp_path / "run"), loaded)
    result = analyse(read_run(tmp_path / "run"))
    assert set(result.streams) == {"hosts>", "hosts<", "routers>", "routers<"}
    assert not result.probes
    assert all(e.met for e in result.expectations), result.expectations
    assert all(way.lost < way.sent for way in result.streams.values())
