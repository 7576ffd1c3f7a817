"""A calibration shown to a person: while it goes on, and when it is there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from vnemu.cli.progress import bar, say
from vnemu.errors import InputError
from vnemu.events import Event, Note, Progress, Sink
from vnemu.results.calibration import HEADINGS, Calibration, cells, markdown_table, text_lines
from vnemu.results.calibration_store import stored

_PRIVATE = "private kernel"


def watched() -> AbstractContextManager[Sink]:
    """A sink that shows the progress on stderr while the context lasts."""
    return _bar() if sys.stderr.isatty() else nullcontext(_Lines().take)


class _Lines:
    """One line for each part, and one for each row."""

    def __init__(self) -> None:
        self._part = ""

    def take(self, event: Event) -> None:
        """Show an event."""
        match event:
            case Progress() if event.step != self._part:
                self._part = event.step
                say(f"{event.done:3} of about {event.total} s: {event.step}")
            case Note():
                say(f"  {event.text}")
            case _:
                pass


@contextmanager
def _bar() -> Iterator[Sink]:
    columns = ("{task.description:16}", "{task.completed:.0f} of about {task.total:.0f} s")
    with bar(*columns, total=1) as (progress, task):

        def take(event: Event) -> None:
            if isinstance(event, Progress):
                progress.update(
                    task, description=event.step, completed=event.done, total=event.total
                )

        yield take


def show(calibration: Calibration) -> None:
    """Print a calibration: a table on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        print("\n".join(text_lines(calibration)))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=calibration.title, title_justify="left", box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading)
    for row in calibration.rows:
        style = "yellow" if row.measured is None or row.by_chance is False else ""
        table.add_row(*(Text(cell, style=style) for cell in cells(row)))
    Console().print(table)


def fidelity_table() -> str:
    """Return the newest calibrations of this user as the table of docs/fidelity.md.

    Raises:
        InputError: if there is none.
    """
    found = stored()
    native = next((each for each in found if each.capsule != _PRIVATE), None)
    private = next((each for each in found if each.capsule == _PRIVATE), None)
    columns = {"native": native, _PRIVATE: private}
    there = {name: each for name, each in columns.items() if each is not None}
    if not there:
        raise InputError(
            "there is no calibration yet: run 'vnemu calibrate --kernel native' "
            "and 'vnemu calibrate --kernel private' first"
        )
    titles = [f"- {name}: {_origin(each)}" for name, each in there.items()]
    return "\n".join([markdown_table(there), "", *titles])


def _origin(calibration: Calibration) -> str:
    machine = calibration.machine
    load = "" if machine.load is None else f", load {machine.load:.2f} before"
    return f"{calibration.title}, {machine.cpus} processor(s){load}"
