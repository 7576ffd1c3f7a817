"""The programs in examples/, as a user runs them; each is short enough to be read at once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import _MARK, ROOT, Host

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MOST_LINES = 100


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES


def output_of(host: Host, path: Path) -> str:
    done = subprocess.run(
        [sys.executable, path],
        cwd=host.folder,
        env={**os.environ, _MARK: host.mark},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_consolidation_follows_the_load_without_a_lost_probe(host: Host) -> None:
    printed = output_of(host, ROOT / "examples" / "consolidate.py")
    assert re.findall(r", (\d) machines", printed) == ["2", "4", "4", "4", "2"], printed
    lost = re.search(r"probes: (\d+) sent, 0 lost", printed)
    assert lost is not None, printed
    assert int(lost[1]) > 5000
    goodput = [float(word) for word in re.findall(r"goodput ([\d.]+) and", printed)]
    assert goodput == pytest.approx([10, 35, 80, 35, 10], rel=0.05)
