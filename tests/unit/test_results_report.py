"""From a run folder to result.json, expectations, the plots and the report."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vnemu.errors import InputError
from vnemu.results.analysis import analyse
from vnemu.results.drawing import draw
from vnemu.results.record import (
    Drawing,
    DrawnNetwork,
    DrawnPhysicalLink,
    DrawnUnderlay,
    DrawnVirtualLink,
    FlowInfo,
    PlannedEvent,
    ProbeInfo,
    RunInfo,
    RunWriter,
    read_run,
)
from vnemu.results.report import MADE, build_report
from vnemu.results.schema import Result, result_schema
from vnemu.results.terminal import summary_lines, summary_table

WHAT = "reshape a/core guarantee 30mbit"
LEVELS = {"a": (15.3, 28.6), "b": (15.3, 1.93)}


def fig5() -> Drawing:
    return Drawing(
        underlay=DrawnUnderlay(
            machines=("rm1", "rm2"),
            links=(DrawnPhysicalLink(name="rm1-rm2", a="rm1", b="rm2", rate="32mbit"),),
        ),
        networks=tuple(
            DrawnNetwork(
                name=name,
                routers={"r1": "rm1", "r2": "rm2"},
                hosts={"c1": "r1", "c2": "r2"},
                links=(DrawnVirtualLink(name="core", a="r1", b="r2", path=("rm1", "rm2")),),
            )
            for name in "ab"
        ),
    )


def fig6_info(expect: tuple[dict[str, Any], ...] = (), **changes: object) -> RunInfo:
    flows = tuple(
        FlowInfo(name=n, from_=f"{n}/c1", to=f"{n}/c2", protocol="tcp", ip=4) for n in "ab"
    )
    info = RunInfo(
        experiment="fig6",
        started="2026-01-01T00:00:00+00:00",
        command=("vnemu", "run", "a file.yaml"),
        duration_s=40.0,
        flows=flows,
        probes=(ProbeInfo(name="ping", from_="a/c1", to="a/c2", interval_s=0.1, ip=4),),
        events=(PlannedEvent(at_s=20.0, what=WHAT),),
        expect=expect,
        drawing=fig5(),
    )
    return info.model_copy(update=changes)


SPREAD = {"spread": "b/core", "direction": "r1>r2", "phase": 1, "within": "3%"}
PARTS = {"rm1-rm2": 0.52, "rm1-rm3-rm2": 0.48}


def fig6_run(
    folder: Path,
    *expect: dict[str, Any],
    until_s: float = 40.0,
    end: bool = True,
    lost: tuple[int, ...] = (),
    **changes: object,
) -> Path:
    """Write a run whose flows follow LEVELS exactly."""
    with RunWriter(folder) as writer:
        writer.begin(fig6_info(expect, **changes), "name: t\n", "duration: 40s\n", "plan\n")
        writer.ideal(0.0, {"a": 15.3, "b": 15.3})
        sums = {"a": 0.0, "b": 0.0}
        for step in range(round(until_s * 10) + 1):
            at = step / 10
            if step == 200:
                writer.event(20.0, 20.0, 20.0005, WHAT)
                writer.ideal(20.0, {"a": 28.69, "b": 1.91})
            for name, total in sums.items():
                writer.flow(at, name, round(total), round(total))
                writer.link(at, f"{name}/core", "r1>r2", round(total * 1.05), step, step // 100, 5)
                if name == "b":
                    for path, part in PARTS.items():
                        writer.path(at, "b/core", "r1>r2", path, round(total * 1.05 * part))
                sums[name] += LEVELS[name][step >= 200] * 1e5 / 8
            writer.probe(at, "ping", step, None if step in lost else 1.0)
        if end:
            writer.end(until_s, "complete" if until_s >= 40 else "interrupted", "")
    return folder


def judged(folder: Path) -> list[tuple[str, str, bool]]:
    return [(e.text, e.measured, e.met) for e in analyse(read_run(folder)).expectations]


def test_phases_events_and_probes_have_the_known_values(tmp_path: Path) -> None:
    result = analyse(read_run(fig6_run(tmp_path / "r", lost=(3, 203, 204))))
    one, two = result.phases
    assert (one.start_s, one.end_s, two.start_s, two.end_s) == (0, 20, 20, 40)
    assert one.flows["a"].goodput_mbit == pytest.approx(15.3, rel=1e-4)
    assert two.flows["b"].goodput_mbit == pytest.approx(1.93, rel=1e-4)
    assert two.flows["b"].ideal_mbit == 1.91
    assert two.flows["a"].error_percent == pytest.approx(100 * (28.6 / 28.69 - 1), abs=0.01)
    assert two.links["a/core"]["r1>r2"].rate_mbit == pytest.approx(28.6 * 1.05, rel=1e-4)
    assert two.links["a/core"]["r1>r2"].dropped == 2
    event = result.events[0]
    assert event.settle_s == {"a": 0.0, "b": 0.0}
    assert (event.late_ms, event.took_ms) == (0.0, 0.5)
    at_event = event.probes["ping"]
    assert (at_event.sent, at_event.lost, at_event.outage_ms) == (11, 2, 200)
    assert (result.probes["ping"].sent, result.probes["ping"].lost) == (401, 3)


def test_expectations_that_are_met(tmp_path: Path) -> None:
    folder = fig6_run(
        tmp_path / "r",
        {"flow": "a", "phase": 2, "within": "2%"},
        {"flows": ["a", "b"], "phase": 2, "at_least": "97%", "max": "32mbit"},
        {"event": 1, "settle": "300ms"},
        {"probe": "ping", "lost": 0, "event": 1},
        {"probe": "ping", "lost": 0},
        {"spread": "b/core", "direction": "r1>r2", "phase": 1, "within": "5%"},
    )
    assert judged(folder) == [
        ("flow a, phase 2: goodput within 2% of the ideal 28.69 Mbit/s",
         "28.60 Mbit/s (-0.3%)", True),
        ("flows a and b together, phase 2: goodput at least 97% of the ideal 30.60 Mbit/s "
         "and at most 32.00 Mbit/s", "30.53 Mbit/s (-0.2%)", True),
        (f"all flows: settled within 300ms after event 1 ({WHAT})", "a 0 s, b 0 s", True),
        (f"probe ping: at most 0 lost in the second after event 1 ({WHAT})", "0 of 11", True),
        ("probe ping: at most 0 lost", "0 of 401", True),
        ("b/core (r1>r2), phase 1: the same part on each of its paths, within 5%",
         "52.0% by rm1-rm2 and 48.0% by rm1-rm3-rm2", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expect", "measured"),
    [
        ({"flow": "b", "phase": 2, "within": "1%"}, "1.93 Mbit/s (+1.0%)"),
        ({"flow": "b", "phase": 2, "min": "2mbit"}, "1.93 Mbit/s (+1.0%)"),
        ({"flow": "a", "phase": 3, "min": "1mbit"}, "there is no phase 3: there are 2"),
        ({"flow": "z", "phase": 1, "min": "1mbit"}, "there is no flow z: the experiment has a"),
        ({"event": 2, "settle": "1s"}, "there is no event 2: the only one is event 1"),
        ({"event": 1, "settle": "1s", "flows": ["z"]}, "there is no flow z"),
        ({"probe": "q", "lost": 0}, "there is no probe q: the experiment has ping"),
        ({"probe": "ping", "lost": 1}, "2 of 401"),
        ({"probe": "ping", "lost": 0, "event": 1}, "1 of 11"),
        ({"isolated": ["a", "b"]}, "it was not tried: add prove_isolation"),
        (SPREAD, "52.0% by rm1-rm2 and 48.0% by rm1-rm3-rm2"),
        ({**SPREAD, "spread": "a/core"}, "nothing passed it, or it has only one path"),
        ({**SPREAD, "spread": "a/cor"}, "there is no link a/cor: the experiment has a/core"),
        ({**SPREAD, "direction": "r2>r1"}, "there is no direction r2>r1"),
        ({"phase": 1}, "name one of flow"),
    ],
)
def test_expectations_that_are_not_met(
    tmp_path: Path, expect: dict[str, Any], measured: str
) -> None:
    [(_, said, met)] = judged(fig6_run(tmp_path / "r", expect, lost=(7, 205)))
    assert not met
    assert measured in said


def test_documents_of_the_schema_are_judged_as_dumped(tmp_path: Path) -> None:
    from pydantic import TypeAdapter

    from vnemu.schema.experiment import ExpectationDoc

    adapter: TypeAdapter[Any] = TypeAdapter(ExpectationDoc)
    documents = [
        {"flow": "a", "phase": 1, "within": "2%"},
        {"event": 1, "settle": "300ms"},
        {"probe": "ping", "lost": 0},
    ]
    dumped = [
        adapter.dump_python(adapter.validate_python(document), mode="json", by_alias=True)
        for document in documents
    ]
    assert [met for _, _, met in judged(fig6_run(tmp_path / "r", *dumped))] == [True] * 3


@pytest.mark.parametrize(("seen", "leaked", "met"), [(9, 0, True), (9, 1, False), (0, 0, False)])
def test_isolation_needs_a_control(tmp_path: Path, seen: int, leaked: int, met: bool) -> None:
    folder = tmp_path / "r"
    writer = RunWriter(folder)
    writer.begin(fig6_info(({"isolated": ["a", "b"]},)), "", "", "")
    writer.proof("a", "b", {"broadcast": 12}, {"broadcast": seen}, leaked)
    writer.close()
    assert judged(folder)[0][2] is met


def test_a_run_that_was_cut_off(tmp_path: Path) -> None:
    folder = fig6_run(
        tmp_path / "r",
        {"flow": "a", "phase": 1, "within": "2%"},
        {"flow": "a", "phase": 2, "within": "2%"},
        {"event": 1, "settle": "300ms"},
        until_s=12.0,
        end=False,
    )
    result = build_report(folder)
    assert (result.status, result.reason, result.end_s) == (
        "interrupted", "the run was cut off", 12.0,
    )  # fmt: skip
    assert [phase.finished for phase in result.phases] == [False]
    assert {e.measured for e in result.expectations} == {"the run was cut off"}
    assert result.events[0].actual_s is None
    assert not result.met
    page = (folder / "report.html").read_text()
    assert "This run was interrupted: the run was cut off" in page
    assert "not carried out" in page


def test_a_finished_phase_of_a_cut_run_is_judged(tmp_path: Path) -> None:
    expect = {"flow": "a", "phase": 1, "within": "2%"}
    folder = fig6_run(tmp_path / "r", expect, until_s=27.0, end=False)
    assert judged(folder)[0][2]


def test_a_flow_counts_while_it_is_active(tmp_path: Path) -> None:
    flows = tuple(
        flow.model_copy(update={"start_s": 5.0, "stop_s": 15.0} if flow.name == "b" else {})
        for flow in fig6_info().flows
    )
    result = analyse(read_run(fig6_run(tmp_path / "r", flows=flows)))
    part = result.phases[0].flows["b"]
    assert (part.from_s, part.to_s) == (6.0, 15.0)
    assert "b" not in result.phases[1].flows
    assert "b" not in result.events[0].settle_s


def test_a_flow_that_died_is_not_forgiven(tmp_path: Path) -> None:
    folder = fig6_run(tmp_path / "r")
    path = folder / "flows.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(
        lines[0] + "".join(x for x in lines[1:] if ",a," in x or float(x.split(",")[0]) < 30)
    )
    result = analyse(read_run(folder))
    assert result.phases[1].flows["b"].goodput_mbit == pytest.approx(1.93 * 9 / 19, rel=0.02)
    assert result.events[0].settle_s["b"] is None


def test_the_report_is_made_and_complete(tmp_path: Path) -> None:
    folder = fig6_run(tmp_path / "r", {"flow": "a", "phase": 1, "within": "2%"})
    result = build_report(folder)
    assert all((folder / name).stat().st_size > 500 for name in MADE)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    document = json.loads((folder / "result.json").read_text())
    jsonschema.validate(document, result_schema())
    assert Result.model_validate(document) == result
    page = (folder / "report.html").read_text()
    assert "vnemu run &#39;a file.yaml&#39;" in page
    assert page.count("<svg") == 3
    assert not re.search(r"""(src|href)\s*=\s*["'](https?:)?//""", page)
    assert "<script" not in page


