"""Make a sweep's summary: summary.csv, summary.json, summary.html and a plot for each metric."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from vnemu.results.files import write_atomic
from vnemu.results.metrics import Metric, metrics_of
from vnemu.results.schema import Result
from vnemu.results.statistics import spread
from vnemu.results.summary_schema import (
    ExpectationSummary,
    MetricAtSetting,
    MetricSummary,
    RunSummary,
    SettingSummary,
    Summary,
)
from vnemu.results.sweep_record import SweepInfo, SweptRun, ended, read_sweep
from vnemu.results.words import listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_PLOTS = 60
NEVER = "never"
_COLUMNS = ("run", "setting", "repeat", "seed", "metric", "of", "at", "unit", "value")


@dataclass(frozen=True)
class Ran:
    """A run of a sweep with what came out of it.

    Parameters:
        result: None if it left no record.
        metrics: empty unless it is complete.
    """

    run: SweptRun
    result: Result | None
    metrics: dict[Metric, float] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether it came to its end, and so counts."""
        return self.result is not None and self.result.status == "complete"


def build_summary(folder: Path, *, again: bool = False) -> Summary:
    """Make the summary of what the runs of a sweep left, and return it.

    Parameters:
        again: whether the result of each run is to be worked out anew.

    Raises:
        InputError: if `folder` is no sweep folder.
    """
    info = read_sweep(folder)
    every = [_ran(folder, run, again) for run in info.runs]
    summary = summarise(info, every)
    figures = dict(_figures(summary, info, every))
    metrics = tuple(
        metric.model_copy(update={"plot": f"plots/{_stem(metric)}.svg"})
        if index in figures
        else metric
        for index, metric in enumerate(summary.metrics)
    )
    summary = summary.model_copy(update={"metrics": metrics})
    _save_plots(folder, summary, figures)
    _save_tables(folder, info, every)
    write_atomic(folder / "summary.json", summary.model_dump_json(indent=2) + "\n")
    from vnemu.results.summary_page import summary_page

    write_atomic(folder / "summary.html", summary_page(summary, figures, folder))
    return summary


def _ran(folder: Path, run: SweptRun, again: bool) -> Ran:
    place = folder / run.folder
    if not (place / "run.json").exists():
        return Ran(run, None)
    result = _result(place, again)
    whole = result.status == "complete"
    return Ran(run, result, metrics_of(result) if whole else {})


def _result(place: Path, again: bool) -> Result:
    """The result of a run; its report is made if it has none."""
    from vnemu.results.report import build_report

    if again or not (place / "report.html").exists() or ended(place) is None:
        return build_report(place)
    try:
        return Result.model_validate_json((place / "result.json").read_bytes())
    except (OSError, ValidationError):
        return build_report(place)


def summarise(info: SweepInfo, every: Sequence[Ran]) -> Summary:
    """Put the runs of a sweep together; pure."""
    whole = [ran for ran in every if ran.complete]
    metrics = dict.fromkeys(metric for ran in whole for metric in ran.metrics)
    return Summary(
        experiment=info.experiment,
        settings=tuple(
            SettingSummary(
                label=setting.label,
                values=setting.values,
                runs=sum(ran.run.setting == index for ran in whole),
            )
            for index, setting in enumerate(info.settings)
        ),
        metrics=tuple(_metric(metric, len(info.settings), whole) for metric in metrics),
        expectations=tuple(_expectations(whole)),
        runs=tuple(_run(ran) for ran in every),
        time_scale=info.time_scale,
        seed=info.seed,
        command=info.command,
        notes=tuple(_notes(info, every)),
        conditions=next((ran.result.conditions for ran in whole if ran.result), None),
    )


def _metric(metric: Metric, settings: int, whole: Sequence[Ran]) -> MetricSummary:
    parts = []
    for index in range(settings):
        values = values_of(metric, index, whole)
        if values:
            parts.append(_at_setting(index, values))
    return MetricSummary(
        metric=metric.name, of=metric.of, at=metric.at, unit=metric.unit, settings=tuple(parts)
    )


def values_of(metric: Metric, setting: int, every: Sequence[Ran]) -> list[float]:
    """The values of a metric in the runs of a setting that have it."""
    runs = (ran for ran in every if ran.run.setting == setting)
    return [ran.metrics[metric] for ran in runs if metric in ran.metrics]


