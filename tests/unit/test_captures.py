"""Captures: where, which frames, how they are written, and when."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from vnemu.drivers import pcap_filter
from vnemu.drivers.pcapng import FRAME, INTERFACE, STATISTICS, PcapngFile, blocks
from vnemu.embedding.strategies import embed
from vnemu.errors import InputError, MissingCapability
from vnemu.experiments.prepare import Experiment, prepare
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.plan.explain import described
from vnemu.plan.taps import taps_of
from vnemu.results.analysis import analyse
from vnemu.results.phases import boundaries, cut_phases
from vnemu.results.record import PlannedEvent, RunInfo, RunWriter, read_run
from vnemu.results.terminal import summary_lines
from vnemu.schema.load import load_experiment, load_topology
from vnemu.schema.now import read_now
from vnemu.shell.capturing import place
from vnemu.shell.completion import complete
from vnemu.shell.names import Names
from vnemu.shell.registry import COMMANDS

TOPOLOGY = """\
underlay: {machines: [rm1, rm2], links: [{endpoints: [rm1, rm2], rate: 32mbit}]}
networks:
  a:
    routers: {r1: {on: rm1}, r2: {on: rm2}, core: {on: rm1}}
    hosts: {c1: {at: r1}}
    links: [{name: core, endpoints: [r1, r2]}, {name: side, endpoints: [r2, core]}]
