"""Loading topologies and experiments, with overrides."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vnemu.errors import InputError, Problem
from vnemu.schema.experiment import GoodputExpectation
from vnemu.schema.load import load_experiment, load_topology, problem
from vnemu.schema.timeline import ReshapeDoc
from vnemu.schema.topology import TopologyDoc
from vnemu.units import Duration, Rate

GOOD = Path(__file__).parents[1] / "golden" / "good"
TOPOLOGY = (GOOD / "topology.yaml").read_text()
EXPERIMENT = (
    (GOOD / "experiment.yaml")
    .read_text()
    .replace("topology.yaml", "../topologies/wowkivs2009.yaml")
)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("topologies").mkdir()
    Path("experiments").mkdir()
    Path("topologies/wowkivs2009.yaml").write_text(TOPOLOGY)
    Path("experiments/fig 6.yaml").write_text(EXPERIMENT)
    inner = "".join(f"  {line}\n" for line in TOPOLOGY.splitlines())
    inline = EXPERIMENT.replace(" ../topologies/wowkivs2009.yaml\n", f"\n{inner}")
    Path("experiments/inline.yaml").write_text(inline)


FILE = Path("experiments/fig 6.yaml")
INLINE = Path("experiments/inline.yaml")
TOPO = Path("topologies/wowkivs2009.yaml")


def messages(path: Path, *overrides: str) -> list[str]:
    load = load_topology if path == TOPO else load_experiment
    with pytest.raises(InputError) as caught:
        load(path, overrides)
    return [str(each) for each in caught.value.problems]


def test_topology() -> None:
    loaded = load_topology(TOPO)
    assert loaded.name == "wowkivs2009"
    assert list(loaded.doc.underlay.machines) == ["rm1", "rm2"]
    assert loaded.doc.underlay.links[0].rate == Rate.parse("32mbit")
    assert loaded.doc.networks["a"].routers["r2"].on == "rm2"
    assert loaded.doc.networks["a"].routing.protocol == "static"
    assert loaded.document.where(("networks", "a", "links", 0)) == f"{TOPO}:11"


def test_experiment() -> None:
    loaded = load_experiment(FILE)
    assert loaded.name == "fig-6"
    assert loaded.doc.traffic[0].from_ == "a/c1"
    assert loaded.doc.duration == Duration.parse("40s")
    event = loaded.doc.timeline[0]
    assert isinstance(event, ReshapeDoc)
    assert event.guarantee == Rate.parse("30mbit")
    assert isinstance(loaded.doc.expect[0], GoodputExpectation)
    assert loaded.topology.name == "wowkivs2009"
    assert loaded.topology.document.name == str(TOPO)


def test_inline_topology() -> None:
    loaded = load_experiment(INLINE)
    assert isinstance(loaded.doc.topology, TopologyDoc)
    assert loaded.topology.doc == load_topology(TOPO).doc
    assert loaded.topology.name == "wowkivs2009"
    assert loaded.topology.document.where(("underlay", "links", 0)) == f"{INLINE}:6"


def test_problem_for_later_checks() -> None:
    loaded = load_topology(TOPO)
    path = ("networks", "a", "links", 0, "endpoints", 1)
    found = problem(loaded, path, "no router 'r2'", "did you mean 'r1'?")
    assert found == Problem(f"{TOPO}:11", "no router 'r2'", "did you mean 'r1'?")


@pytest.mark.parametrize("path", [FILE, INLINE])
@pytest.mark.parametrize("prefix", ["", "topology."])
def test_overrides_reach_the_topology(path: Path, prefix: str) -> None:
    option = f"{prefix}underlay.links.rm1-rm2.rate"
    loaded = load_experiment(path, [f"{option}=320mbit", "duration=80s"])
    assert loaded.topology.doc.underlay.links[0].rate == Rate.parse("320mbit")
    assert loaded.doc.duration == Duration.parse("80s")
    where = loaded.topology.document.where(("underlay", "links", 0, "rate"))
    assert where == f"--set {option}"


def test_overrides_of_the_experiment() -> None:
    overrides = ["timeline.0.guarantee=3mbit", "traffic.a.tcp.parallel=4", "seed=7"]
    loaded = load_experiment(FILE, overrides)
    event = loaded.doc.timeline[0]
    assert isinstance(event, ReshapeDoc)
    assert event.guarantee == Rate.parse("3mbit")
    assert loaded.doc.traffic[0].tcp is not None
    assert loaded.doc.traffic[0].tcp.parallel == 4
    assert loaded.doc.seed == 7


def test_override_may_name_another_topology() -> None:
    Path("topologies/other.yaml").write_text(TOPOLOGY.replace("wowkivs2009", "other"))
    overrides = ["topology=../topologies/other.yaml", "underlay.links.0.rate=1gbit"]
    for path in (FILE, INLINE):
        loaded = load_experiment(path, overrides)
        assert loaded.topology.name == "other"
        assert loaded.topology.doc.underlay.links[0].rate == Rate.parse("1gbit")


def test_absolute_topology() -> None:
    loaded = load_experiment(FILE, [f"topology={TOPO.resolve()}"])
    assert loaded.topology.document.name == str(TOPO.resolve())


@pytest.mark.parametrize("path", [FILE, INLINE])
def test_bad_overrides_are_reported_together(path: Path) -> None:
    form = "is not of the form PATH=VALUE; write it like --set underlay.links.0.rate=320mbit"
    found = messages(
        path, "duration", "=3", "durations=3s", "seed=x", "underlay.links.7.rate=1mbit"
    )
    assert sorted(found) == [
        f"--set =3: {form}",
        f"--set duration: {form}",
        "--set durations: unknown key 'durations'; did you mean 'duration'?",
        "--set seed: seed must be a whole number, not a text",
        "--set underlay.links.7.rate: "
        f"{'topology.' if path == INLINE else ''}underlay.links has 1 item, so there is no 7; "
        "its number is 0",
    ]


def test_bad_override_of_a_topology() -> None:
    assert sorted(messages(TOPO, "underlay.links.0.rte=1mbit", "underlay.links.0.rate=5")) == [
        "--set underlay.links.0.rate: underlay.links.0.rate: "
        "a rate needs a unit: write it like 5mbit",
        "--set underlay.links.0.rte: unknown key 'rte' in underlay.links.0; did you mean 'rate'?",
    ]


def test_missing_topology_is_reported_at_its_line() -> None:
    assert messages(FILE, "topology=../topologies/wowkivs.yaml") == [
        "--set topology: experiments/../topologies/wowkivs.yaml: no such file; "
        "did you mean 'wowkivs2009.yaml'?"
    ]
    TOPO.unlink()
    assert messages(FILE, "seed=x") == [
        "--set seed: seed must be a whole number, not a text",
        f"{FILE}:1: experiments/../topologies/wowkivs2009.yaml: no such file",
    ]


def test_no_flood_of_problems() -> None:
    TOPO.write_text(TOPOLOGY + "".join(f"k{n}: 1\n" for n in range(5000)))
    found = messages(TOPO)
    assert len(found) == 201
    assert found[-1] == f"{TOPO}: has 4800 more problems"


@pytest.mark.parametrize("stem", ["-x", "..", "ä b", "n" * 200])
def test_name_of_a_file_is_made_safe(stem: str) -> None:
    file = Path(f"topologies/{stem}.yaml")
    file.write_text(TOPOLOGY.replace("name: wowkivs2009\n", ""))
    name = load_topology(file).name
    assert 1 <= len(name) <= 63
    assert name[0].isalnum()


def test_large_topology_is_read_fast() -> None:
    count = 100
    routers = "".join(f"      r{n}: {{on: rm1}}\n" for n in range(count))
    links = "".join(f"      - {{endpoints: [r{n}, r{n + 1}]}}\n" for n in range(count - 1))
    file = Path("topologies/large.yaml")
    head = "underlay:\n  machines: [rm1]\nnetworks:\n  a:\n"
    file.write_text(f"{head}    routers:\n{routers}    links:\n{links}")
    load_topology(file)
    start = time.process_time()
    assert len(load_topology(file).doc.networks["a"].links) == count - 1
    # Takes 10 ms; the bound only catches a change of the order of growth.
    assert time.process_time() - start < 0.5
