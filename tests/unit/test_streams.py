"""What became of UDP probes: series made by hand or at random, with known answers."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnemu.results.analysis import analyse
from vnemu.results.reader import read_run
from vnemu.results.record import PlannedEvent, RunInfo, RunWriter, StreamInfo
from vnemu.results.schema import Result
from vnemu.results.series import Array
from vnemu.results.stream_record import ARRIVED, END, MAGIC, OVERFLOWED, RECORD, SENT
from vnemu.results.streams import (
    StreamSamples,
    first_after,
    loss_periods,
    read_streams,
    samples_of,
    stream_at_event,
    stream_result,
)

MS = 1_000_000
P, Q = (
    StreamInfo(name=name, from_="a/c1", to="a/c2", interval_s=interval, ip=4)
    for name, interval in (("p", 0.001), ("q", 0.002))
)

Row = tuple[int, int, int, int, int]


def arrived(seq: int, at_ms: float, sent_ms: float | None = None, stream: int = 0) -> Row:
    sent = seq if sent_ms is None else sent_ms
    return ARRIVED, stream, seq, round(sent * MS), round(at_ms * MS)


def records(rows: Iterable[Row]) -> Array:
    return np.array(list(rows), RECORD)


def samples(count: int, arrivals: Iterable[Row]) -> StreamSamples:
    """Probes that are sent every millisecond."""
    return samples_of(np.arange(count) * 1e-3, records(arrivals))


def lossy(count: int, *lost: range) -> StreamSamples:
    """Each takes 2 ms, and some are lost."""
    gone = {number for part in lost for number in part}
    return samples(count, (arrived(n, n + 2) for n in range(count) if n not in gone))


def test_nothing_lost() -> None:
    found = stream_result(lossy(1000), 1.0)
    assert (found.sent, found.lost, found.loss_percent, found.outage_ms) == (1000, 0, 0, 0)
    assert (found.delay_median_ms, found.delay_max_ms, found.pause_max_ms) == (2, 2, 1)
    assert found.outage_at_s is None
    assert loss_periods(np.arange(5.0), np.zeros(5, bool), 9.0) == []


def test_an_outage_is_from_the_first_lost_to_the_next_that_arrives() -> None:
    found = stream_result(lossy(1000, range(100, 103), range(300, 800)), 1.0)
    assert (found.lost, found.outage_ms, found.outage_at_s) == (503, 500, 0.3)


def test_probes_that_arrive_in_between_end_an_outage() -> None:
    assert stream_result(lossy(1000, range(100, 200), range(201, 251)), 1.0).outage_ms == 100


def test_one_that_does_not_end_lasts_to_the_end_of_the_run() -> None:
    (period,) = loss_periods(np.arange(1000) * 1e-3, np.arange(1000) >= 400, 1.2)
    assert (period.first, period.next, period.over) == (400, 1000, False)
    assert period.outage_s == pytest.approx(0.8)


def test_duplicates_and_reordering() -> None:
    # 2 overtakes 1, 3 comes three times, 5 is lost, 4 comes last and once more.
    order = [(0, 1.0), (2, 2.0), (1, 3.0), (3, 4.0), (3, 4.1), (3, 4.2), (6, 7.0), (4, 8), (4, 9)]
    found = samples(7, [arrived(seq, at) for seq, at in order])
    assert found.copies.tolist() == [0, 0, 0, 2, 1, 0, 0]
    assert found.reordered.tolist() == [False, True, False, False, True, False, False]
    assert found.lost.tolist() == [False] * 5 + [True, False]
    result = stream_result(found, 1.0)
    assert (result.duplicated, result.reordered, result.lost) == (3, 2, 1)


def test_the_order_of_the_record_does_not_matter_but_that_of_arrival() -> None:
    rows = [arrived(n, n + 2) for n in (3, 1, 0, 2)]
    assert not samples(4, rows).reordered.any()


def test_an_event_in_the_middle_of_an_outage_does_not_own_its_begin() -> None:
    cut, mend, end = 0.3, 0.8, 1.5
    found = lossy(1500, range(301, 802))
    at_cut, at_mend = stream_at_event(found, cut, mend), stream_at_event(found, mend, end)
    assert (at_cut.sent, at_cut.lost, at_cut.outage_ms) == (500, 499, 499)
    assert (at_cut.first_loss_s, at_cut.first_repair_s, at_cut.last_repair_s) == (0.001, None, None)
    assert (at_mend.sent, at_mend.lost, at_mend.outage_ms) == (700, 2, 2)
    assert (at_mend.first_loss_s, at_mend.first_repair_s) == (0, 0.002)


def test_probes_on_their_way_at_an_event_belong_to_it() -> None:
    found = lossy(1000, range(280, 500))
    at_event = stream_at_event(found, 0.3, 1.0)
    assert (at_event.lost, at_event.outage_ms, at_event.first_loss_s) == (220, 220, -0.02)
    assert (at_event.first_repair_s, at_event.last_repair_s) == (0.2, 0.2)
    assert stream_at_event(found, 0.1, 0.3).lost == 0


def test_a_path_that_comes_and_goes_is_repaired_first_and_last() -> None:
    at_event = stream_at_event(lossy(1000, range(310, 320), range(400, 650)), 0.3, 1.0)
    assert (at_event.first_loss_s, at_event.first_repair_s) == (0.01, 0.02)
    assert (at_event.last_repair_s, at_event.outage_ms) == (0.35, 250)


@given(st.lists(st.booleans(), max_size=60), st.lists(st.integers(0, 59), max_size=6))
def test_events_divide_all_probes_among_them(lost: list[bool], at: list[int]) -> None:
    found = samples(len(lost), (arrived(n, n + 1) for n, gone in enumerate(lost) if not gone))
    bounds = [-1.0, *sorted(number * 1e-3 for number in at), 9.0]
    parts = [stream_at_event(found, a, b) for a, b in itertools.pairwise(bounds)]
    assert sum(part.sent for part in parts) == len(lost)
    assert sum(part.lost for part in parts) == sum(lost)
    assert first_after(found, -1.0) == 0


@given(
    st.lists(st.tuples(st.integers(0, 19), st.integers(0, 10**6)), max_size=60),
)
def test_against_a_plain_count(rows: list[tuple[int, int]]) -> None:
    """Duplicates, losses and reordering (RFC 4737: a number below the next expected)."""
    found = samples(20, [arrived(seq, at / MS) for seq, at in rows])
    seen: dict[int, int] = {}
    late, expected = set(), 0
    for seq, _ in sorted(rows, key=lambda row: row[1]):
        if seq not in seen and seq < expected:
            late.add(seq)
        expected = max(expected, seq + 1)
        seen[seq] = seen.get(seq, 0) + 1
    assert set(np.flatnonzero(~found.lost)) == set(seen)
    assert set(np.flatnonzero(found.reordered)) == late
    assert found.copies.sum() == sum(seen.values()) - len(seen)


@given(st.lists(st.booleans(), min_size=1, max_size=80))
def test_loss_periods_cover_the_losses(lost: list[bool]) -> None:
    sent = np.arange(len(lost)) * 1e-3
    periods = loss_periods(sent, np.array(lost), 1.0)
    covered = [n for period in periods for n in range(period.first, period.next)]
    assert covered == [n for n, gone in enumerate(lost) if gone]
    assert all(a.next < b.first for a, b in itertools.pairwise(periods))
    assert [period.over for period in periods].count(False) == lost[-1]


def write(folder: Path, rows: Iterable[Row], cut: int = 0) -> Path:
    data = MAGIC + records(rows).tobytes()
    (folder / "streams.bin").write_bytes(data[: len(data) - cut])
    return folder


def two_streams(until_ms: int) -> list[Row]:
    """p every ms there and back, q every 2 ms; q's way back is broken."""
    rows: list[Row] = []
    for at in range(until_ms):
        rows.append((SENT, 0, at, at * MS, 0))
        rows += [arrived(at, at + 1, stream=way) for way in (0, 1)]
        if at % 2 == 0:
            rows.append((SENT, 2, at // 2, at * MS, 0))
            rows.append(arrived(at // 2, at + 1, at, stream=2))
    return rows


def test_the_record_is_read(tmp_path: Path) -> None:
    rows = [*two_streams(3000), (OVERFLOWED, 0, 7, 0, 0), (END, 0, 0, 4000 * MS, 0)]
    found, overflowed = read_streams(write(tmp_path, rows), [P, Q])
    counts = {name: (len(s.sent_s), int(s.lost.sum())) for name, s in found.items()}
    assert counts == {"p>": (3000, 0), "p<": (3000, 0), "q>": (1500, 0), "q<": (1500, 1500)}
    assert overflowed == 7
    assert found["q>"].sent_s[3] == pytest.approx(0.006)


def test_one_that_was_cut_off_counts_only_what_is_known(tmp_path: Path) -> None:
    found, _ = read_streams(write(tmp_path, two_streams(3000), cut=11), [P, Q])
    assert len(found["p>"].sent_s) == len(found["p<"].sent_s) == 2000
    assert not found["p>"].lost.any()
    assert found["q<"].lost.all()


@pytest.mark.parametrize(
    "content", [None, b"", b"vnemu st", b"something else", MAGIC, MAGIC + b"1"]
)
def test_a_record_without_anything(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "streams.bin").write_bytes(content)
    found, _ = read_streams(tmp_path, [P])
    assert stream_result(found["p>"], 1.0).sent == 0


EXPECT = (
    {"outage": "p", "event": "cut", "max": "501ms", "min": "499ms"},
    {"outage": "p", "max": "400ms"},
    {"probe": "p", "event": 1, "lost": 500},
    {"probe": "p", "lost": 499},
    {"outage": "p", "event": 2, "max": "0s"},
)


def run(folder: Path, rows: Iterable[Row], *, whole: bool = True) -> Result:
    """A run of 3 s with a cut at 1 s that is over at 2 s."""
    events = (
        PlannedEvent(at_s=1.0, what="cut a/core", name="cut"),
        PlannedEvent(at_s=2.0, what="mend a/core"),
    )
    info = RunInfo(
        experiment="x", started="", duration_s=3.0, streams=(P,), events=events, expect=EXPECT
    )
    with RunWriter(folder) as writer:
        writer.begin(info, "", "", "")
        for number, event in enumerate(events, 1):
            writer.event(event.at_s, event.at_s, event.at_s + 0.001, event.what, (number,))
        for step in range(31 if whole else 18):
            writer.link(step / 10, "a/core", "r1>r2", 0, 0, 0, 0)
        if whole:
            writer.end(3.0, "complete")
    write(folder, rows)
    return analyse(read_run(folder))


def cut_rows() -> Iterable[Row]:
    """There, 500 ms are lost after the cut; back, nothing."""
    for at in range(3000):
        yield SENT, 0, at, at * MS, 0
        yield arrived(at, at + 1, stream=1)
        if not 1100 <= at < 1600:
            yield arrived(at, at + 1)
    yield END, 0, 0, 4000 * MS, 0


def test_a_whole_run(tmp_path: Path) -> None:
    result = run(tmp_path / "r", cut_rows())
    cut, mend = result.events
    assert cut.streams["p>"].outage_ms == 500
    assert (cut.streams["p>"].first_loss_s, cut.streams["p>"].last_repair_s) == (0.1, 0.6)
    assert cut.streams["p<"].lost == mend.streams["p>"].lost == 0
    assert result.streams["p>"].lost == 500
    assert [e.met for e in result.expectations] == [True, False, True, False, True]
    texts = [e.text for e in result.expectations]
    assert texts[0] == (
        "probe p: outage at least 499ms and at most 501ms after event cut (cut a/core)"
    )
    assert result.expectations[0].measured == "0.5 s there, 0 s back"
    assert result.expectations[2].measured == "500 of 1000 there, 0 of 1000 back"
    assert result.notes == ()


def test_one_that_was_cut_off_is_not_judged(tmp_path: Path) -> None:
    rows = [row for row in cut_rows() if row[3] < 1700 * MS]
    result = run(tmp_path / "r", rows, whole=False)
    assert [e.measured for e in result.expectations[:1]] == ["the run was cut off"]
    assert result.status == "interrupted"


def test_what_the_observer_missed_is_said(tmp_path: Path) -> None:
    held_up = [row for row in cut_rows() if not 200 * MS <= row[3] < 250 * MS]
    ticks = iter(range(3000))
    rows = [(row[0], row[1], next(ticks), *row[3:]) if row[0] == SENT else row for row in held_up]
    notes = run(tmp_path / "r", [*rows[:-1], (OVERFLOWED, 0, 3, 0, 0), rows[-1]]).notes
    assert "3 UDP probes arrived and were dropped by vnemu itself" in notes[0]
    assert "held up for 51 ms" in notes[1]
