"""What an experiment file says of its topology: every reference is checked; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vnemu.errors import InputError, Problem
from vnemu.experiments.flows import wrong_ends
from vnemu.experiments.timeline import Timeline
from vnemu.model.check import link_name
from vnemu.model.overlay import Topology
from vnemu.results.phases import boundaries, cut_phases
from vnemu.schema.entry import EntryDoc
from vnemu.schema.experiment import (
    ConvergenceExpectation,
    FlowDoc,
    GoodputExpectation,
    IsolationExpectation,
    LossExpectation,
    OutageExpectation,
    PathExpectation,
    ProbeDoc,
    SettleExpectation,
    SpreadExpectation,
    UnmovedExpectation,
)
from vnemu.schema.life import (
    CopyDoc,
    CreateDoc,
    DestroyDoc,
    DestroyNetworkDoc,
    LimitDoc,
    PauseDoc,
    ResumeDoc,
    StartDoc,
    StopDoc,
)
from vnemu.schema.load import LoadedExperiment, problem
from vnemu.schema.observing import ProveIsolationDoc
from vnemu.schema.timeline import (
    AddDoc,
    BatchDoc,
    CutDoc,
    DownDoc,
    FailDoc,
    FlapDoc,
    MendDoc,
    MoveDoc,
    RemoveDoc,
    RepairDoc,
    ReplayDoc,
    ReshapeDoc,
    UpDoc,
)
from vnemu.schema.wording import instead_of
from vnemu.units import Duration

Where = tuple[str | int, ...]


def check(
    loaded: LoadedExperiment, topology: Topology, timeline: Timeline, scale: float = 1.0
) -> None:
    """Check traffic, probes, timeline and expectations.

    Parameters:
        timeline: as laid out, with times scaled by `scale`.

    Raises:
        InputError: with everything that is wrong.
    """
    checker = _Checker(loaded, topology, timeline, scale)
    checker.check_traffic()
    checker.check_timeline()
    checker.check_expectations()
    if checker.problems:
        raise InputError(checker.problems)


class _Checker:
    """Collects what is wrong between an experiment file and its topology."""

    def __init__(
        self, loaded: LoadedExperiment, topology: Topology, timeline: Timeline, scale: float
    ) -> None:
        self._loaded = loaded
        self._timeline = timeline
        self._scale = scale
        self._doc = loaded.doc
        self._topology = topology
        self.problems: list[Problem] = []

    def _report(self, path: Where, message: str, hint: str = "") -> None:
        self.problems.append(problem(self._loaded, path, message, hint))

    def _known(self, name: str, among: Iterable[str], kind: str, path: Where) -> bool:
        names = list(among)
        if name in names:
            return True
        self._report(path, f"there is no {kind} '{name}'", instead_of(name, names))
        return False

    def check_traffic(self) -> None:
        """Flows and probes: unique names, ends that exist, in one network, times in order."""
        sections: dict[str, Sequence[FlowDoc | ProbeDoc]] = {
            "traffic": self._doc.traffic,
            "probes": self._doc.probes,
        }
        for section, entries in sections.items():
            seen: set[str] = set()
            for index, entry in enumerate(entries):
                where: Where = (section, index)
                if entry.name in seen:
                    self._report(
                        where, f"a second entry is called '{entry.name}'", "names are unique"
                    )
                seen.add(entry.name)
                self._check_ends(entry, where)
        for index, flow in enumerate(self._doc.traffic):
            self._check_times(flow, ("traffic", index))

    def _check_ends(self, entry: FlowDoc | ProbeDoc, where: Where) -> None:
        for path, message, hint in wrong_ends(self._topology, entry):
            self._report((*where, *path), message, hint)

    def _check_times(self, flow: FlowDoc, where: Where) -> None:
        stop = flow.stop or self._doc.duration
        if flow.start >= min(stop, self._doc.duration):
            self._report(
                (*where, "start"),
                f"flow '{flow.name}' starts at {flow.start}, when it is over",
                "let it start before its stop: and before the experiment's duration:",
            )

    def check_timeline(self) -> None:
        """Entries: unique names, within the duration, about what exists."""
        seen: set[str] = set()
        for index, entry in enumerate(self._doc.timeline):
            where: Where = ("timeline", index)
            if entry.name in seen:
                self._report(where, f"a second entry is called '{entry.name}'", "names are unique")
            seen |= {entry.name} if entry.name else set()
            self._check_when(entry, where)
            parts = entry.batch if isinstance(entry, BatchDoc) else [entry]
            for number, part in enumerate(parts):
                inside = (*where, "batch", number) if isinstance(entry, BatchDoc) else where
                self._check_names(part, inside)

    def _check_when(self, entry: EntryDoc, where: Where) -> None:
        duration = self._doc.duration
        key, begin = ("at", entry.at) if entry.at is not None else ("from", entry.from_)
        if begin is not None and begin >= duration:
            self._report(
                (*where, key),
                f"the event is at {begin}, but the experiment ends at {duration}",
                "move it or raise duration:",
            )
        elif isinstance(entry, ReshapeDoc) and entry.over and entry.at is not None:
            end = Duration(entry.at.amount + entry.over.amount)
            if end > duration:
                self._report(
                    (*where, "over"),
                    f"the ramp ends at {end}, but the experiment at {duration}",
                    "shorten it or raise duration:",
                )

    def _check_names(self, entry: EntryDoc, where: Where) -> None:
        match entry:
            case ReshapeDoc(reshape=name):
                self._check_link(name, (*where, "reshape"))
            case ReplayDoc(replay=name):
                self._check_link(name, (*where, "replay"))
            case CutDoc(cut=name):
                self._check_link(name, (*where, "cut"))
            case MendDoc(mend=name):
                self._check_link(name, (*where, "mend"))
            case DownDoc(down=name):
                self._check_link(name, (*where, "down"))
            case UpDoc(up=name):
                self._check_link(name, (*where, "up"))
            case RemoveDoc(remove=name):
                self._check_link(name, (*where, "remove"))
            case FlapDoc(network=str(network)):
                self._known(network, self._topology.networks, "network", (*where, "flap"))
            case FlapDoc(flap=name):
                self._check_link(name, (*where, "flap"), or_machine=True)
            case FailDoc(fail=name):
                self._check_link(name, (*where, "fail"), or_machine=True)
            case RepairDoc(repair=name):
                self._check_link(name, (*where, "repair"), or_machine=True)
            case MoveDoc():
                self._check_move(entry, where)
            case LimitDoc(limit=name):
                self._check_node(name, (*where, "limit"))
            case DestroyNetworkDoc(destroy_network=name):
                self._check_node(name, (*where, "destroy_network"))
            case ProveIsolationDoc():
                self._check_pair(entry, where)
            case _:
                self._check_life(entry, where)

    def _check_life(self, entry: EntryDoc, where: Where) -> None:
        match entry:
            case PauseDoc(pause=name):
                self._check_node(name, (*where, "pause"))
            case ResumeDoc(resume=name):
                self._check_node(name, (*where, "resume"))
            case StopDoc(stop=name):
                self._check_node(name, (*where, "stop"))
            case StartDoc(start=name):
                self._check_node(name, (*where, "start"))
            case DestroyDoc(destroy=name):
                self._check_node(name, (*where, "destroy"))
            case CopyDoc(copy_=name):
                self._check_node(name, (*where, "copy"))
            case _:
                pass  # the rehearsal looks at what is added, created and destroyed

    def _check_link(self, name: str, path: Where, or_machine: bool = False) -> None:
        """A VL, by its slash, or else a physical link; one that is added counts."""
        underlay = self._topology.underlay
        if "/" in name:
            self._known(name, [*self._topology.links, *self._added()], "virtual link", path)
        elif or_machine:
            self._known(
                name, [*underlay.links, *underlay.machines], "physical link or machine", path
            )
        else:
            self._known(name, underlay.links, "physical link", path)

    def _added(self) -> Iterator[str]:
        yield from (part.add for part in self._parts() if isinstance(part, AddDoc))
        for written in self._loaded.networks.values():
            yield from (f"{written.name}/{link_name(link)}" for link in written.doc.links)

    def _check_node(self, name: str, path: Where) -> None:
        """A VR or host, by its slash, or else a network; one that is created counts."""
        if name in self._topology.links:
            pass  # the rehearsal says what it is
        elif "/" in name:
            self._known(name, self._nodes(), "node", path)
        else:
            created = [written.name for written in self._loaded.networks.values()]
            self._known(name, [*self._topology.networks, *created], "network", path)

    def _nodes(self) -> Iterator[str]:
        """The nodes that there are, or will be."""
        yield from self._topology.nodes
        for part in self._parts():
            if isinstance(part, CreateDoc | CopyDoc):
                yield part.create if isinstance(part, CreateDoc) else part.as_
        for written in self._loaded.networks.values():
            names = (*written.doc.routers, *written.doc.hosts)
            yield from (f"{written.name}/{name}" for name in names)

    def _parts(self) -> Iterator[EntryDoc]:
        """The entries of the timeline, those of batches one by one."""
        for entry in self._doc.timeline:
            yield from entry.batch if isinstance(entry, BatchDoc) else [entry]

    def _check_move(self, entry: MoveDoc, where: Where) -> None:
        underlay = self._topology.underlay
        if entry.to is not None:
            self._check_node(entry.move, (*where, "move"))
            self._known(entry.to, underlay.machines, "machine", (*where, "to"))
        elif entry.move not in self._nodes():
            self._check_link(entry.move, (*where, "move"))
        for index, name in enumerate(entry.path or ()):
            self._known(name, underlay.machines, "machine", (*where, "path", index))
        for number, path in enumerate(entry.paths or ()):
            for index, name in enumerate(path):
                self._known(name, underlay.machines, "machine", (*where, "paths", number, index))
        for index, name in enumerate(entry.avoid or ()):
            places = [*underlay.machines, *underlay.links]
            self._known(name, places, "machine or physical link", (*where, "avoid", index))

    def _check_pair(self, entry: ProveIsolationDoc, where: Where) -> None:
        one, other = entry.prove_isolation
        for name in (one, other):
            self._known(name, self._topology.networks, "network", (*where, "prove_isolation"))
        if one == other:
            self._report(where, "a network is not isolated from itself", "name two networks")

    def check_expectations(self) -> None:
        """Expectations: about phases, events, flows, probes and proofs that there will be."""
        for index, expected in enumerate(self._doc.expect):
            where: Where = ("expect", index)
            match expected:
                case GoodputExpectation():
                    named = expected.flows or [expected.flow or ""]
                    self._check_flows(named, (*where, "flows" if expected.flows else "flow"))
                    self._check_number(expected.phase, self._phases(), "phase", where)
                case SettleExpectation():
                    self._check_flows(expected.flows or [], (*where, "flows"))
                    self._check_event(expected.event, where)
                case LossExpectation():
                    probes = [probe.name for probe in self._doc.probes]
                    self._known(expected.probe, probes, "probe", (*where, "probe"))
                    if expected.event is not None:
                        self._check_event(expected.event, where)
                case OutageExpectation():
                    streams = [probe.name for probe in self._doc.probes if probe.udp]
                    self._known(expected.outage, streams, "UDP probe", (*where, "outage"))
                    if expected.event is not None:
                        self._check_event(expected.event, where)
                case SpreadExpectation():
                    self._known(expected.spread, self._topology.links, "link", (*where, "spread"))
                    self._check_number(expected.phase, self._phases(), "phase", where)
                case ConvergenceExpectation():
                    self._check_event(expected.event, where)
                case UnmovedExpectation():
                    self._check_event(expected.unmoved, where)
                case PathExpectation():
                    self._check_event(expected.event, where)
                    for place, node in enumerate(expected.path):
                        self._known(node, self._topology.nodes, "node", (*where, "path", place))
                case IsolationExpectation():
                    proofs = [
                        e.prove_isolation
                        for e in self._doc.timeline
                        if isinstance(e, ProveIsolationDoc)
                    ]
                    if expected.isolated not in proofs:
                        self._report(
                            where,
                            "nothing in the timeline proves that",
                            f"add {{at: …, prove_isolation: [{', '.join(expected.isolated)}]}}",
                        )

    def _check_flows(self, names: list[str], where: Where) -> None:
        for name in names:
            self._known(name, [flow.name for flow in self._doc.traffic], "flow", where)

    def _check_number(self, number: int, there: int, kind: str, where: Where) -> None:
        if number > there:
            self._report(
                (*where, kind), f"there is no {kind} {number}", f"the timeline makes {there}"
            )

    def _check_event(self, named: int | str, where: Where) -> None:
        if isinstance(named, int):
            self._check_number(named, len(self._doc.timeline), "event", where)
        else:
            names = [entry.name for entry in self._doc.timeline if entry.name]
            self._known(named, names, "event", (*where, "event"))

    def _phases(self) -> int:
        cutting = [entry for entry in self._timeline.entries if not entry.observes]
        planned = [at for e in cutting for at in boundaries(e.at, e.until)]
        duration = self._doc.duration.seconds * self._scale
        return len(cut_phases(planned, duration))
