"""Experiments whose routers adapt, as a user runs them, and in full length."""

from __future__ import annotations

import json

import pytest

from .conftest import EXPERIMENTS, Host
from .private_kernel import NEEDS
from .test_experiments import ADAPTATION, run_and_check


@pytest.mark.parametrize("name", ADAPTATION)
def test_natively(host: Host, name: str) -> None:
    run_and_check(host, EXPERIMENTS / f"{name}.yaml", "--kernel", "native")


@pytest.mark.parametrize("kernel", [pytest.param("private", marks=NEEDS)])
@pytest.mark.parametrize("name", ADAPTATION)
def test_in_the_private_kernel(host: Host, name: str, kernel: str) -> None:
    run_and_check(host, EXPERIMENTS / f"{name}.yaml", "--kernel", kernel)


def test_a_sweep_compares_daemons(host: Host) -> None:
    """One setting of the four of the file, once."""
    folder = host.folder / "sweep"
    only = ("--repeat", "1", "--sweep", "daemon=frr", "--sweep", "bfd=on")
    done = host.run("run", EXPERIMENTS / "outages.yaml", *only, "--out", folder)
    assert done.status == 0, done.out + done.err
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["settings"]
    assert (folder / "summary.html").stat().st_size > 1000
