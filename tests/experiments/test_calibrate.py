"""`vnemu calibrate` as a user runs it, and what later reports show of it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vnemu.results.calibration import Calibration

from .conftest import EXPERIMENTS, Host
from .test_experiments import KERNELS

PATIENCE_S = 240  # it takes 35 s, and twice that in the private kernel, where nobody disturbs
KINDS = {
    *("ceiling", "rate", "guarantee", "delay", "jitter", "loss", "clock"),
    *("duplicate", "corrupt", "reorder"),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vnemu"


@pytest.mark.timeout(2 * PATIENCE_S)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_machine_is_measured(host: Host, cache: Path, kernel: str) -> None:
    out = host.folder / "new" / "c.json"
    argv = ("calibrate", "--quick", "--kernel", kernel, "--json", "--out", out)
    process = host.start(*argv)
    text, progress = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, progress
    found = Calibration.model_validate_json(text)
    assert (found.capsule == "private kernel") == (kernel == "private")
    assert {row.what for row in found.rows} == KINDS
    assert all(row.measured is not None or row.note for row in found.rows)
    rates = {row.case: row.off for row in found.rows if row.what == "rate"}
    assert abs(rates["10mbit, TCP"] or 0) < 10, progress  # others may use the machine
    assert "rates" in progress
    stored = [path.read_text() for path in cache.glob("calibration-*.json")]
    assert [json.loads(each) for each in (*stored, out.read_text())] == [json.loads(text)] * 2
    if kernel == "native":
        assert shown_in_a_report(host)


def shown_in_a_report(host: Host) -> bool:
    folder = host.folder / "run"
    argv = ("run", EXPERIMENTS / "fig6-guarantee.yaml", "--time-scale", "0.03", "--out", folder)
    host.run(*argv, "--kernel", "native")
    page = (folder / "report.html").read_text()
    return all(re.search(f"<td>{what} ", page) for what in ("rate", "guarantee", "clock"))


def test_the_table_needs_a_calibration(host: Host) -> None:
    done = host.run("calibrate", "--markdown")
    assert done.status == 2
    assert "there is no calibration yet" in done.err


@pytest.mark.parametrize("where", ["/run/x.json", "/dev/x.json"])
def test_a_file_that_would_be_lost_is_refused(host: Host, where: str) -> None:
    done = host.run("calibrate", "--out", where)
    assert done.status == 2
    assert "would be lost" in done.err
