"""What the Router OSs did at an event, seen from outside; pure.

Convergence is the time from the event to the last change of a route that it caused (in RFC
6412, 3.5.1, the time until the last route is in its new state), taken from the kernel's
tables of the VRs and not from traffic.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from vnemu.results.phases import TOGETHER_S
from vnemu.results.reader import ControlSamples, Run
from vnemu.results.routes import Tables
from vnemu.results.schema import ControlAtEvent, EventResult, PathAtEvent, RoutingAtEvent

if TYPE_CHECKING:
    from vnemu.results.impact import Carried

JUST_BEFORE_S = 1e-6
_OUT = "out"


class Pair(NamedTuple):
    """Two nodes whose paths are wanted."""

    source: str
    target: str
    version: Literal[4, 6]


def window(event: Carried, events: Sequence[Carried], end_s: float) -> tuple[float, float]:
    """From when an event is begun to the next that cuts a phase, or to the end of the run."""
    begun = event.boundaries[0]
    later = [
        cut.actual_s
        for other in events
        if other.cuts and other.number != event.number
        for cut in other.boundaries
        if cut.planned_s >= begun.planned_s + TOGETHER_S and cut.actual_s > begun.actual_s
    ]
    return begun.actual_s, min([end_s, *later])


def with_routing(
    run: Run, events: Sequence[Carried], results: Iterable[EventResult], end_s: float
) -> tuple[EventResult, ...]:
    """Add to each event's result what the routers did, and whether they were touched."""
    found = []
    for event, result in zip(events, results, strict=True):
        update: dict[str, object] = dict(
            zip(("untouched", "differences"), _touched(run, event.number), strict=True)
        )
        if event.cuts and run.routes.rows:
            update["routing"] = routing_at(run, *window(event, events, end_s))
        found.append(result.model_copy(update=update))
    return tuple(found)


def routing_at(run: Run, from_s: float, to_s: float) -> RoutingAtEvent:
    """What the routers did from `from_s` on and before `to_s`."""
    changes = run.routes.changes(from_s, to_s)
    return RoutingAtEvent(
        until_s=round(to_s, 6),
        changes=len(changes),
        nodes=tuple(dict.fromkeys(row.node for row in changes)),
        first_s=round(changes[0].time_s - from_s, 6) if changes else None,
        convergence_s=round(changes[-1].time_s - from_s, 6) if changes else None,
        paths=tuple(_paths(run, from_s, to_s)),
        control=_control(run, from_s, to_s),
    )


def _paths(run: Run, from_s: float, to_s: float) -> Iterator[PathAtEvent]:
    before = run.routes.at(from_s - JUST_BEFORE_S)
    after = run.routes.at(to_s - JUST_BEFORE_S)
    for pair in pairs(run, before):
        yield PathAtEvent(
            from_=pair.source,
            to=pair.target,
            ip=pair.version,
            before=tuple(before.paths(*pair)),
            after=tuple(after.paths(*pair)),
        )


def pairs(run: Run, tables: Tables) -> list[Pair]:
    """The ends of flows and probes, both ways, and of the paths that are expected."""
    ends = [(flow.from_, flow.to, flow.ip) for flow in run.info.flows]
    ends += [(probe.from_, probe.to, probe.ip) for probe in run.info.probes]
    ends += [(stream.from_, stream.to, stream.ip) for stream in run.info.streams]
    ends += [(stream.from_, stream.to, stream.ip) for stream in run.info.streams]
    found = [pair for a, b, ip in ends for pair in (Pair(a, b, ip), Pair(b, a, ip))]
    for document in run.info.expect:
        path = document.get("path")
        if path:
            place = tables.places.get(path[-1])
            usual: Literal[4, 6] = 4 if place and place.address(4) else 6
            found.append(Pair(path[0], path[-1], document.get("ip") or usual))
    return list(dict.fromkeys(found))


def _control(run: Run, from_s: float, to_s: float) -> dict[str, ControlAtEvent]:
    sums: dict[str, tuple[int, int]] = {}
    for (_, _, direction, protocol), samples in run.control.items():
        if direction == _OUT:
            messages, octets = sums.get(protocol, (0, 0))
            more = _between(samples, from_s, to_s)
            sums[protocol] = messages + more[0], octets + more[1]
    return {
        protocol: ControlAtEvent(messages=messages, bytes=octets)
        for protocol, (messages, octets) in sorted(sums.items())
        if octets
    }


def _between(samples: ControlSamples, from_s: float, to_s: float) -> tuple[int, int]:
    """What was counted in samples taken after `from_s` and up to `to_s`."""
    first, end = np.searchsorted(samples.time_s, [from_s, to_s], side="right")
    if first == end:
        return 0, 0
    messages, octets = (
        counted[end - 1] - (counted[first - 1] if first else 0)
        for counted in (samples.messages, samples.bytes)
    )
    return int(messages), int(octets)


def _touched(run: Run, number: int) -> tuple[bool | None, tuple[str, ...]]:
    looks = [entry for entry in run.untouched if number in entry.events]
    found = tuple(f"{d.node}: {d.what}" for entry in looks for d in entry.differences)
    return (not found if looks else None), found


def touched_at_all(run: Run) -> tuple[bool | None, tuple[str, ...]]:
    """Whether nobody touched a VR in the whole run (None: nobody looked), and what was."""
    found = tuple(
        f"{d.node}: {d.what} (between {entry.from_s:.1f} and {entry.to_s:.1f} s)"
        for entry in run.untouched
        for d in entry.differences
    )
    return (not found if run.untouched else None), found
