"""What an event did: settling, lost probes, lateness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vnemu.results.activity import active_span
from vnemu.results.phases import Firing, Phase, boundaries, measured_span
from vnemu.results.reader import ProbeSamples, Run
from vnemu.results.runinfo import EventEntry, FlowInfo, PlannedEvent
from vnemu.results.schema import EventResult, ProbeAtEvent, ProbeResult
from vnemu.results.series import mean_rate
from vnemu.results.settling import Settling, settle

if TYPE_CHECKING:
    from vnemu.results.series import Array

# A probe that was on its way at the event was sent before it.
BEFORE_EVENT_S = 0.05
AFTER_EVENT_S = 1.0
# Times are written with microseconds.
ROUNDING_S = 1e-5


@dataclass(frozen=True)
class Carried:
    """An event with what was done for it, in order.

    Parameters:
        number: from 1.
    """

    number: int
    planned: PlannedEvent
    firings: tuple[EventEntry, ...]

    @property
    def is_over(self) -> bool:
        """Whether the last that was planned for it is done, and not only at the run's end."""
        if not self.firings:
            return False
        until_s = self.planned.until_s
        return until_s is None or self.firings[-1].planned_s >= until_s - ROUNDING_S

    @property
    def cuts(self) -> bool:
        """Whether it was carried out and cuts phases; else nothing is counted for it."""
        return bool(self.firings) and not self.planned.observes

    @property
    def boundaries(self) -> list[Firing]:
        """Where it cuts phases."""
        first, last = self.firings[0], self.firings[-1]
        until_s = self.planned.until_s if self.is_over else None
        return boundaries(first.planned_s, until_s, first.actual_s, last.actual_s)


def carried_events(run: Run) -> list[Carried]:
    """Return all events in the order of the file, those not carried out too."""
    done: dict[int, list[EventEntry]] = {}
    for firing in run.firings:
        for number in firing.events:
            done.setdefault(number, []).append(firing)
    planned = dict(enumerate(run.info.events, 1))
    for number, firings in done.items():
        first = firings[0]
        planned.setdefault(number, PlannedEvent(at_s=first.planned_s, what=first.what))
    return [Carried(n, planned[n], tuple(done.get(n, ()))) for n in sorted(planned)]


def event_results(
    run: Run, events: Sequence[Carried], phases: Sequence[Phase]
) -> tuple[EventResult, ...]:
    """Return what became of each event."""
    return tuple(_event_result(run, event, phases) for event in events)


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


def _event_result(run: Run, event: Carried, phases: Sequence[Phase]) -> EventResult:
    planned = event.planned
    head = EventResult(
        name=planned.name,
        what=planned.what,
        planned_s=planned.at_s,
        until_s=planned.until_s,
        observes=planned.observes,
    )
    if not event.firings:
        return head
    if not event.cuts:
        return head.model_copy(update=_times(event))
    begun_s, ended_s = event.firings[0].actual_s, event.firings[-1].actual_s
    settled = _settlings(run, ended_s, phases) if event.is_over else {}
    update = {
        **_times(event),
        "settle_s": {
            name: None if s.settle_s is None else round(s.settle_s, 6)
            for name, s in settled.items()
        },
        "level_mbit": {name: round(s.level_mbit, 6) for name, s in settled.items()},
        "band_percent": {name: round(100 * s.band, 1) for name, s in settled.items()},
        "strays": {name: s.strays for name, s in settled.items()},
        "probes": _probes_between(run, begun_s, ended_s),
    }
    return head.model_copy(update=update)


def _times(event: Carried) -> dict[str, object]:
    first, last = event.firings[0], event.firings[-1]
    late = [(f.actual_s - f.planned_s) * 1e3 for f in event.firings]
    took = [(f.done_s - f.actual_s) * 1e3 for f in event.firings if f.done_s is not None]
    return {
        "actual_s": round(first.actual_s, 6),
        "done_s": None if first.done_s is None else round(first.done_s, 6),
        "ended_s": None if event.planned.until_s is None else round(last.actual_s, 6),
        "firings": len(event.firings),
        "late_ms": round(late[0], 3),
        "took_ms": None if first.done_s is None else round(took[0], 3),
        "late_p99_ms": round(float(np.percentile(late, 99)), 3),
        "late_max_ms": round(max(late), 3),
        "took_max_ms": round(max(took), 3) if took else None,
    }


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
    if measured_span(Phase(phase.number, start_s, end_s)) is None or end_s <= at_s:
        return None
    # Routers may take half of the phase to find another way.
    level = mean_rate(samples.time_s, samples.arrived_bytes, (at_s + end_s) / 2, end_s)
    return settle(
        samples.time_s,
        samples.arrived_bytes,
        at_s=at_s,
        end_s=end_s,
        level_mbit=level,
        frame_bytes=flow.frame_payload[0],
    )


def _probes_between(run: Run, begun_s: float, ended_s: float) -> dict[str, ProbeAtEvent]:
    intervals = {probe.name: probe.interval_s for probe in run.info.probes}
    found: dict[str, ProbeAtEvent] = {}
    for name, samples in run.probes.items():
        sent_s = samples.time_s
        near = (sent_s >= begun_s - BEFORE_EVENT_S) & (sent_s <= ended_s + AFTER_EVENT_S)
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
