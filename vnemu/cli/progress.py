"""Events shown to a person: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from vnemu.events import Event, Note, PhaseTick, Progress, Sink, TimelineFired

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_LINE_SECONDS = 5.0
_ROUTING = "routing"
_STEPS = {_ROUTING: "routing converges", "start routers": "routers start", "set up": "setting up"}


def shown() -> AbstractContextManager[Sink]:
    """A sink that shows on stderr what happens in a run while the context lasts."""
    return _bar() if sys.stderr.isatty() else nullcontext(_Lines().take)


def say(text: str) -> None:
    """Print a line of progress, at once."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def bar(
    *columns: str, total: float | None = None, **fields: Any
) -> Iterator[tuple[RichProgress, TaskID]]:
    """A live bar on stderr, and the one task that it shows.

    Parameters:
        columns: what stands beside the bar, as rich formats it; the first before it.
        total: when it is full; None: not known yet.
        fields: of the task, at first.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    before, *after = (TextColumn(column) for column in columns)
    progress = Progress(
        before,
        BarColumn(),
        *after,
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with progress:
        yield progress, progress.add_task("setting up", total=total, **fields)


class _Lines:
    """One line for each event, and one every five seconds for the rates."""

    def __init__(self) -> None:
        self._next = _LINE_SECONDS
        self._told = time.monotonic()

    def take(self, event: Event) -> None:
        """Show an event."""
        match event:
            case PhaseTick() if event.at_s >= self._next:
                self._next += _LINE_SECONDS
                say(f"{event.at_s:6.1f} s  {_rates(event) or f'of {event.of_s:g} s'}")
            case TimelineFired():
                say(f"{event.actual_s:6.1f} s  {event.what}")
            case Note():
                say(event.text)
            case Progress() if event.step == _ROUTING and self._is_time():
                say(f"{_STEPS[_ROUTING]}: {event.done} of {event.total} pairs reach each other")
            case _:
                pass

    def _is_time(self) -> bool:
        now = time.monotonic()
        if now < self._told + _LINE_SECONDS:
            return False
        self._told = now
        return True


def _rates(tick: PhaseTick) -> str:
    shown = [f"{name} {rate:.4g} Mbit/s" for name, rate in tick.rates_mbit[:6]]
    return "  ".join([*shown, *(["…"] if tick.rates_mbit[6:] else [])])


@contextmanager
def _bar() -> Iterator[Sink]:
    columns = ("{task.description}", "{task.fields[seconds]}", "[cyan]{task.fields[rates]}")
    with bar(*columns, seconds="", rates="") as (progress, task):

        def take(event: Event) -> None:
            match event:
                case PhaseTick():
                    progress.update(
                        task,
                        description="running",
                        completed=event.at_s,
                        total=event.of_s,
                        seconds=f"{event.at_s:.0f} of {event.of_s:g} s",
                        rates=_rates(event),
                    )
                case TimelineFired():
                    progress.console.print(
                        f"{event.actual_s:6.1f} s  {event.what}", highlight=False
                    )
                case Note():
                    progress.console.print(event.text, highlight=False)
                case Progress():
                    progress.update(
                        task,
                        description=_STEPS.get(event.step, event.step),
                        completed=event.done,
                        total=event.total,
                    )

        yield take
