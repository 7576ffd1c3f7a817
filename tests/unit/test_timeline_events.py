"""The timeline: entries of a file laid out as events, and rehearsed on the model."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnemu.errors import InputError
from vnemu.experiments.prepare import Experiment, prepare
from vnemu.experiments.resolved import resolved_texts
from vnemu.experiments.timeline import MOST_EVENTS
from vnemu.experiments.traces import with_own_traces
from vnemu.results.phases import boundaries, cut_phases
from vnemu.schema.load import load_experiment
from vnemu.verbs.state import State, carry_out

HEAD = """\
topology:
  underlay:
    machines: [rm1, rm2, rm3]
    links:
      - {endpoints: [rm1, rm2], rate: 32mbit}
      - {endpoints: [rm2, rm3], rate: 32mbit}
      - {endpoints: [rm1, rm3], rate: 32mbit}
  networks:
    a:
      routers: {r1: {on: rm1}, r2: {on: rm2}, r3: {on: rm3}}
      hosts: {c1: {at: r1}, c2: {at: r2}}
      links: [{name: core, endpoints: [r1, r2]}, {endpoints: [r2, r3]}]
duration: 20s
traffic:
  - {name: flow, from: a/c1, to: a/c2, tcp: {}}
timeline:
"""
FIRST_LINE = HEAD.count("\n") + 1


def load(folder: Path, *entries: str, expect: str = "[]", scale: float = 1.0) -> Experiment:
    file = folder / "e.yaml"
    file.write_text(HEAD + "".join(f"  - {{{entry}}}\n" for entry in entries) + f"expect: {expect}")
    return prepare(load_experiment(file), scale)


def problems(folder: Path, *entries: str, expect: str = "[]") -> list[str]:
    with pytest.raises(InputError) as caught:
        load(folder, *entries, expect=expect)
    return [str(each).replace(f"{folder}/", "") for each in caught.value.problems]


def shown(experiment: Experiment) -> list[tuple[float, str]]:
    return [(event.at, event.what) for event in experiment.events]


def test_what_is_planned_for_one_moment_is_one_event(tmp_path: Path) -> None:
    experiment = load(
        tmp_path,
        "at: 5s, reshape: a/core, limit: 5mbit",
        "at: 2s, down: a/core",
        "at: 5000ms, reshape: a/r2-r3, guarantee: 1mbit",
    )
    assert shown(experiment) == [
        (2, "down a/core"),
        (5, "reshape a/core limit 5mbit, reshape a/r2-r3 guarantee 1mbit"),
    ]
    assert [event.entries for event in experiment.events] == [(2,), (1, 3)]
    assert [(e.number, e.at, e.until, e.events) for e in experiment.entries] == [
        (1, 5, None, 1),
        (2, 2, None, 1),
        (3, 5, None, 1),
    ]


def test_a_batch_is_one_event(tmp_path: Path) -> None:
    parts = "[{reshape: a/core, limit: 5mbit}, {cut: a/core, direction: r1>r2}]"
    experiment = load(tmp_path, f"at: 1s, batch: {parts}, name: both")
    assert shown(experiment) == [(1, "reshape a/core limit 5mbit, cut a/core r1>r2")]
    assert experiment.entries[0].name == "both"


def test_a_ramp_is_even_and_exact_at_its_ends(tmp_path: Path) -> None:
    entry = "at: 1s, over: 1s, step: 300ms, reshape: a/core, limit: {from: 10mbit, to: 5mbit}"
    experiment = load(tmp_path, entry)
    assert shown(experiment) == [
        (1.0, "reshape a/core limit 10mbit"),
        (1.3, "reshape a/core limit 8.5mbit"),
        (1.6, "reshape a/core limit 7mbit"),
        (1.9, "reshape a/core limit 5.5mbit"),
        (2.0, "reshape a/core limit 5mbit"),
    ]
    ramp = experiment.entries[0]
    assert (ramp.at, ramp.until, ramp.events) == (1, 2, 5)
    assert ramp.what == "ramp a/core limit 10mbit to 5mbit in 1s"


def test_a_ramp_of_several_properties_sets_the_others_once(tmp_path: Path) -> None:
    values = "delay: {from: 0ms, to: 10ms}, loss: {from: 0%, to: 1%}, limit: 5mbit"
    experiment = load(tmp_path, f"at: 1s, over: 1s, step: 500ms, reshape: a/core, {values}")
    assert [what for _, what in shown(experiment)] == [
        "reshape a/core limit 5mbit delay none loss none",
        "reshape a/core delay 5ms loss 0.5%",
        "reshape a/core delay 10ms loss 1%",
    ]
    needed = [topology.links["a/core"].is_impaired for topology in experiment.later]
    assert True in needed, "the kernel is asked for netem before the run"


def test_a_flap(tmp_path: Path) -> None:
    experiment = load(tmp_path, "flap: a/core, down_for: 1s, every: 3s, from: 5s, until: 11s")
    assert shown(experiment) == [
        (5, "down a/core"),
        (6, "up a/core"),
        (8, "down a/core"),
        (9, "up a/core"),
    ]
    assert (experiment.entries[0].at, experiment.entries[0].until) == (5, 9)


@pytest.mark.parametrize(
    ("entry", "verbs"),
    [
        ("flap: a/core, silent: true", ("cut a/core", "mend a/core")),
        ("flap: rm1-rm2", ("fail rm1-rm2", "repair rm1-rm2")),
        ("flap: rm3", ("fail rm3", "repair rm3")),
    ],
)
def test_what_flaps(tmp_path: Path, entry: str, verbs: tuple[str, str]) -> None:
    experiment = load(tmp_path, f"{entry}, down_for: 1s, every: 3s, until: 3s")
    assert tuple(what for _, what in shown(experiment)) == verbs


def test_another_link_flaps_each_time(tmp_path: Path) -> None:
    entry = "flap: a/*, down_for: 500ms, every: 1s"
    found = [shown(load(tmp_path, entry)) for _ in range(2)]
    assert found[0] == found[1]
    downs = [what.removeprefix("down ") for _, what in found[0] if what.startswith("down")]
    ups = [what.removeprefix("up ") for _, what in found[0] if what.startswith("up")]
    assert downs == ups
    links = {path for path, link in load(tmp_path, entry).topology.links.items() if not link.access}
    assert set(downs) == {path for path in links if path.startswith("a/")}


def test_a_network_that_flaps_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no network 'z'"):
        load(tmp_path, "flap: z/*, down_for: 500ms, every: 1s")


def test_every_lasts_until_the_end(tmp_path: Path) -> None:
    experiment = load(tmp_path, "every: 8s, from: 1s, reshape: a/core, limit: 5mbit")
    assert [at for at, _ in shown(experiment)] == [1, 9, 17]
    assert experiment.entries[0].until == 20
    assert experiment.entries[0].what == "every 8s: reshape a/core limit 5mbit"


def test_a_replay_and_its_loop(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("time_s,rate_mbit\n0,1\n1,2\n2,2\n3,3\n")
    once = load(tmp_path, "at: 10s, replay: a/core, trace: t.csv, direction: r1>r2")
    assert shown(once) == [
        (10, "reshape a/core r1>r2 limit 1mbit"),
        (11, "reshape a/core r1>r2 limit 2mbit"),
        (13, "reshape a/core r1>r2 limit 3mbit"),
    ]
    assert once.entries[0].until == 13
    again = load(tmp_path, "at: 10s, replay: rm1-rm2, trace: t.csv, loop: true")
    assert [at for at, _ in shown(again)] == [10, 11, 13, 14, 15, 17, 18, 19]
    assert again.events[3].what == "reshape rm1-rm2 rate 1mbit"
    assert again.entries[0].until == 20
    part = load(tmp_path, "at: 10s, replay: a/core, trace: t.csv, as: guarantee, until: 12s")
    assert [at for at, _ in shown(part)] == [10, 11]


def test_all_times_are_scaled(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("time_s,rate_mbit\n0,1\n1,2\n")
    experiment = load(
        tmp_path,
        "at: 4s, replay: a/core, trace: t.csv",
        "flap: a/core, down_for: 1s, every: 3s, from: 8s, until: 9s",
        scale=0.5,
    )
    assert [at for at, _ in shown(experiment)] == [2, 2.5, 4, 4.5]
    assert [entry.until for entry in experiment.entries] == [2.5, 4.5]


def test_every_verb_can_be_carried_out(tmp_path: Path) -> None:
    experiment = load(
        tmp_path,
        "at: 1s, reshape: rm1-rm2, rate: 10mbit",
        "at: 2s, cut: a/core, direction: r2>r1",
        "at: 3s, mend: a/core",
        "at: 4s, fail: rm2-rm3",
        "at: 5s, repair: rm2-rm3",
        "at: 6s, move: a/core, path: [rm1, rm3, rm2]",
        "at: 7s, move: a/core, avoid: [rm3]",
        "at: 8s, add: a/extra, endpoints: [r1, r3], limit: 5mbit",
        "at: 9s, reshape: a/extra, limit: none",
        "at: 10s, remove: a/extra",
        "at: 11s, down: a/core",
        "at: 12s, up: a/core",
    )
    state = State(experiment.topology, experiment.mapping)
    paths = []
    for event in experiment.events:
        state = carry_out(state, event.verbs)
        paths.append(state.mapping.paths["a/core"].machines)
    assert paths[5:7] == [("rm1", "rm3", "rm2"), ("rm1", "rm2")]
    assert "a/extra" not in state.topology.links


def test_ideals_follow_what_passes(tmp_path: Path) -> None:
    experiment = load(
        tmp_path,
        "at: 1s, reshape: a/core, limit: 10mbit",
        "at: 2s, cut: a/core, direction: r2>r1",
        "at: 3s, mend: a/core",
        "at: 4s, fail: rm1-rm2",
        "at: 5s, repair: rm1-rm2",
        "at: 6s, down: a/core",
        "at: 7s, up: a/core",
    )
    state = State(experiment.topology, experiment.mapping)
    ideals = []
    for event in experiment.events:
        state = carry_out(state, event.verbs)
        ideals.append(round(experiment.ideals(state, event.at)["flow"], 2))
    assert ideals == [9.56, 0, 9.56, 0, 9.56, 0, 9.56]


def test_what_cannot_be_is_found_at_its_line(tmp_path: Path) -> None:
    ramp = "over: 3s, step: 1s, reshape: a/core, guarantee: {from: 30mbit, to: 36mbit}"
    assert problems(tmp_path, "at: 1s, down: a/core", f"at: 2s, {ramp}") == [
        f"e.yaml:{FIRST_LINE + 1}: at 4 s: physical link rm1-rm2 has 32mbit, but is to guarantee "
        "34mbit (a/core); take 2mbit of guarantees away, or move a virtual link to another path"
    ]


def test_all_names_are_checked(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        "at: 1s, reshape: a/cor, limit: 1mbit",
        "at: 1s, reshape: rm1-rm4, rate: 1mbit",
        "at: 1s, batch: [{down: a/core}, {cut: b/core}]",
        "at: 1s, fail: rm9",
        "at: 1s, move: a/core, path: [rm1, rm7, rm2]",
        "at: 1s, down: a/core, name: x",
        "at: 2s, up: a/core, name: x",
        "at: 20s, up: a/core",
        "at: 18s, over: 3s, reshape: a/core, limit: {from: 1mbit, to: 2mbit}",
        expect="[{event: y, settle: 1s}, {event: 10, settle: 1s}]",
    )
    assert [text.partition(": ")[2].partition(";")[0] for text in found] == [
        "there is no virtual link 'a/cor'",
        "there is no physical link 'rm1-rm4'",
        "there is no virtual link 'b/core'",
        "there is no physical link or machine 'rm9'",
        "there is no machine 'rm7'",
        "a second entry is called 'x'",
        "the event is at 20s, but the experiment ends at 20s",
        "the ramp ends at 21s, but the experiment at 20s",
        "there is no event 'y'",
        "there is no event 10",
    ]


def test_there_is_an_end_to_the_number_of_events(tmp_path: Path) -> None:
    entry = "every: 1ms, reshape: a/core, limit: 5mbit"
    found = problems(tmp_path, entry, entry, entry)
    assert found[0].startswith(
        f"e.yaml:{FIRST_LINE + 2}: the timeline has more than {MOST_EVENTS} events"
    )


def test_phases_go_by_entry(tmp_path: Path) -> None:
    experiment = load(
        tmp_path,
        "at: 2s, over: 4s, reshape: a/core, limit: {from: 20mbit, to: 10mbit}",
        "at: 9s, reshape: a/core, limit: none",
        "every: 1s, from: 12s, reshape: a/core, limit: 5mbit",
        expect="[{flow: flow, phase: 5, within: 5%}]",
    )
    cuts = [cut for entry in experiment.entries for cut in boundaries(entry.at, entry.until)]
    phases = cut_phases(cuts, 20)
    assert [(p.start_s, p.end_s) for p in phases] == [(0, 2), (2, 6), (6, 9), (9, 12), (12, 20)]
    found = problems(tmp_path, "at: 2s, up: a/core", expect="[{flow: flow, phase: 3, within: 5%}]")
    assert found[0].endswith("there is no phase 3; the timeline makes 2")


def test_a_run_folder_holds_its_traces(tmp_path: Path) -> None:
    (tmp_path / "a b.csv").write_text("time_s,rate_mbit\n0,1\n1,2\n")
    (tmp_path / "e.yaml").write_text(
        HEAD
        + "  - {at: 1s, replay: a/core, trace: a b.csv}\n"
        + "  - {at: 3s, over: 1s, reshape: a/core, loss: {from: 0%, to: 3%}}\n"
        + "  - {at: 5s, add: a/extra, endpoints: [r1, r3], loss: {p: 1%, r: 9%}}\n"
        + "  - {flap: a/core, down_for: 1s, every: 3s, from: 7s}\n"
        + '  - {at: 6s, batch: [{cut: a/core, direction: "r1>r2"}, {move: a/core}]}\n'
    )
    loaded = load_experiment(tmp_path / "e.yaml")
    experiment = prepare(loaded)
    own, files = with_own_traces(loaded)
    assert list(files) == ["traces/1-a-b.csv"]
    folder = tmp_path / "run"
    (folder / "traces").mkdir(parents=True)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    topology, document = resolved_texts(own, experiment)
    (folder / "topology.yaml").write_text(topology)
    (folder / "experiment.yaml").write_text(document)
    again = prepare(load_experiment(folder / "experiment.yaml"))
    assert again.events == experiment.events


def test_the_life_of_routers(tmp_path: Path) -> None:
    entries = [
        "at: 1s, move: a/r1, to: rm3",
        "at: 2s, pause: a/r2",
        "at: 3s, resume: a/r2",
        "at: 4s, stop: a/c1",
        "at: 5s, start: a/c1",
        "at: 6s, create: a/r9, on: rm2, nics: 2",
        "at: 7s, add: a/new, endpoints: [r9, r1]",
        "at: 8s, copy: a/r3, as: a/r8, on: rm1",
        "at: 9s, batch: [{destroy: a/r9}, {destroy: a/r8}]",
        "at: 10s, pause: a",
        "at: 11s, resume: a",
        "at: 12s, move: a/r1, avoid: [rm2]",
    ]
    assert [what for _, what in shown(load(tmp_path, *entries))] == [
        "move a/r1 to rm3",
        "pause a/r2",
        "resume a/r2",
        "stop a/c1",
        "start a/c1",
        "create a/r9 on rm2",
        "add a/new between r9 and r1",
        "copy a/r3 as a/r8 on rm1",
        "destroy a/r9, destroy a/r8",
        "pause network a",
        "resume network a",
        "move a/r1 around rm2",
    ]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("at: 1s, pause: a/r7", "there is no node 'a/r7'"),
        ("at: 1s, pause: b", "there is no network 'b'"),
        ("at: 1s, move: a/r1, to: rm7", "there is no machine 'rm7'"),
        ("at: 1s, move: a/r1, to: rm2, avoid: [rm3]", "one of path:, paths:, avoid: and to:"),
        ("at: 1s, resume: a/r1", "a/r1 is running already"),
        ("at: 1s, copy: a/r1, as: a/r2", "there is a node 'a/r2' already"),
    ],
)
def test_lives_that_cannot_be(tmp_path: Path, entry: str, words: str) -> None:
    found = problems(tmp_path, entry)
    assert any(words in each for each in found), found
    assert all(f"e.yaml:{FIRST_LINE}" in each for each in found)
