"""Experiments whose routers adapt, as a user runs them, and in full length."""

from __future__ import annotations

import json

import pytest

from .conftest import EXPERIMENTS, Host
from .private_kernel import NEEDS
from .test_experiments import ADAPTATION, run_and_check

pytestmark = pytest.mark.timeout(600)
PATIENCE_S = 250.0


@pytest.fixture
def patient(host: Host) -> Host:
    """A host on which a command may take minutes."""
    host.patience_s = PATIENCE_S
    return host


@pytest.mark.parametrize("name", ADAPTATION)
def test_natively(patient: Host, name: str) -> None:
    run_and_check(patient, EXPERIMENTS / f"{name}.yaml", "--kernel", "native")


@pytest.mark.parametrize("kernel", [pytest.param("private", marks=NEEDS)])
@pytest.mark.parametrize("name", [name for name in ADAPTATION if name != "campus-migration"])
def test_in_the_private_kernel(patient: Host, name: str, kernel: str) -> None:
    run_and_check(patient, EXPERIMENTS / f"{name}.yaml", "--kernel", kernel)


def test_a_sweep_compares_daemons(patient: Host) -> None:
    """One setting of the four of the file, once."""
    folder = patient.folder / "sweep"
    only = ("--repeat", "1", "--sweep", "daemon=frr", "--sweep", "bfd=on")
    done = patient.run("run", EXPERIMENTS / "outages.yaml", *only, "--out", folder)
    assert done.status == 0, done.out + done.err
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["settings"]
    assert (folder / "summary.html").stat().st_size > 1000
