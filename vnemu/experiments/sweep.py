"""Repeats and sweeps: the same experiment many times, each run a lab and a folder of its own."""

from __future__ import annotations

import hashlib
import random
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from vnemu.errors import ExperimentFailed, InputError, Problem
from vnemu.events import Note, Sink
from vnemu.experiments.prepare import Experiment, prepare
from vnemu.experiments.resolved import resolved_texts
from vnemu.results.files import write_atomic
from vnemu.results.record import RunWriter, claim_folder
from vnemu.results.sweep_record import (
    SWEEP,
    SweepInfo,
    SweptRun,
    SweptSetting,
    ended,
    is_sweep,
    read_sweep,
)
from vnemu.schema.load import LoadedExperiment
from vnemu.schema.sweep import Setting, load_setting, settings_of

FAILURES_IN_A_ROW = 3
_FOLDER_LIMIT = 80

Shown = Callable[[], AbstractContextManager[Sink]]


@dataclass(frozen=True)
class Sweep:
    """A sweep whose settings have all been prepared, and so checked.

    Parameters:
        samples: each setting, as it will be in its first run.
    """

    info: SweepInfo
    file: Path
    settings: tuple[Setting, ...]
    samples: tuple[Experiment, ...]

    def prepared(self, run: SweptRun, folder: Path) -> tuple[LoadedExperiment, Experiment]:
        """One of its runs, ready; `folder` is the sweep's.

        Raises:
            InputError: if it cannot be, with its seed.
        """
        setting = self.settings[run.setting]
        loaded = load_setting(self.file, self.info.overrides, setting, run.seed)
        experiment = prepare(loaded, self.info.time_scale)
        # Its folder holds the settled files: those repeat this one run.
        scale = () if self.info.time_scale == 1 else ("--time-scale", f"{self.info.time_scale:g}")
        command = ("vnemu", "run", str(folder / run.folder / "experiment.yaml"), *scale)
        return loaded, replace(experiment, command=command)


def is_many(loaded: LoadedExperiment) -> bool:
    """Whether an experiment is to be run more than once."""
    return loaded.doc.repeat > 1 or bool(loaded.doc.sweep)


def prepare_sweep(
    file: Path,
    loaded: LoadedExperiment,
    overrides: Sequence[str] = (),
    swept: Sequence[str] = (),
    time_scale: float = 1.0,
    kernel: str = "auto",
) -> Sweep:
    """Settle a sweep: its settings, the order of its runs, their seeds.

    Parameters:
        loaded: the experiment `file`, with all that was asked for.
        overrides, swept: what the user gave to ``--set`` and to ``--sweep``.
        kernel: auto, native or private.

    Raises:
        InputError: with all that is wrong with any setting, before anything is touched.
    """
    settings = settings_of(loaded)
    doc = loaded.doc
    runs = tuple(_runs(settings, doc.repeat, doc.seed))
    samples, digest = _samples(file, overrides, settings, runs, time_scale)
    info = SweepInfo(
        experiment=loaded.name,
        file=str(file.absolute()),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=tuple(sys.orig_argv),
        overrides=tuple(overrides),
        swept=tuple(swept),
        time_scale=time_scale,
        kernel=kernel,
        seed=doc.seed,
        repeat=doc.repeat,
        digest=digest,
        settings=tuple(
            SweptSetting(label=each.label, values={v.key: v.text for v in each.values})
            for each in settings
        ),
        runs=runs,
    )
    return Sweep(info, file, settings, samples)


def _runs(settings: Sequence[Setting], repeats: int, seed: int) -> Iterator[SweptRun]:
    """The runs in order: all settings once, in random order, then all again.

    What drifts on a machine then falls on all settings alike. Orders and seeds do not
    depend on how many repeats there are, so that more can be added.
    """
    width = len(str(max(len(settings) * repeats, 100)))
    number = 0
    for repeat in range(1, repeats + 1):
        order = list(range(len(settings)))
        random.Random(f"{seed}/{repeat}").shuffle(order)
        for index in order:
            number += 1
            label = settings[index].label
            folder = f"runs/{number:0{width}}{_safe(f'-{label}' if label else '')}"
            yield SweptRun(
                folder=folder, setting=index, repeat=repeat, seed=_seed(seed, repeat, label)
            )


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.=,+-]", "_", text)[:_FOLDER_LIMIT]


