"""A run folder in a program or notebook: the result, its tables as rows, its plots."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from vnemu.results.reader import Run, read_run
from vnemu.results.schema import Result
from vnemu.results.words import percent, rate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, object]


class RunView:
    """A run as it was recorded, and what came out of it. Nothing in its folder is changed.

    Parameters:
        run: as read from its folder.
    """

    def __init__(self, run: Run) -> None:
        self.run = run

    def __repr__(self) -> str:
        return f"<run of {self.run.info.experiment} in {self.run.folder}: {self.run.status}>"

    @cached_property
    def result(self) -> Result:
        """All numbers (docs/results.md)."""
        from vnemu.results.analysis import analyse

        return analyse(self.run)

    def phases(self) -> list[Row]:
        """A row for each flow in each phase; rates in Mbit/s, times in s, the error in percent."""
        return [
            {
                "phase": number,
                "from_s": phase.start_s,
                "to_s": phase.end_s,
                "flow": name,
                "ideal_mbit": flow.ideal_mbit,
                "goodput_mbit": flow.goodput_mbit,
                "error_percent": flow.error_percent,
            }
            for number, phase in enumerate(self.result.phases, 1)
            for name, flow in phase.flows.items()
        ]

    def expectations(self) -> list[Row]:
        """A row for each expectation: whether it was met, what it says, what was measured."""
        return [
            {"met": each.met, "expected": each.text, "measured": each.measured}
            for each in self.result.expectations
        ]

    def plot(self) -> Figure:
        """The rates over time; of a run that measures adaptation its timeline."""
        from vnemu.results.plots import plot_goodput
        from vnemu.results.timeline_plot import plot_timeline

        return plot_timeline(self.run, self.result) or plot_goodput(self.run, self.result)

    def drawing(self) -> Figure:
        """Underlay, overlays and the mapping between them, as they were at the start."""
        from vnemu.results.drawing import draw_planes

        return draw_planes(self.run.info.drawing)

    def _repr_svg_(self) -> str:
        """The plot alone."""
        from vnemu.results.canvas import inline_svg

        return inline_svg(self.plot(), "what was measured over time")

    def _repr_html_(self) -> str:
        """As a notebook shows it: status, plot, expectations, phases."""
        from vnemu.results.report import page_template

        return page_template("run.html.j2").render(
            r=self.result,
            plot=self._repr_svg_(),
            expectations=self.expectations(),
            phases=[_in_words(row) for row in self.phases()],
        )


def open_run(folder: str | Path) -> RunView:
    """Open the folder of a run, one that was cut off too.

    Raises:
        InputError: if `folder` is no run folder.
    """
    return RunView(read_run(Path(folder)))


def _in_words(row: Row) -> list[str]:
    ideal, goodput, error = (row[key] for key in ("ideal_mbit", "goodput_mbit", "error_percent"))
    return [
        str(row["phase"]),
        f"{row['from_s']:.1f} - {row['to_s']:.1f} s",
        str(row["flow"]),
        *("" if each is None else rate(float(str(each))) for each in (ideal, goodput)),
        "" if error is None else percent(float(str(error))),
    ]
