"""From a run as recorded to its result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from vnemu.results.activity import SLACK_SAMPLES, active_span
from vnemu.results.expectations import evaluate
from vnemu.results.impact import Carried, carried_events, event_results, probe_result
from vnemu.results.phases import Phase, cut_phases, measured_span, step_mean
from vnemu.results.reader import FlowSamples, LinkSamples, PathSamples, Run
from vnemu.results.routing import touched_at_all, with_routing
from vnemu.results.runinfo import FlowInfo
from vnemu.results.schema import (
    CaptureResult,
    Conditions,
    EventResult,
    FlowInPhase,
    FlowResult,
    LinkInPhase,
    PhaseResult,
    ProofResult,
    Result,
)
from vnemu.results.series import mean_rate
from vnemu.results.streams import notes_on, stream_result, with_streams
from vnemu.results.words import listed


def analyse(run: Run) -> Result:
    """Compute the result of a run, expectations included."""
    end_s = run_end(run)
    events = carried_events(run)
    cuts = [cut for event in events if event.cuts for cut in event.boundaries]
    phases = cut_phases(cuts, end_s)
    untouched, differences = touched_at_all(run)
    result = Result(
        status=run.status,
        reason=run.reason,
        experiment=run.info.experiment,
        duration_s=run.info.duration_s,
        end_s=_round(end_s),
        flows={flow.name: _flow(flow) for flow in run.info.flows},
        phases=tuple(_phase(run, phase, end_s) for phase in phases),
        events=with_routing(run, events, _events(run, events, phases, end_s), end_s),
        probes={p.name: probe_result(run.probes.get(p.name)) for p in run.info.probes},
        streams={name: stream_result(s, end_s) for name, s in run.streams.items()},
        proofs=tuple(ProofResult(**proof.model_dump()) for proof in run.proofs),
        captures=tuple(CaptureResult(**each.model_dump()) for each in run.captures),
        route_protocols=run.routes.protocols,
        untouched=untouched,
        differences=differences,
        notes=_notes(run),
        conditions=_conditions(run),
    )
    return result.model_copy(update={"expectations": evaluate(run.info.expect, result)})


def _events(
    run: Run, events: Sequence[Carried], phases: Sequence[Phase], end_s: float
) -> tuple[EventResult, ...]:
    return with_streams(run, events, event_results(run, events, phases), end_s)


def run_end(run: Run) -> float:
    """Return up to which time there are samples, at most the planned duration, in seconds."""
    tables: list[FlowSamples | LinkSamples] = [*run.flows.values(), *run.links.values()]
    last = [float(samples.time_s[-1]) for samples in tables or run.probes.values()]
    if not last:
        last = [run.end.at_s] if run.end else [event.actual_s for event in run.firings]
    return max(0.0, min(run.info.duration_s, max(last, default=0.0)))


def _round(value: float) -> float:
    return round(value, 6)


def _flow(flow: FlowInfo) -> FlowResult:
    return FlowResult(
        from_=flow.from_, to=flow.to, protocol=flow.protocol, ip=flow.ip, links=flow.links
    )


def _phase(run: Run, phase: Phase, end_s: float) -> PhaseResult:
    slack = SLACK_SAMPLES * run.info.sample_s
    reached = phase.end_s < end_s or phase.end_s >= run.info.duration_s - slack
    flows = {flow.name: _flow_in_phase(run, flow, phase) for flow in run.info.flows}
    links: dict[str, dict[str, LinkInPhase]] = {}
    for (link, direction), samples in run.links.items():
        paths = {p: s for (*of, p), s in run.paths.items() if of == [link, direction]}
        links.setdefault(link, {})[direction] = _link_in_phase(samples, paths, phase)
    return PhaseResult(
        start_s=_round(phase.start_s),
        end_s=_round(phase.end_s),
        finished=run.status == "complete" or reached,
        flows={name: flow for name, flow in flows.items() if flow},
        links=links,
    )


def _flow_in_phase(run: Run, flow: FlowInfo, phase: Phase) -> FlowInPhase | None:
    active = active_span(run, flow, phase)
    span = measured_span(phase, active[0], active[1]) if active else None
    if active is None or span is None:
        return None
    goodput = mean_rate(active[2].time_s, active[2].goodput_bytes, *span)
    ideals = [entry for entry in run.ideals if flow.name in entry.flows]
    ideal = step_mean(
        [entry.at_s for entry in ideals], [entry.flows[flow.name] for entry in ideals], *span
    )
    return FlowInPhase(
        goodput_mbit=_round(goodput),
        ideal_mbit=None if ideal is None else _round(ideal),
        error_percent=round(100 * (goodput / ideal - 1), 3) if ideal else None,
        from_s=_round(span[0]),
        to_s=_round(span[1]),
    )


def _link_in_phase(
    samples: LinkSamples, paths: Mapping[str, PathSamples], phase: Phase
) -> LinkInPhase:
    span = measured_span(phase)
    rate = mean_rate(samples.time_s, samples.bytes, *span) if span else 0.0
    edges = [phase.start_s, phase.end_s]
    drops = np.interp(edges, samples.time_s, samples.drops)
    inside = (samples.time_s >= phase.start_s) & (samples.time_s <= phase.end_s)
    return LinkInPhase(
        rate_mbit=_round(rate),
        dropped=round(float(drops[1] - drops[0])),
        backlog_max_bytes=int(samples.backlog_bytes[inside].max(initial=0)),
        paths_percent=_paths_percent(paths, span) if span else {},
    )


def _paths_percent(paths: Mapping[str, PathSamples], span: tuple[float, float]) -> dict[str, float]:
    rates = {name: mean_rate(each.time_s, each.bytes, *span) for name, each in paths.items()}
    total = sum(rates.values())
    return {name: round(100 * rate / total, 2) for name, rate in rates.items()} if total else {}


def _notes(run: Run) -> tuple[str, ...]:
    notes = []
    if not run.info.flows and not run.info.streams:
        notes.append("The experiment has no flows.")
    silent = [flow.name for flow in run.info.flows if flow.name not in run.flows]
    if silent:
        notes.append(
            f"There are no samples of {'flow' if len(silent) == 1 else 'flows'} {listed(silent)}."
        )
    notes += notes_on(run)
    notes += list(_lost_frames(run))
    if run.bad_lines:
        notes.append(
            f"{run.bad_lines} unreadable line(s) of the record were left out, "
            "as after a run that was cut off."
        )
    return tuple(notes)


def _lost_frames(run: Run) -> Iterator[str]:
    for capture in run.captures:
        dropped = sum(counts.dropped for counts in capture.interfaces.values())
        if dropped:
            yield f"{capture.file} lacks {dropped} frames, which came too fast to be kept."


def _conditions(run: Run) -> Conditions:
    info = run.info
    return Conditions(
        started=info.started,
        command=info.command,
        versions=info.versions,
        machine=info.machine,
        seed=info.seed,
        time_scale=info.time_scale,
        sample_s=info.sample_s,
    )
