"""What reports and terminals say of routers that adapted, and that they say nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.adapting_run import EVENTS, write_adapting_run
from vnemu.results.adaptation import (
    NO_ROUTE_MOVED,
    NOT_REPAIRED,
    PathChange,
    adaptation_rows,
    outage,
    path_changes,
    repaired,
    unmoved_events,
)
from vnemu.results.analysis import analyse
from vnemu.results.layout import graph_places
from vnemu.results.path_drawing import draw_paths
from vnemu.results.reader import read_run
from vnemu.results.report import MADE, MADE_OF_ADAPTATION, build_report
from vnemu.results.schema import EventResult, PathAtEvent, Result, RoutingAtEvent, StreamAtEvent
from vnemu.results.terminal import summary_lines, summary_table
from vnemu.results.timeline_plot import plot_timeline

R2, R4 = ("c1", "r1", "r2", "r3", "c3"), ("c1", "r1", "r4", "r3", "c3")
HEADINGS = ("Timeline", "Adaptation", "Paths before and after", "Routing messages", "UDP probes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapting_run(tmp_path_factory.mktemp("runs") / "ring")


@pytest.fixture(scope="module")
def result(folder: Path) -> Result:
    return build_report(folder)


@pytest.fixture(scope="module")
def page(folder: Path, result: Result) -> str:
    assert result.status == "complete"
    return (folder / "report.html").read_text()


def test_a_row_for_each_event(result: Result) -> None:
    off, on, fall = adaptation_rows(result)
    assert (off.number, off.event, off.at, off.untouched) == (1, "off", "10.0 s", True)
    assert (off.outage, off.lost, off.repaired) == ("0.700 s", "70 of 1000", "0.700 s")
    assert off.stream in {"s →", "s ←"}
    assert (off.routes, off.first, off.last) == ("6 in 2 VRs", "0.500 s", "0.700 s")
    assert off.messages == "ospf 40"
    assert (on.outage, on.lost, on.stream, on.repaired) == ("none", "0", "", "")
    assert (fall.event, fall.routes, fall.last) == (EVENTS[2][0], NO_ROUTE_MOVED, "")
    assert unmoved_events(result) == [f"3 {EVENTS[2][0]}"]


def test_paths_that_moved_once_for_both_ways(result: Result) -> None:
    moved = [path_changes(event) for event in result.events]
    assert moved[0] == [PathChange("a", "c1", "c3", (4,), True, (R2,), (R4,))]
    assert moved[0][0].between == "c1 ↔ c3"
    assert [(c.before, c.after) for c in moved[1]] == [((R4,), (R2,))]
    assert moved[2] == []


def _at(*paths: PathAtEvent) -> EventResult:
    return EventResult(what="x", planned_s=0, routing=RoutingAtEvent(until_s=1, paths=paths))


def test_paths_of_several_ip_versions_and_ways() -> None:
    def path(ip: int, *, back: bool = False, after: bool = True) -> PathAtEvent:
        nodes = tuple(f"a/{node}" for node in (R2[::-1] if back else R2))
        reached = {"before": (), "after": (nodes,)} if after else {"before": (nodes,), "after": ()}
        return PathAtEvent(from_=nodes[0], to=nodes[-1], ip=4 if ip == 4 else 6, **reached)

    both = path_changes(_at(path(4), path(6)))
    assert [(c.versions, c.both_ways, c.before) for c in both] == [((4, 6), False, ())]
    four = path_changes(_at(path(4), path(4, back=True), path(6), path(6, back=True)))
    assert [(c.versions, c.both_ways) for c in four] == [((4, 6), True)]
    ways = path_changes(_at(path(4), path(4, back=True, after=False)))
    assert [c.between for c in ways] == ["c1 → c3", "c3 → c1"], "one was found, one was lost"


def test_what_is_not_repaired_says_so() -> None:
    gone = StreamAtEvent(sent=10, lost=4, outage_ms=4, first_loss_s=0.1)
    assert (outage(gone), repaired(gone)) == ("0.004 s", NOT_REPAIRED)
    fine = StreamAtEvent(sent=10, lost=0, outage_ms=0)
    assert (outage(fine), repaired(fine)) == ("none", "")


def test_the_page_has_all_of_it(folder: Path, page: str) -> None:
    for heading in HEADINGS:
        assert f"<h2>{heading}" in page
    assert "<h2>Goodput</h2>" not in page
    assert "Untouched:" in page
    assert "was touched" not in page
    assert f"<strong>No route moved</strong> at 3 {EVENTS[2][0]}." in page
    assert "c1 → r1 → r4 → r3 → c3" in page
    assert "a/c3 → a/c1" in page, "the stream's way back"
    assert "<h2>Phases" not in page, "there are no flows"
    assert '<td class="n">40</td><td class="n">3.2 kB</td>' in page
    for name in (*MADE, *MADE_OF_ADAPTATION):
        assert f"<code>{name}</code>" in page
        assert (folder / name).stat().st_size > 0


def test_it_is_the_same_every_time(folder: Path, page: str) -> None:
    build_report(folder)
    assert (folder / "report.html").read_text() == page


@pytest.mark.parametrize("routed", [True, False])
def test_without_streams_or_router_os_there_are_no_empty_sections(
    tmp_path: Path, routed: bool
) -> None:
    run = write_adapting_run(tmp_path / "r", streams=False, routed=routed)
    result = build_report(run)
    page = (run / "report.html").read_text()
    there = [heading for heading in HEADINGS if f"<h2>{heading}" in page]
    assert there == (list(HEADINGS[:4]) if routed else [])
    assert ("<h2>Goodput</h2>" in page) is not routed
    assert ("worst stream" in page, "Untouched:" in page) == (False, routed)
    assert all((run / name).exists() is routed for name in MADE_OF_ADAPTATION)
    said = [line for line in summary_lines(result) if "untouched" in line or "routes" in line]
    assert len(said) == (2 if routed else 0)


def test_streams_in_a_network_of_static_routes(tmp_path: Path) -> None:
    run = write_adapting_run(tmp_path / "r", routed=False)
    build_report(run)
    page = (run / "report.html").read_text()
    assert [h for h in HEADINGS if f"<h2>{h}" in page] == [HEADINGS[0], HEADINGS[1], HEADINGS[4]]
    assert "routes changed" not in page
    assert "o route moved" not in page


def test_a_touch_is_shown(tmp_path: Path) -> None:
    run = write_adapting_run(tmp_path / "r", differences=[("a/r1", "sysctl net.x: 0 -> <b>1</b>")])
    result = build_report(run)
    page = (run / "report.html").read_text()
    assert "A virtual router was touched." in page
    assert "✘ After 3 " in page
    assert "Untouched:" not in page
    assert "<b>1</b>" not in page
    said = "✘ a virtual router was touched: a/r1: sysctl net.x: 0 -> <b>1</b> (between"
    assert any(line.startswith(said) for line in summary_lines(result))


def test_a_touch_is_shown_where_nothing_else_is_said_of_adaptation(tmp_path: Path) -> None:
    run = write_adapting_run(
        tmp_path / "r", differences=[("a/r1", "x")], streams=False, routed=False
    )
    build_report(run)
    assert "A virtual router was touched." in (run / "report.html").read_text()


def test_the_terminal_has_a_table(result: Result) -> None:
    lines = [" ".join(line.split()) for line in summary_lines(result)]
    assert lines[1] == (
        "event at outage worst stream lost repaired after routes changed last after"
    )
    assert lines[2].startswith("1 off 10.0 s 0.700 s s ")
    assert lines[2].endswith("70 of 1000 0.700 s 6 in 2 VRs 0.700 s")
    assert lines[4].endswith("30.0 s none 0 no route moved")
    assert lines[5] == "✔ the virtual routers are untouched"
    assert len(summary_table(result)) == 3


def test_a_run_that_was_killed(tmp_path: Path) -> None:
    run = write_adapting_run(tmp_path / "r", end=False)
    (run / "streams.bin").write_bytes((run / "streams.bin").read_bytes()[:-100000])
    assert build_report(run).status == "interrupted"


def test_ipv6_and_many_events(tmp_path: Path) -> None:
    run = read_run(write_adapting_run(tmp_path / "r", ip=6, rounds=12))
    result = analyse(run)
    assert len(result.events) == 36
    assert {c.versions for event in result.events for c in path_changes(event)} == {(6,)}
    (figure,) = draw_paths(run, result).values()
    assert len(figure.axes) == 24, "each event that moved a path"
    timeline = plot_timeline(run, result)
    assert timeline is not None
    assert len(timeline.axes) == 3


def test_graphs_lie_flat() -> None:
    names = ["r1", "r2", "r3", "r4", "r5", "r6"]
    links = [("r1", "r2"), ("r2", "r3"), ("r3", "r1"), ("r3", "r4"), ("r4", "r5"), ("r5", "r6")]
    places = graph_places(names, links, [("r1", "r6")])
    wide, high = ([point[axis] for point in places.values()] for axis in (0, 1))
    assert max(wide) - min(wide) > 2 * (max(high) - min(high))
    assert len(set(graph_places(["a", "b"], [], [("a", "b")]).values())) == 2
