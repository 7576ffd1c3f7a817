"""What an event did: settling, lost probes, lateness."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from vnemu.results.activity import active_span
from vnemu.results.phases import Phase, Settling, measured_span, settle
from vnemu.results.reader import ProbeSamples, Run
from vnemu.results.runinfo import EventEntry, FlowInfo
from vnemu.results.schema import EventResult, ProbeAtEvent, ProbeResult
from vnemu.results.series import mean_rate

if TYPE_CHECKING:
    from vnemu.results.series import Array

# A probe that was on its way at the event was sent before it.
BEFORE_EVENT_S = 0.05
AFTER_EVENT_S = 1.0


def event_results(run: Run, phases: Sequence[Phase]) -> tuple[EventResult, ...]:
    """Return all events: those that were carried out, and those the run did not reach."""
    planned = sorted(run.info.events, key=lambda event: event.at_s)
    return (
        *(_carried_out(run, event, phases) for event in run.events),
        *(EventResult(planned_s=e.at_s, what=e.what) for e in planned[len(run.events) :]),
    )


def probe_result(samples: ProbeSamples | None) -> ProbeResult:
    """Count a probe's pings and describe their round-trip times."""
    if samples is None:
        return ProbeResult(sent=0, lost=0)
    answered = samples.rtt_ms[~np.isnan(samples.rtt_ms)]
    sent, lost = len(samples.rtt_ms), len(samples.rtt_ms) - len(answered)
    median, p99, most = (
        (round(float(np.percentile(answered, q)), 4) for q in (50, 99, 100))
        if len(answered)
        else (None, None, None)
    )
    return ProbeResult(
        sent=sent,
        lost=lost,
        loss_percent=round(100 * lost / sent, 4),
        rtt_median_ms=median,
        rtt_p99_ms=p99,
        rtt_max_ms=most,
    )


def _carried_out(run: Run, event: EventEntry, phases: Sequence[Phase]) -> EventResult:
    settled = _settlings(run, event.actual_s, phases)
    done_s = event.done_s
    return EventResult(
        planned_s=event.planned_s,
        actual_s=round(event.actual_s, 6),
        done_s=None if done_s is None else round(done_s, 6),
        late_ms=round((event.actual_s - event.planned_s) * 1e3, 3),
        took_ms=None if done_s is None else round((done_s - event.actual_s) * 1e3, 3),
        what=event.what,
        settle_s={
            name: None if s.settle_s is None else round(s.settle_s, 6)
            for name, s in settled.items()
        },
        band_percent={name: round(100 * s.band, 1) for name, s in settled.items()},
        strays={name: s.strays for name, s in settled.items()},
        probes=_probes_at(run, event.actual_s),
    )


def _settlings(run: Run, at_s: float, phases: Sequence[Phase]) -> dict[str, Settling]:
    begun = [phase for phase in phases if phase.start_s <= at_s < phase.end_s]
    if not begun:
        return {}
    found = {flow.name: _settling(run, flow, at_s, begun[-1]) for flow in run.info.flows}
    return {name: settled for name, settled in found.items() if settled}


def _settling(run: Run, flow: FlowInfo, at_s: float, phase: Phase) -> Settling | None:
    active = active_span(run, flow, phase)
    # A flow that starts later has no level to leave.
    if active is None or active[0] > at_s + BEFORE_EVENT_S:
        return None
    start_s, end_s, samples = active
    span = measured_span(Phase(phase.number, start_s, end_s))
    if span is None or end_s <= at_s:
        return None
    mean = mean_rate(samples.time_s, samples.arrived_bytes, *span)
    return settle(
        samples.time_s,
        samples.arrived_bytes,
        at_s=at_s,
        end_s=end_s,
        mean_mbit=mean,
        frame_bytes=flow.frame_payload[0],
    )


def _probes_at(run: Run, at_s: float) -> dict[str, ProbeAtEvent]:
    intervals = {probe.name: probe.interval_s for probe in run.info.probes}
    found: dict[str, ProbeAtEvent] = {}
    for name, samples in run.probes.items():
        near = (samples.time_s >= at_s - BEFORE_EVENT_S) & (samples.time_s <= at_s + AFTER_EVENT_S)
        lost = np.isnan(samples.rtt_ms[near])
        outage_s = _longest_run(lost) * intervals.get(name, 0.0)
        found[name] = ProbeAtEvent(
            sent=len(lost), lost=int(lost.sum()), outage_ms=round(outage_s * 1e3, 3)
        )
    return found


def _longest_run(flags: Array) -> int:
    longest = current = 0
    for flag in flags:
        current = current + 1 if flag else 0
        longest = max(longest, current)
    return longest
