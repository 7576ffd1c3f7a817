"""Tables, paths and convergence of synthetic records with known answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnemu.results.analysis import analyse
from vnemu.results.reader import read_run
from vnemu.results.record import FlowInfo, NodePlace, PlannedEvent, RunInfo, RunWriter
from vnemu.results.routes import RouteHistory, RouteRow, Tables, route_row
from vnemu.results.runinfo import PlacesEntry
from vnemu.results.schema import Result

# c1 - r1 - r2 - c2, and r1 - r3 - r2; r1's eth0 leads to c1.
PLACES = {
    "a/c1": NodePlace(addresses=("10.1.0.2", "fd01::2"), peers={"eth0": "a/r1"}),
    "a/c2": NodePlace(addresses=("10.2.0.2", "fd02::2"), peers={"eth0": "a/r2"}),
    "a/r1": NodePlace(
        addresses=("10.0.128.1", "10.1.0.1"),
        peers={"eth0": "a/c1", "eth1": "a/r2", "eth2": "a/r3"},
    ),
    "a/r2": NodePlace(
        addresses=("10.0.128.2",), peers={"eth0": "a/c2", "eth1": "a/r1", "eth2": "a/r3"}
    ),
    "a/r3": NodePlace(addresses=("10.0.128.3",), peers={"eth1": "a/r1", "eth2": "a/r2"}),
}
DIRECT, ROUND = ("a/c1", "a/r1", "a/r2", "a/c2"), ("a/c1", "a/r1", "a/r3", "a/r2", "a/c2")


def row(node: str, prefix: str, hops: str, action: str = "there", at: float = -0.1) -> RouteRow:
    protocol = "kernel" if hops.startswith("@") else "bird"
    return route_row([str(at), node, action, prefix, hops, protocol, "32"])


START = [
    row("a/c1", "0.0.0.0/0", "10.1.0.1@eth0"),
    row("a/c2", "0.0.0.0/0", "10.2.0.1@eth0"),
    row("a/r1", "10.1.0.0/30", "@eth0"),
    row("a/r1", "10.2.0.0/30", "10.0.0.2@eth1"),
    row("a/r1", "10.0.0.0/8", "unreachable"),
    row("a/r2", "10.2.0.0/30", "@eth0"),
    row("a/r2", "10.1.0.0/30", "10.0.0.1@eth1"),
    row("a/r3", "10.2.0.0/30", "10.0.0.6@eth2"),
]
EVENTS = [
    row("a/r1", "10.2.0.0/30", "10.0.0.9@eth2", "set", 3.2),
    row("a/r2", "10.1.0.0/30", "10.0.0.1@eth1", "gone", 3.5),
    row("a/r2", "10.9.0.0/30", "@eth1", "gone", 3.9),
    row("a/r2", "10.1.0.0/30", "10.0.0.1@eth1", "set", 6.25),
    row("a/r1", "10.2.0.0/30", "10.0.0.2@eth1|10.0.0.9@eth2", "set", 6.5),
]


def tables(*rows: RouteRow) -> Tables:
    return RouteHistory([*START, *rows], (PlacesEntry(at_s=0, nodes=PLACES),)).at(100)


def test_a_path_goes_hop_by_hop() -> None:
    assert tables().paths("a/c1", "a/c2", 4) == [DIRECT]
    assert tables().paths("a/c2", "a/c1", 4) == [DIRECT[::-1]]


def test_without_a_route_there_is_no_path() -> None:
    assert tables().paths("a/c1", "a/c2", 6) == []
    assert tables().paths("a/c1", "a/r2", 4) == [], "it is unreachable"
    assert tables(EVENTS[1]).paths("a/c2", "a/c1", 4) == []


def test_several_next_hops_are_several_paths() -> None:
    assert tables(EVENTS[-1]).paths("a/c1", "a/c2", 4) == [DIRECT, ROUND]


def test_the_longest_prefix_and_the_lowest_metric_decide() -> None:
    longer = row("a/r1", "10.2.0.2/32", "10.0.0.9@eth2")
    assert tables(longer).paths("a/c1", "a/c2", 4) == [ROUND]
    worse = route_row(["0", "a/r1", "set", "10.2.0.0/30", "10.0.0.9@eth2", "bird", "33"])
    assert tables(worse).paths("a/c1", "a/c2", 4) == [DIRECT]


def test_a_loop_does_not_arrive() -> None:
    back = row("a/r2", "10.2.0.0/30", "10.0.0.1@eth1")
    assert tables(back).paths("a/c1", "a/c2", 4) == []


def test_nodes_are_where_they_are_at_that_time() -> None:
    moved = PlacesEntry(
        at_s=5, nodes={"a/r1": PLACES["a/r1"].model_copy(update={"peers": {"eth1": "a/r3"}})}
    )
    history = RouteHistory(START, (PlacesEntry(at_s=0.001, nodes=PLACES), moved))
    assert history.at(-0.05).paths("a/c1", "a/c2", 4) == [DIRECT]
    assert history.at(6).paths("a/c1", "a/c2", 4) == [ROUND]
    assert history.at(4).paths("a/c1", "a/c2", 4) == [DIRECT], "also when asked backwards"


def test_a_row_that_is_none() -> None:
    for cells in (["1"], ["1", "n", "moved", "0.0.0.0/0", "", "bird", "1"], ["x"] * 7):
        with pytest.raises(ValueError):  # noqa: PT011 - of whatever kind
            route_row(cells)


EXPECT = (
    {"unmoved": "fall"},
    {"unmoved": "cut"},
    {"convergence": "500ms", "event": "cut"},
    {"convergence": "400ms", "event": "cut"},
    {"convergence": "1s", "event": "fall"},
    {"path": list(ROUND), "event": "cut"},
    {"path": list(DIRECT), "event": "mend"},
    {"path": ["a/r3", "a/r2", "a/c2"], "event": "cut"},
    {"untouched": True},
)


def write(folder: Path, until_s: float = 10.0, touched: bool = False) -> Path:
    names = {"fall": 1.0, "cut": 3.0, "mend": 6.0}
    info = RunInfo(
        experiment="x",
        started="",
        duration_s=10.0,
        flows=(FlowInfo(name="f", from_="a/c1", to="a/c2", protocol="udp", ip=4),),
        events=tuple(PlannedEvent(at_s=at, what=f"{n} a/l", name=n) for n, at in names.items()),
        expect=EXPECT,
    )
    with RunWriter(folder) as writer:
        writer.begin(info, "", "", "")
        writer.places(0.0, PLACES)
        for number, at in enumerate(names.values(), 1):
            if at < until_s:
                writer.event(at, at, at + 0.01, "x", (number,))
                found = [("a/r1", "sysctl net.x: 0 -> 1")] if touched and number == 2 else []
                writer.untouched(at - 1, at + 1, (number,), 3, found)
        for r in [*START, *EVENTS]:
            if r.time_s < until_s:
                writer.route(
                    r.time_s, r.node, r.action, r.prefix, r.next_hops, r.protocol, r.metric
                )
        for tenth in range(int(until_s * 10) + 1):
            at, hellos = tenth / 10, tenth // 10 + (5 if tenth > 30 else 0)
            sent = ("a/r1", "eth1", "out", "ospf", hellos, 80 * hellos)
            writer.control(at, [sent, ("a/r2", "eth1", "in", "ospf", hellos, 80 * hellos)])
            writer.flow(at, "f", tenth, tenth)
        if until_s >= 10:
            writer.end(until_s, "complete")
    return folder


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return analyse(read_run(write(tmp_path_factory.mktemp("runs") / "r")))


def test_changes_of_an_event_reach_to_the_next_one(result: Result) -> None:
    found = [event.routing for event in result.events if event.routing]
    assert [r.until_s for r in found] == [3, 6, 10]
    assert [r.changes for r in found] == [0, 2, 2], "a NIC's own routes do not count"
    assert [r.first_s for r in found] == [None, 0.2, 0.25]
    assert [r.convergence_s for r in found] == [None, 0.5, 0.5]
    assert [r.nodes for r in found] == [(), ("a/r1", "a/r2"), ("a/r2", "a/r1")]


def test_paths_before_and_after(result: Result) -> None:
    routing = [event.routing for event in result.events if event.routing]
    there, back = ({(p.from_, p.to): p for p in r.paths} for r in routing[1:])
    assert there["a/c1", "a/c2"].before == (DIRECT,)
    assert there["a/c1", "a/c2"].after == (ROUND,)
    assert there["a/c2", "a/c1"].after == ()
    assert back["a/c1", "a/c2"].after == (DIRECT, ROUND)


def test_control_messages_are_those_sent_in_the_window(result: Result) -> None:
    sums = [event.routing.control["ospf"] for event in result.events if event.routing]
    assert [(s.messages, s.bytes) for s in sums] == [(2, 160), (8, 640), (4, 320)]


def test_expectations(result: Result) -> None:
    assert [e.met for e in result.expectations] == [
        *(True, False, True, False, False, True, False, True, True)
    ]
    assert [e.measured for e in result.expectations][:6] == [
        "no route changed",
        "2 changes, the last after 0.5 s",
        "2 changes, the last after 0.5 s",
        "2 changes, the last after 0.5 s",
        "no route changed",
        "a/c1 -> a/r1 -> a/r3 -> a/r2 -> a/c2",
    ]


def test_a_touch_is_told(tmp_path: Path) -> None:
    result = analyse(read_run(write(tmp_path / "r", touched=True)))
    assert [event.untouched for event in result.events] == [True, False, True]
    assert result.events[1].differences == ("a/r1: sysctl net.x: 0 -> 1",)
    assert result.untouched is False
    assert not result.expectations[-1].met
    assert result.expectations[-1].measured == (
        "a/r1: sysctl net.x: 0 -> 1 (between 2.0 and 4.0 s)"
    )


def test_a_run_that_was_cut_off(tmp_path: Path) -> None:
    result = analyse(read_run(write(tmp_path / "r", until_s=5)))
    assert result.events[1].routing is not None
    assert result.events[2].routing is None
    assert result.events[2].untouched is None
    assert [e.measured for e in result.expectations][1:3] == ["the run was cut off"] * 2
