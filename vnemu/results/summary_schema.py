"""summary.json: what came out of all runs of a sweep, for programs (docs/sweeps.md)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vnemu.results.runinfo import Status
from vnemu.results.schema import Conditions, ResultPart

SUMMARY_VERSION = 1


class SettingSummary(ResultPart):
    """A setting of the sweep."""

    label: str = Field(description="such as bfd=off; empty if there is only one setting")
    values: dict[str, str] = Field(default={}, description="by key, as text")
    runs: int = Field(description="complete ones; only those count")


class MetricAtSetting(ResultPart):
    """The values of a metric in the runs of a setting. null: beyond all numbers, it never was."""

    setting: int = Field(description="index, from 0")
    n: int = Field(description="runs that have it")
    never: int = Field(
        default=0, description="those in which it did not come about; counted as infinite"
    )
    median: float | None
    low: float | None = Field(
        default=None, description="95% confidence interval of the median, from 6 runs on …"
    )
    high: float | None = Field(default=None, description="… to here")
    min: float | None
    max: float | None
    lower: float | None = Field(default=None, description="quartile")
    upper: float | None = Field(default=None, description="quartile")


class MetricSummary(ResultPart):
    """A metric, compared between the settings."""

    metric: str
    of: str = Field(default="", description="flow, probe or stream")
    at: str = Field(default="", description="phase or event; empty: the whole run")
    unit: str = ""
    settings: tuple[MetricAtSetting, ...]
    plot: str = Field(default="", description="its box plot, a file of the folder")


class ExpectationSummary(ResultPart):
    """In how many runs of a setting an expectation was met."""

    text: str
    setting: int
    met: int
    of: int


class RunSummary(ResultPart):
    """A run of the sweep."""

    folder: str
    setting: int
    repeat: int
    seed: int
    status: Status | None = Field(default=None, description="null: not run, or killed")
    reason: str = Field(default="", description="why it is not complete")
    met: bool = Field(default=False, description="complete, with every expectation met")


class Summary(ResultPart):
    """summary.json."""

    version: Literal[1] = 1
    experiment: str
    settings: tuple[SettingSummary, ...]
    metrics: tuple[MetricSummary, ...] = ()
    expectations: tuple[ExpectationSummary, ...] = ()
    runs: tuple[RunSummary, ...] = ()
    time_scale: float = 1.0
    seed: int = 1
    command: tuple[str, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="what a reader of the numbers must know")
    conditions: Conditions | None = Field(default=None, description="those of the first run")

    @property
    def complete(self) -> int:
        """How many runs are complete."""
        return sum(run.status == "complete" for run in self.runs)

    @property
    def met(self) -> bool:
        """Whether all runs are complete and met every expectation."""
        return all(run.met for run in self.runs)
