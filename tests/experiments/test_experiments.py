"""Every experiment of the project, as a user runs it, only faster."""

from __future__ import annotations

import os
from pathlib import Path

import jsonschema
import pytest

from vnemu.results.schema import result_schema

from .conftest import AS_ORDINARY_USER, EXPERIMENTS, Host, result_of
from .private_kernel import NEEDS

SCALES = {
    "delay-and-rate": "0.4",
    "fig4-isolation": "0.5",
    "bandwidth-trace": "0.15",
    "guarantee-competitors": "0.4",
    "failure-remap": "0.3",
    "vn-life": "0.4",
}
SCALE = "0.2"
KERNELS = ["native", pytest.param("private", marks=NEEDS)]
# Each runs twice at the most: a neighbour that takes the processor for a second
# is not what these tests are about.
TRIES = 2


ADAPTATION = (
    *("ring-ospf", "ring-bfd", "bgp-path", "abilene-failures", "frr-beside-bird"),
    "campus-migration",
)
SWEEPS = ("outages",)
"""Timers of Router OSs go as they go: these run in full length (test_adaptation.py)."""
ONCE = ("beyond-32mbit", "fig6-limit", "bandwidth-trace")
"""Natively alone: of the private kernel they ask the same as fig6-guarantee and vn-life do, and
tests/kernel measures rates, limits and replays in both kernels."""
RATES = [
    path for path in sorted(EXPERIMENTS.glob("*.yaml")) if path.stem not in (*ADAPTATION, *SWEEPS)
]


def run_and_check(host: Host, *argv: str | Path, before: tuple[str, ...] = ()) -> None:
    for attempt in range(TRIES):
        folder = host.folder / f"run{attempt}"
        done = host.run("run", *argv, "--out", folder, before=before)
        if "native" in argv and "this kernel has no netem" in done.err:
            pytest.skip("the running kernel has no netem")
        assert done.status in (0, 1), done.err
        found = result_of(folder)
        jsonschema.validate(found, result_schema())
        assert found["status"] == "complete"
        if done.status == 0:
            break
    assert all(e["met"] for e in found["expectations"]), done.out
    assert {"report.html", "goodput.png", "goodput.svg"} <= {p.name for p in folder.iterdir()}


RUNS = [
    pytest.param(path, kernel, marks=marks, id=f"{path.stem}-{kernel}")
    for kernel, marks in (("native", ()), ("private", NEEDS))
    for path in RATES
    if kernel == "native" or path.stem not in ONCE
]


@pytest.mark.parametrize(("path", "kernel"), RUNS)
def test_experiment_meets_its_expectations(host: Host, path: Path, kernel: str) -> None:
    scale = SCALES.get(path.stem, SCALE)
    run_and_check(host, path, "--time-scale", scale, "--kernel", kernel)


def test_fig6_beyond_1_gbit(host: Host) -> None:
    overrides = ("underlay.links.0.rate=3200mbit", "timeline.0.guarantee=3000mbit")
    options = [text for override in overrides for text in ("--set", override)]
    run_and_check(host, EXPERIMENTS / "beyond-32mbit.yaml", "--time-scale", "0.2", *options)


def test_fig6_as_an_ordinary_user(host: Host) -> None:
    before = AS_ORDINARY_USER if os.geteuid() == 0 else ()
    path = EXPERIMENTS / "fig6-guarantee.yaml"
    run_and_check(host, path, "--time-scale", "0.1", before=before)


def test_a_run_can_be_repeated_from_its_folder(host: Host) -> None:
    options = ("--time-scale", "0.05", "--set", "underlay.links.0.rate=64mbit")
    host.run("run", EXPERIMENTS / "fig6-guarantee.yaml", *options, "--out", host.folder / "first")
    done = host.run("plan", host.folder / "first" / "experiment.yaml")
    assert done.status == 0, done.err
    assert "rm1-rm2: 64mbit" in done.out
