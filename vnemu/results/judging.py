"""What all expectations are judged with."""

from __future__ import annotations

from collections.abc import Iterable

from vnemu.results.reader import CUT_OFF
from vnemu.results.schema import EventResult, Result
from vnemu.results.words import listed


class NotThere(Exception):
    """What an expectation speaks of cannot be judged, in words."""


def find(named: int | str, result: Result) -> EventResult | None:
    """Return the event with a number from 1, or a name."""
    if isinstance(named, str):
        return next((event for event in result.events if event.name == named), None)
    return result.events[named - 1] if named <= len(result.events) else None


def event_name(named: int | str, result: Result) -> str:
    """Return an event in words."""
    event = find(named, result)
    return f"event {named}" + (f" ({event.what})" if event else "")


def event_of(named: int | str, result: Result) -> EventResult:
    """Return an event that was carried out.

    Raises:
        NotThere: if there is none, or the run did not reach it.
    """
    event = find(named, result)
    if event is None:
        count = len(result.events)
        has = {0: "the experiment has none", 1: "the only one is event 1"}
        raise NotThere(f"there is no event {named}: " + has.get(count, f"there are {count}"))
    if event.actual_s is None:
        raise NotThere(CUT_OFF)
    return event


def last_firing_s(event: EventResult) -> float:
    """Return when the last was done for an event, in seconds since t0."""
    return event.ended_s if event.ended_s is not None else event.actual_s or 0.0


def known(kind: str, names: Iterable[str], there: Iterable[str]) -> None:
    """See that all `names` are among those that are there.

    Raises:
        NotThere: if not.
    """
    have = sorted(there)
    for name in names:
        if name not in have:
            others = listed(have) if have else "none"
            raise NotThere(f"there is no {kind} {name}: the experiment has {others}")
