"""Events that last: ramps, flaps and replays are one row each, however often they fire."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnemu.results.analysis import analyse
from vnemu.results.reader import read_run
from vnemu.results.record import FlowInfo, PlannedEvent, ProbeInfo, RunInfo, RunWriter
from vnemu.results.report import build_report
from vnemu.results.schema import Result

RAMP = PlannedEvent(at_s=10.0, what="ramp a/core", name="fall", until_s=20.0, firings=1001)
ONCE = PlannedEvent(at_s=30.0, what="down a/core")
LOOP = PlannedEvent(at_s=35.0, what="replay t.csv on a/core", until_s=40.0, firings=500)
EXPECT = (
    {"event": "fall", "settle": "500ms"},
    {"probe": "ping", "event": "fall", "lost": 1},
    {"event": 2, "settle": "1s"},
    {"event": "rise", "settle": "1s"},
)


def write(folder: Path, until_s: float = 40.0) -> Path:
    """A flow of 30 Mbit/s that falls to 10 between 10 s and 20 s; firings are 1 ms late."""
    info = RunInfo(
        experiment="x",
        started="",
        duration_s=40.0,
        flows=(FlowInfo(name="f", from_="a/c1", to="a/c2", protocol="tcp", ip=4),),
        probes=(ProbeInfo(name="ping", from_="a/c1", to="a/c2", interval_s=0.1, ip=4),),
        events=(RAMP, ONCE, LOOP),
        expect=EXPECT,
    )
    with RunWriter(folder) as writer:
        writer.begin(info, "", "", "")
        total = 0.0
        for step in range(round(until_s * 100) + 1):
            at = step / 100
            level = 30 - min(max(at - 10, 0), 10) * 2
            if step % 10 == 0:
                writer.flow(at, "f", round(total), round(total))
                writer.probe(at, "ping", step, None if step in (1500, 3050) else 1.0)
            total += level * 1e6 / 8 / 100
            if 10 <= at <= 20:
                late = 0.02 if step == 1500 else 0.001
                writer.event(at, at + late, at + late + 0.0005, f"limit {level}", (1,))
            if at == 30:
                writer.event(at, at, at + 0.1, ONCE.what, (2,))
            if at >= 35 and step % 2:
                writer.event(at, at, at, "limit", (3,))
            # Ideals are worked out when there is time: here long after.
            if step % 10 == 0 and 10 <= at - 1 <= 20:
                writer.ideal(at - 1, {"f": 30 - (at - 11) * 2})
        writer.ideal(0.0, {"f": 30.0})
        if until_s >= 40:
            writer.end(until_s, "complete")
    return folder


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return build_report(write(tmp_path_factory.mktemp("runs") / "r"))


def test_an_entry_is_one_event_of_many_firings(result: Result) -> None:
    fall, down, loop = result.events
    assert (fall.name, fall.firings, fall.planned_s, fall.until_s) == ("fall", 1001, 10, 20)
    assert (fall.actual_s, fall.ended_s) == (10.001, 20.001)
    assert (fall.late_ms, fall.late_p99_ms, fall.late_max_ms) == (1, 1, 20)
    assert (fall.took_ms, fall.took_max_ms) == (0.5, 0.5)
    assert (down.firings, down.ended_s, down.late_p99_ms) == (1, None, 0)
    assert (loop.firings, loop.until_s) == (250, 40)


def test_phases_are_cut_where_entries_begin_and_are_over(result: Result) -> None:
    spans = [(phase.start_s, phase.end_s) for phase in result.phases]
    assert spans == [(0, 10.001), (10.001, 20.001), (20.001, 30), (30, 35.01), (35.01, 40)]


def test_the_ideal_of_a_ramp_is_its_mean(result: Result) -> None:
    part = result.phases[1].flows["f"]
    assert part.ideal_mbit == pytest.approx(19, abs=0.15)
    assert part.goodput_mbit == pytest.approx(19, abs=0.15)
    assert result.phases[2].flows["f"].ideal_mbit == pytest.approx(10)


def test_settling_counts_from_the_end(result: Result) -> None:
    fall, _, loop = result.events
    assert fall.settle_s == {"f": 0}
    assert loop.settle_s == {}, "it goes on until the run is over"


def test_probes_count_from_the_begin_to_after_the_end(result: Result) -> None:
    near = result.events[0].probes["ping"]
    assert (near.sent, near.lost) == (111, 1)
    assert result.events[1].probes["ping"].lost == 1


def test_expectations_name_events_by_number_or_name(result: Result) -> None:
    assert [(e.text, e.met) for e in result.expectations] == [
        ("all flows: settled within 500ms after event fall (ramp a/core)", True),
        (
            "probe ping: at most 1 lost during and in the second after event fall (ramp a/core)",
            True,
        ),
        ("all flows: settled within 1s after event 2 (down a/core)", True),
        ("all flows: settled within 1s after event rise", False),
    ]
    assert result.expectations[3].measured == "there is no event rise: there are 3"


def test_the_report_has_a_row_for_each_entry(tmp_path: Path) -> None:
    folder = write(tmp_path / "r")
    build_report(folder)
    page = (folder / "report.html").read_text()
    assert page.count("fall: ramp a/core") == 1
    assert "10 to 20 s, 1001 times" in page
    assert len(page) < 400_000


def test_a_run_that_was_cut_off_within_a_ramp(tmp_path: Path) -> None:
    result = analyse(read_run(write(tmp_path / "r", until_s=15)))
    fall, down, _ = result.events
    assert (fall.firings, fall.settle_s) == (501, {})
    assert down.actual_s is None
    assert [(p.start_s, p.end_s, p.finished) for p in result.phases] == [
        (0, 10.001, True),
        (10.001, 15, False),
    ]
    assert not any(expectation.met for expectation in result.expectations)


def test_records_of_before_are_read(tmp_path: Path) -> None:
    events = tuple(PlannedEvent(at_s=at, what=f"event at {at}") for at in (5.0, 10.0))
    info = RunInfo(experiment="x", started="", duration_s=20.0, events=events)
    with RunWriter(tmp_path / "r") as writer:
        writer.begin(info, "", "", "")
        for event in events:
            writer.event(event.at_s, event.at_s, event.at_s, event.what)
        writer.end(20.0, "complete")
    result = analyse(read_run(tmp_path / "r"))
    assert [(event.planned_s, event.firings) for event in result.events] == [(5, 1), (10, 1)]
