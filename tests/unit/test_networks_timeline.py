"""Networks in the timeline of an experiment: read with it, rehearsed, kept in the run folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnemu.errors import InputError
from vnemu.experiments.created_networks import with_own_networks
from vnemu.experiments.prepare import Experiment, prepare
from vnemu.experiments.resolved import resolved_texts
from vnemu.schema.load import load_experiment
from vnemu.verbs.state import State, carry_out

HEAD = """\
topology:
  underlay:
    machines: [rm1, rm2]
    links: [{endpoints: [rm1, rm2], rate: 50mbit}]
  networks:
    a:
      routers: {r1: {on: rm1}, r2: {on: rm2}}
      hosts: {c1: {at: r1}, c2: {at: r2}}
      links: [{name: core, endpoints: [r1, r2], guarantee: 30mbit}]
duration: 20s
traffic:
  - {name: flow, from: a/c1, to: a/c2, tcp: {}}
timeline:
"""
BRANCH = """\
routers: {r1: {on: rm1}, r2: {on: rm2}}
links:
  - {endpoints: [r1, r2], guarantee: %s}
"""
CREATE = "create_network: b, file: b.yaml"


def load(folder: Path, *entries: str, guarantee: str = "10mbit") -> Experiment:
    (folder / "b.yaml").write_text(BRANCH % guarantee)
    file = folder / "e.yaml"
    file.write_text(HEAD + "".join(f"  - {{{entry}}}\n" for entry in entries))
    return prepare(load_experiment(file))


def problems(folder: Path, *entries: str, guarantee: str = "10mbit") -> list[str]:
    with pytest.raises(InputError) as caught:
        load(folder, *entries, guarantee=guarantee)
    return [str(each).replace(f"{folder}/", "") for each in caught.value.problems]


def test_a_network_comes_rests_and_goes(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        f"at: 1s, {CREATE}",
        "at: 2s, reshape: b/r1-r2, guarantee: 15mbit",
        "at: 3s, pause: b",
        "at: 4s, resume: b",
        "at: 5s, destroy_network: b",
        f"at: 6s, batch: [{{{CREATE}}}, {{down: b/r1-r2}}]",
    )
    assert [event.what for event in found.events] == [
        "create network b",
        "reshape b/r1-r2 guarantee 15mbit",
        "pause network b",
        "resume network b",
        "destroy network b",
        "create network b, down b/r1-r2",
    ]


def test_again_and_again(tmp_path: Path) -> None:
    found = load(tmp_path, f"every: 4s, {CREATE}", "every: 4s, from: 2s, destroy_network: b")
    assert len(found.events) == 10
    assert found.entries[0].what == "every 4s: create network b"


def test_a_flow_of_a_paused_network_has_the_ideal_zero(tmp_path: Path) -> None:
    found = load(tmp_path, "at: 3s, pause: a")
    before = State(found.topology, found.mapping)
    assert found.ideals(before, 1.0)["flow"] > 40
    assert found.ideals(carry_out(before, found.events[0].verbs), 4.0) == {"flow": 0.0}


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (
            ["at: 1s, create_network: b, file: c.yaml"],
            "e.yaml:14: c.yaml: no such file",
        ),
        (["at: 1s, destroy_network: aa"], "e.yaml:14: there is no network 'aa'"),
        (["at: 1s, destroy_network: a/r1"], "e.yaml:14"),
        ([f"at: 1s, {CREATE}", f"at: 2s, {CREATE}"], "e.yaml:15: there is a network 'b' already"),
        (["at: 1s, resume: a"], "e.yaml:14: network a is not paused"),
        ([f"at: 2s, {CREATE}", "at: 1s, destroy_network: b"], "e.yaml:15: there is no network 'b'"),
        (["at: 1s, create_network: b"], "e.yaml:14"),
    ],
)
def test_what_is_refused(tmp_path: Path, entries: list[str], words: str) -> None:
    assert problems(tmp_path, *entries)[0].startswith(words)


def test_what_is_wrong_in_its_file_is_told_there(tmp_path: Path) -> None:
    assert problems(tmp_path, f"at: 1s, {CREATE}", guarantee="10")[0].startswith(
        "b.yaml:3: networks.b.links.0.guarantee: a rate needs a unit"
    )
    found = problems(tmp_path, f"at: 1s, {CREATE}", guarantee="25mbit")
    assert found[0].startswith("b.yaml:3: ")
    assert "30mbit" in found[0]


def test_room_that_a_pause_makes(tmp_path: Path) -> None:
    entries = ["at: 1s, pause: a", f"at: 2s, {CREATE}", "at: 3s, destroy_network: b"]
    load(tmp_path, *entries, "at: 4s, resume: a", guarantee="25mbit")
    found = problems(tmp_path, *entries[:2], "at: 4s, resume: a", guarantee="25mbit")
    assert "physical link rm1-rm2 has 50mbit" in found[0]


def test_the_run_folder_repeats_it(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "r1.conf").write_text("router id 192.0.2.1;\n")
    (tmp_path / "t.yaml").write_text(
        "networks:\n  one: {routers: [r1]}\n  two:\n    ipv6: false\n    routers:\n"
        "      r1: {routing: {protocol: ospf, config: own/r1.conf}}\n"
    )
    entries = [
        f"at: 1s, {CREATE}",
        "at: 2s, batch: [{create_network: c, file: t.yaml, network: two}, {pause: b}]",
    ]
    experiment = load(tmp_path, *entries)
    loaded, files = with_own_networks(load_experiment(tmp_path / "e.yaml"))
    assert list(files) == ["networks/1-b.yaml", "networks/2-c.r1.conf", "networks/2-c.yaml"]
    folder = tmp_path / "run"
    (folder / "networks").mkdir(parents=True)
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    topology, document = resolved_texts(loaded, experiment)
    (folder / "topology.yaml").write_text(topology)
    (folder / "experiment.yaml").write_text(document)
    again = prepare(load_experiment(folder / "experiment.yaml"))
    states = []
    for each in (experiment, again):
        state = State(each.topology, each.mapping)
        for event in each.events:
            state = carry_out(state, event.verbs)
        own = state.topology.nodes["c/r1"].os.own
        assert own is not None
        assert own.text == "router id 192.0.2.1;\n"
        states.append(state)
    assert states[0].topology.networks["b"] == states[1].topology.networks["b"]
    assert states[0].mapping.paths == states[1].mapping.paths
