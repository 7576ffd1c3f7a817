"""What `vnemu run` does: one run, or all that is left of a sweep."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from vnemu.cli.console import complain
from vnemu.cli.files import read_experiment
from vnemu.cli.kernel import RanInside, enter_capsule
from vnemu.cli.outcome import judge, judge_sweep, report_on
from vnemu.cli.progress import shown
from vnemu.errors import InputError, VnemuError
from vnemu.experiments.prepare import Experiment
from vnemu.experiments.sweep import Sweep, claim_sweep, is_many, prepare_sweep, run_sweep
from vnemu.results.record import RunWriter, claim_folder
from vnemu.results.sweep_record import read_sweep
from vnemu.schema.load import LoadedExperiment, Override
from vnemu.schema.nodes import Node
from vnemu.schema.sweep import swept
from vnemu.schema.wording import Mark


@dataclass(frozen=True)
class Wanted:
    """What the user asked for, as options.

    Parameters:
        kernel: None: what the file says.
        memory: of a private kernel, in bytes.
        more: what the command gets in a private kernel beside its own arguments.
    """

    file: Path
    out: Path | None
    memory: int
    overrides: tuple[str, ...] = ()
    sweeps: tuple[str, ...] = ()
    repeat: int | None = None
    time_scale: float = 1.0
    kernel: str | None = None
    report: bool = True
    more: tuple[str, ...] = ("--no-report",)

    @property
    def changes(self) -> list[str | Override]:
        """What is other than in the file."""
        mark = Mark("--repeat")
        repeat = [] if self.repeat is None else [Override("repeat", Node(self.repeat, mark), mark)]
        return [*self.overrides, *map(swept, self.sweeps), *repeat]


def going_on(folder: Path, wanted: Wanted) -> Wanted:
    """What was asked for when the sweep in `folder` began, with the new options of now.

    Raises:
        InputError: if it is no sweep folder, or `wanted` says what is settled already.
    """
    if wanted.overrides or wanted.sweeps or wanted.time_scale != 1.0 or wanted.kernel:
        raise InputError(
            "--continue goes on as begun: leave out --set, --sweep, --time-scale and --kernel"
        )
    info = read_sweep(folder)
    return replace(
        wanted,
        file=Path(info.file),
        out=folder,
        overrides=info.overrides,
        sweeps=info.swept,
        repeat=wanted.repeat or info.repeat,
        time_scale=info.time_scale,
        kernel=info.kernel,
    )


def carry_out(wanted: Wanted) -> int:
    """Run an experiment as often as it asks for, report on it, and return the exit status."""
    loaded, experiment = read_experiment(wanted.file, wanted.changes, wanted.time_scale)
    folder = wanted.out or _new_folder(experiment.name)
    # A private kernel is slow to draw plots, and the record is all that they take.
    wanted = replace(wanted, out=folder, more=("--out", str(folder), *wanted.more))
    if is_many(loaded):
        return _many(wanted, folder, loaded)
    return _one(wanted, folder, loaded, experiment)


def _one(wanted: Wanted, folder: Path, loaded: LoadedExperiment, experiment: Experiment) -> int:
    choice = wanted.kernel or loaded.doc.kernel
    topology, later = experiment.topology, experiment.later
    try:
        why = enter_capsule(choice, topology, wanted.memory, folder, later, wanted.more)
    except RanInside as ended:
        return judge(folder, ended.status, report=wanted.report)
    claim_folder(folder)
    try:
        from vnemu.experiments.runner import run as run_recorded

        with shown() as sink:
            run_recorded(experiment, RunWriter(folder), loaded, sink, why)
    except (VnemuError, KeyboardInterrupt) as error:
        return judge(folder, complain(error), report=wanted.report)
    return judge(folder, 0, report=wanted.report)


def _many(wanted: Wanted, folder: Path, loaded: LoadedExperiment) -> int:
    choice = wanted.kernel or loaded.doc.kernel
    sweep = prepare_sweep(
        wanted.file, loaded, wanted.overrides, wanted.sweeps, wanted.time_scale, choice
    )
    first, *others = [[each.topology, *each.later] for each in sweep.samples]
    try:
        why = enter_capsule(choice, first[0], wanted.memory, folder, first[1:], wanted.more, others)
    except RanInside as ended:
        return judge_sweep(folder, ended.status, report=wanted.report)
    claim_sweep(sweep, folder)
    return judge_sweep(folder, _swept(wanted, sweep, folder, why), report=wanted.report)


def _swept(wanted: Wanted, sweep: Sweep, folder: Path, why: str) -> int:
    statuses = [0]

    def finished(place: Path) -> None:
        if wanted.report:
            report_on(place)

    try:
        run_sweep(
            sweep, folder, shown, lambda error: statuses.append(complain(error)), finished, why
        )
    except (VnemuError, KeyboardInterrupt) as error:
        statuses.append(complain(error))
    return max(statuses)


def _new_folder(name: str) -> Path:
    stem = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = Path("runs") / stem
    number = 2
    while folder.exists():
        folder = Path("runs") / f"{stem}-{number}"
        number += 1
    return folder
