"""What is comparable between runs of the same experiment: one number for each metric; pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from vnemu.results.schema import (
    EventResult,
    PhaseResult,
    Result,
    RoutingAtEvent,
    StreamAtEvent,
)

_UNITS = {"percent": "%", "ms": "ms", "s": "s"}
# Where something began or ended is no measure of it.
_NOT_MEASURES = ("sent", "until_s", "outage_at_s")


@dataclass(frozen=True)
class Metric:
    """What was measured.

    Parameters:
        name: such as goodput, outage, settle.
        of: the flow, probe or stream; may be empty.
        at: the phase or event; empty: the whole run.
        unit: Mbit/s, %, ms, s or B; empty for a number of things.
    """

    name: str
    of: str = ""
    at: str = ""
    unit: str = ""

    def __str__(self) -> str:
        where = f", {self.at}" if self.at else ""
        return f"{self.name} {self.of}".strip() + where


def metrics_of(result: Result) -> dict[Metric, float]:
    """Return the numbers of a run by metric.

    What did not happen up to the end (a flow that did not settle, a stream that was not
    repaired) is infinite: so it counts in a median as later than all that did.
    """
    return dict(_metrics(result))


def _metrics(result: Result) -> Iterator[tuple[Metric, float]]:
    for number, phase in enumerate(result.phases, 1):
        if phase.finished:
            yield from _of_phase(phase, f"phase {number}")
    for number, event in enumerate(result.events, 1):
        if event.actual_s is not None:
            yield from _of_event(event, event.name or f"event {number}")
    for name, part in (*result.probes.items(), *result.streams.items()):
        yield from _numbers(part, name, "")


def _of_phase(phase: PhaseResult, at: str) -> Iterator[tuple[Metric, float]]:
    for name, flow in phase.flows.items():
        yield Metric("goodput", name, at, "Mbit/s"), flow.goodput_mbit
        if flow.error_percent is not None:
            yield Metric("error", name, at, "%"), flow.error_percent


def _of_event(event: EventResult, at: str) -> Iterator[tuple[Metric, float]]:
    for flow, settle_s in event.settle_s.items():
        yield Metric("settle", flow, at, "s"), math.inf if settle_s is None else settle_s
    for name, probe in event.probes.items():
        yield from _numbers(probe, name, at)
    for name, stream in event.streams.items():
        yield from _of_stream(stream, name, at)
    if event.routing is not None:
        yield from _of_routing(event.routing, at)


def _of_stream(stream: StreamAtEvent, name: str, at: str) -> Iterator[tuple[Metric, float]]:
    yield from _numbers(stream, name, at)
    for field, value in (
        ("first repair", stream.first_repair_s),
        ("last repair", stream.last_repair_s),
    ):
        if stream.lost and value is None:
            yield Metric(field, name, at, "s"), math.inf


def _of_routing(routing: RoutingAtEvent, at: str) -> Iterator[tuple[Metric, float]]:
    yield Metric("route changes", "", at), routing.changes
    yield Metric("VRs with changes", "", at), len(routing.nodes)
    if routing.first_s is not None:
        yield Metric("first route change", "", at, "s"), routing.first_s
    if routing.convergence_s is not None:
        yield Metric("convergence", "", at, "s"), routing.convergence_s
    for protocol, control in routing.control.items():
        yield Metric("messages", protocol, at), control.messages
        yield Metric("bytes of messages", protocol, at, "B"), control.bytes


def _numbers(part: BaseModel, of: str, at: str) -> Iterator[tuple[Metric, float]]:
    """The numbers of a part of a result, named and with a unit by the names of its fields."""
    for field, value in part:
        if isinstance(value, int | float) and field not in _NOT_MEASURES:
            words, _, last = field.rpartition("_")
            name, unit = (words, _UNITS[last]) if words and last in _UNITS else (field, "")
            yield Metric(name.replace("_", " "), of, at, unit), float(value)