def _at_setting(index: int, values: Sequence[float]) -> MetricAtSetting:
    found = spread(values)
    return MetricAtSetting(
        setting=index,
        n=found.n,
        never=sum(map(math.isinf, values)),
        median=_finite(found.median),
        low=_finite(found.low),
        high=_finite(found.high),
        min=_finite(found.min),
        max=_finite(found.max),
        lower=_finite(found.lower),
        upper=_finite(found.upper),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _expectations(whole: Sequence[Ran]) -> Iterator[ExpectationSummary]:
    met: dict[tuple[str, int], list[bool]] = {}
    for ran in whole:
        for each in ran.result.expectations if ran.result else ():
            met.setdefault((each.text, ran.run.setting), []).append(each.met)
    for (text, setting), answers in met.items():
        yield ExpectationSummary(text=text, setting=setting, met=sum(answers), of=len(answers))


def _run(ran: Ran) -> RunSummary:
    run, result = ran.run, ran.result
    return RunSummary(
        **run.model_dump(),
        status=result.status if result else None,
        reason=result.reason if result else "",
        met=result.met if result else False,
    )


def _notes(info: SweepInfo, every: Sequence[Ran]) -> Iterator[str]:
    whole = [ran for ran in every if ran.complete]
    if len(whole) < len(every):
        missing = len(every) - len(whole)
        yield (
            f"{missing} of {len(every)} runs are not complete and do not count; "
            "vnemu run --continue carries them out"
        )
    kernels = {
        f"{r.conditions.machine.capsule}, Linux {r.conditions.versions.get('kernel')}"
        for ran in whole
        if (r := ran.result) is not None
    }
    if len(kernels) > 1:
        yield f"the runs were not all made on the same kernel: {listed(sorted(kernels))}"
    if info.repeat < 6:
        yield "with fewer than 6 repeats there is no 95% interval for a median"


def _figures(
    summary: Summary, info: SweepInfo, every: Sequence[Ran]
) -> Iterator[tuple[int, Figure]]:
    """A box plot for each metric that is not the same in all runs, by its index."""
    from vnemu.results.boxes import plot_boxes

    labels = [setting.label or info.experiment for setting in info.settings]
    shown = 0
    for index, part in enumerate(summary.metrics):
        metric = Metric(part.metric, part.of, part.at, part.unit)
        groups = [values_of(metric, number, every) for number in range(len(labels))]
        if len({value for group in groups for value in group}) > 1 and shown < MOST_PLOTS:
            shown += 1
            yield index, plot_boxes(metric, labels, groups)


def _stem(metric: MetricSummary) -> str:
    words = "-".join(word for word in (metric.metric, metric.of, metric.at) if word)
    words = words.replace(">", "-there").replace("<", "-back")
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", words)


def _save_plots(folder: Path, summary: Summary, figures: dict[int, Figure]) -> None:
    from vnemu.results.canvas import save

    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    for old in (*plots.glob("*.svg"), *plots.glob("*.png")):
        old.unlink()
    for index, figure in figures.items():
        picture = folder / summary.metrics[index].plot
        save(figure, [picture, picture.with_suffix(".png")])


def _save_tables(folder: Path, info: SweepInfo, every: Sequence[Ran]) -> None:
    header, rows = table(info, every)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_atomic(folder / "summary.csv", text.getvalue())
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        return  # an extra: pip install vnemu[parquet]
    columns = zip(*rows, strict=True) if rows else [()] * len(header)
    data = pyarrow.table(dict(zip(header, map(list, columns), strict=True)))
    buffer = io.BytesIO()
    parquet.write_table(data, buffer)
    write_atomic(folder / "summary.parquet", buffer.getvalue())


def table(info: SweepInfo, every: Sequence[Ran]) -> tuple[list[str], list[tuple[object, ...]]]:
    """All numbers of the complete runs, one a row, with a column for each key of the sweep."""
    keys = list(info.settings[0].values)
    before, after = _COLUMNS[:2], _COLUMNS[2:]
    rows: list[tuple[object, ...]] = []
    for ran in every:
        setting = info.settings[ran.run.setting]
        run = Path(ran.run.folder).name
        of_run = (run, setting.label, *setting.values.values(), ran.run.repeat, ran.run.seed)
        for m, value in ran.metrics.items():
            rows.append((*of_run, m.name, m.of, m.at, m.unit, value))
    return [*before, *keys, *after], rows


def summary_lines(summary: Summary) -> list[str]:
    """The summary as lines for a terminal: what differs most between runs is on the page."""
    done, of = summary.complete, len(summary.runs)
    whole = "complete" if done == of else "not complete"
    lines = [f"{summary.experiment}: {whole}: {done} of {of} runs"]
    for each in summary.expectations:
        label = summary.settings[each.setting].label
        mark = "✔" if each.met == each.of else "✘"
        where = f" with {label}" if label else ""
        lines.append(f"{mark} {each.text}: {each.met} of {each.of} runs{where}")
    lines += [f"note: {note}" for note in summary.notes]
    return lines
