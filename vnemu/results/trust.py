"""How far the numbers of a run can be trusted: the rows of a calibration that concern it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from vnemu.results.calibration import Calibration, Cells, Declared, cells, relevant
from vnemu.results.reader import Run
from vnemu.results.runinfo import Record
from vnemu.units import Rate

_RATES = frozenset({"rate", "limit", "guarantee"})
_QUALITIES = frozenset({"guarantee", "delay", "jitter", "loss", "duplicate", "corrupt", "reorder"})
# libyaml reads a lab of 1000 VRs ten times faster, where Python has it.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Trust(Record):
    """What a report says about it.

    Parameters:
        title: the calibration's; empty if there was none when the run started.
        rows: those that concern the run, in words.
        command: makes a calibration of the run's kernel.
    """

    title: str = ""
    rows: tuple[Cells, ...] = ()
    command: str


def trust(run: Run) -> Trust:
    """Return what the calibration that a run recorded says about it."""
    private = run.info.machine.capsule == "private kernel"
    command = f"vnemu calibrate --kernel {'private' if private else 'native'}"
    try:
        calibration = Calibration.model_validate(run.info.calibration)
    except ValidationError:
        return Trust(command=command)
    rows = relevant(calibration, declared(run.folder))
    return Trust(title=calibration.title, rows=tuple(map(cells, rows)), command=command)


def declared(folder: Path) -> Declared:
    """Return the rates and qualities that the files of a run folder ask for."""
    topology, experiment = (_read(folder / f"{name}.yaml") for name in ("topology", "experiment"))
    asked = [topology.get("underlay"), topology.get("networks"), experiment.get("timeline")]
    found = [pair for part in asked for pair in _values(part)]
    rates = {rate for key, value in found if key in _RATES and (rate := _mbit(value))}
    keys = {key for key, value in found if key in _QUALITIES and value not in (None, "none")}
    return Declared(rates_mbit=tuple(sorted(rates)), keys=frozenset(keys))


def _read(path: Path) -> dict[str, Any]:
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_LOADER)  # noqa: S506 - a safe one
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return data if isinstance(data, dict) else {}


def _values(data: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """All values with their keys; what is below a quality is that quality's."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from _values(value, key if key in _RATES | _QUALITIES else str(name))
    elif isinstance(data, list):
        for value in data:
            yield from _values(value, key)
    else:
        yield key, data


def _mbit(value: Any) -> float | None:
    try:
        return Rate.parse(value).mbit
    except ValueError:
        return None
