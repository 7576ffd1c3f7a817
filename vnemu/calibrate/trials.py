"""What a calibration tries: experiments, each with the rows that are read from it; pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vnemu.calibrate import documents as doc
from vnemu.calibrate.chances import corruption, duplicates, loss_in_bursts, reordering
from vnemu.calibrate.documents import Data, Pair
from vnemu.calibrate.readings import at_last, goodput, jitter, loss, one_way, part_of_ideal
from vnemu.results.calibration import CalibrationRow, What
from vnemu.results.reader import Run
from vnemu.results.words import rate

# Rates that run at the same time are small beside what a machine forwards.
RATES_MBIT = ((1, 10), (100,), (1000,))
DELAYS_MS = (1, 10, 50)
LOSSES = (1, 10)
BURSTS = (2, 20)
"""Percent: the chance that a burst of losses begins with a frame, and that it ends."""
DUPLICATES, CORRUPTED, REORDERED = 5, 5, 10
JITTER_MS, ITS_DELAY_MS = 2, 10

SHARED_MBIT, GUARANTEE_MBIT, COMPETITORS = 32, 8, 4
"""The guarantees' physical link; TCP and UDP competitors in turn, at twice their share.

It is the link of the paper's evaluation. More would be too much for one slow processor:
that is what rates and ceilings are about.
"""

_GAP_S = 0.3  # between flows that shall not meet
_OFFERED = 1.5  # of a link's rate, by a sender of datagrams, which may come in bursts
_HEADROOM = 1.2  # of the machine's ceiling above a rate, for it to be tried
_STARTS_S = 5.0  # what many programs take to start in the private kernel, one upon the other
_UNBOUND = "40gbit"
_FAST = "1gbit"
_PING = "20ms"
_BURSTS = {"p": f"{BURSTS[0]}%", "r": f"{BURSTS[1]}%"}
_SKIPPED = "8ms"  # a frame that skips this delay overtakes the one 5 ms before it, no other
_DENSE_PING = "5ms"  # further apart than the jitter moves two pings to each other


@dataclass(frozen=True)
class Pace:
    """How long things are measured, in seconds; `sleeps` is a number."""

    flow_s: float
    ping_s: float
    chance_s: float
    sleeps: int


FULL = Pace(flow_s=6.0, ping_s=5.0, chance_s=12.0, sleeps=200)
QUICK = Pace(flow_s=2.5, ping_s=2.0, chance_s=4.0, sleeps=100)

Reading = Callable[[CalibrationRow, Run, str], CalibrationRow]


@dataclass(frozen=True)
class Case:
    """A row as asked, and how it is read: from the flow or probe `source`."""

    row: CalibrationRow
    source: str
    read: Reading


@dataclass(frozen=True)
class Trial:
    """An experiment that takes `seconds`, for which the kernel must have `needs`."""

    title: str
    document: Data
    seconds: float
    cases: tuple[Case, ...]
    needs: tuple[str, ...] = ()


def ceilings(pace: Pace) -> Trial:
    """One TCP flow as fast as the machine, over a physical link and inside one RM."""
    pairs = {
        "over one link, TCP": Pair("link", {"rate": _UNBOUND}),
        "inside one machine, TCP": Pair("machine"),
    }
    flows, cases = [], []
    for number, (case, pair) in enumerate(pairs.items()):
        start, stop = _slot(pace, number)
        flows.append(doc.flow(pair.name, pair, {"tcp": {}}, start, stop))
        row = CalibrationRow(what="ceiling", case=case, unit="Mbit/s")
        cases.append(Case(row, pair.name, goodput))
    seconds = _slot(pace, len(pairs))[0]
    where = doc.topology(pairs.values())
    return Trial("ceilings", doc.document(where, seconds, traffic=flows), seconds, tuple(cases))


def rates(pace: Pace, ceiling_mbit: float) -> tuple[Trial, tuple[CalibrationRow, ...]]:
    """Rates of physical links, by TCP and by UDP.

    Returns:
        The trial, and rows for the rates that are beyond the machine's ceiling.
    """
    pairs: dict[int, Pair] = {}
    flows, cases, beyond = [], [], []
    slots = [(protocol, each) for protocol in ("tcp", "udp") for each in RATES_MBIT]
    number = 0
    for protocol, together in slots:
        within = [mbit for mbit in together if mbit * _HEADROOM <= ceiling_mbit]
        for mbit in together:
            case = _rate_case(mbit, protocol)
            if mbit not in within:
                beyond.append(_beyond(case.row, ceiling_mbit))
                continue
            pair = pairs.setdefault(mbit, Pair(f"{mbit}mbit", {"rate": f"{mbit}mbit"}))
            offered = _protocol(protocol, mbit * _OFFERED)
            flows.append(doc.flow(case.source, pair, offered, *_slot(pace, number)))
            cases.append(case)
        number += bool(within)
    seconds = _slot(pace, number)[0]
    where = doc.topology(pairs.values())
    trial = Trial("rates", doc.document(where, seconds, traffic=flows), seconds, tuple(cases))
    return trial, tuple(beyond)


def guarantees(pace: Pace) -> Trial:
    """Guarantees for TCP and for UDP beside greedy competitors, all of them from the start."""
    kept = [Pair(p, link={"guarantee": f"{GUARANTEE_MBIT}mbit"}) for p in ("tcp", "udp")]
    greedy = [Pair(f"greedy{number}") for number in range(COMPETITORS)]
    share = (SHARED_MBIT - len(kept) * GUARANTEE_MBIT) / COMPETITORS
    seconds = pace.flow_s + _STARTS_S
    flows, cases = [], []
    for pair in kept:
        offered = _protocol(pair.name, GUARANTEE_MBIT * _OFFERED)
        flows.append(doc.flow(pair.name, pair, offered, 0, seconds))
        cases.append(Case(_guarantee_row(pair.name), pair.name, at_last))
    for number, pair in enumerate(greedy):
        offered = _protocol(("tcp", "udp")[number % 2], 2 * share)
        flows.append(doc.flow(pair.name, pair, offered, 0, seconds))
    where = doc.shared([*kept, *greedy], f"{SHARED_MBIT}mbit")
    return Trial("guarantees", doc.document(where, seconds, traffic=flows), seconds, tuple(cases))


def _guarantee_row(protocol: str) -> CalibrationRow:
    case = f"{GUARANTEE_MBIT}mbit of {SHARED_MBIT}mbit, {protocol.upper()}"
    return CalibrationRow(what="guarantee", case=case, unit="Mbit/s", rate_mbit=float(SHARED_MBIT))


def no_delay(pace: Pace) -> Trial:
    """What a ping takes without any delay."""
    return _delays("no delay", pace, (0,), ())


def delays(pace: Pace) -> Trial:
    """Delays of VLs."""
    return _delays("delays", pace, DELAYS_MS, ("netem",))


def _delays(title: str, pace: Pace, delays_ms: tuple[int, ...], needs: tuple[str, ...]) -> Trial:
    pairs, cases = [], []
    for delay in delays_ms:
        link = {"delay": f"{delay}ms"} if delay else {}
        pairs.append(Pair(f"delay{delay}", {"rate": _FAST}, link))
        row = CalibrationRow(
            what="delay", case=f"{delay}ms, one way", unit="ms", requested=float(delay)
        )
        cases.append(Case(row, pairs[-1].name, one_way))
    pings = [doc.probe(pair, _PING) for pair in pairs]
    made = doc.document(doc.topology(pairs), pace.ping_s, probes=pings)
    return Trial(title, made, pace.ping_s, tuple(cases), needs)


def chances(pace: Pace) -> Trial:
    """What comes by chance: jitter and losses of VLs."""
    shaken = Pair(
        "jitter", {"rate": _FAST}, {"delay": f"{ITS_DELAY_MS}ms", "jitter": f"{JITTER_MS}ms"}
    )
    row = CalibrationRow(
        what="jitter",
        case=f"{JITTER_MS}ms of a delay of {ITS_DELAY_MS}ms",
        unit="ms",
        requested=float(JITTER_MS),
    )
    pairs, cases = [shaken], [Case(row, shaken.name, jitter)]
    for percent in LOSSES:
        pairs.append(Pair(f"loss{percent}", {"rate": _FAST}, {"loss": f"{percent}%"}))
        row = CalibrationRow(
            what="loss", case=f"{percent}%, one way", unit="%", requested=float(percent)
        )
        cases.append(Case(row, pairs[-1].name, loss))
    pings = [doc.probe(pair, _DENSE_PING) for pair in pairs]
    made = doc.document(doc.topology(pairs), pace.chance_s, probes=pings)
    return Trial("jitter and loss", made, pace.chance_s, tuple(cases), ("netem",))


def mischief(pace: Pace) -> Trial:
    """What else befalls frames by chance: bursts of losses, copies, wrong bits, overtaking."""
    asked: tuple[tuple[What, str, float, Data, Reading], ...] = (
        ("loss", "in bursts", 100 * BURSTS[0] / sum(BURSTS), {"loss": _BURSTS}, loss_in_bursts),
        ("duplicate", "", DUPLICATES, {"duplicate": f"{DUPLICATES}%"}, duplicates),
        ("corrupt", "", CORRUPTED, {"corrupt": f"{CORRUPTED}%"}, corruption),
        ("reorder", "", REORDERED, {"reorder": f"{REORDERED}%", "delay": _SKIPPED}, reordering),
    )
    pairs, cases = [], []
    for what, how, percent, link, read in asked:
        pairs.append(Pair(f"some-{what}", {"rate": _FAST}, link))
        case = f"{percent:.3g}%" + (f" {how}" if how else "") + ", one way"
        row = CalibrationRow(what=what, case=case, unit="%", requested=float(percent))
        cases.append(Case(row, pairs[-1].name, read))
    probes = [doc.stream(pair, _DENSE_PING) for pair in pairs]
    made = doc.document(doc.topology(pairs), pace.chance_s, probes=probes)
    return Trial(
        "bursts, copies, wrong bits, overtaking", made, pace.chance_s, tuple(cases), ("netem",)
    )


def expected_seconds(pace: Pace) -> float:
    """How long all trials together run, without their set-up."""
    every = [ceilings(pace), rates(pace, float("inf"))[0], guarantees(pace)]
    every += [no_delay(pace), delays(pace), chances(pace), mischief(pace)]
    return sum(trial.seconds for trial in every)


def _slot(pace: Pace, number: int) -> tuple[float, float]:
    start = number * (pace.flow_s + _GAP_S)
    return start, start + pace.flow_s


def _protocol(name: str, mbit: float) -> Data:
    return {"tcp": {}} if name == "tcp" else {"udp": {"rate": f"{mbit:g}mbit"}}


def _rate_case(mbit: int, protocol: str) -> Case:
    row = CalibrationRow(
        what="rate", case=f"{mbit}mbit, {protocol.upper()}", unit="Mbit/s", rate_mbit=float(mbit)
    )
    return Case(row, f"{protocol}-{mbit}mbit", part_of_ideal)


def _beyond(row: CalibrationRow, ceiling_mbit: float) -> CalibrationRow:
    note = f"beyond this machine, where one flow comes to {rate(ceiling_mbit)}"
    return row.model_copy(update={"note": note})
