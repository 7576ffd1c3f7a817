"""Events in plots over time: dotted lines with their names above, which never overlap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from vnemu.results.canvas import GREY
from vnemu.results.schema import EventResult, Result

LANE_IN = 0.2
CHARACTER_IN = 0.066
MOST_NAMED_EVENTS = 6


@dataclass(frozen=True)
class Marks:
    """The events that were carried out, and where each is named.

    Parameters:
        events: by number.
        labels: (time, lane, text); lanes count from 0, upwards.
        lanes: how many there are.
        width_in: of the axes, in inches.
    """

    events: Mapping[int, EventResult]
    labels: Sequence[tuple[float, int, str]]
    lanes: int
    width_in: float

    @property
    def height_in(self) -> float:
        """Of all lanes."""
        return LANE_IN * self.lanes

    def draw_spans(self, axes: Axes) -> None:
        """Shade the time of events that last."""
        for event in self.events.values():
            if event.until_s is not None and event.actual_s is not None:
                axes.axvspan(event.actual_s, event.until_s, color="#f1efe8", zorder=0, linewidth=0)

    def draw_lines(self, axes: Axes) -> None:
        """Draw a dotted line where each begins."""
        for at, _, _ in self.labels:
            axes.axvline(at, color=GREY, linewidth=0.9, linestyle=(0, (1, 1.5)))

    def draw_names(self, axes: Axes) -> None:
        """Write the names above the axes."""
        end_s = axes.get_xlim()[1]
        inch_s = end_s / self.width_in
        for at, lane, text in self.labels:
            half = len(text) * CHARACTER_IN / 2 * inch_s
            axes.annotate(
                text,
                (min(max(at, half), max(end_s - half, half)), 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4 + 72 * LANE_IN * lane),
                textcoords="offset points",
                ha="center",
                fontsize="small",
                color="#333333",
            )


def marks(result: Result, width_in: float, most_named: int = MOST_NAMED_EVENTS) -> Marks:
    """Place the names of a result's events over axes of a width in inches.

    Of more than `most_named` events only the numbers are written.
    """
    events = {n: e for n, e in enumerate(result.events, 1) if e.actual_s is not None}
    named = len(events) <= most_named
    end_s = result.end_s or result.duration_s
    labels = list(_labels(events.items(), end_s, width_in, named))
    return Marks(events, labels, max((lane + 1 for _, lane, _ in labels), default=0), width_in)


def _labels(
    events: Iterable[tuple[int, EventResult]], end_s: float, width_in: float, named: bool
) -> Iterable[tuple[float, int, str]]:
    inch_s = end_s / width_in
    free_from: list[float] = []
    for number, event in sorted(events, key=lambda item: item[1].actual_s or 0.0):
        at = event.actual_s or 0.0
        text = f"{number} {shortened(event.name or event.what, 60)}" if named else str(number)
        half = len(text) * CHARACTER_IN / 2 * inch_s
        left = min(max(at, half), end_s - half) - half
        lane = next((i for i, free in enumerate(free_from) if free <= left), len(free_from))
        free_from[lane : lane + 1] = [left + 2 * half + 0.1 * inch_s]
        yield at, lane, text


def shortened(name: str, limit: int = 22) -> str:
    """Return a name that is at most so many characters long."""
    return name if len(name) <= limit else f"{name[: limit - 1]}…"
