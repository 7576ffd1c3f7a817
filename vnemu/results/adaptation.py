"""How routers and streams took each event, in the words of reports and terminals; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vnemu.results.schema import (
    EventResult,
    PathAtEvent,
    Result,
    RoutingAtEvent,
    StreamAtEvent,
    StreamResult,
)
from vnemu.results.words import seconds

NOT_REPAIRED = "not before the next event"
NO_ROUTE_MOVED = "no route moved"


@dataclass(frozen=True)
class AdaptationRow:
    """An event in the table of adaptation, cell by cell; empty: there is nothing to say.

    Parameters:
        number: from 1.
        outage, lost, repaired: of the stream direction with the longest outage.
        stream: which one that is.
        first, last: the first and the last change of a route, after the event.
    """

    number: int
    event: str
    at: str = ""
    outage: str = ""
    stream: str = ""
    lost: str = ""
    repaired: str = ""
    routes: str = ""
    first: str = ""
    last: str = ""
    settled: str = ""
    messages: str = ""
    untouched: bool | None = None


@dataclass(frozen=True)
class PathChange:
    """The paths between two nodes of a VN, before and after an event, without its name.

    Parameters:
        versions: the IP versions that it is true for.
        both_ways: whether those back are the same, the other way round.
        before, after: several are ECMP, none is no route.
    """

    network: str
    source: str
    target: str
    versions: tuple[int, ...]
    both_ways: bool
    before: tuple[tuple[str, ...], ...]
    after: tuple[tuple[str, ...], ...]

    @property
    def between(self) -> str:
        """The two nodes in words."""
        return f"{self.source} {'↔' if self.both_ways else '→'} {self.target}"


def tells_adaptation(result: Result) -> bool:
    """Whether there is anything to say: UDP probes were sent, or a Router OS ran."""
    return bool(result.streams or result.route_protocols)


def adaptation_rows(result: Result) -> list[AdaptationRow]:
    """Return a row for each event; empty if there is nothing to say of any."""
    if not tells_adaptation(result):
        return []
    return [_row(result, n, event) for n, event in enumerate(result.events, 1)]


def fixed(value: float | None) -> str:
    """Write seconds with all their milliseconds, as columns of a table want it."""
    return "never" if value is None else f"{value:.3f} s"


def stream_name(direction: str) -> str:
    """Write a direction of a stream, ``NAME>`` or ``NAME<``, with an arrow."""
    return f"{direction[:-1]} {'→' if direction.endswith('>') else '←'}"


def has_loss(stream: StreamAtEvent) -> bool:
    """Whether anything else became of its probes than that all arrived, in order."""
    return bool(stream.lost or stream.duplicated or stream.reordered)


def event_title(number: int, event: EventResult) -> str:
    """Return an event's number and name, or what it is if it has none."""
    return f"{number} {event.name or event.what}"


def unmoved_events(result: Result) -> list[str]:
    """Return the events after which no route changed."""
    return [
        event_title(number, event)
        for number, event in enumerate(result.events, 1)
        if event.routing is not None and not event.routing.changes
    ]


def path_changes(event: EventResult) -> list[PathChange]:
    """Return which paths are others after an event, each once for both ways and IP versions."""
    found: dict[tuple[object, ...], PathChange] = {}
    moved = event.routing.paths if event.routing else ()
    for part in moved:
        change = _path_change(part)
        back = change.target, change.source, _back(change.before), _back(change.after)
        known = found.get((change.network, *back))
        key = change.network, change.source, change.target, change.before, change.after
        if known is not None:
            found[change.network, *back] = _also(known, change, both_ways=True)
        elif set(change.before) != set(change.after):
            found[key] = _also(found.get(key, change), change)
    return list(found.values())


def _also(known: PathChange, other: PathChange, *, both_ways: bool = False) -> PathChange:
    versions = tuple(sorted({*known.versions, *other.versions}))
    return PathChange(
        network=known.network,
        source=known.source,
        target=known.target,
        versions=versions,
        both_ways=known.both_ways or both_ways,
        before=known.before,
        after=known.after,
    )


def _path_change(part: PathAtEvent) -> PathChange:
    return PathChange(
        network=part.from_.partition("/")[0],
        source=_local(part.from_),
        target=_local(part.to),
        versions=(part.ip,),
        both_ways=False,
        before=_sorted(tuple(map(_local, path)) for path in part.before),
        after=_sorted(tuple(map(_local, path)) for path in part.after),
    )


def _local(node: str) -> str:
    return node.partition("/")[2] or node


def _sorted(paths: Iterable[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    return tuple(sorted(paths))


def _back(paths: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
    return _sorted(path[::-1] for path in paths)


def _row(result: Result, number: int, event: EventResult) -> AdaptationRow:
    if event.actual_s is None:
        return AdaptationRow(number, event.name or event.what)
    cells: dict[str, str] = {}
    if event.streams:
        cells |= _of_streams(event.streams)
    if event.routing is not None and result.route_protocols:
        cells |= _of_routing(event.routing)
    return AdaptationRow(
        number,
        event.name or event.what,
        at=f"{event.actual_s:.1f} s",
        settled=_settled(event),
        untouched=event.untouched,
        **cells,
    )


def _of_streams(streams: dict[str, StreamAtEvent]) -> dict[str, str]:
    name, worst = max(streams.items(), key=lambda item: (item[1].outage_ms, item[1].lost))
    if not worst.lost:
        return {"outage": "none", "lost": "0"}
    return {
        "outage": outage(worst),
        "stream": stream_name(name),
        "lost": f"{worst.lost} of {worst.sent}",
        "repaired": repaired(worst),
    }


def outage(stream: StreamAtEvent | StreamResult) -> str:
    """Write the longest outage of a stream."""
    return fixed(stream.outage_ms / 1e3) if stream.lost else "none"


def repaired(stream: StreamAtEvent) -> str:
    """Write how long after an event nothing was lost any more."""
    if not stream.lost:
        return ""
    return NOT_REPAIRED if stream.last_repair_s is None else fixed(stream.last_repair_s)


def _of_routing(routing: RoutingAtEvent) -> dict[str, str]:
    control = ", ".join(f"{name} {c.messages}" for name, c in routing.control.items())
    if routing.first_s is None or routing.convergence_s is None:
        return {"routes": NO_ROUTE_MOVED, "messages": control}
    many = len(routing.nodes) != 1
    return {
        "routes": f"{routing.changes} in {len(routing.nodes)} VR{'s' if many else ''}",
        "first": fixed(routing.first_s),
        "last": fixed(routing.convergence_s),
        "messages": control,
    }


def _settled(event: EventResult) -> str:
    if len(event.settle_s) == 1:
        return seconds(*event.settle_s.values())
    return ", ".join(f"{name} {seconds(value)}" for name, value in event.settle_s.items())
