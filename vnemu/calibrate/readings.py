"""From a run to what was measured in it. Each reading takes a row as asked, and fills it in."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vnemu.results.calibration import CalibrationRow
from vnemu.results.phases import step_mean
from vnemu.results.reader import FlowSamples, Run
from vnemu.results.runinfo import FlowInfo
from vnemu.results.series import mean_rate
from vnemu.results.words import rate

WARM_UP_S = 1.0
"""Seconds of a flow that do not count: TCP has to find its rate."""
_LAST_S = 0.2  # nor these, in which others may have ended
CONFIDENCE = 0.99

_TOO_SLOW = "this machine is too slow to start all flows in time"
_Z = 2.5758  # of CONFIDENCE, for a normal distribution
# A round trip adds two independent delays that are uniform within j of their mean: the
# sum is triangular, and its quartiles are (4 - 2 sqrt 2) j apart. The standard error of
# that distance follows from the density there, sqrt(2) / 4j (asymptotic distribution of
# sample quantiles: Mosteller, Annals of Mathematical Statistics 17, 1946).
_QUARTILES_APART = 4 - 2 * math.sqrt(2)
_QUARTILES_ERROR = math.sqrt(2) / _QUARTILES_APART


def goodput(row: CalibrationRow, run: Run, flow: str) -> CalibrationRow:
    """Payload that arrived, in Mbit/s.

    Payload in order would jump when what was lost at the start has been repaired, which
    takes seconds at 1 Mbit/s.
    """
    info = _flow(run, flow)
    return filled(row, measured=_arrived(run, info, _span(run, info)))


def part_of_ideal(row: CalibrationRow, run: Run, flow: str) -> CalibrationRow:
    """Payload that arrived, beside the ideal that the model computes.

    A sender of datagrams may be too slow to fill the link: then it is beside what it sent.
    """
    info = _flow(run, flow)
    return _beside_ideal(row, run, info, _span(run, info))


def at_last(row: CalibrationRow, run: Run, flow: str) -> CalibrationRow:
    """As `part_of_ideal`, in the second half of the flow: many take their time to start."""
    info = _flow(run, flow)
    start, stop = _span(run, info)
    middle = (start + stop) / 2
    if not all(_has_begun(samples, middle) for samples in run.flows.values()):
        return filled(row, note=_TOO_SLOW)
    return _beside_ideal(row, run, info, (middle, stop))


def _has_begun(samples: FlowSamples, at: float) -> bool:
    return bool((samples.arrived_bytes[samples.time_s <= at] > 0).any())


def _beside_ideal(
    row: CalibrationRow, run: Run, flow: FlowInfo, span: tuple[float, float]
) -> CalibrationRow:
    arrived = _arrived(run, flow, span)
    ideal = _ideal(run, flow.name, span)
    if ideal is None:
        return filled(row, note=_TOO_SLOW)
    offered = _offered(run, flow, span) if flow.protocol == "udp" else ideal
    if offered >= ideal:
        return filled(row, requested=ideal, measured=arrived)
    note = f"the sender came to {rate(offered)} only"
    return filled(row, requested=offered, measured=arrived, note=note)


def one_way(row: CalibrationRow, run: Run, probe: str) -> CalibrationRow:
    """Half of the round-trip time of pings in ms, less nothing: median and 99th percentile."""
    times = _answered(run, probe) / 2
    if not len(times):
        return filled(row, note="no ping came back")
    median, p99 = (float(np.percentile(times, part)) for part in (50, 99))
    return filled(row, measured=median, p99=p99)


def jitter(row: CalibrationRow, run: Run, probe: str) -> CalibrationRow:
    """Half the width of the uniform jitter of one way in ms, from the quartiles of pings."""
    times = _answered(run, probe)
    if not len(times):
        return filled(row, note="no ping came back")
    lower, upper = np.percentile(times, (25, 75))
    width = float(upper - lower) / _QUARTILES_APART
    margin = _Z * _QUARTILES_ERROR * width / math.sqrt(len(times))
    return filled(
        row, measured=width, interval=(width - margin, width + margin), note=_count(len(times))
    )


def loss(row: CalibrationRow, run: Run, probe: str) -> CalibrationRow:
    """Loss of one way in percent, from the pings that met it on either."""
    times = run.probes[probe].rtt_ms
    lost = int(np.isnan(times).sum())
    low, high = binomial_interval(lost, len(times))
    return filled(
        row,
        measured=_of_one_way(lost / len(times)),
        interval=(_of_one_way(low), _of_one_way(high)),
        note=_count(len(times)),
    )


def binomial_interval(
    hits: int, trials: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return between what the probability of a hit is, given a sample.

    Source: Clopper and Pearson, *The use of confidence or fiducial limits illustrated in
    the case of the binomial*, Biometrika 26, 1934.
    """
    from scipy.special import betaincinv  # a tenth of scipy.stats

    rest = (1 - confidence) / 2
    low = float(betaincinv(hits, trials - hits + 1, rest)) if hits else 0.0
    high = float(betaincinv(hits + 1, trials - hits, 1 - rest)) if hits < trials else 1.0
    return low, high


def _of_one_way(lost: float) -> float:
    """Percent lost on one way, from the part lost on two: 1 - (1 - p)^2."""
    return 100 * (1 - math.sqrt(1 - lost))


def _count(pings: int) -> str:
    return f"{pings} pings"


def filled(row: CalibrationRow, **values: object) -> CalibrationRow:
    """The row with what was measured, rounded."""
    rounded = {
        key: round(value, 6) if isinstance(value, float) else value for key, value in values.items()
    }
    return row.model_copy(update=rounded)


def _flow(run: Run, name: str) -> FlowInfo:
    return next(flow for flow in run.info.flows if flow.name == name)


def _span(run: Run, flow: FlowInfo) -> tuple[float, float]:
    stop = run.info.duration_s if flow.stop_s is None else flow.stop_s
    return flow.start_s + WARM_UP_S, stop - _LAST_S


def _arrived(run: Run, flow: FlowInfo, span: tuple[float, float]) -> float:
    samples = run.flows[flow.name]
    return mean_rate(samples.time_s, samples.arrived_bytes, *span)


def _ideal(run: Run, flow: str, span: tuple[float, float]) -> float | None:
    """The mean ideal in Mbit/s; None if the flow was over before it was written down."""
    told = [entry for entry in run.ideals if flow in entry.flows]
    return step_mean([e.at_s for e in told], [e.flows[flow] for e in told], *span)


def _offered(run: Run, flow: FlowInfo, span: tuple[float, float]) -> float:
    """What a sender of datagrams gave to its VL, sent or dropped, in Mbit/s of payload."""
    payload, frame = flow.frame_payload
    link = next(link for link in flow.links if link.endswith("/core"))
    samples = run.links[link, "r1>r2"]
    given = samples.bytes + samples.drops * frame
    return mean_rate(samples.time_s, given, *span) * payload / frame


def _answered(run: Run, probe: str) -> NDArray[np.float64]:
    """Round-trip times in ms without the first ping, which resolves addresses."""
    times = run.probes[probe].rtt_ms[1:]
    return times[~np.isnan(times)]
