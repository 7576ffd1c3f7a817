"""What is reported of the network when a test failed: a section, and files if asked for."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from vnemu.errors import VnemuError
from vnemu.pytest_plugin.labs import CURRENT, Vnet
from vnemu.pytest_plugin.state import network_state

_LONGEST = 150


def attach(item: pytest.Item, report: pytest.TestReport) -> None:
    """Add the state of the network to a report; what cannot be had is said there."""
    lab = item.stash.get(CURRENT, None)
    if lab is None or (report.when == "teardown" and not lab.is_alive()):
        return
    lines = _state(lab)
    folder = item.config.option.vnet_artifacts
    if folder is not None:
        place = Path(folder) / _safe(item.nodeid)
        lines += ["", _saved(lab, place, lines)]
    report.sections.append(("virtual network", "\n".join(lines)))


def _state(lab: Vnet) -> list[str]:
    try:
        return list(network_state(lab, list(lab.used)))
    except (VnemuError, OSError) as error:
        return [f"its state cannot be told: {error}"]


def _safe(name: str) -> str:
    """A test's name as that of a folder."""
    return re.sub(r"[^\w.=,-]+", "-", name)[-_LONGEST:].strip("-.")


def _saved(lab: Vnet, folder: Path, state: list[str]) -> str:
    """Save all that is known of a lab, and say where."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "state.txt").write_text("\n".join(state) + "\n", encoding="utf-8")
        shutil.copyfile(lab.file, folder / "topology.yaml")
        _save_lab(lab, folder)
    except (VnemuError, OSError) as error:
        return f"not all could be saved in {folder}: {error}"
    return f"saved in {folder}"


def _save_lab(lab: Vnet, folder: Path) -> None:
    (folder / "inspect.json").write_text(json.dumps(lab.inspect(), indent=2) + "\n")
    events = (json.dumps(event) + "\n" for event in lab.events())
    (folder / "events.jsonl").write_text("".join(events), encoding="utf-8")
    for path, programs in lab.logs().items():
        for program, text in programs.items():
            place = folder / "logs" / path / f"{program}.log"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, encoding="utf-8")
