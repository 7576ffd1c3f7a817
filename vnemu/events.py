"""What happens in a lab, as typed values given to a sink that is passed in.

The command line, the run folder's log and (later) other front ends are
subscribers; nothing below them prints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True)
class Progress(Event):
    """A long step moves on: ``done`` of ``total`` units."""

    step: str
    done: int
    total: int


@dataclass(frozen=True)
class Note(Event):
    """Something worth a line to the user, such as what an `auto` chose."""

    text: str


@dataclass(frozen=True)
class PhaseTick(Event):
    """The running experiment at ``at_s`` of ``of_s`` seconds, with current rates in Mbit/s."""

    at_s: float
    of_s: float
    rates_mbit: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class TimelineFired(Event):
    """An event of the timeline was carried out."""

    planned_s: float
    actual_s: float
    what: str


Sink = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The sink of whoever does not listen."""
