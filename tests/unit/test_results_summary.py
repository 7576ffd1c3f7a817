"""From the runs of a sweep to its summary: what counts, numbers, tables, the page and plots."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from vnemu.results.metrics import Metric, metrics_of
from vnemu.results.record import FlowInfo, PlannedEvent, RunInfo, RunWriter
from vnemu.results.runinfo import Status
from vnemu.results.schema import (
    Conditions,
    ControlAtEvent,
    EventResult,
    ExpectationResult,
    FlowInPhase,
    PhaseResult,
    ProbeAtEvent,
    Result,
    RoutingAtEvent,
    StreamAtEvent,
)
from vnemu.results.summary import Ran, build_summary, summarise, summary_lines, table
from vnemu.results.summary_schema import Summary
from vnemu.results.sweep_record import SWEEP, SweepInfo, SweptRun, SweptSetting, ended

OUTAGE = Metric("outage", "ping>", "cut", "ms")


def info(repeats: int = 2) -> SweepInfo:
    settings = [SweptSetting(label=f"bfd={v}", values={"bfd": v}) for v in ("false", "true")]
    runs = [
        SweptRun(folder=f"runs/{n:03}-x", setting=n % 2, repeat=n // 2 + 1, seed=100 + n)
        for n in range(2 * repeats)
    ]
    return SweepInfo(
        experiment="ring",
        file="/e.yaml",
        started="2026-01-01",
        repeat=repeats,
        settings=tuple(settings),
        runs=tuple(runs),
        command=("vnemu", "run", "a file.yaml"),
    )


def result(outage_ms: float, *, met: bool = True, status: Status = "complete") -> Result:
    stream = StreamAtEvent(sent=900, lost=int(outage_ms), outage_ms=outage_ms, until_s=9.0)
    control = {"ospf": ControlAtEvent(messages=12, bytes=900)}
    routing = RoutingAtEvent(until_s=9.0, changes=4, nodes=("a/r1",), control=control)
    event = EventResult(
        name="cut",
        what="cut a/core",
        planned_s=1.0,
        actual_s=1.0,
        settle_s={"a": None},
        probes={"p": ProbeAtEvent(sent=10, lost=2, outage_ms=20.0)},
        streams={"ping>": stream},
        routing=routing,
    )
    flow = FlowInPhase(goodput_mbit=15.0, error_percent=-1.0, from_s=1.0, to_s=2.0)
    phases = [PhaseResult(start_s=0, end_s=1, finished=done, flows={"a": flow}) for done in (1, 0)]
    return Result(
        status=status,
        experiment="ring",
        duration_s=2.0,
        end_s=2.0,
        phases=tuple(phases),
        events=(event, EventResult(what="later", planned_s=9.0)),
        expectations=(ExpectationResult(text="outage", met=met),),
        conditions=Conditions(started="2026-01-01"),
    )


def ran(number: int, outage_ms: float, **options: bool) -> Ran:
    found = result(outage_ms, **options)
    return Ran(info(4).runs[number], found, metrics_of(found))


def test_metrics_of_a_run() -> None:
    assert metrics_of(result(310.0)) == {
        Metric("goodput", "a", "phase 1", "Mbit/s"): 15.0,
        Metric("error", "a", "phase 1", "%"): -1.0,
        Metric("settle", "a", "cut", "s"): math.inf,
        Metric("lost", "p", "cut"): 2,
        Metric("outage", "p", "cut", "ms"): 20.0,
        OUTAGE: 310.0,
        Metric("lost", "ping>", "cut"): 310,
        Metric("duplicated", "ping>", "cut"): 0,
        Metric("reordered", "ping>", "cut"): 0,
        Metric("first repair", "ping>", "cut", "s"): math.inf,
        Metric("last repair", "ping>", "cut", "s"): math.inf,
        Metric("route changes", "", "cut"): 4,
        Metric("VRs with changes", "", "cut"): 1,
        Metric("messages", "ospf", "cut"): 12,
        Metric("bytes of messages", "ospf", "cut", "B"): 900,
    }


def test_settings_are_compared() -> None:
    every = [ran(0, 1000), ran(1, 300), ran(2, 1200), ran(3, 310, met=False)]
    summary = summarise(info(), every)
    found = next(m for m in summary.metrics if (m.metric, m.of) == ("outage", "ping>"))
    assert [(part.setting, part.n, part.median) for part in found.settings] == [
        (0, 2, 1100.0),
        (1, 2, 305.0),
    ]
    assert [(e.setting, e.met, e.of) for e in summary.expectations] == [(0, 2, 2), (1, 1, 2)]
    assert not summary.met
    assert "✘ outage: 1 of 2 runs with bfd=true" in summary_lines(summary)
    settle = next(m for m in summary.metrics if m.metric == "settle")
    assert [(part.never, part.median) for part in settle.settings] == [(2, None), (2, None)]


def test_only_complete_runs_count() -> None:
    runs = info().runs
    every = [
        ran(0, 1000),
        Ran(runs[1], result(5, status="failed")),
        *(Ran(r, None) for r in runs[2:]),
    ]
    summary = summarise(info(), every)
    assert summary.complete == 1
    assert [run.status for run in summary.runs] == ["complete", "failed", None, None]
    assert [setting.runs for setting in summary.settings] == [1, 0]
    assert any("3 of 4 runs are not complete" in note for note in summary.notes)
    assert not summary.met


def test_the_table_is_tidy() -> None:
    header, rows = table(info(), [ran(0, 1000), ran(1, 300)])
    assert header == [
        "run",
        "setting",
        "bfd",
        "repeat",
        "seed",
        "metric",
        "of",
        "at",
        "unit",
        "value",
    ]
    values = [dict(zip(header, row, strict=True)) for row in rows]
    outages = [
        (v["bfd"], v["value"]) for v in values if (v["metric"], v["of"]) == ("outage", "ping>")
    ]
    assert outages == [("false", 1000.0), ("true", 300.0)]


def record(place: Path, mbit: float, *, end: Status | None = "complete") -> None:
    writer = RunWriter(place)
    flow = FlowInfo(name="a", from_="a/c1", to="a/c2", protocol="tcp", ip=4)
    details = RunInfo(
        experiment="ring",
        started="2026-01-01",
        duration_s=8.0,
        flows=(flow,),
        events=(PlannedEvent(at_s=4.0, what="cut a/core", name="cut"),),
        expect=({"flow": "a", "phase": 1, "min": "1mbit"},),
    )
    writer.begin(details, "", "", "")
    for step in range(81):
        arrived = int(mbit * 1e6 / 8 * step / 10)
        writer.flow(step / 10, "a", arrived, arrived)
    writer.event(4.0, 4.0, 4.01, "cut a/core", (1,))
    if end:
        writer.end(8.0, end)
    writer.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    details = info(3)
    (tmp_path / SWEEP).write_text(details.model_dump_json())
    for number, run in enumerate(details.runs):
        end: Status | None = None if number == 5 else "complete"
        record(tmp_path / run.folder, 10 + 5 * run.setting + number, end=end)
    return tmp_path


def test_a_summary_is_made_from_the_folder_alone(folder: Path) -> None:
    summary = build_summary(folder)
    assert summary.complete == 5
    again = Summary.model_validate_json((folder / "summary.json").read_bytes())
    assert again == summary
    rows = list(csv.DictReader((folder / "summary.csv").open()))
    assert {row["run"] for row in rows} == {f"00{n}-x" for n in range(5)}
    first = next(row for row in rows if row["metric"] == "goodput")
    assert float(first["value"]) == pytest.approx(10, rel=0.01)
    goodput = next(m for m in summary.metrics if m.metric == "goodput")
    assert goodput.plot == "plots/goodput-a-phase-1.svg"
    for suffix in (".svg", ".png"):
        assert (folder / goodput.plot).with_suffix(suffix).stat().st_size > 1000
    page = (folder / "summary.html").read_text()
    for part in (
        "<svg",
        "bfd=true",
        "5 of 6 runs",
        "runs/004-x/report.html",
        "vnemu run &#39;a file",
    ):
        assert part in page
    assert ended(folder / "runs/005-x") is None
    assert json.loads((folder / "runs/005-x/result.json").read_text())["status"] == "interrupted"


def test_it_is_made_again_the_same(folder: Path) -> None:
    build_summary(folder)
    before = {path.name: path.read_bytes() for path in folder.glob("summary.*")}
    build_summary(folder, again=True)
    assert {path.name: path.read_bytes() for path in folder.glob("summary.*")} == before


def test_parquet_is_written(folder: Path) -> None:
    from pyarrow import parquet

    build_summary(folder)
    rows = parquet.read_table(folder / "summary.parquet").to_pylist()
    assert {row["bfd"] for row in rows} == {"false", "true"}