"""


@pytest.fixture
def topology(tmp_path: Path) -> Topology:
    (tmp_path / "t.yaml").write_text(TOPOLOGY)
    return resolve(load_topology(tmp_path / "t.yaml"))


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("a/core", ["a/r1:eth0 fabric a.r1.0", "a/r2:eth0 fabric a.r2.0"]),
        ("a/core:r2", ["a/r2:eth0 fabric a.r2.0"]),
        ("a/r1", ["a/r1:eth0 fabric a.r1.0", "a/r1:eth1 fabric a.r1.1"]),
        ("a/r1:eth1", ["a/r1:eth1 fabric a.r1.1"]),
        ("a/c1", ["a/c1:eth0 fabric a.c1.0"]),
        ("rm1-rm2", ["rm1:to-rm2 rm:rm1 to-rm2", "rm2:to-rm1 rm:rm2 to-rm1"]),
        ("rm1-rm2:rm1", ["rm1:to-rm2 rm:rm1 to-rm2"]),
        ("rm2", ["rm2:to-rm1 rm:rm2 to-rm1"]),
        ("rm2:to-rm1", ["rm2:to-rm1 rm:rm2 to-rm1"]),
    ],
)
def test_where_it_is_captured(topology: Topology, what: str, found: list[str]) -> None:
    taps = taps_of(topology, what)
    assert [f"{tap.name} {tap.namespace} {tap.device}" for tap in taps] == found
    assert all(tap.faces == (tap.namespace == "fabric") for tap in taps)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("a/cor", "no link, node or machine 'a/cor' to capture at; did you mean 'a/core'?"),
        ("rm9", "did you mean 'rm"),
        ("a/core:r3", "a/core has no end or NIC 'r3'; did you mean 'a/core:r"),
        ("a/r1:eth7", "a/r1 has no end or NIC 'eth7'"),
        ("a/r1:", "a/r1 has no end or NIC ''"),
        ("", "there is no link, node or machine ''"),
    ],
)
def test_nothing_of_that_name(topology: Topology, what: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        taps_of(topology, what)
    assert words in str(caught.value.problems[0])


def test_what_is_written_is_read_again() -> None:
    raw = _Kept()
    file = PcapngFile(raw, "icmp")
    at = 1_800_000_000_123_456_789
    file.add("a/r1:eth0")
    file.write("a/r2:eth0", at, b"12345", 5, True)
    file.write("a/r1:eth0", at + 1, b"", 60, False)
    file.count("a/r1:eth0", at + 2, 3, 2)
    assert raw.getvalue() == b""  # all of it at once, by flush
    file.flush()
    found = list(blocks(io.BytesIO(raw.getvalue())))
    assert [block.kind for block in found[1:]] == [INTERFACE, INTERFACE, FRAME, FRAME, STATISTICS]
    assert [b.interface_name for b in found if b.kind == INTERFACE] == ["a/r1:eth0", "a/r2:eth0"]
    frames = [(b.interface, b.outward, b.frame) for b in found if b.kind == FRAME]
    assert frames == [(1, True, b"12345"), (0, False, b"")]
    cut = raw.getvalue()[:-5]
    assert [*blocks(io.BytesIO(cut))] == found[:-1]


class _Kept(io.BytesIO):
    """A file without a buffer that takes little at a time, as a pipe does."""

    def write(self, data: object) -> int:
        return super().write(bytes(data)[:7])  # type: ignore[call-overload]


def test_a_filter_is_a_program() -> None:
    program = pcap_filter.compiled("icmp or arp")
    assert len(program) % 8 == 0
    assert pcap_filter.compiled("icmp or arp") == program


@pytest.mark.parametrize("expression", ["imcp", "tcp port", "host 300.1.1.1", "ip and (("])
def test_what_is_no_filter(expression: str) -> None:
    with pytest.raises(InputError, match="write it as for tcpdump") as caught:
        pcap_filter.compiled(expression)
    assert caught.value.problems[0].message.startswith(f"filter '{expression}': ")


def test_without_libpcap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pcap_filter, "_NAMES", ("libnone.so.7",))
    pcap_filter._library.cache_clear()
    with pytest.raises(MissingCapability, match=r"libpcap.*apt-get install tcpdump"):
        pcap_filter.compiled("icmp")


def load(folder: Path, *entries: str, expect: str = "[]", scale: float = 1.0) -> Experiment:
    (folder / "t.yaml").write_text(TOPOLOGY)
    lines = "".join(f"  - {{{entry}}}\n" for entry in entries)
    text = f"topology: t.yaml\nduration: 20s\nexpect: {expect}\ntimeline:\n{lines}"
    (folder / "e.yaml").write_text(text)
    return prepare(load_experiment(folder / "e.yaml"), scale)


def test_an_event_that_captures(tmp_path: Path) -> None:
    experiment = load(
        tmp_path,
        "at: 3s, capture: a/core, for: 5s, filter: icmp, count: 9",
        "name: rest, at: 3s, capture: rm1",
        "at: 4s, reshape: a/core, limit: 1mbit",
        scale=0.5,
    )
    first, second, third = experiment.events
    assert first.capture is not None
    assert second.capture is not None
    assert (first.at, first.what, first.capture.name) == (1.5, "capture a/core (icmp)", "1")
    chosen = first.capture.chosen
    assert (chosen.filter, chosen.count, chosen.seconds) == ("icmp", 9, 2.5)
    assert (second.capture.name, second.capture.chosen.seconds) == ("rest", None)
    assert third.verbs
    assert [entry.until for entry in experiment.entries] == [4.0, 10.0, None]
    cutting = [entry for entry in experiment.entries if not entry.observes]
    cuts = [at for entry in cutting for at in boundaries(entry.at, entry.until)]
    assert len(cut_phases(cuts, experiment.duration)) == 2


def test_a_capture_cuts_no_phase(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no phase 2"):
        load(
            tmp_path,
            "at: 3s, capture: a/core, for: 5s",
            expect="[{spread: a/core, direction: r1>r2, phase: 2, within: 5%}]",
        )


def test_a_capture_of_what_the_timeline_adds(tmp_path: Path) -> None:
    add = "at: 2s, add: a/new, endpoints: [r1, core]"
    load(tmp_path, add, "at: 2s, capture: a/new")
    with pytest.raises(InputError, match=r"e.yaml:5: there is no link, node or machine 'a/new'"):
        load(tmp_path, "at: 1s, capture: a/new", add)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("at: 1s, capture: a/none", "e.yaml:5: there is no link, node or machine 'a/none'"),
        ("at: 1s, capture: a/core, filter: imcp", "e.yaml:5: filter 'imcp': "),
        ("at: 1s, capture: a/core, count: 0", "count must be at least 1"),
        ("at: 1s, capture: a/core, for: 0s", "must be more than 0s"),
        ("every: 1s, capture: a/core", "a capture has no every:"),
        ("at: 1s, capture: 'a/core:'", "timeline.0.capture"),
        ("at: 1s, batch: [{capture: a/core}]", "a part of a batch has one of the verbs"),
        ("at: 30s, capture: a/core", "the event is at 30s, but the experiment ends at 20s"),
    ],
)
def test_captures_that_cannot_be(tmp_path: Path, entry: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        load(tmp_path, entry)
    assert words in str(caught.value.problems[0])


def test_a_capture_is_no_verb() -> None:
    with pytest.raises(InputError, match="vnemu capture LAB WHAT"):
        read_now("capture: a/core")


@pytest.fixture
def names(topology: Topology) -> Names:
    return Names(described(topology, embed(topology)) | {"networks": {"a": {}}})


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("side", "a/side"),
        ("r1:eth0", "a/r1:eth0"),
        ("a/core:r2", "a/core:r2"),
        ("rm1-rm2", "rm1-rm2"),
        ("rm1:to-rm2", "rm1:to-rm2"),
    ],
)
def test_names_in_the_shell(names: Names, word: str, found: str) -> None:
    assert place(names, word) == found


def test_the_shell_completes_them(names: Names) -> None:
    assert complete("capture a/r1:", COMMANDS, names)[1] == ["a/r1:eth0", "a/r1:eth1"]
    assert complete("capture rm", COMMANDS, names)[1] == ["rm1", "rm1-rm2", "rm2"]
    assert complete("capture r1 fi", COMMANDS, names)[1] == ["filter"]
    assert complete("capture r1 for 5", COMMANDS, names)[1] == ["50ms", "5ms"]


def test_a_result_says_what_was_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    events = (PlannedEvent(at_s=0.5, what="capture a/core", until_s=1.0, observes=True),)
    with RunWriter(folder) as writer:
        writer.begin(RunInfo(experiment="x", started="", duration_s=1.0, events=events), "", "", "")
        writer.event(0.5, 0.5, 0.52, "capture a/core", (1,))
        file = writer.capture_path("1")
        file.write_bytes(b"")
        writer.captured(1, "capture a/core", file, {"a/r1:eth0": (7, 2), "a/r2:eth0": (9, 1)})
        writer.end(1.0, "complete")
    result = analyse(read_run(folder))
    (capture,) = result.captures
    assert (capture.event, capture.file) == (1, "captures/1.pcapng")
    assert capture.interfaces["a/r1:eth0"].dropped == 2
    assert any("captures/1.pcapng lacks 3 frames" in note for note in result.notes)
    assert len(result.phases) == 1
    assert result.events[0].observes
    assert "captures/1.pcapng: 16 frames, capture a/core" in summary_lines(result)
