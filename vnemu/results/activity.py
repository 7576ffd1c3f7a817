"""When a flow was active and can be measured."""

from __future__ import annotations

import math

from vnemu.results.phases import Phase
from vnemu.results.reader import FlowSamples, Run
from vnemu.results.runinfo import FlowInfo

SLACK_SAMPLES = 5


def active_span(run: Run, flow: FlowInfo, phase: Phase) -> tuple[float, float, FlowSamples] | None:
    """Return the part of a phase in which a flow can be measured, and its samples.

    Its samples may end a little before the phase does, as they are taken in turn. If
    they end much earlier the flow has died, and the silence counts.
    """
    samples = run.flows.get(flow.name)
    if samples is None:
        return None
    last = float(samples.time_s[-1])
    stop = flow.stop_s if flow.stop_s is not None else math.inf
    end = min(phase.end_s, stop)
    if end - SLACK_SAMPLES * run.info.sample_s <= last < end:
        end = last
    start = max(phase.start_s, flow.start_s)
    return (start, end, samples) if end > start else None
