"""Checks against a running lab: what was seen, what was expected, where to look."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vnemu.errors import ExperimentFailed, InputError
from vnemu.schema.teaching import (
    AnswerDoc,
    CheckDoc,
    FlowsDoc,
    HappenedDoc,
    LabDoc,
    OutagesDoc,
    PathDoc,
    PatientDoc,
    ReachAllDoc,
    ReachDoc,
    RouteDoc,
    ShowsDoc,
    StateDoc,
    UnreachableDoc,
)
from vnemu.teaching.answers import judged
from vnemu.teaching.measure import Loss, answers_ping, goodput, outages
from vnemu.teaching.network import Network
from vnemu.units import Rate

_AGAIN_S = 0.2
_PATIENCE_S = 20.0
_SHOWN = 200
_PINGS = 3  # all of which are lost where nobody can be reached


@dataclass(frozen=True)
class Verdict:
    """What a check found.

    Parameters:
        check: what was looked at.
        look: where to look if it is not met; may be empty.
    """

    check: str
    met: bool
    saw: str
    expected: str
    look: str = ""

    def as_data(self) -> dict[str, object]:
        """It as plain data."""
        return {"check": self.check, "met": self.met, "saw": self.saw, "expected": self.expected}


@dataclass(frozen=True)
class Asked:
    """What checks look at: the running network, and what the student has answered.

    Parameters:
        lab: the name of the lab, which seals are made with.
        answers: by question.
    """

    lab: str
    doc: LabDoc
    network: Network
    answers: Mapping[str, object]


Found = tuple[bool, str, str]
"""Whether it is met, what was seen, and what was expected."""


def carried_out(asked: Asked, checks: Iterable[CheckDoc]) -> Iterator[Verdict]:
    """Carry out checks, such as those of a step, in their order.

    When something is not met, nothing after it is waited for or measured for seconds.
    """
    met = True
    for check in checks:
        title = _title(check)
        if isinstance(check, FlowsDoc | OutagesDoc) and not met:
            saw = "not measured: first what is above"
            yield Verdict(title, False, saw, _expected(check))
            continue
        asked.network.look()
        verdict = _verdict(asked, check, title, patient=met)
        met = met and verdict.met
        yield verdict


def _verdict(asked: Asked, check: CheckDoc, title: str, *, patient: bool) -> Verdict:
    look = check.look or _LOOK[type(check)].replace("LAB", asked.lab)
    within = check.within.seconds if isinstance(check, PatientDoc) and patient else 0.0
    until = time.monotonic() + max(0.0, within - asked.network.quiet_s)
    while True:
        try:
            met, saw, expected = _LOOKERS[type(check)](asked, check)
        except (InputError, ExperimentFailed) as error:
            met, saw, expected = False, str(error), _expected(check)
        except subprocess.TimeoutExpired:
            met, saw, expected = False, "a command that did not end in time", _expected(check)
        if met or time.monotonic() > until:
            return Verdict(title, met, saw, expected, "" if met else look)
        time.sleep(_AGAIN_S)


def _title(check: CheckDoc) -> str:
    match check:
        case ReachDoc(reach=[one, other]):
            return f"{one} reaches {other}"
        case ReachAllDoc(reach_all=network):
            return f"all nodes of {network} reach each other"
        case UnreachableDoc(unreachable=[one, other]):
            return f"{one} does not reach {other}"
        case RouteDoc(route=[one, other]):
            return f"the next hop from {one} to {other}"
        case PathDoc(path=[one, other]):
            return f"the path from {one} to {other}"
        case FlowsDoc():
            return f"goodput of {_pairs(check.flows)}"
        case OutagesDoc():
            return f"loss from {_pairs(check.outages)} around: {', '.join(check.when)}"
        case StateDoc():
            return f"the state of {check.state}"
        case ShowsDoc():
            return f"what {' '.join(check.command)} prints in {check.shows}"
        case HappenedDoc():
            return f"the events of the lab ({check.kind})"
        case AnswerDoc():
            return f"the answer to '{check.answer}'"
    raise AssertionError(check)


def _pairs(parts: Any) -> str:
    return ", ".join(f"{part.from_} to {part.to}" for part in parts)


def _expected(check: CheckDoc) -> str:
    """What is expected, for when it could not even be looked at."""
    match check:
        case FlowsDoc():
            return ", ".join(_bounds(f.at_least, f.at_most) for f in check.flows)
        case OutagesDoc():
            return ", ".join(_bounds(o.at_least, o.at_most) for o in check.outages)
        case RouteDoc():
            return check.via
        case PathDoc():
            return " - ".join([check.path[0], *check.through, check.path[1]])
        case UnreachableDoc():
            return "no answer"
        case StateDoc():
            return _wanted(check.is_)
        case ShowsDoc():
            return f"something like {check.match}"
        case ReachDoc() | ReachAllDoc():
            return "answers"
    return "that it can be looked at"


def _reach(asked: Asked, check: ReachDoc) -> Found:
    source, target = check.reach
    address = asked.network.lab.address(target, check.version)
    met = answers_ping(asked.network.lab, source, address)
    return met, f"{'answers' if met else 'no answer'} to ping {address}", "answers"


def _reach_all(asked: Asked, check: ReachAllDoc) -> Found:
    from concurrent.futures import ThreadPoolExecutor

    network = asked.network
    nodes = network.nodes_of(check.reach_all)
    addresses = {node: network.lab.address(node, check.version) for node in nodes}
    pairs = [(one, other) for one in nodes for other in nodes if one != other]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda p: answers_ping(network.lab, p[0], addresses[p[1]]), pairs))
    silent = [f"{a} to {b}" for (a, b), met in zip(pairs, found, strict=True) if not met]
    of = f"of {len(pairs)} pairs"
    if not silent:
        return True, f"all {of} have answers", "answers"
    more = ", …" if silent[3:] else ""
    return False, f"no answer for {len(silent)} {of}: {', '.join(silent[:3])}{more}", "answers"


def _unreachable(asked: Asked, check: UnreachableDoc) -> Found:
    source, target = check.unreachable
    address = asked.network.lab.address(target, check.version)
    met = not answers_ping(asked.network.lab, source, address, _PINGS)
    return met, f"{'no answer' if met else 'answers'} to ping {address}", "no answer"


def _route(asked: Asked, check: RouteDoc) -> Found:
    source, target = check.route
    saw = asked.network.next_hop(source, target, check.version)
    return saw == check.via, saw, check.via


def _path(asked: Asked, check: PathDoc) -> Found:
    source, target = check.path
    saw = asked.network.lab.path(source, target, check.version)
    wanted = [source, *check.through, target]
    return saw == wanted, " - ".join(saw), " - ".join(wanted)


def _flows(asked: Asked, check: FlowsDoc) -> Found:
    rates = goodput(asked.network.lab, check)
    met = all(
        (flow.at_least is None or rate >= flow.at_least)
        and (flow.at_most is None or rate <= flow.at_most)
        for rate, flow in zip(rates, check.flows, strict=True)
    )
    return met, ", ".join(f"{rate.mbit:.1f}mbit" for rate in rates), _expected(check)


def _bounds(least: object, most: object) -> str:
    if least is not None and most is not None:
        return f"{least} to {most}"
    if least is not None:
        return f"at least {least}"
    return f"at most {most}" if most is not None else "any"


def _outages(asked: Asked, check: OutagesDoc) -> Found:
    losses = outages(asked.network, check)
    met = all(_in_bounds(loss, o) for loss, o in zip(losses, check.outages, strict=True))
    saw = ", ".join(f"{loss.longest_s:.2f}s, {loss.lost} pings lost" for loss in losses)
    wanted = [
        f"{_bounds(o.at_least, o.at_most)}"
        + (f", at most {o.lost_at_most} pings lost" if o.lost_at_most is not None else "")
        for o in check.outages
    ]
    return met, saw, "; ".join(wanted)


def _in_bounds(loss: Loss, wanted: Any) -> bool:
    seconds = loss.longest_s
    if wanted.lost_at_most is not None and loss.lost > wanted.lost_at_most:
        return False
    if wanted.at_least is not None and seconds < wanted.at_least.seconds:
        return False
    return wanted.at_most is None or seconds <= wanted.at_most.seconds


def _state(asked: Asked, check: StateDoc) -> Found:
    state = asked.network.state
    for section in ("nodes", "links", "networks", "physical_links"):
        if check.state in state[section]:
            found = state[section][check.state]
            break
    else:
        raise InputError(f"there is no '{check.state}' in the lab")
    saw = {key: found.get(key) for key in check.is_}
    met = all(_same(saw[key], wanted) for key, wanted in check.is_.items())
    return met, _wanted(saw), _wanted(check.is_)


def _same(saw: object, wanted: object) -> bool:
    if isinstance(saw, str) and isinstance(wanted, str) and saw != wanted:
        try:
            return Rate.parse(saw) == Rate.parse(wanted)
        except ValueError:
            return False
    return saw == wanted


def _wanted(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key} {_word(value)}" for key, value in values.items())


def _word(value: object) -> str:
    if isinstance(value, list):
        return " - ".join(map(str, value)) or "none"
    return (
        "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    )


def _shows(asked: Asked, check: ShowsDoc) -> Found:
    from vnemu.drivers.programs import find

    name, *more = check.command
    done = asked.network.lab[check.shows].run(find(name) or name, *more, timeout=_PATIENCE_S)
    output = done.stdout + done.stderr
    met = re.search(check.match, output) is not None
    saw = " / ".join(line.strip() for line in output.splitlines() if line.strip())
    return met, f"{saw[:_SHOWN]}…" if saw[_SHOWN:] else saw, f"something like {check.match}"


def _happened(asked: Asked, check: HappenedDoc) -> Found:
    texts = [e["text"] for e in asked.network.events if e["kind"] == check.kind]
    found = [text for text in texts if re.search(check.happened, text)]
    expected = f"something like {check.happened}"
    if found:
        return True, found[-1], expected
    return False, f"last: {texts[-1]}" if texts else "nothing of this kind", expected


def _answer(asked: Asked, check: AnswerDoc) -> Found:
    question = asked.doc.questions[check.answer]
    return judged(asked.lab, check.answer, question, asked.answers.get(check.answer))


_LOOKERS: dict[type[CheckDoc], Callable[[Asked, Any], Found]] = {
    ReachDoc: _reach,
    ReachAllDoc: _reach_all,
    UnreachableDoc: _unreachable,
    RouteDoc: _route,
    PathDoc: _path,
    FlowsDoc: _flows,
    OutagesDoc: _outages,
    StateDoc: _state,
    ShowsDoc: _shows,
    HappenedDoc: _happened,
    AnswerDoc: _answer,
}
_LOOK: dict[type[CheckDoc], str] = {
    ReachDoc: "the links on the way (vnemu inspect LAB), and each router's routes "
    "(vnemu exec LAB NODE -- ip route)",
    ReachAllDoc: "the links between them (vnemu inspect LAB)",
    UnreachableDoc: "what still connects them (vnemu inspect LAB)",
    RouteDoc: "vnemu exec LAB NODE -- ip route",
    PathDoc: "the routes of each node on the way (vnemu exec LAB NODE -- ip route), and the links "
    "that are cut or unplugged (vnemu inspect LAB)",
    FlowsDoc: "limits and guarantees (vnemu inspect LAB), and who shares the physical links",
    OutagesDoc: "vnemu inspect LAB; vnemu lab reset LAB if something is left from before",
    StateDoc: "vnemu inspect LAB",
    ShowsDoc: "the same command by vnemu exec",
    HappenedDoc: "vnemu events LAB",
    AnswerDoc: "your answers.yaml, or --answer",
}
