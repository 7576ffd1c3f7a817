"""The benchmarks still fit the code that they measure."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from .conftest import ROOT, Host


def test_set_up_is_measured() -> None:
    argv = [sys.executable, ROOT / "benchmarks/setup.py", "--routers", "5", "--child", "vnemu"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["up_s"] > found["verify_s"] > 0


@pytest.mark.parametrize(
    ("name", "options", "part"),
    [
        ("prompt", ("--repeat", "1", "--routers", "2"), "waits"),
        ("many_labs", ("--labs", "3"), "memory_mb"),
    ],
)
def test_commands_are_measured(
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    options: tuple[str, ...],
    part: str,
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(host.scratch))
    out = host.folder / "found.json"
    argv = [sys.executable, ROOT / f"benchmarks/{name}.py", *options, "--json", out]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode in (0, 1), done.stderr  # 1: later than the target, on a busy machine
    assert json.loads(out.read_text())[part]
