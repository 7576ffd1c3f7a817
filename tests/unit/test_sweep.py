"""Sweeps as written: settings, what each run is, order and seeds, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vnemu.errors import InputError
from vnemu.experiments.sweep import Sweep, claim_sweep, prepare_sweep
from vnemu.results.sweep_record import read_sweep
from vnemu.schema.load import LoadedExperiment, Override, load_experiment
from vnemu.schema.sweep import settings_of, short_keys, swept

FILE = """\
topology:
  underlay: {machines: [rm1, rm2], links: [{endpoints: [rm1, rm2], rate: 32mbit}]}
  networks:
    a:
      routers: [r1, r2]
      links: [{endpoints: [r1, r2]}]
      routing: ospf
    b.c:
      routers: [r1, r2]
      links: [{endpoints: [r1, r2]}]
      routing: {protocol: ospf, hello: 2s}
    quiet: {routers: [r1]}
    deaf: {routers: [r1], routing: none}
duration: 2s
seed: 7
"""


def write(folder: Path, *lines: str) -> Path:
    file = folder / "e.yaml"
    file.write_text(FILE + "".join(f"{line}\n" for line in lines))
    return file


def prepared(file: Path, *changes: str | Override) -> Sweep:
    texts = [each for each in changes if isinstance(each, str)]
    return prepare_sweep(file, load_experiment(file, changes), texts)


def problems(file: Path, *changes: str | Override) -> list[str]:
    with pytest.raises(InputError) as caught:
        prepared(file, *changes)
    return [str(each).removeprefix(f"{file}:") for each in caught.value.problems]


def routing(loaded: LoadedExperiment) -> dict[str, Any]:
    networks = loaded.topology.doc.networks
    return {name: network.routing for name, network in networks.items()}


def test_every_combination_is_a_setting(tmp_path: Path) -> None:
    rates = "  underlay.links.0.rate: [1mbit, 2mbit]"
    file = write(tmp_path, "sweep:", "  bfd: [false, true]", rates)
    labels = [setting.label for setting in settings_of(load_experiment(file))]
    assert labels == [
        "bfd=false,rate=1mbit",
        "bfd=false,rate=2mbit",
        "bfd=true,rate=1mbit",
        "bfd=true,rate=2mbit",
    ]


def test_without_a_sweep_there_is_one_setting(tmp_path: Path) -> None:
    (setting,) = settings_of(load_experiment(write(tmp_path, "repeat: 3")))
    assert setting.label == ""


def test_a_key_is_short_where_that_tells_it_from_the_others() -> None:
    keys = ["underlay.links.0.rate", "traffic.0.udp.rate", "duration", "timeline.0", "bfd"]
    assert short_keys(keys) == {
        **{key: key for key in keys[:2]},
        "duration": "duration",
        "timeline.0": "timeline.0",
        "bfd": "bfd",
    }


def test_a_path_reaches_the_topology_and_the_experiment(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "sweep:",
        "  underlay.links.0.rate: [1mbit]",
        "  networks.b.c.routing.hello: [3s]",
        "  duration: [9s]",
    )
    sweep = prepared(file)
    loaded, _ = sweep.prepared(sweep.info.runs[0], tmp_path)
    assert str(loaded.topology.doc.underlay.links[0].rate) == "1mbit"
    assert str(loaded.doc.duration) == "9s"
    assert [str(each.hello) for each in routing(loaded).values()] == ["None", "3s", "None", "None"]


def test_an_option_is_for_all_networks_that_route_dynamically(tmp_path: Path) -> None:
    file = write(tmp_path, "sweep: {hello: [1s, 3s]}")
    sweep = prepared(file)
    run = next(run for run in sweep.info.runs if run.setting == 1)
    found = routing(sweep.prepared(run, tmp_path)[0])
    assert {name: str(each.hello) for name, each in found.items()} == {
        "a": "3s",
        "b.c": "3s",
        "quiet": "None",
        "deaf": "None",
    }
    assert found["a"].protocol == "ospf"


def test_on_and_off_are_words_for_bfd(tmp_path: Path) -> None:
    sweep = prepared(write(tmp_path, "sweep: {bfd: [off, on]}"))
    for run in sweep.info.runs:
        assert routing(sweep.prepared(run, tmp_path)[0])["a"].bfd is bool(run.setting)
    assert [setting.label for setting in sweep.settings] == ["bfd=off", "bfd=on"]


def test_a_swept_protocol_is_for_all_networks(tmp_path: Path) -> None:
    file = write(tmp_path, "sweep: {protocol: [rip, static]}")
    sweep = prepared(file, "topology.networks.b.c.routing=ospf")
    for run in sweep.info.runs:
        found = routing(sweep.prepared(run, tmp_path)[0])
        assert {each.protocol for each in found.values()} == {("rip", "static")[run.setting]}


def test_a_run_is_no_sweep_itself(tmp_path: Path) -> None:
    sweep = prepared(write(tmp_path, "repeat: 3", "sweep: {hello: [1s]}"))
    loaded, experiment = sweep.prepared(sweep.info.runs[0], tmp_path)
    assert (loaded.doc.repeat, loaded.doc.sweep) == (1, {})
    assert loaded.doc.seed == sweep.info.runs[0].seed
    assert experiment.command == (
        "vnemu",
        "run",
        str(tmp_path / "runs/001-hello=1s/experiment.yaml"),
    )


def test_options_of_the_command_line(tmp_path: Path) -> None:
    file = write(tmp_path, "sweep: {hello: [1s]}")
    sweep = prepared(file, swept("underlay.links.0.rate=1mbit,2mbit"), swept("hello=2s"))
    assert [each.label for each in sweep.settings] == ["hello=2s,rate=1mbit", "hello=2s,rate=2mbit"]


def test_each_repeat_has_all_settings_in_an_order_of_its_own(tmp_path: Path) -> None:
    file = write(tmp_path, "repeat: 6", "sweep: {hello: [1s, 2s, 3s, 4s]}")
    runs = prepared(file).info.runs
    rounds = [[run.setting for run in runs[n : n + 4]] for n in range(0, 24, 4)]
    assert all(sorted(each) == [0, 1, 2, 3] for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1
    assert len({run.seed for run in runs}) == 24


def test_more_repeats_leave_the_first_runs_as_they_are(tmp_path: Path) -> None:
    file = write(tmp_path, "repeat: 2", "sweep: {hello: [1s, 2s]}")
    before, after = prepared(file).info, prepared(file, "repeat=5").info
    assert after.runs[:4] == before.runs
    assert after.digest == before.digest


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            ["sweep:", "  bdf: [true]", "  kernel: [native]", "  hello: [1s, 1s]"],
            [
                "17: sweep has 'bdf', which is neither a path nor a routing option; "
                "did you mean 'bfd'?",
                "18: 'kernel' cannot be swept: it is the same in all runs",
                "19: sweep has this value of hello twice",
            ],
        ),
        (
            ["sweep:", "  underlay.links.0.rate:", "    - 1mbit", "    - 5", "  duration: [1, 2s]"],
            [
                "19: topology.underlay.links.0.rate: a rate needs a unit: write it like 5mbit",
                "20: duration: a duration needs a unit: write it like 1s",
            ],
        ),
        (["sweep: {hello: []}"], ["16: sweep.hello needs at least 1 entry, but has none"]),
        (["repeat: 9000", "sweep: {hello: [1s, 2s]}"],
         ["17: makes 18000 runs: at most 10000 are carried out"]),
    ],
)  # fmt: skip
def test_all_that_is_wrong_is_said_at_once_with_its_line(
    tmp_path: Path, lines: list[str], expected: list[str]
) -> None:
    assert problems(write(tmp_path, *lines)) == expected


def test_an_option_that_no_network_can_have(tmp_path: Path) -> None:
    file = write(tmp_path, "sweep: {hello: [1s]}")
    (problem,) = problems(
        file, "topology.networks.a.routing=static", "topology.networks.b.c.routing=static"
    )
    assert problem.startswith("16: sweep has hello, but no network has a routing protocol")


@pytest.mark.parametrize("option", ["bfd", "=on", "bfd=[", ""])
def test_an_option_that_does_not_read(option: str) -> None:
    with pytest.raises(InputError, match="--sweep"):
        swept(option)


def test_a_folder_goes_on_with_its_own_sweep_only(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    file = write(tmp_path, "repeat: 2", "sweep: {hello: [1s, 2s]}")
    claim_sweep(prepared(file), folder)
    claim_sweep(prepared(file, "repeat=3"), folder)
    assert (read_sweep(folder).repeat, len(read_sweep(folder).runs)) == (3, 6)
    claim_sweep(prepared(file), folder)
    assert len(read_sweep(folder).runs) == 6
    with pytest.raises(InputError, match="another sweep"):
        claim_sweep(prepared(file, "duration=3s"), folder)
    with pytest.raises(InputError, match="another sweep"):
        claim_sweep(prepared(file, "seed=8"), folder)
