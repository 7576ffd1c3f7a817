"""The run folder: what is written is read, whole or cut off."""

import json
import os
import stat
from pathlib import Path

import pytest

from vnemu.errors import InputError
from vnemu.results.record import (
    Drawing,
    DrawnNetwork,
    DrawnUnderlay,
    FlowInfo,
    PlannedEvent,
    ProbeInfo,
    RunInfo,
    RunWriter,
    read_run,
)
from vnemu.results.writer import COLUMNS


def some_info(**changes: object) -> RunInfo:
    flow = FlowInfo(name="a", from_="a/c1", to="a/c2", protocol="tcp", ip=4)
    probe = ProbeInfo(name="p", from_="a/c1", to="a/c2", interval_s=0.01, ip=6)
    info = RunInfo(
        experiment="x",
        started="2026-01-01T00:00:00+00:00",
        duration_s=10.0,
        command=("vnemu", "run", "x.yaml"),
        flows=(flow,),
        probes=(probe,),
        events=(PlannedEvent(at_s=5.0, what="reshape a/core limit 1mbit"),),
        expect=({"flow": "a", "phase": 1, "within": "2%"},),
        drawing=Drawing(
            underlay=DrawnUnderlay(machines=("rm1",)),
            networks=(DrawnNetwork(name="a", routers={"r1": "rm1"}),),
        ),
    )
    return info.model_copy(update=changes)


def written(folder: Path) -> RunWriter:
    writer = RunWriter(folder)
    writer.begin(some_info(), "name: x\n", "duration: 10s\n", "the plan\n")
    writer.ideal(0.0, {"a": 15.3})
    writer.event(5.0, 5.001, 5.002, "reshape a/core limit 1mbit")
    writer.proof("a", "b", {"broadcast": 12}, {"broadcast": 9}, 0)
    for step in range(101):
        writer.flow(step / 10, "a", step * 1000, step * 1001)
        writer.link(step / 10, "a/core", "r1>r2", step * 1100, step, 0, 7)
        writer.path(step / 10, "a/core", "r1>r2", "rm1-rm2", step * 500)
        writer.sampled()
    writer.probe(1.0, "p", 0, 9.5)
    writer.probe(1.01, "p", 1, None)
    writer.route(-0.1, "a/r1", "there", "10.0.0.0/30", ["10.1.0.1@eth0", "@eth1"], "bird", 32)
    writer.route(5.5, "a/r1", "gone", "10.0.0.0/30", ["@eth1"], "bird", 32)
    writer.control(1.0, [("a/r1", "eth0", way, "ospf", 3, 240) for way in ("in", "out")])
    return writer


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with written(tmp_path / "run") as writer:
        writer.end(10.1, "complete", "")
    run = read_run(tmp_path / "run")
    assert run.info == some_info()
    assert (run.status, run.reason, run.bad_lines) == ("complete", "", 0)
    assert run.ideals[0].flows == {"a": 15.3}
    assert run.firings[0].actual_s == 5.001
    assert (run.proofs[0].from_, run.proofs[0].sent) == ("a", {"broadcast": 12})
    assert run.flows["a"].goodput_bytes[-1] == 100_000
    assert run.links["a/core", "r1>r2"].backlog_bytes[3] == 7
    assert run.paths["a/core", "r1>r2", "rm1-rm2"].bytes[3] == 1500
    assert [str(rtt) for rtt in run.probes["p"].rtt_ms] == ["9.5", "nan"]
    assert run.routes.rows[0].next_hops == ("10.1.0.1@eth0", "@eth1")
    assert run.control["a/r1", "eth0", "in", "ospf"].bytes[0] == 240


def test_run_json_has_the_documented_keys(tmp_path: Path) -> None:
    written(tmp_path / "run").close()
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["version"] == 1
    assert document["flows"][0]["from"] == "a/c1"
    assert document["flows"][0]["frame_payload"] == [1448, 1514]
    assert document["drawing"]["networks"][0]["routers"] == {"r1": "rm1"}


def test_lines_are_there_before_the_writer_is_closed(tmp_path: Path) -> None:
    writer = written(tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert len(run.flows["a"].time_s) == 101
    assert (run.status, run.reason) == ("interrupted", "the run was cut off")
    writer.close()


@pytest.mark.parametrize("name", ["journal.jsonl", *COLUMNS])
@pytest.mark.parametrize("cut", [1, 3, 9])
def test_a_half_written_last_line_is_left_out(tmp_path: Path, name: str, cut: int) -> None:
    written(tmp_path / "run").close()
    path = tmp_path / "run" / name
    os.truncate(path, path.stat().st_size - cut)
    run = read_run(tmp_path / "run")
    assert run.bad_lines == 1
    whole = path.read_text().count("\n")
    read = {
        "journal.jsonl": len(run.ideals) + len(run.firings) + len(run.proofs),
        "flows.csv": 1 + sum(len(s.time_s) for s in run.flows.values()),
        "links.csv": 1 + sum(len(s.time_s) for s in run.links.values()),
        "paths.csv": 1 + sum(len(s.time_s) for s in run.paths.values()),
        "probes.csv": 1 + sum(len(s.time_s) for s in run.probes.values()),
        "routes.csv": 1 + len(run.routes.rows),
        "control.csv": 1 + sum(len(s.time_s) for s in run.control.values()),
    }
    assert read[name] == whole


def test_garbage_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    written(tmp_path / "run").close()
    with (tmp_path / "run" / "flows.csv").open("ab") as file:
        file.write(b"1,a,2\nx,a,2,3\n\xff\xfe,a,1,2\n")
    assert read_run(tmp_path / "run").bad_lines == 3


def test_the_folder_must_be_new_or_empty(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    written(tmp_path / "run").close()
    with pytest.raises(InputError, match=r"run is not empty .*--out"):
        RunWriter(tmp_path / "run").begin(some_info(), "", "", "")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be the run folder"):
        RunWriter(tmp_path / "file").begin(some_info(), "", "", "")


def test_the_folder_can_be_read_by_others(tmp_path: Path) -> None:
    written(tmp_path / "run").close()
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o755


def test_logs_stay_in_their_folder(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    assert writer.log_path("../../x").parent == tmp_path / "logs"


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"it has no run\.json"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text('{"version": 2}')
    with pytest.raises(InputError, match="version"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        read_run(tmp_path)
