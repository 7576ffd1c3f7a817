"""What an experiment file means: times scaled, references checked, ideals computed; pure.

The timeline is gone through on the model before anything exists, so that an
event that cannot be admitted is found with its line, not after twenty seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from vnemu.embedding.mapping import Direction, Mapping, has_carrier, passing
from vnemu.embedding.shares import Demand, ideal_rates
from vnemu.embedding.strategies import embed
from vnemu.experiments.check import check
from vnemu.experiments.flows import address_of, flow_spec, version_of
from vnemu.experiments.timeline import Entry, Event, rehearse, timeline_of
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.routing.configuration import check_texts
from vnemu.routing.shortest import cheapest
from vnemu.routing.static import trace
from vnemu.schema.experiment import ExperimentDoc, ProbeDoc
from vnemu.schema.load import LoadedExperiment
from vnemu.traffic.iperf3 import FIRST_PORT, FlowSpec
from vnemu.traffic.ping import ProbeSpec
from vnemu.traffic.stream import StreamSpec
from vnemu.verbs.state import State


@dataclass(frozen=True)
class Experiment:
    """An experiment, ready to run; times are in seconds, scaled.

    Parameters:
        entries: the timeline as written.
        events: what is done when, in order.
        routes: the VLs that each flow crosses, with whether from a to b.
        later: topologies that the timeline makes; a kernel must have what they need.
        command: what repeats it, if that is not this command.
    """

    name: str
    topology: Topology
    mapping: Mapping
    flows: tuple[FlowSpec, ...]
    probes: tuple[ProbeSpec, ...]
    entries: tuple[Entry, ...]
    events: tuple[Event, ...]
    duration: float
    sample: float
    time_scale: float
    doc: ExperimentDoc
    routes: dict[str, tuple[tuple[str, bool], ...]]
    later: tuple[Topology, ...] = ()
    streams: tuple[StreamSpec, ...] = ()
    command: tuple[str, ...] = ()

    def ideals(self, state: State, at: float) -> dict[str, float]:
        """The ideal goodput of each flow that runs at time `at`, in Mbit/s of payload."""
        ways = {f.name: self._way(f, state) for f in self.flows if f.start <= at < f.stop}
        still = {name for name, way in ways.items() if way is None}
        running = [flow for flow in self.flows if ways.get(flow.name) is not None]
        demands = [Demand(f.name, ways[f.name] or (), _frame_rate(f)) for f in running]
        payload = {f.name: f.frame_payload[0] / f.frame_payload[1] for f in running}
        rates = ideal_rates(state.granted, demands)
        ideals = {name: rate * payload[name] / 1e6 for name, rate in rates.items()}
        return {**ideals, **dict.fromkeys(still, 0.0)}

    def _way(self, flow: FlowSpec, state: State) -> tuple[Direction, ...] | None:
        """The VLs that a flow crosses; None: one is gone or lets nothing pass.

        Where routing protocols run it is the way that they will find.
        """
        network = state.topology.networks[self.topology.nodes[flow.source].network]
        if network.is_dynamic:
            return cheapest(
                network, flow.source, flow.target, lambda link: _joins(state, link.path)
            )
        way = self.routes[flow.name]
        both = flow.protocol == "tcp"  # whose acknowledgements come back
        fine = (_joins(state, p) if both else _passes(state, p, forward) for p, forward in way)
        return way if all(fine) else None


def _joins(state: State, path: str) -> bool:
    """Whether a VL lets frames pass in both directions."""
    return _passes(state, path, True) and _passes(state, path, False)


def _passes(state: State, path: str, forward: bool) -> bool:
    """Whether a VL lets frames pass in a direction."""
    topology, mapping = state.topology, state.mapping
    link = topology.links.get(path)
    if link is None or not has_carrier(topology, mapping, link):
        return False
    ways = mapping.paths[path].ways
    return ("forward" if forward else "backward") in passing(topology, mapping, link) and any(
        way.passes(topology.underlay, forward) for way in ways
    )


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
    check_texts(topology)
    timeline = timeline_of(loaded, time_scale)
    check(loaded, topology, timeline, time_scale)
    mapping = embed(topology)
    later = rehearse(loaded, State(topology, mapping), timeline)
    doc = loaded.doc
    duration = doc.duration.seconds * time_scale
    flows = tuple(_flows(topology, doc, duration, time_scale))
    return Experiment(
        name=doc.name or loaded.name,
        topology=topology,
        mapping=mapping,
        flows=flows,
        probes=tuple(_probe(topology, probe) for probe in doc.probes if probe.udp is None),
        streams=tuple(_stream(topology, probe) for probe in doc.probes if probe.udp is not None),
        entries=timeline.entries,
        events=timeline.events,
        duration=duration,
        sample=doc.sample.seconds,
        time_scale=time_scale,
        doc=doc,
        routes={flow.name: _route(topology, flow.source, flow.target) for flow in flows},
        later=tuple(later),
    )


def _flows(topology: Topology, doc: ExperimentDoc, duration: float, scale: float) -> list[FlowSpec]:
    """The flows; those to one node have a port each."""
    ports: dict[str, int] = {}
    flows = []
    for flow in doc.traffic:
        port = ports.get(flow.to, FIRST_PORT)
        ports[flow.to] = port + 1
        stop = min(flow.stop.seconds * scale, duration) if flow.stop else duration
        flows.append(flow_spec(topology, flow, port, flow.start.seconds * scale, stop))
    return flows


def _probe(topology: Topology, doc: ProbeDoc) -> ProbeSpec:
    version = version_of(topology, doc.to, doc.ip)
    address = address_of(topology, doc.to, version)
    return ProbeSpec(doc.name, doc.from_, doc.to, address, version, doc.every.seconds)


def _stream(topology: Topology, doc: ProbeDoc) -> StreamSpec:
    version = version_of(topology, doc.to, doc.ip)
    return StreamSpec(
        name=doc.name,
        source=doc.from_,
        target=doc.to,
        source_address=address_of(topology, doc.from_, version),
        target_address=address_of(topology, doc.to, version),
        version=version,
        interval=doc.every.seconds,
        size=doc.udp.size.bytes if doc.udp else 0,
    )


def _route(topology: Topology, source: str, target: str) -> tuple[tuple[str, bool], ...]:
    network = topology.networks[topology.nodes[source].network]
    if network.is_dynamic:
        return cheapest(network, source, target, lambda _: True) or ()
    return tuple((link.path, forward) for link, forward in trace(network, source, target))
