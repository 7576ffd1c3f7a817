"""Configurations of VRs that a timeline creates: read beside its file, checked before a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnemu.drivers import programs, router_os
from vnemu.errors import InputError, MissingCapability
from vnemu.experiments.prepare import Experiment, prepare
from vnemu.experiments.resolved import resolved_texts
from vnemu.experiments.router_texts import with_own_texts
from vnemu.model.overlay import Topology
from vnemu.schema.load import load_experiment

HEAD = """\
topology:
  underlay: {machines: [rm1]}
  networks:
    a: {routers: [r1]}
duration: 9s
timeline:
"""
OWN = "create: a/r9, routing: {protocol: ospf, config: own/r9.conf}"
TEMPLATE = "create: a/r8, routing: {protocol: ospf, template: own/r8.j2}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files are, which is not where vnemu is called."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "r9.conf").write_text("router id 192.0.2.9;\n")
    (tmp_path / "own" / "r8.j2").write_text("router id {{ node.id }};\n")
    return tmp_path


def load(folder: Path, *entries: str) -> Experiment:
    file = folder / "e.yaml"
    file.write_text(HEAD + "".join(f"  - {{{entry}}}\n" for entry in entries))
    return prepare(load_experiment(file))


def problems(folder: Path, *entries: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        load(folder, *entries)
    return [str(each).replace(f"{folder}/", "") for each in caught.value.problems]


def text(topology: Topology, path: str) -> str:
    own = topology.nodes[path].os.own
    assert own is not None
    return own.text


@pytest.mark.parametrize("entry", [f"at: 1s, {OWN}", f"at: 1s, batch: [{{{OWN}}}]"])
def test_it_is_seen_from_the_file(folder: Path, entry: str) -> None:
    found = load(folder, entry)
    assert text(found.later[-1], "a/r9") == "router id 192.0.2.9;\n"
    assert found.later[-1].nodes["a/r9"].written_at.endswith("e.yaml:7")


@pytest.mark.parametrize("entry", [f"at: 1s, {OWN}", f"at: 1s, batch: [{{{OWN}}}]"])
def test_one_that_is_missing(folder: Path, entry: str) -> None:
    (folder / "own" / "r9.conf").unlink()
    assert problems(folder, entry) == ["e.yaml:7: own/r9.conf: no such file"]


def test_a_template_that_cannot_be_rendered(folder: Path) -> None:
    (folder / "own" / "r8.j2").write_text("fine\n{{ nothing }}\n")
    assert problems(folder, f"at: 1s, {TEMPLATE}")[0].startswith(
        "own/r8.j2:2: cannot be rendered: 'nothing' is undefined"
    )


def test_one_of_a_network(folder: Path) -> None:
    (folder / "own" / "r8.j2").write_text("fine\n{{ nothing }}\n")
    (folder / "b.yaml").write_text(
        "routers: {r1: {routing: {protocol: ospf, template: own/r8.j2}}}\n"
    )
    found = problems(folder, "at: 1s, create_network: b, file: b.yaml")
    assert found[0].startswith("own/r8.j2:2: cannot be rendered")


def test_a_program_that_is_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "b.yaml").write_text("routing: ospf\nrouters: {r1: {}}\n")
    found = load(folder, f"at: 1s, {OWN}"), load(folder, "at: 1s, create_network: b, file: b.yaml")
    monkeypatch.setattr(programs, "find", lambda name: None)
    for each, place in zip(found, (r"e\.yaml:7", r"b\.yaml:2"), strict=True):
        with pytest.raises(MissingCapability, match=rf"{place}: the router \w/r\d runs bird"):
            router_os.require_later([each.topology, *each.later])


def test_the_run_folder_repeats_it(folder: Path) -> None:
    first = load(folder, f"at: 1s, {OWN}", f"at: 2s, batch: [{{{TEMPLATE}}}]")
    loaded, files = with_own_texts(load_experiment(folder / "e.yaml"))
    assert files == {
        "routers/created-1.conf": b"router id 192.0.2.9;\n",
        "routers/created-2.j2": b"router id {{ node.id }};\n",
    }
    run = folder / "run"
    (run / "routers").mkdir(parents=True)
    for name, raw in files.items():
        (run / name).write_bytes(raw)
    for name, written in zip(
        ("topology.yaml", "experiment.yaml"), resolved_texts(loaded, first), strict=True
    ):
        (run / name).write_text(written)
    again = prepare(load_experiment(run / "experiment.yaml"))
    for path in ("a/r9", "a/r8"):
        assert text(again.later[-1], path) == text(first.later[-1], path)
