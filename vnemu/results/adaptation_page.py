"""What the page of a run says of adaptation, apart from how it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vnemu.results.adaptation import (
    AdaptationRow,
    PathChange,
    adaptation_rows,
    event_title,
    has_loss,
    path_changes,
    stream_name,
    tells_adaptation,
    unmoved_events,
)
from vnemu.results.reader import Run
from vnemu.results.schema import ControlAtEvent, EventResult, Result, StreamAtEvent

Streams = list[tuple[str, StreamAtEvent]]


@dataclass(frozen=True)
class AdaptationParts:
    """The parts; each is empty where there is nothing to say.

    Parameters:
        tells: whether there is anything to say at all.
        timeline: the picture, an SVG element.
        paths: drawings by network, SVG elements.
        rows: the table of events.
        unmoved: the events after which no route changed.
        touched: events, and what was not the same in VRs when looked at after them.
        suffered: events, the streams that suffered, and how many others did not.
        disorder: whether any probe was duplicated or reordered.
        moved: events, and the paths that changed.
        protocols: what routing messages were seen of.
        messages: events, the seconds up to the next one, and the messages by protocol.
        ends: of each direction of a stream, from where to where it goes.
        pause: the longest pause of the sender of streams, in ms.
    """

    tells: bool
    timeline: str = ""
    paths: Mapping[str, str] = field(default_factory=dict)
    rows: Sequence[AdaptationRow] = ()
    unmoved: Sequence[str] = ()
    touched: Sequence[tuple[str, tuple[str, ...]]] = ()
    suffered: Sequence[tuple[str, Streams, int]] = ()
    moved: Sequence[tuple[str, list[PathChange]]] = ()
    protocols: Sequence[str] = ()
    messages: Sequence[tuple[str, float, dict[str, ControlAtEvent]]] = ()
    disorder: bool = False
    ends: Mapping[str, str] = field(default_factory=dict)
    pause: float | None = None


def adaptation_parts(
    run: Run, result: Result, timeline: str = "", paths: Mapping[str, str] | None = None
) -> AdaptationParts:
    """Return what a page says, with the pictures that it shows."""
    if not tells_adaptation(result):
        return AdaptationParts(tells=False)
    titled = [(event_title(number, event), event) for number, event in enumerate(result.events, 1)]
    routed = bool(result.route_protocols)
    pauses = [s.pause_max_ms for s in result.streams.values() if s.pause_max_ms is not None]
    return AdaptationParts(
        tells=True,
        timeline=timeline,
        paths=paths or {},
        rows=adaptation_rows(result),
        unmoved=unmoved_events(result) if routed else (),
        touched=[(title, event.differences) for title, event in titled if event.differences],
        suffered=[_suffered(title, event) for title, event in titled if _any_loss(event)],
        disorder=any(s.duplicated or s.reordered for s in result.streams.values()),
        moved=[(title, moved) for title, event in titled if (moved := path_changes(event))],
        protocols=sorted({p for _, e in titled if e.routing for p in e.routing.control}),
        messages=[_messages(title, e) for title, e in titled if e.routing],
        ends=_ends(run),
        pause=max(pauses, default=None),
    )


def _any_loss(event: EventResult) -> bool:
    return any(map(has_loss, event.streams.values()))


def _suffered(title: str, event: EventResult) -> tuple[str, Streams, int]:
    found = [(stream_name(name), s) for name, s in event.streams.items() if has_loss(s)]
    return title, found, len(event.streams) - len(found)


def _messages(title: str, event: EventResult) -> tuple[str, float, dict[str, ControlAtEvent]]:
    assert event.routing is not None, "asked for those that have it"
    return title, event.routing.until_s - (event.actual_s or 0.0), event.routing.control


def _ends(run: Run) -> dict[str, str]:
    found = {}
    for stream in run.info.streams:
        found[stream.name + ">"] = f"{stream.from_} → {stream.to}"
        found[stream.name + "<"] = f"{stream.to} → {stream.from_}"
    return found
