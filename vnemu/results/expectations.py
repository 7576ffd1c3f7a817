"""Judge a result by the expectations of its experiment file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vnemu.results.expected_probes import in_words, loss, outage
from vnemu.results.judging import NotThere, event_name, event_of, known, last_firing_s
from vnemu.results.phases import boundaries, cut_phases
from vnemu.results.reader import CUT_OFF
from vnemu.results.schema import (
    EventResult,
    ExpectationResult,
    PhaseResult,
    Result,
    RoutingAtEvent,
)
from vnemu.results.settling import BAND
from vnemu.results.words import listed, percent, rate, seconds
from vnemu.schema.experiment import (
    ConvergenceExpectation,
    ExpectationDoc,
    GoodputExpectation,
    IsolationExpectation,
    LossExpectation,
    OutageExpectation,
    PathExpectation,
    SettleExpectation,
    SpreadExpectation,
    UnmovedExpectation,
    UntouchedExpectation,
)

_OfRouting = ConvergenceExpectation | UnmovedExpectation | UntouchedExpectation | PathExpectation
_Doc = (
    _OfRouting
    | IsolationExpectation
    | LossExpectation
    | OutageExpectation
    | SettleExpectation
    | SpreadExpectation
    | GoodputExpectation
)
_DOC: TypeAdapter[_Doc] = TypeAdapter(ExpectationDoc)


def evaluate(
    documents: Iterable[Mapping[str, Any]], result: Result
) -> tuple[ExpectationResult, ...]:
    """Judge `result` by expectation documents, as plain data.

    An expectation of something that is not there, or that the run did not reach, is
    not met and says so.
    """
    return tuple(_judge(document, result) for document in documents)


def _judge(document: Mapping[str, Any], result: Result) -> ExpectationResult:
    try:
        doc = _DOC.validate_python(dict(document))
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        return ExpectationResult(text=str(dict(document)), measured=reason, met=False)
    text = _text(doc, result)
    try:
        measured, met = _measure(doc, result)
    except NotThere as reason:
        return ExpectationResult(text=text, measured=str(reason), met=False)
    return ExpectationResult(text=text, measured=measured, met=met)


def _text(doc: _Doc, result: Result) -> str:
    match doc:
        case GoodputExpectation():
            return f"{_who(doc)}, phase {doc.phase}: goodput {_bounds(doc, result)}"
        case SettleExpectation():
            who = _flows(doc.flows) if doc.flows else "all flows"
            return f"{who}: settled within {doc.settle} after {event_name(doc.event, result)}"
        case LossExpectation() | OutageExpectation():
            return in_words(doc, result)
        case SpreadExpectation():
            where = f"{doc.spread} ({doc.direction}), phase {doc.phase}"
            return f"{where}: the same part on each of its paths, within {doc.within}"
        case IsolationExpectation():
            return f"nothing sent in network {doc.isolated[0]} is seen in {doc.isolated[1]}"
        case ConvergenceExpectation():
            name = event_name(doc.event, result)
            return f"routing: converged within {doc.convergence} after {name}"
        case UnmovedExpectation():
            return f"routing: no route changed after {event_name(doc.unmoved, result)}"
        case UntouchedExpectation():
            return "nobody touched a virtual router"
        case PathExpectation():
            return f"path {_arrows(doc.path)} after {event_name(doc.event, result)}"


def _measure(doc: _Doc, result: Result) -> tuple[str, bool]:
    match doc:
        case GoodputExpectation():
            return _goodput(doc, result)
        case SettleExpectation():
            return _settle(doc, result)
        case LossExpectation():
            return loss(doc, result)
        case OutageExpectation():
            return outage(doc, result)
        case SpreadExpectation():
            return _spread(doc, result)
        case IsolationExpectation():
            return _isolation(doc, result)
        case ConvergenceExpectation() | UnmovedExpectation():
            return _moved(doc, result)
        case UntouchedExpectation():
            return _untouched(result)
        case PathExpectation():
            return _path(doc, result)


def _names(doc: GoodputExpectation) -> list[str]:
    return [doc.flow] if doc.flow is not None else list(doc.flows or ())


def _flows(names: list[str]) -> str:
    return f"{'flow' if len(names) == 1 else 'flows'} {listed(names)}"


def _who(doc: GoodputExpectation) -> str:
    names = _names(doc)
    return _flows(names) + (" together" if len(names) > 1 else "")


def _bounds(doc: GoodputExpectation, result: Result) -> str:
    ideal = _ideal_of(doc, result)
    shown = "the ideal" + (f" {rate(ideal)}" if ideal is not None else "")
    bounds = [
        f"within {doc.within} of {shown}" if doc.within else "",
        f"at least {doc.at_least} of {shown}" if doc.at_least else "",
        f"at least {rate(doc.min.mbit)}" if doc.min else "",
        f"at most {rate(doc.max.mbit)}" if doc.max else "",
    ]
    return listed([bound for bound in bounds if bound])


def _ideal_of(doc: GoodputExpectation, result: Result) -> float | None:
    if doc.phase > len(result.phases):
        return None
    flows = result.phases[doc.phase - 1].flows
    ideals = [flows[name].ideal_mbit for name in _names(doc) if name in flows]
    known = [ideal for ideal in ideals if ideal is not None]
    return sum(known) if len(known) == len(_names(doc)) else None


def _phase(number: int, result: Result) -> PhaseResult:
    cutting = [event for event in result.events if not event.observes]
    planned = [at for event in cutting for at in boundaries(event.planned_s, event.until_s)]
    count = max(len(result.phases), len(cut_phases(planned, result.duration_s)))
    if number > count:
        raise NotThere(
            f"there is no phase {number}: "
            + ("the only one is phase 1" if count == 1 else f"there are {count}")
        )
    if number > len(result.phases) or not result.phases[number - 1].finished:
        raise NotThere(CUT_OFF)
    return result.phases[number - 1]


def _goodput(doc: GoodputExpectation, result: Result) -> tuple[str, bool]:
    names = _names(doc)
    known("flow", names, result.flows)
    flows = _phase(doc.phase, result).flows
    missing = [name for name in names if name not in flows]
    if missing:
        raise NotThere(f"{_flows(missing)} was not measured in phase {doc.phase}")
    goodput = sum(flows[name].goodput_mbit for name in names)
    ideal = _ideal_of(doc, result)
    if ideal is None and (doc.within or doc.at_least):
        raise NotThere(f"{rate(goodput)}, but the ideal is not known")
    error = f" ({percent(100 * (goodput / ideal - 1))})" if ideal else ""
    return rate(goodput) + error, _in_bounds(doc, goodput, ideal or 0.0)


def _in_bounds(doc: GoodputExpectation, goodput: float, ideal: float) -> bool:
    return not (
        (doc.within and abs(goodput - ideal) > doc.within.fraction * ideal)
        or (doc.at_least and goodput < doc.at_least.fraction * ideal)
        or (doc.min and goodput < doc.min.mbit)
        or (doc.max and goodput > doc.max.mbit)
    )


def _settle(doc: SettleExpectation, result: Result) -> tuple[str, bool]:
    known("flow", doc.flows or (), result.flows)
    event = event_of(doc.event, result)
    at_s = last_firing_s(event)
    phase = next((p for p in result.phases if p.start_s <= at_s < p.end_s), None)
    if phase is None or not phase.finished:
        raise NotThere(CUT_OFF if result.status != "complete" else "no phase follows the event")
    names = doc.flows or list(event.settle_s)
    if not names:
        raise NotThere("no flow was active at the event")
    spans = {name: event.settle_s.get(name) for name in names}
    text = ", ".join(
        f"{name} {seconds(span)}{'' if span is None else _wide(event.band_percent.get(name))}"
        for name, span in spans.items()
    )
    limit = doc.settle.seconds + 1e-9
    return text, all(span is not None and span <= limit for span in spans.values())


def _wide(band_percent: float | None) -> str:
    usual = band_percent is None or band_percent <= 100 * BAND
    return "" if usual else f" (to its restless level, ± {band_percent:g}%)"


def _spread(doc: SpreadExpectation, result: Result) -> tuple[str, bool]:
    phase = _phase(doc.phase, result)
    known("link", [doc.spread], phase.links)
    known("direction", [doc.direction], phase.links[doc.spread])
    parts = phase.links[doc.spread][doc.direction].paths_percent
    if not parts:
        raise NotThere("nothing passed it, or it has only one path")
    text = listed([f"{part:.1f}% by {path}" for path, part in parts.items()])
    equal = 100 / len(parts)
    most = doc.within.fraction * equal + 1e-9
    return text, all(abs(part - equal) <= most for part in parts.values())


def _isolation(doc: IsolationExpectation, result: Result) -> tuple[str, bool]:
    source, listener = doc.isolated
    proofs = [p for p in result.proofs if (p.from_, p.to) == (source, listener)]
    if not proofs:
        raise NotThere(
            CUT_OFF if result.status != "complete" else "it was not tried: add prove_isolation"
        )
    sent = sum(sum(proof.sent.values()) for proof in proofs)
    seen = sum(sum(proof.seen_in_own.values()) for proof in proofs)
    leaked = sum(proof.leaked for proof in proofs)
    text = f"{leaked} of {sent} frames leaked; {seen} of them were seen in {source} itself"
    # Frames that reach nobody prove nothing.
    return text, leaked == 0 and sent > 0 and seen > 0


def _routing(event: EventResult, result: Result) -> RoutingAtEvent:
    if event.routing is None:
        raise NotThere("no routes were recorded")
    over = min(event.routing.until_s, result.duration_s)
    if result.status != "complete" and result.end_s <= over:
        raise NotThere(CUT_OFF)
    return event.routing


def _moved(doc: ConvergenceExpectation | UnmovedExpectation, result: Result) -> tuple[str, bool]:
    """How routes changed, and whether that is what was expected."""
    named = doc.unmoved if isinstance(doc, UnmovedExpectation) else doc.event
    found = _routing(event_of(named, result), result)
    if found.convergence_s is None:
        return "no route changed", isinstance(doc, UnmovedExpectation)
    text = f"{found.changes} changes, the last after {seconds(found.convergence_s)}"
    return text, (
        isinstance(doc, ConvergenceExpectation)
        and found.convergence_s <= doc.convergence.seconds + 1e-9
    )


def _untouched(result: Result) -> tuple[str, bool]:
    if result.untouched is None:
        raise NotThere(CUT_OFF if result.status != "complete" else "nobody looked")
    return listed(list(result.differences)) or "untouched", result.untouched


def _path(doc: PathExpectation, result: Result) -> tuple[str, bool]:
    found = _routing(event_of(doc.event, result), result)
    ends = doc.path[0], doc.path[-1]
    paths = [p for p in found.paths if (p.from_, p.to) == ends and doc.ip in {None, p.ip}]
    if not paths:
        raise NotThere("its ends are not known")
    after = paths[0].after
    return " or ".join(_arrows(path) for path in after) or "none", after == (tuple(doc.path),)


def _arrows(path: Iterable[str]) -> str:
    return " -> ".join(path)
