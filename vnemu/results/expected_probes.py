"""Judge what is expected of probes: pings, and UDP both ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from vnemu.results.impact import AFTER_EVENT_S
from vnemu.results.judging import NotThere, event_name, event_of, find, known, last_firing_s
from vnemu.results.reader import CUT_OFF
from vnemu.results.schema import Result, StreamAtEvent, StreamResult
from vnemu.results.words import listed, seconds
from vnemu.schema.experiment import LossExpectation, OutageExpectation

_Stream = TypeVar("_Stream", StreamAtEvent, StreamResult)


def in_words(doc: LossExpectation | OutageExpectation, result: Result) -> str:
    """Return an expectation in words."""
    if isinstance(doc, OutageExpectation):
        return f"probe {doc.outage}: outage {_limits(doc)}{_when(doc, result)}"
    ways = " each way" if doc.probe + ">" in result.streams else ""
    return f"probe {doc.probe}: at most {doc.lost} lost{ways}{_when(doc, result)}"


def _when(doc: LossExpectation | OutageExpectation, result: Result) -> str:
    if doc.event is None:
        return ""
    name = event_name(doc.event, result)
    if isinstance(doc, OutageExpectation) or doc.probe not in result.probes:
        return f" after {name}"
    event = find(doc.event, result)
    during = "during and " if event and event.until_s is not None else ""
    return f" {during}in the second after {name}"


def _limits(doc: OutageExpectation) -> str:
    bounds = [f"at least {doc.min}" if doc.min else "", f"at most {doc.max}" if doc.max else ""]
    return listed([bound for bound in bounds if bound])


def _both(name: str, streams: Mapping[str, _Stream]) -> list[_Stream]:
    """Both directions of a stream."""
    known("UDP probe", [name], {direction[:-1] for direction in streams})
    return [streams[name + sign] for sign in "><"]


def _streams(
    name: str, named: int | str | None, result: Result
) -> Sequence[StreamAtEvent | StreamResult]:
    """Both directions of a stream, over the whole run or after an event."""
    if named is None:
        return _sent(_both(name, result.streams))
    found = _both(name, event_of(named, result).streams)
    if result.status != "complete" and result.end_s <= found[0].until_s:
        raise NotThere(CUT_OFF)
    return _sent(found)


def _sent(streams: list[_Stream]) -> list[_Stream]:
    if not any(stream.sent for stream in streams):
        raise NotThere("no probe was sent")
    return streams


def outage(doc: OutageExpectation, result: Result) -> tuple[str, bool]:
    """Return how long the outages were, and whether that is as expected."""
    there, back = (s.outage_ms / 1e3 for s in _streams(doc.outage, doc.event, result))
    longest = max(there, back)
    met = (doc.max is None or longest <= doc.max.seconds + 1e-9) and (
        doc.min is None or longest >= doc.min.seconds - 1e-9
    )
    return f"{seconds(there)} there, {seconds(back)} back", met


def loss(doc: LossExpectation, result: Result) -> tuple[str, bool]:
    """Return how many probes were lost, and whether those are few enough."""
    if doc.probe + ">" in result.streams:
        there, back = _streams(doc.probe, doc.event, result)
        text = f"{there.lost} of {there.sent} there, {back.lost} of {back.sent} back"
        return text, max(there.lost, back.lost) <= doc.lost
    known("probe", [doc.probe], result.probes)
    if doc.event is None:
        whole = result.probes[doc.probe]
        sent, lost = whole.sent, whole.lost
    else:
        event = event_of(doc.event, result)
        over = min(last_firing_s(event) + AFTER_EVENT_S, result.duration_s)
        if result.status != "complete" and result.end_s < over:
            raise NotThere(CUT_OFF)
        near = event.probes.get(doc.probe)
        sent, lost = (near.sent, near.lost) if near else (0, 0)
    if sent == 0:
        raise NotThere("no probe was sent")
    return f"{lost} of {sent}", lost <= doc.lost