def _seed(seed: int, repeat: int, label: str) -> int:
    digest = hashlib.sha256(f"{seed}/{repeat}/{label}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _samples(
    file: Path,
    overrides: Sequence[str],
    settings: Sequence[Setting],
    runs: Sequence[SweptRun],
    time_scale: float,
) -> tuple[tuple[Experiment, ...], str]:
    """The first run of each setting, and what tells these files from others."""
    samples: list[Experiment] = []
    problems: dict[Problem, None] = {}
    digest = hashlib.sha256(repr(time_scale).encode())
    for run in sorted(runs[: len(settings)], key=lambda run: run.setting):
        try:
            loaded = load_setting(file, overrides, settings[run.setting], run.seed)
            samples.append(prepare(loaded, time_scale))
        except InputError as error:
            problems |= dict.fromkeys(error.problems)
            continue
        for text in _meaning(loaded, samples[-1]):
            digest.update(text.encode())
    if problems:
        raise InputError(sorted(problems, key=lambda problem: problem.by_line))
    return tuple(samples), digest.hexdigest()


def _meaning(loaded: LoadedExperiment, experiment: Experiment) -> Iterator[str]:
    """All that the files say, the other files that they name included."""
    yield from resolved_texts(loaded, experiment)
    yield from (repr(trace) for trace in loaded.traces.values())
    yield from (repr(file) for file in loaded.topology.texts.values())


def claim_sweep(sweep: Sweep, folder: Path) -> None:
    """Make the folder of a sweep, or see to it that it is the one to go on with.

    More repeats than before may be asked for; all else must be the same.

    Raises:
        InputError: if it is another's, or the files mean something else by now.
    """
    info = sweep.info
    if is_sweep(folder):
        before = read_sweep(folder)
        common = min(len(before.runs), len(info.runs))
        if before.digest != info.digest or _places(before, common) != _places(info, common):
            raise InputError(
                f"{folder} holds another sweep than {sweep.file} is now: put the file back as it "
                "was, or begin a new folder"
            )
        more = max(before, info, key=lambda each: len(each.runs))
        runs = (*before.runs, *more.runs[len(before.runs) :])
        info = before.model_copy(update={"repeat": more.repeat, "runs": runs})
    else:
        claim_folder(folder)
    (folder / "runs").mkdir(mode=0o755, exist_ok=True)
    write_atomic(folder / SWEEP, info.model_dump_json(indent=2) + "\n")


def _places(info: SweepInfo, count: int) -> list[tuple[int, int, int]]:
    return [(run.setting, run.repeat, run.seed) for run in info.runs[:count]]


def run_sweep(
    sweep: Sweep,
    folder: Path,
    shown: Shown,
    failed: Callable[[ExperimentFailed], object],
    finished: Callable[[Path], object],
    why: str = "",
) -> None:
    """Carry out what is not complete in a sweep folder, in the capsule that the caller is in.

    Parameters:
        folder: claimed (`claim_sweep`).
        shown: gives a sink for each run.
        failed: is told of a run that failed; the others are carried out all the same.
        finished: is told of each run's folder when it is over.
        why: the reason for the kernel that runs it, for the record.

    Raises:
        ExperimentFailed: if the user stopped it, or several runs in a row failed.
        MissingCapability: if this machine cannot run it.
    """
    from vnemu.experiments.runner import run as run_one  # what only checks does without

    runs = read_sweep(folder).runs
    left = [(n, run) for n, run in enumerate(runs, 1) if ended(folder / run.folder) != "complete"]
    begun, in_a_row = time.monotonic(), 0
    for done, (number, run) in enumerate(left):
        spent = time.monotonic() - begun
        note = _note(
            number, len(runs), sweep, run, spent / done * (len(left) - done) if done else 0
        )
        loaded, experiment = sweep.prepared(run, folder)
        place = folder / run.folder
        _set_aside(place)
        try:
            with shown() as sink:
                sink(Note(note))
                run_one(experiment, RunWriter(place), loaded, sink, why)
            in_a_row = 0
        except ExperimentFailed as error:
            if isinstance(error.__cause__, KeyboardInterrupt):
                raise
            in_a_row += 1
            if in_a_row == FAILURES_IN_A_ROW:
                raise
            failed(error)
        finally:
            finished(place)


def _note(number: int, count: int, sweep: Sweep, run: SweptRun, left_s: float) -> str:
    label = sweep.settings[run.setting].label
    what = f"{label}, repeat {run.repeat}" if label else f"repeat {run.repeat}"
    left = f"; about {_span(left_s)} left" if left_s else ""
    return f"run {number} of {count}: {what}{left}"


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _set_aside(place: Path) -> None:
    """Keep what a run left that did not come to its end, under another name."""
    if not place.exists():
        return
    number = 1
    while (aside := place.with_name(f"{place.name}.aside-{number}")).exists():
        number += 1
    place.rename(aside)