def test_a_report_is_the_same_every_time(tmp_path: Path) -> None:
    folder = fig6_run(tmp_path / "r")
    build_report(folder)
    first = {name: (folder / name).read_bytes() for name in MADE}
    build_report(folder)
    assert {name: (folder / name).read_bytes() for name in MADE} == first


def test_what_comes_from_the_run_is_escaped(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    with RunWriter(folder) as writer:
        writer.begin(fig6_info(), "", "", "")
        writer.end(1.0, "failed", "<script>alert(1)</script> $a_b$")
    build_report(folder)
    assert "<script>alert" not in (folder / "report.html").read_text()


@pytest.mark.parametrize("flows", [True, False])
def test_an_empty_run_has_a_report_that_says_so(tmp_path: Path, flows: bool) -> None:
    folder = tmp_path / "r"
    changes: dict[str, object] = {} if flows else {"flows": (), "events": (), "drawing": Drawing()}
    expect = ({"flow": "a", "phase": 1, "min": "1mbit"},)
    RunWriter(folder).begin(fig6_info(expect, **changes), "", "", "")
    result = build_report(folder)
    assert result.phases == ()
    assert not result.expectations[0].met
    said = "There are no samples of flows a and b." if flows else "The experiment has no flows."
    assert said in (folder / "report.html").read_text()
    assert said in summary_lines(result)


def test_the_summary_tells_phases_and_expectations(tmp_path: Path) -> None:
    folder = fig6_run(tmp_path / "r", {"flow": "a", "phase": 1, "within": "2%"})
    result = analyse(read_run(folder))
    lines = summary_lines(result)
    assert lines[0] == "fig6: complete"
    assert " ".join(lines[2].split()) == "1 (0.0 to 20.0 s) a 15.30 Mbit/s 15.30 Mbit/s +0.0%"
    assert lines[-1].startswith("✔ flow a, phase 1: goodput within 2% of the ideal 15.30")
    assert len(summary_table(result)) == 3


def test_many_flows_and_events_can_be_plotted(tmp_path: Path) -> None:
    names = [f"flow-with-a-long-name-{index}" for index in range(30)]
    info = fig6_info(
        flows=tuple(FlowInfo(name=n, from_="a/c1", to="a/c2", protocol="udp", ip=6) for n in names),
        events=tuple(PlannedEvent(at_s=float(at), what=WHAT) for at in range(1, 9)),
    )
    with RunWriter(tmp_path / "r") as writer:
        writer.begin(info, "", "", "")
        for at in range(11):
            if 0 < at < 9:
                writer.event(at, at, at, WHAT)
            for name in names:
                writer.flow(at, name, at * 10**9, at * 10**9)
        writer.end(10.0, "complete")
    result = build_report(tmp_path / "r")
    assert len(result.phases) == 9


def test_drawings_by_suffix(tmp_path: Path) -> None:
    for suffix in ("svg", "png", "mmd"):
        draw(fig5(), tmp_path / f"x.{suffix}")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "x.svg").read_text()
    mermaid = (tmp_path / "x.mmd").read_text()
    assert mermaid.startswith("flowchart")
    assert 'm0 ===|"32mbit"| m1' in mermaid
    assert "m0 -.- n1r0" in mermaid
    with pytest.raises(InputError, match=r"\.svg, \.png or \.mmd"):
        draw(fig5(), tmp_path / "x.pdf")


@pytest.mark.parametrize("routers", [1, 3, 9, 100, 300])
def test_networks_of_any_size_can_be_drawn(tmp_path: Path, routers: int) -> None:
    network = DrawnNetwork(
        name="big",
        routers={f"r{i}": f"rm{i % 2}" for i in range(routers)},
        hosts={"c1": "r0"},
        links=tuple(
            DrawnVirtualLink(name=f"l{i}", a=f"r{i // 2}", b=f"r{i}") for i in range(1, routers)
        ),
    )
    lone = DrawnUnderlay(machines=("rm0", "rm1"))
    draw(Drawing(underlay=lone, networks=(network,)), tmp_path / "x.svg")
    draw(Drawing(), tmp_path / "empty.svg")
