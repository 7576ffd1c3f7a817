"""What became of the probes of a stream: lost, late, twice, out of order; pure.

Where the definitions come from:

- *lost*: sent, and not there a second after the last was sent (the waiting time of
  RFC 7680; RFC 6703 says why it is long);
- *outage*: the longest loss period (RFC 3357, section 5: losses with consecutive numbers),
  as the time from the sending of the first lost probe to the sending of the next one that
  arrives. That is how RFC 6412 has the loss of connectivity of a route measured from
  outside; with an interval d it is right to d;
- *duplicated*: arrivals of a probe after its first (RFC 5560);
- *reordered*: a probe that arrives after one with a higher number (RFC 4737, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vnemu.results.impact import BEFORE_EVENT_S, Carried
from vnemu.results.routing import window
from vnemu.results.runinfo import StreamInfo
from vnemu.results.schema import EventResult, StreamAtEvent, StreamResult
from vnemu.results.series import Array
from vnemu.results.stream_record import ARRIVED, END, MAGIC, OVERFLOWED, RECORD, SENT
from vnemu.results.writer import STREAMS

if TYPE_CHECKING:
    from vnemu.results.reader import Run

WAITING_S = 1.0
LONG_PAUSE_S = 0.02
_NS = 1e-9


@dataclass(frozen=True)
class StreamSamples:
    """One direction of a stream: each array has a value for each probe sent, in order.

    Parameters:
        sent_s: when it was sent, in seconds since t0.
        received_s: when it first arrived; NaN: it was lost.
        copies: how many times more it arrived.
        reordered: whether it arrived after a later one.
    """

    sent_s: Array
    received_s: Array
    copies: Array
    reordered: Array

    @property
    def lost(self) -> Array:
        """Whether each probe was lost."""
        return np.isnan(self.received_s)


def samples_of(sent_s: Array, arrivals: Array) -> StreamSamples:
    """Return what became of probes.

    Parameters:
        sent_s: when each was sent; its index is its number.
        arrivals: records of those that arrived (`RECORD`), in any order.
    """
    arrivals = arrivals[arrivals["seq"] < len(sent_s)]
    arrivals = arrivals[np.argsort(arrivals["received_ns"], kind="stable")]
    numbers, first, times = np.unique(arrivals["seq"], return_index=True, return_counts=True)
    received, copies = np.full(len(sent_s), np.nan), np.zeros(len(sent_s), int)
    received[numbers] = arrivals["received_ns"][first] * _NS
    copies[numbers] = times - 1
    sent = np.array(sent_s, dtype=float)
    sent[numbers] = arrivals["sent_ns"][first] * _NS
    in_order = arrivals["seq"][np.sort(first)].astype(np.int64)
    reordered = np.zeros(len(sent_s), bool)
    if len(in_order):
        reordered[in_order[in_order < np.maximum.accumulate(in_order)]] = True
    return StreamSamples(sent, received, copies, reordered)


def read_streams(folder: Path, infos: Sequence[StreamInfo]) -> tuple[dict[str, StreamSamples], int]:
    """Read streams.bin of a run folder, also one that was cut off.

    Returns:
        The samples of each direction (``NAME>`` and ``NAME<``), and how many datagrams the
        observer itself dropped. Probes of which nothing is known yet are left out.
    """
    records, overflowed = _records(folder / STREAMS)
    found = {}
    for index, info in enumerate(infos):
        pace = next(n for n, other in enumerate(infos) if other.interval_s == info.interval_s)
        ticks = records[(records["kind"] == SENT) & (records["stream"] == 2 * pace)]
        sent_s = ticks["sent_ns"] * _NS
        if not len(records) or records["kind"][-1] != END:
            last_s = float(ticks["sent_ns"][-1]) * _NS if len(ticks) else 0.0
            sent_s = sent_s[sent_s <= last_s - WAITING_S]
        for way, sign in enumerate("><"):
            of_way = (records["kind"] == ARRIVED) & (records["stream"] == 2 * index + way)
            found[info.name + sign] = samples_of(sent_s, records[of_way])
    return found, overflowed


def _records(path: Path) -> tuple[Array, int]:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raw = b""
    body = raw[len(MAGIC) :] if raw.startswith(MAGIC) else b""
    records = np.frombuffer(body, RECORD, len(body) // RECORD.itemsize)
    dropped = records["seq"][records["kind"] == OVERFLOWED]
    return records, int(dropped[-1]) if len(dropped) else 0


@dataclass(frozen=True)
class LossPeriod:
    """Losses in a row.

    Parameters:
        first, next: numbers of the first lost probe, and of the one behind the last.
        begin_s, end_s: when they were sent; the end is where nothing is known any more
            if none arrived behind it.
        over: whether one arrived.
    """

    first: int
    next: int
    begin_s: float
    end_s: float
    over: bool

    @property
    def outage_s(self) -> float:
        """How long it lasted."""
        return self.end_s - self.begin_s


def loss_periods(sent_s: Array, lost: Array, end_s: float) -> list[LossPeriod]:
    """Return the losses in a row, in order; the last ends at `end_s` if it is not over."""
    edges = np.diff(np.concatenate(([0], lost.astype(np.int8), [0])))
    firsts, nexts = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    count = len(sent_s)
    return [
        LossPeriod(
            int(first),
            int(behind),
            float(sent_s[first]),
            float(sent_s[behind]) if behind < count else max(end_s, float(sent_s[-1])),
            bool(behind < count),
        )
        for first, behind in zip(firsts, nexts, strict=True)
    ]


def first_after(samples: StreamSamples, at_s: float) -> int:
    """Return the number of the first probe that counts for an event at `at_s`.

    It is the first that was sent from then on; or the first of a loss period that began
    less than 50 ms before and lasts until then, as its probes were on their way.
    """
    here = int(np.searchsorted(samples.sent_s, at_s))
    first, lost = here, samples.lost
    while first > 0 and lost[first - 1] and samples.sent_s[first - 1] >= at_s - BEFORE_EVENT_S:
        first -= 1
    return here if first > 0 and lost[first - 1] else first


def stream_at_event(samples: StreamSamples, at_s: float, end_s: float) -> StreamAtEvent:
    """Return what an event at `at_s` did to a stream, up to the next event at `end_s`."""
    first, behind = first_after(samples, at_s), first_after(samples, end_s)
    span = slice(first, max(first, behind))
    sent_s, lost = samples.sent_s[span], samples.lost[span]
    periods = loss_periods(sent_s, lost, end_s)
    longest = max(periods, key=lambda period: period.outage_s, default=None)
    begin, last = (periods[0], periods[-1]) if periods else (None, None)
    return StreamAtEvent(
        sent=len(sent_s),
        lost=int(lost.sum()),
        duplicated=int(samples.copies[span].sum()),
        reordered=int(samples.reordered[span].sum()),
        outage_ms=_ms(longest.outage_s) if longest else 0.0,
        until_s=round(end_s, 6),
        first_loss_s=round(begin.begin_s - at_s, 6) if begin else None,
        first_repair_s=round(begin.end_s - at_s, 6) if begin and begin.over else None,
        last_repair_s=round(last.end_s - at_s, 6) if last and last.over else None,
    )


def stream_result(samples: StreamSamples, end_s: float) -> StreamResult:
    """Describe one direction of a stream over a run that lasted until `end_s`."""
    sent_s, lost = samples.sent_s, samples.lost
    count = len(sent_s)
    if not count:
        return StreamResult(sent=0, lost=0)
    delays = (samples.received_s - sent_s)[~lost] * 1e3
    median, p99, most = (
        (round(float(np.percentile(delays, q)), 4) for q in (50, 99, 100))
        if len(delays)
        else (None, None, None)
    )
    periods = loss_periods(sent_s, lost, end_s)
    longest = max(periods, key=lambda period: period.outage_s, default=None)
    return StreamResult(
        sent=count,
        lost=int(lost.sum()),
        loss_percent=round(100 * float(lost.mean()), 4),
        duplicated=int(samples.copies.sum()),
        reordered=int(samples.reordered.sum()),
        outage_ms=_ms(longest.outage_s) if longest else 0.0,
        outage_at_s=round(longest.begin_s, 6) if longest else None,
        delay_median_ms=median,
        delay_p99_ms=p99,
        delay_max_ms=most,
        pause_max_ms=_ms(float(np.diff(sent_s).max())) if count > 1 else None,
    )


def with_streams(
    run: Run, events: Sequence[Carried], results: Sequence[EventResult], end_s: float
) -> tuple[EventResult, ...]:
    """Add to each event's result what it did to the streams."""
    found = []
    for event, result in zip(events, results, strict=True):
        if event.cuts and run.streams:
            span = window(event, events, end_s)
            streams = {name: stream_at_event(s, *span) for name, s in run.streams.items()}
            found.append(result.model_copy(update={"streams": streams}))
        else:
            found.append(result)
    return tuple(found)


def notes_on(run: Run) -> list[str]:
    """Return what a reader of the streams' numbers must know."""
    notes = []
    if run.overflowed:
        notes.append(
            f"{run.overflowed} UDP probes arrived and were dropped by vnemu itself, "
            "which was too slow: they count as lost."
        )
    pauses = [float(np.diff(s.sent_s).max()) for s in run.streams.values() if len(s.sent_s) > 1]
    if max(pauses, default=0.0) > LONG_PAUSE_S:
        notes.append(
            f"The sender of the UDP probes was held up for {_ms(max(pauses)):g} ms at worst: "
            "outages may be off by so much."
        )
    return notes


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
