"""The benchmarks still fit the code that they measure."""

from __future__ import annotations

import json
import subprocess
import sys

from .conftest import ROOT


def test_set_up_is_measured() -> None:
    argv = [sys.executable, ROOT / "benchmarks/setup.py", "--routers", "5", "--child", "vnemu"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["up_s"] > found["verify_s"] > 0
