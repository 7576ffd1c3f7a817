"""The timeline of an experiment as a flat list of what is done when; pure.

An *entry* is what the file says: one change, or a ramp, a flapping link, a trace. An
*event* is a moment at which something is done. So an entry may have many events, and
what several entries plan for the same moment is one: one batch, all or none of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby, islice
from random import Random
from typing import NamedTuple

from vnemu.errors import InputError, Problem
from vnemu.experiments.entries import Beside, Taken, flap_verbs, reshape, taken, verbs_of, words
from vnemu.model.check import link_name
from vnemu.model.overlay import Topology
from vnemu.plan.taps import taps_of
from vnemu.routing.configuration import check_texts
from vnemu.schema.entry import EntryDoc
from vnemu.schema.load import LoadedExperiment, problem
from vnemu.schema.observing import CaptureDoc, ProveIsolationDoc
from vnemu.schema.ramps import Ramp
from vnemu.schema.timeline import (
    DEFAULT_STEP,
    FlapDoc,
    ReplayDoc,
    ReshapeDoc,
)
from vnemu.schema.traces import Trace
from vnemu.units import Quantity
from vnemu.verbs.quality import Reshape
from vnemu.verbs.state import State, Verb, carry_out

MOST_EVENTS = 50_000

Firing = tuple[int, tuple[Verb, ...]]
"""When, in nanoseconds as written, and what is done then."""


@dataclass(frozen=True)
class Event:
    """Something done `at` seconds after the start; one of `verbs`, `prove`, `capture` is set.

    Parameters:
        verbs: one atomic change.
        prove: the (sending, listening) networks of a proof of isolation.
        entries: the numbers of the entries that it belongs to, from 1.
        capture: a capture that begins.
    """

    at: float
    verbs: tuple[Verb, ...] = ()
    prove: tuple[str, str] | None = None
    entries: tuple[int, ...] = ()
    capture: Taken | None = None

    @property
    def what(self) -> str:
        """The event in words."""
        if self.prove is not None:
            return f"prove isolation {self.prove[0]} -> {self.prove[1]}"
        if self.capture is not None:
            return self.capture.what
        return ", ".join(str(verb) for verb in self.verbs)

    @property
    def only_reshapes(self) -> bool:
        """Whether qualities change and nothing else: all stays in its place.

        Then a later one may be carried out together with it.
        """
        return bool(self.verbs) and all(isinstance(verb, Reshape) for verb in self.verbs)


@dataclass(frozen=True)
class Entry:
    """An entry of the timeline; times are in seconds, scaled.

    Parameters:
        number: its place in the file, from 1.
        name: its name, empty if it has none.
        what: the entry in words.
        at: its first event.
        until: when it is over; None for what happens once.
        events: how many it has.
        observes: whether it changes nothing, and so cuts no phase.
    """

    number: int
    name: str
    what: str
    at: float
    until: float | None
    events: int
    observes: bool = False


@dataclass(frozen=True)
class Timeline:
    """What the timeline of a file comes to: its entries as written, its events in order."""

    entries: tuple[Entry, ...] = ()
    events: tuple[Event, ...] = ()


class _Moment(NamedTuple):
    """What an entry does at a time, in nanoseconds as written."""

    at: int
    number: int
    verbs: tuple[Verb, ...] = ()
    prove: tuple[str, str] | None = None
    capture: CaptureDoc | None = None


@dataclass(frozen=True)
class _Material:
    """What an entry needs besides what it says itself.

    Parameters:
        trace: that it replays.
        beside: what else was read for it.
        flapping: what flaps each time.
    """

    trace: Trace | None
    beside: Beside
    flapping: Iterator[str]


def timeline_of(loaded: LoadedExperiment, scale: float = 1.0) -> Timeline:
    """Lay out the timeline of an experiment.

    Parameters:
        scale: factor of all times.

    Raises:
        InputError: if it has more events than can be.
    """
    moments: list[_Moment] = []
    entries: list[Entry] = []
    end = loaded.doc.duration.amount
    for number, doc in enumerate(loaded.doc.timeline, 1):
        trace = loaded.traces.get(number - 1)
        room = MOST_EVENTS - len(moments)
        names = _flapping(loaded, doc, number)
        beside = _beside(loaded, number)
        material = _Material(trace, beside, names)
        own = list(islice(_moments(number, doc, material, end), room + 1))
        if len(own) > room:
            raise InputError([_too_many(loaded, number - 1)])
        moments += own
        until = _over(doc, own, trace, end)
        entries.append(
            Entry(
                number=number,
                name=doc.name or "",
                what=words(doc, beside),
                at=_seconds(own[0].at if own else end, scale),
                until=None if until is None else _seconds(until, scale),
                events=len(own),
                observes=isinstance(doc, CaptureDoc),
            )
        )
    return Timeline(tuple(entries), tuple(_events(moments, scale)))


def _beside(loaded: LoadedExperiment, number: int) -> Beside:
    where = loaded.document.where(("timeline", number - 1))
    return Beside(loaded.networks, loaded.files, where)


def _flapping(loaded: LoadedExperiment, doc: EntryDoc, number: int) -> Iterator[str]:
    """What flaps each time: always the same, or VLs that the seed draws from a network."""
    if not isinstance(doc, FlapDoc):
        return
    network = loaded.topology.doc.networks.get(doc.network) if doc.network else None
    names = [f"{doc.network}/{link_name(link)}" for link in network.links] if network else []
    draw = Random(f"{loaded.doc.seed} {number}")
    while True:
        yield draw.choice(names) if names else doc.flap


def _too_many(loaded: LoadedExperiment, index: int) -> Problem:
    message = f"the timeline has more than {MOST_EVENTS} events up to the end of this entry"
    return problem(loaded, ("timeline", index), message, "take larger steps, bins or periods")


def _seconds(nanoseconds: int, scale: float) -> float:
    return nanoseconds / 1e9 * scale


def _events(moments: Iterable[_Moment], scale: float) -> Iterator[Event]:
    """Changes for the same moment become one batch; proofs and captures follow them."""
    ordered = sorted(moments, key=lambda moment: moment.at)
    for at, group in groupby(ordered, key=lambda moment: moment.at):
        together = list(group)
        changing = [moment for moment in together if moment.verbs]
        if changing:
            verbs = tuple(verb for moment in changing for verb in moment.verbs)
            numbers = tuple(dict.fromkeys(moment.number for moment in changing))
            yield Event(_seconds(at, scale), verbs, None, numbers)
        for moment in together:
            if moment.prove is not None:
                yield Event(_seconds(at, scale), (), moment.prove, (moment.number,))
            elif moment.capture is not None:
                capture = taken(moment.capture, moment.number, scale)
                yield Event(_seconds(at, scale), entries=(moment.number,), capture=capture)


def _moments(number: int, doc: EntryDoc, material: _Material, end: int) -> Iterator[_Moment]:
    if isinstance(doc, ProveIsolationDoc):
        one, other = doc.prove_isolation
        for start in _starts(doc, end):
            yield _Moment(start, number, prove=(one, other))
        return
    if isinstance(doc, CaptureDoc):
        yield from (_Moment(start, number, capture=doc) for start in _starts(doc, end))
        return
    for at, verbs in _firings(doc, material, end):
        if at < end:
            yield _Moment(at, number, verbs)


def _starts(doc: EntryDoc, end: int) -> Iterable[int]:
    """When an entry begins, or begins again."""
    if doc.every is None:
        return [doc.at.amount if doc.at else 0]
    begin = doc.from_.amount if doc.from_ else 0
    return range(begin, _stop(doc, end), doc.every.amount)


def _stop(doc: EntryDoc, end: int) -> int:
    return min(doc.until.amount, end) if doc.until else end


def _over(doc: EntryDoc, own: list[_Moment], trace: Trace | None, end: int) -> int | None:
    """When an entry is over, in nanoseconds as written; None for what happens once.

    That is with the last that it does, or at the end of the run if it goes on till then.
    """
    if isinstance(doc, ReplayDoc):
        begin = doc.at.amount if doc.at else 0
        length = trace.length if trace else 0
        over = _stop(doc, end) if doc.loop else min(begin + length, _stop(doc, end))
    elif isinstance(doc, CaptureDoc):
        begin = doc.at.amount if doc.at else 0
        return min(begin + doc.for_.amount, end) if doc.for_ else end
    elif doc.every is not None:
        over = _stop(doc, end)
    elif isinstance(doc, ReshapeDoc) and doc.over and doc.at is not None:
        over = doc.at.amount + doc.over.amount
    else:
        return None
    return own[-1].at if own and over < end else end


def _firings(doc: EntryDoc, material: _Material, end: int) -> Iterator[Firing]:
    """All that an entry does, in order."""
    if isinstance(doc, ReplayDoc):
        if material.trace is not None:
            yield from _replayed(doc, material.trace, _stop(doc, end))
        return
    for start in _starts(doc, end):
        if isinstance(doc, ReshapeDoc) and doc.over:
            yield from _ramp(doc, start, doc.over.amount)
        elif isinstance(doc, FlapDoc):
            down, up = flap_verbs(doc, next(material.flapping))
            yield start, (down,)
            yield start + doc.down_for.amount, (up,)
        else:
            yield start, verbs_of(doc, material.beside)


def _ramp(doc: ReshapeDoc, start: int, over: int) -> Iterator[Firing]:
    """Even steps from one value to the other; the first and the last are exact."""
    step = (doc.step or DEFAULT_STEP).amount
    level = {key: value for key, value in doc.quality.items() if key not in doc.ramps}
    for passed in [*range(0, over, step), over]:
        values = {key: _between(ramp, passed, over) for key, ramp in doc.ramps.items()}
        yield start + passed, (reshape(doc.reshape, {**level, **values}, doc.direction),)
        level = {}


def _between(ramp: Ramp, passed: int, over: int) -> Quantity:
    begin, to = ramp.from_.amount, ramp.to.amount
    return type(ramp.to)(begin + round((to - begin) * passed / over))


def _replayed(doc: ReplayDoc, trace: Trace, stop: int) -> Iterator[Firing]:
    """The points of a trace, again and again if it is looped; only changes of the rate."""
    start = doc.at.amount if doc.at else 0
    verbs = [reshape(doc.replay, {doc.key: rate}, doc.direction) for _, rate in trace.points]
    before: Quantity | None = None
    while True:
        for (after, rate), verb in zip(trace.points, verbs, strict=True):
            if start + after >= stop:
                return
            if rate != before:
                yield start + after, (verb,)
            before = rate
        start += trace.length
        if not doc.loop or len({rate for _, rate in trace.points}) == 1:
            return


def rehearse(loaded: LoadedExperiment, state: State, timeline: Timeline) -> list[Topology]:
    """Go through a timeline on the model.

    Returns:
        The topologies that ask a kernel for all that the others do: those at the first,
        second and last event of each entry (a ramp may begin or end with nothing).

    Raises:
        InputError: at the line of the first entry that cannot be carried out.
    """
    seen: Counter[int] = Counter()
    kept: list[Topology] = []
    for event in timeline.events:
        before = state.topology
        try:
            state = carry_out(state, event.verbs)
            check_texts(state.topology, before)
            if event.capture is not None:
                taps_of(state.topology, event.capture.at)
                event.capture.chosen.program()
        except InputError as error:
            raise InputError(
                _told(loaded, timeline.entries[event.entries[0] - 1], event, error)
            ) from None
        seen.update(event.entries)
        if event.verbs and any(
            seen[number] in {1, 2, timeline.entries[number - 1].events} for number in event.entries
        ):
            kept.append(state.topology)
    return kept


def _told(loaded: LoadedExperiment, entry: Entry, event: Event, error: InputError) -> list[Problem]:
    when = f"at {event.at:g} s: " if entry.events > 1 else ""
    where = ("timeline", entry.number - 1)
    own = _files(loaded)
    return [
        p if p.where.rpartition(":")[0] in own else problem(loaded, where, when + p.message, p.hint)
        for p in error.problems
    ]


def _files(loaded: LoadedExperiment) -> set[str]:
    """The files that its timeline names, each of which a problem may be in."""
    networks = loaded.networks.values()
    texts = chain(loaded.files.values(), *(written.texts.values() for written in networks))
    return {*(written.document.name for written in networks), *(text.name for text in texts)}
