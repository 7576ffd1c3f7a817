"""Goes through the trials of a calibration, in the capsule that the caller is in."""

from __future__ import annotations

import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from vnemu import capsule
from vnemu.calibrate import clock, trials
from vnemu.calibrate.documents import Data
from vnemu.calibrate.trials import Pace, Trial
from vnemu.drivers.probe import BY_NAME, probe
from vnemu.events import Event, Note, PhaseTick, Progress, Sink, ignore
from vnemu.experiments.conditions import machine, versions
from vnemu.experiments.prepare import Experiment, prepare
from vnemu.experiments.runner import run
from vnemu.model.overlay import Topology
from vnemu.results.calibration import Calibration, CalibrationRow, cells
from vnemu.results.reader import Run, read_run
from vnemu.results.record import RunWriter
from vnemu.schema.load import LoadedExperiment, load_experiment

Rows = Iterator[CalibrationRow]


def calibrate(pace: Pace, sink: Sink = ignore, why: str = "") -> Calibration:
    """Measure everything.

    Parameters:
        pace: how long.
        sink: told of the progress in seconds, and of each row.
        why: the reason for this kernel, for the record.

    Raises:
        ExperimentFailed: if a trial did not run to its end.
        MissingCapability: if no lab can run here.
    """
    begin, at = time.monotonic(), datetime.now(UTC)
    conditions = machine(why)  # its load is that of before
    rows = []
    for row in _Session(pace, sink, why).rows():
        rows.append(row)
        sink(Note("  ".join(filter(None, cells(row)))))
    return Calibration(
        measured_at=at.isoformat(timespec="seconds"),
        kernel=platform.release(),
        machine=conditions,
        versions=versions(),
        command=tuple(sys.orig_argv),
        quick=pace is trials.QUICK,
        took_s=round(time.monotonic() - begin, 1),
        rows=tuple(rows),
    )


def smallest_topology() -> Topology:
    """What every calibration needs, for the choice of a kernel."""
    with tempfile.TemporaryDirectory(prefix="vnemu-") as folder:
        return _prepared(trials.no_delay(trials.QUICK).document, Path(folder))[1].topology


def _prepared(document: Data, folder: Path) -> tuple[LoadedExperiment, Experiment]:
    path = folder / "calibration.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    loaded = load_experiment(path)
    return loaded, prepare(loaded)


@dataclass
class _Session:
    """One calibration on its way; `done_s` of its time has passed."""

    pace: Pace
    sink: Sink
    why: str
    done_s: float = 0.0

    def rows(self) -> Rows:
        """Everything, the quiet first."""
        self._progress("clock")
        drift = clock.Drift()
        yield clock.sleeps(self.pace.sleeps)
        ceilings = list(self._tried(trials.ceilings(self.pace)))
        yield from ceilings
        rates, beyond = trials.rates(self.pace, ceilings[0].measured or 0.0)
        if rates.cases:
            yield from self._tried(rates)
        yield from beyond
        for make in (
            trials.guarantees,
            trials.no_delay,
            trials.delays,
            trials.chances,
            trials.mischief,
        ):
            yield from self._tried(make(self.pace))
        yield drift.row()

    def _tried(self, trial: Trial) -> Rows:
        self._progress(trial.title)
        missing = _missing(trial.needs)
        if missing:
            yield from (case.row.model_copy(update={"note": missing}) for case in trial.cases)
        else:
            found = self._run(trial)
            for case in trial.cases:
                yield case.read(case.row, found, case.source)
        self.done_s += trial.seconds

    def _run(self, trial: Trial) -> Run:
        with tempfile.TemporaryDirectory(prefix="vnemu-") as name:
            folder = Path(name)
            loaded, experiment = _prepared(trial.document, folder)
            writer = RunWriter(folder / "run")
            run(experiment, writer, loaded, lambda event: self._pass_on(trial, event), self.why)
            return read_run(writer.folder)

    def _pass_on(self, trial: Trial, event: Event) -> None:
        if isinstance(event, PhaseTick):
            self._progress(trial.title, min(event.at_s, trial.seconds))

    def _progress(self, title: str, seconds: float = 0.0) -> None:
        total = round(trials.expected_seconds(self.pace))
        self.sink(Progress(title, round(self.done_s + seconds), total))


def _missing(needs: tuple[str, ...]) -> str:
    """What this kernel lacks and how to get it; empty if it has all."""
    lacking = [name for name, why in probe(needs).items() if why]
    if not lacking:
        return ""
    modules = " ".join(BY_NAME[name].module for name in lacking)
    instead = "" if capsule.kind() == "private kernel" else ", or --kernel private"
    return f"no {', '.join(lacking)} here: sudo modprobe -a {modules}{instead}"
