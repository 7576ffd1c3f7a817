"""Which kind of file a user gave, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vnemu.embedding.mapping import Mapping
from vnemu.embedding.strategies import embed
from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.routing.configuration import check_texts
from vnemu.schema.document import Document
from vnemu.schema.load import Override, load_experiment, load_topology

if TYPE_CHECKING:
    from vnemu.experiments.prepare import Experiment
    from vnemu.schema.load import LoadedExperiment

_OF_EXPERIMENTS = ("topology", "traffic", "timeline", "probes", "duration", "expect")


@dataclass(frozen=True)
class Planned:
    """A topology and where it goes, from either kind of file; an experiment may be many runs."""

    topology: Topology
    mapping: Mapping
    is_experiment: bool
    runs: int = 1


def is_experiment(path: Path) -> bool:
    """Whether the file reads like an experiment, not a topology.

    Raises:
        InputError: if it cannot be read.
    """
    data = Document.read(path).data
    return "underlay" not in data and any(key in data for key in _OF_EXPERIMENTS)


def read_any(path: Path, overrides: Sequence[str]) -> Planned:
    """Read a topology or an experiment, checked in full, and map its topology.

    Raises:
        InputError: with everything that is wrong with it.
    """
    if is_experiment(path):
        loaded, experiment = read_experiment(path, overrides, 1.0)
        return Planned(
            experiment.topology, experiment.mapping, True, _runs(path, loaded, overrides)
        )
    _refuse_description(path)
    topology = resolve(load_topology(path, overrides))
    check_texts(topology)
    return Planned(topology, embed(topology), False)


def _refuse_description(path: Path) -> None:
    data = Document.read(path).data
    if "routers" in data and "underlay" not in data:
        hint = f"make a topology of it: vnemu import {path} --out FILE"
        raise InputError([Problem(str(path), "describes an existing network", hint)])


def _runs(path: Path, loaded: LoadedExperiment, overrides: Sequence[str]) -> int:
    """How often the experiment is to be run; each setting of a sweep is checked."""
    from vnemu.experiments.sweep import is_many, prepare_sweep

    return len(prepare_sweep(path, loaded, overrides).info.runs) if is_many(loaded) else 1


def read_experiment(
    path: Path, overrides: Sequence[str | Override], time_scale: float
) -> tuple[LoadedExperiment, Experiment]:
    """Read an experiment, checked in full.

    Raises:
        InputError: with everything that is wrong with it.
    """
    from vnemu.experiments.prepare import prepare

    if path.is_file() and not is_experiment(path):
        hint = f"to look at it: vnemu plan {path}; an experiment names it in topology:"
        raise InputError([Problem(str(path), "is a topology, not an experiment", hint)])
    loaded = load_experiment(path, overrides)
    return loaded, prepare(loaded, time_scale)
