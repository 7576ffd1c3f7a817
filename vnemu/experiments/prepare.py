"""What an experiment file means: times scaled, references checked, ideals computed; pure.

The timeline is gone through on the model before anything exists, so that an
event that cannot be admitted is found with its line, not after twenty seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from vnemu.embedding.mapping import Mapping, admit
from vnemu.embedding.shares import Demand, ideal_rates
from vnemu.embedding.strategies import embed
from vnemu.errors import InputError, Problem
from vnemu.model.change import Quality, reshaped
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.routing.static import trace
from vnemu.schema.experiment import (
    EventDoc,
    ExperimentDoc,
    FlowDoc,
    GoodputExpectation,
    IsolationExpectation,
    LossExpectation,
    ProbeDoc,
    ProveIsolationDoc,
    ReshapeDoc,
    SettleExpectation,
)
from vnemu.schema.load import LoadedExperiment, problem
from vnemu.schema.wording import instead_of
from vnemu.traffic.iperf3 import FIRST_PORT, FlowSpec, full_datagram
from vnemu.traffic.ping import ProbeSpec

Where = tuple[str | int, ...]


@dataclass(frozen=True)
class Event:
    """An event of the timeline, `at` seconds after the start; one of the two is set."""

    at: float
    reshape: tuple[tuple[str, Quality], ...] = ()
    prove: tuple[str, str] | None = None

    @property
    def what(self) -> str:
        """The event in words."""
        if self.prove is not None:
            return f"prove isolation {self.prove[0]} -> {self.prove[1]}"
        return ", ".join(f"reshape {path} {quality}" for path, quality in self.reshape)


@dataclass(frozen=True)
class Experiment:
    """An experiment, ready to run; times are in seconds, scaled."""

    name: str
    topology: Topology
    mapping: Mapping
    flows: tuple[FlowSpec, ...]
    probes: tuple[ProbeSpec, ...]
    events: tuple[Event, ...]
    duration: float
    sample: float
    time_scale: float
    doc: ExperimentDoc
    routes: dict[str, tuple[tuple[str, bool], ...]]

    def ideals(self, topology: Topology, at: float) -> dict[str, float]:
        """The ideal goodput of each flow that runs at time `at`, in Mbit/s of payload."""
        running = [flow for flow in self.flows if flow.start <= at < flow.stop]
        demands = [Demand(f.name, self.routes[f.name], _frame_rate(f)) for f in running]
        payload = {f.name: f.frame_payload[0] / f.frame_payload[1] for f in running}
        rates = ideal_rates(topology, self.mapping, demands)
        return {name: rate * payload[name] / 1e6 for name, rate in rates.items()}


def _frame_rate(flow: FlowSpec) -> int | None:
    if flow.rate is None:
        return None
    payload, frame = flow.frame_payload
    return flow.rate * frame // payload


def prepare(loaded: LoadedExperiment, time_scale: float = 1.0) -> Experiment:
    """Settle an experiment that was read.

    Parameters:
        time_scale: factor of all times: 0.25 runs a 40 s experiment in 10 s.

    Raises:
        InputError: with everything that is wrong, before anything is touched.
    """
    topology = resolve(loaded.topology)
    checker = _Checker(loaded, topology, time_scale)
    checker.check_traffic()
    checker.check_timeline()
    checker.check_expectations()
    if checker.problems:
        raise InputError(checker.problems)
    mapping = embed(topology)
    _rehearse(loaded, topology, mapping)
    doc = loaded.doc
    duration = doc.duration.seconds * time_scale
    ports: dict[str, int] = {}
    flows = tuple(_flow(topology, flow, duration, time_scale, ports) for flow in doc.traffic)
    return Experiment(
        name=doc.name or loaded.name,
        topology=topology,
        mapping=mapping,
        flows=flows,
        probes=tuple(_probe(topology, probe) for probe in doc.probes),
        events=_events(doc.timeline, time_scale),
        duration=duration,
        sample=doc.sample.seconds,
        time_scale=time_scale,
        doc=doc,
        routes={flow.name: _route(topology, flow.source, flow.target) for flow in flows},
    )


def _events(timeline: list[EventDoc], scale: float) -> tuple[Event, ...]:
    """The events in order; reshapes planned for the same moment become one batch."""
    found: list[Event] = []
    for at, together in groupby(sorted(timeline, key=lambda e: e.at), key=lambda e: e.at):
        changes: dict[str, Quality] = {}
        others = []
        for event in together:
            if isinstance(event, ReshapeDoc):
                quality = _quality(event)
                earlier = changes.get(event.reshape)
                changes[event.reshape] = quality.over(earlier) if earlier else quality
            else:
                one, other = event.prove_isolation
                others.append(Event(at.seconds * scale, prove=(one, other)))
        if changes:
            found.append(Event(at.seconds * scale, reshape=tuple(changes.items())))
        found += others
    return tuple(found)


def _quality(event: ReshapeDoc) -> Quality:
    return Quality(
        "keep" if event.limit is None else None if event.limit == "none" else event.limit,
        "keep"
        if event.guarantee is None
        else None
        if event.guarantee == "none"
        else event.guarantee,
    )


def _rehearse(loaded: LoadedExperiment, topology: Topology, mapping: Mapping) -> None:
    """Go through the timeline on the model.

    Raises:
        InputError: at the line of the first event that cannot be admitted.
    """
    lines = {
        (e.at.seconds, e.reshape): i
        for i, e in enumerate(loaded.doc.timeline)
        if isinstance(e, ReshapeDoc)
    }
    for event in _events(loaded.doc.timeline, 1.0):
        if not event.reshape:
            continue
        try:
            topology = reshaped(topology, dict(event.reshape))
            admit(
                topology,
                mapping,
                {p for path, _ in event.reshape for p in mapping.paths[path].links},
            )
        except InputError as error:
            index = lines[event.at, event.reshape[0][0]]
            raise InputError(
                [problem(loaded, ("timeline", index), p.message, p.hint) for p in error.problems]
            ) from None


def _version(topology: Topology, node: str, wanted: Literal[4, 6] | None) -> Literal[4, 6]:
    if wanted is not None:
        return wanted
    return 4 if 4 in topology.networks[topology.nodes[node].network].versions else 6


def _address(topology: Topology, node: str, version: int) -> str:
    found = topology.nodes[node]
    interfaces = [*found.loopbacks, *(a for nic in found.nics for a in nic.addresses)]
    return str(next(i.ip for i in interfaces if i.version == version))


def _flow(
    topology: Topology, doc: FlowDoc, duration: float, scale: float, ports: dict[str, int]
) -> FlowSpec:
    version = _version(topology, doc.to, doc.ip)
    port = ports.get(doc.to, FIRST_PORT)
    ports[doc.to] = port + 1
    length = doc.udp.length.bytes if doc.udp and doc.udp.length else full_datagram(version)
    return FlowSpec(
        name=doc.name,
        source=doc.from_,
        target=doc.to,
        address=_address(topology, doc.to, version),
        protocol="udp" if doc.udp else "tcp",
        version=version,
        port=port,
        start=doc.start.seconds * scale,
        stop=min(doc.stop.seconds * scale, duration) if doc.stop else duration,
        rate=doc.udp.rate.bps if doc.udp else None,
        length=length,
        parallel=doc.tcp.parallel if doc.tcp else 1,
        congestion=doc.tcp.congestion if doc.tcp else None,
    )


def _probe(topology: Topology, doc: ProbeDoc) -> ProbeSpec:
    version = _version(topology, doc.to, doc.ip)
    address = _address(topology, doc.to, version)
    return ProbeSpec(doc.name, doc.from_, doc.to, address, version, doc.interval.seconds)


def _route(topology: Topology, source: str, target: str) -> tuple[tuple[str, bool], ...]:
    network = topology.networks[topology.nodes[source].network]
    return tuple((link.path, forward) for link, forward in trace(network, source, target))


class _Checker:
    """Collects what is wrong between an experiment file and its topology."""

    def __init__(self, loaded: LoadedExperiment, topology: Topology, scale: float) -> None:
        self._loaded = loaded
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
        nodes = self._topology.nodes
        known = [
            self._known(end, nodes, "node", (*where, key))
            for key, end in (("from", entry.from_), ("to", entry.to))
        ]
        if not all(known):
            return
        source, target = nodes[entry.from_], nodes[entry.to]
        if source.network != target.network:
            self._report(
                where,
                f"'{entry.name}' leads from network {source.network} to {target.network}",
                "networks do not reach each other: choose two nodes of one",
            )
        elif source is target:
            self._report(
                where, f"'{entry.name}' leads from {source.path} to itself", "choose another"
            )
        versions = self._topology.networks[target.network].versions
        if entry.ip is not None and entry.ip not in versions:
            self._report((*where, "ip"), f"network {target.network} has no IPv{entry.ip}")

    def _check_times(self, flow: FlowDoc, where: Where) -> None:
        stop = flow.stop or self._doc.duration
        if flow.start >= min(stop, self._doc.duration):
            self._report(
                (*where, "start"),
                f"flow '{flow.name}' starts at {flow.start}, when it is over",
                "let it start before its stop: and before the experiment's duration:",
            )

    def check_timeline(self) -> None:
        """Events: within the duration, about VLs and networks that exist."""
        for index, event in enumerate(self._doc.timeline):
            where: Where = ("timeline", index)
            if event.at >= self._doc.duration:
                self._report(
                    (*where, "at"),
                    f"the event is at {event.at}, but the experiment ends at {self._doc.duration}",
                    "move it or raise duration:",
                )
            if isinstance(event, ReshapeDoc):
                self._known(
                    event.reshape, self._topology.links, "virtual link", (*where, "reshape")
                )
            else:
                self._check_pair(event, where)

    def _check_pair(self, event: ProveIsolationDoc, where: Where) -> None:
        one, other = event.prove_isolation
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
                    self._check_number(expected.event, self._events(), "event", where)
                case LossExpectation():
                    probes = [probe.name for probe in self._doc.probes]
                    self._known(expected.probe, probes, "probe", (*where, "probe"))
                    if expected.event is not None:
                        self._check_number(expected.event, self._events(), "event", where)
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

    def _events(self) -> int:
        return len(_events(self._doc.timeline, 1.0))

    def _phases(self) -> int:
        from vnemu.results.phases import Firing, cut_phases  # numpy takes its time to load

        planned = [event.at for event in _events(self._doc.timeline, self._scale)]
        duration = self._doc.duration.seconds * self._scale
        return len(cut_phases([Firing(at, at) for at in planned], duration))
