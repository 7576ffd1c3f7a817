"""Events shown to a person: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from vnemu.events import Event, Note, PhaseTick, Progress, Sink, TimelineFired

_LINE_SECONDS = 5.0


@contextmanager
def shown() -> Iterator[Sink]:
    """A sink that shows what happens on stderr while the context lasts."""
    if sys.stderr.isatty():
        with _bar() as sink:
            yield sink
    else:
        yield _Lines().take


class _Lines:
    """One line for each event, and one every five seconds for the rates."""

    def __init__(self) -> None:
        self._next = _LINE_SECONDS

    def take(self, event: Event) -> None:
        """Show an event."""
        match event:
            case PhaseTick() if event.at_s >= self._next:
                self._next += _LINE_SECONDS
                _print(f"{event.at_s:6.1f} s  {_rates(event)}")
            case TimelineFired():
                _print(f"{event.actual_s:6.1f} s  {event.what}")
            case Note():
                _print(event.text)
            case _:
                pass


def _print(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _rates(tick: PhaseTick) -> str:
    shown = [f"{name} {rate:.4g} Mbit/s" for name, rate in tick.rates_mbit[:6]]
    return "  ".join([*shown, *(["…"] if tick.rates_mbit[6:] else [])])


@contextmanager
def _bar() -> Iterator[Sink]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    progress = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[seconds]}"),
        TextColumn("{task.fields[rates]}", style="cyan"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = progress.add_task("setting up", total=None, seconds="", rates="")

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
                progress.console.print(f"{event.actual_s:6.1f} s  {event.what}", highlight=False)
            case Note():
                progress.console.print(event.text, highlight=False)
            case Progress():
                pass

    with progress:
        yield take
