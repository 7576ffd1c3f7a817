"""Sweeps of the real command: order, summary, being stopped and going on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from .conftest import Host
from .private_kernel import NEEDS

FILE = """\
topology:
  underlay: {machines: [rm1, rm2], links: [{name: wire, endpoints: [rm1, rm2], rate: 32mbit}]}
  networks:
    a:
      routers: {r1: {on: rm1}, r2: {on: rm2}}
      hosts: {c1: {at: r1}, c2: {at: r2}}
      links: [{name: core, endpoints: [r1, r2]}]
traffic: [{name: web, from: a/c1, to: a/c2, udp: {rate: 8mbit}}]
probes: [{name: ping, from: a/c1, to: a/c2}]
timeline: [{name: cut, at: 1s, cut: a/core}, {at: 1200ms, mend: a/core}]
duration: 2s
sweep: {underlay.links.wire.rate: [32mbit, 4mbit]}
expect: [{flow: web, phase: 1, min: 7mbit}]
"""
PATIENCE_S = 30.0


@pytest.fixture
def file(host: Host) -> Path:
    path = host.folder / "e.yaml"
    path.write_text(FILE)
    return path


def summary_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return found


def wait_for(path: Path, process: subprocess.Popen[str], lines: int = 0) -> None:
    """Wait until a file is there and has so many lines."""
    until = time.monotonic() + PATIENCE_S
    while not path.exists() or path.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, f"{path} did not come"
        time.sleep(0.02)


def second_run(folder: Path) -> Path:
    return folder / json.loads((folder / "sweep.json").read_text())["runs"][1]["folder"]


@pytest.mark.parametrize("kernel", ["native", pytest.param("private", marks=NEEDS)])
def test_settings_are_compared(host: Host, file: Path, kernel: str) -> None:
    folder = host.folder / "s"
    done = host.run("run", file, "--repeat", "2", "--kernel", kernel, "--out", folder)
    assert done.status == 1, done.err  # 4 Mbit/s are too little
    assert "complete: 4 of 4 runs" in done.out
    assert "run 4 of 4: " in done.err
    summary = summary_of(folder)
    assert {(e["setting"], e["met"], e["of"]) for e in summary["expectations"]} == {
        (0, 2, 2),
        (1, 0, 2),
    }
    rows = csv.DictReader((folder / "summary.csv").open())
    wanted = ("goodput", "web", "phase 1")
    goodputs = {
        (row["setting"], row["repeat"]): float(row["value"])
        for row in rows
        if (row["metric"], row["of"], row["at"]) == wanted
    }
    assert len(goodputs) == 4
    assert all((mbit > 7) == key[0].endswith("32mbit") for key, mbit in goodputs.items())
    runs = sorted((folder / "runs").iterdir())
    assert all((run / "report.html").exists() for run in runs)
    assert [run.name[:3] for run in runs] == ["001", "002", "003", "004"]
    assert host.processes() == []


def test_one_of_its_runs_is_repeated_alone(host: Host, file: Path) -> None:
    folder = host.folder / "s"
    host.run(
        "run", file, "--sweep", "underlay.links.wire.rate=32mbit", "--repeat", "2", "-o", folder
    )
    details = json.loads((folder / "runs/001-rate=32mbit/run.json").read_text())
    assert details["command"][2:] == [str(folder / "runs/001-rate=32mbit/experiment.yaml")]
    done = host.run(*details["command"][1:], "--out", host.folder / "alone")
    assert done.status == 0, done.err
    alone = json.loads((host.folder / "alone/run.json").read_text())
    assert alone["seed"] == details["seed"]


@pytest.mark.parametrize("how", ["ctrl-c", "kill"])
def test_it_goes_on_where_it_was_stopped(host: Host, file: Path, how: str) -> None:
    folder = host.folder / "s"
    process = host.start("run", file, "--repeat", "2", "--out", folder)
    wait_for(folder / "sweep.json", process)
    wait_for(second_run(folder) / "flows.csv", process, lines=5)
    os.killpg(process.pid, signal.SIGINT if how == "ctrl-c" else signal.SIGKILL)
    _, err = process.communicate(timeout=PATIENCE_S)
    begun = second_run(folder)
    if how == "ctrl-c":
        assert process.returncode == 1, err
        assert "interrupted by the user" in err
        assert [run["status"] for run in summary_of(folder)["runs"]][1] == "interrupted"
    first = (folder / "runs").glob("001-*/run.json").__next__()
    untouched = first.stat().st_mtime_ns
    again = ("--continue", folder) if how == "ctrl-c" else (file, "--repeat", "2", "--out", folder)
    done = host.run("run", *again)
    assert "run 2 of 4: " in done.err
    assert "run 1 of 4: " not in done.err
    assert "complete: 4 of 4 runs" in done.out, done.err
    assert first.stat().st_mtime_ns == untouched
    assert begun.with_name(f"{begun.name}.aside-1").is_dir()
    assert all(part["n"] == 2 for part in summary_of(folder)["metrics"][0]["settings"])


def test_repeats_are_added(host: Host, file: Path) -> None:
    folder = host.folder / "s"
    host.run("run", file, "--sweep", "underlay.links.wire.rate=32mbit", "--out", folder)
    done = host.run("run", "--continue", folder, "--repeat", "2", "--no-report")
    assert done.status == 0, done.err
    assert "run 2 of 2: rate=32mbit, repeat 2" in done.err
    done = host.run("report", folder)
    assert done.status == 0, done.err
    assert summary_of(folder)["settings"][0]["runs"] == 2


def test_all_settings_are_checked_before_any_is_run(host: Host, file: Path) -> None:
    done = host.run("run", file, "--sweep", "bdf=on,off", "--out", host.folder / "s")
    assert done.status == 2
    assert "--sweep bdf: sweep has 'bdf'" in done.err
    file.write_text(FILE.replace("4mbit]", "4mbit, 3]"))
    done = host.run("run", file, "--out", host.folder / "s")
    assert done.status == 2
    assert f"{file}:12: topology.underlay.links.0.rate: a rate needs a unit" in done.err
    assert not (host.folder / "s").exists()
