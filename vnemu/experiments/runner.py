"""Run an experiment: lab up, traffic on, timeline fired, everything recorded as it comes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from vnemu.drivers import router_os
from vnemu.drivers.probe import settle
from vnemu.errors import ExperimentFailed, VnemuError
from vnemu.events import Note, PhaseTick, Sink, TimelineFired, ignore
from vnemu.experiments.captures import Captures
from vnemu.experiments.conditions import run_info
from vnemu.experiments.created_networks import with_own_networks
from vnemu.experiments.ideals import Ideals
from vnemu.experiments.observers import Observers
from vnemu.experiments.prepare import Experiment
from vnemu.experiments.proofs import proofs_of
from vnemu.experiments.punctual import like_others, punctual
from vnemu.experiments.resolved import resolved_texts
from vnemu.experiments.router_texts import with_own_texts
from vnemu.experiments.sampler import LinkCounters, Sampler, steady_clock
from vnemu.experiments.timeline import Event
from vnemu.experiments.traces import with_own_traces
from vnemu.lab import Lab
from vnemu.plan.explain import explain
from vnemu.results.record import RunWriter
from vnemu.schema.load import LoadedExperiment
from vnemu.traffic.iperf3 import Flow
from vnemu.traffic.isolation import Proof
from vnemu.traffic.ping import Probe, wall_clock_offset
from vnemu.traffic.stream import Streams

_TICK_S = 0.25
_ROOM_FOR_TICK_S = 0.005
_LATEST_TICK_S = 2.0
_TOLD_EVERY_S, _FAULT_TOLD_EVERY_S = 1.0, 0.2


def run(
    experiment: Experiment,
    writer: RunWriter,
    loaded: LoadedExperiment,
    sink: Sink = ignore,
    why: str = "",
) -> None:
    """Run `experiment` in the capsule that the caller is in, and record it.

    Parameters:
        writer: the run folder, not begun.
        loaded: the files that it was prepared from.
        why: the reason for the kernel that runs it, for the record.

    Raises:
        ExperimentFailed: if it did not run to its end, by an error or by Ctrl-C; the
            run folder says so too and is readable.
        MissingCapability: if this machine cannot run it; nothing was recorded.
    """
    experiment = _settled(experiment, sink)
    router_os.require_later([experiment.topology, *experiment.later])
    lab = Lab(experiment.topology, experiment.mapping, sink)
    with ExitStack() as stack:
        stack.enter_context(lab)
        plan = explain(experiment.topology, experiment.mapping)
        own, traces = with_own_traces(loaded)
        own, router_texts = with_own_texts(own)
        own, networks = with_own_networks(own)
        texts = resolved_texts(own, experiment)
        files = {**traces, **router_texts, **networks}
        writer.begin(run_info(experiment, why), *texts, plan, files)
        stack.callback(writer.close)
        recorded = _Recorded(writer)
        with recorded:
            _Run(experiment, lab, writer, sink, recorded).go()


def _settled(experiment: Experiment, sink: Sink) -> Experiment:
    """The experiment with what this kernel decides, so that it is on record."""
    topology, chosen = settle(experiment.topology)
    if chosen:
        sink(Note(chosen))
    return replace(experiment, topology=topology)


class _Recorded:
    """Writes how a run ended, whatever ended it."""

    def __init__(self, writer: RunWriter) -> None:
        self._writer = writer
        self.clock: Callable[[], float] = lambda: 0.0

    def __enter__(self) -> _Recorded:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        at = self.clock()
        if error is None:
            self._writer.end(at, "complete")
        elif isinstance(error, KeyboardInterrupt):
            reason = f"interrupted by the user at {at:.1f} s"
            self._writer.end(at, "interrupted", reason)
            raise ExperimentFailed(reason) from error
        else:
            self._writer.end(at, "failed", str(error) or repr(error))
            if not isinstance(error, VnemuError):
                raise ExperimentFailed(f"{type(error).__name__}: {error}") from error


@dataclass(order=True)
class _Step:
    """Something to do at a time; `order` settles what goes first at the same time.

    Parameters:
        event: the event that it is; None: do `action`.
    """

    at: float
    order: int
    action: Callable[[], None] = field(compare=False, default=lambda: None)
    event: Event | None = field(compare=False, default=None)

    @property
    def only_reshapes(self) -> bool:
        """Whether it is an event that only changes qualities."""
        return self.event is not None and self.event.only_reshapes


class _Run:
    """One run of an experiment on a lab that is up."""

    def __init__(
        self, experiment: Experiment, lab: Lab, writer: RunWriter, sink: Sink, recorded: _Recorded
    ) -> None:
        self._experiment = experiment
        self._lab = lab
        self._writer = writer
        self._sink = sink
        self._recorded = recorded
        self._clock: Callable[[], float] = lambda: 0.0
        self._ideals = Ideals(experiment, writer)
        self._tick_at = 0.0
        self._told: dict[int, float] = {}
        self._flows = {
            spec.name: Flow(
                spec, lab[spec.source], lab[spec.target], writer.log_path(f"{spec.name}.iperf3.log")
            )
            for spec in experiment.flows
        }
        self._streams = Streams(
            experiment.streams,
            lambda node, call: lab[node].inside(call),
            writer.stream_path(),
            writer.log_path("streams.log"),
        )
        self._captures = Captures(experiment.events, lab, writer)
        self._running: dict[str, Flow] = {}
        self._proofs: dict[tuple[str, str], Proof] = {}

    def go(self) -> None:
        """Everything between an empty lab and the last sample."""
        self._lab.converge(self._experiment.doc.ready.seconds)
        with ExitStack() as stack:
            self._proofs = proofs_of(self._experiment, self._lab, stack)
            for flow in self._flows.values():
                stack.callback(flow.close)
                flow.listen()
            stack.callback(self._captures.close)
            self._captures.prepare()
            stack.callback(self._streams.close)
            self._streams.open()
            for flow in self._flows.values():
                flow.wait_ready()
            self._streams.wait_ready()
            probes = [Probe(spec, self._lab[spec.source].popen) for spec in self._experiment.probes]
            for probe in probes:
                stack.callback(probe.stop)
            capture = self._experiment.doc.capture is not None
            self._observers = Observers(self._lab, self._writer, self._sink, capture=capture)
            stack.callback(self._observers.close)
            self._observers.look()
            self._clock = self._recorded.clock = steady_clock()
            self._observers.begin(self._clock)
            sampler = Sampler(
                list(self._flows.values()),
                LinkCounters(self._lab),
                self._writer,
                self._experiment.sample,
                self._clock,
                self._observers.sample,
            )
            stack.callback(sampler.close)
            sampler.start()
            self._streams.start(time.monotonic_ns() - round(self._clock() * 1e9))
            self._start_probes(probes)
            with punctual():
                self._follow(sampler)
            self._streams.finish()
            sampler.stop()
            # Queues run empty before the probes end, so that none is cut off on its way.
            for flow in self._running.values():
                flow.finish()
            self._captures.finish()
            self._ideals.finish()
            self._observers.finish()

    def _start_probes(self, probes: list[Probe]) -> None:
        shift = wall_clock_offset() + time.monotonic() - self._clock()
        for probe in probes:
            name = probe.spec.name

            def report(sent: float, seq: int, rtt: float | None, name: str = name) -> None:
                self._writer.probe(sent - shift, name, seq, rtt)

            probe.start(report)

    def _follow(self, sampler: Sampler) -> None:
        """Carry out the steps at their times; look after the flows in between."""
        steps = deque(sorted(self._steps()))
        while steps:
            step = steps.popleft()
            self._wait_until(step.at, sampler)
            if step.event is None:
                step.action()
            else:
                self._fire([step.event, *self._overtaking(step, steps)], sampler)
        self._wait_until(self._experiment.duration, sampler)

    def _overtaking(self, step: _Step, steps: deque[_Step]) -> Iterator[Event]:
        """The events after `step` that are due as well: late ones are caught up with in one go."""
        while step.only_reshapes and steps:
            later = steps[0].event
            if later is None or not steps[0].only_reshapes or later.at > self._clock():
                return
            steps.popleft()
            yield later

    def _steps(self) -> Iterator[_Step]:
        for spec in self._experiment.flows:
            yield _Step(spec.start, 0, self._starter(self._flows[spec.name]))
            if spec.stop < self._experiment.duration:
                yield _Step(spec.stop, 2, self._stopper(self._flows[spec.name]))
        for event in self._experiment.events:
            yield _Step(event.at, 1, event=event)
        changes = {spec.start for spec in self._experiment.flows}
        changes |= {s.stop for s in self._experiment.flows if s.stop < self._experiment.duration}
        for at in changes:
            yield _Step(at, 3, self._ideals_are_due)

    def _starter(self, flow: Flow) -> Callable[[], None]:
        def start() -> None:
            if flow.has_ended:  # its target was stopped before, and runs again
                flow.listen()
                flow.wait_ready()
            flow.start(flow.spec.stop - self._clock())
            self._running[flow.spec.name] = flow

        return start

    def _stopper(self, flow: Flow) -> Callable[[], None]:
        def stop() -> None:
            del self._running[flow.spec.name]
            flow.stop()

        return stop

    def _fire(self, events: list[Event], sampler: Sampler) -> None:
        """Carry out an event, or several in one batch."""
        verbs = [verb for event in events for verb in event.verbs]
        begun, before = self._clock(), self._lab.topology
        if events[0].prove is not None:
            self._prove(events[0].prove)
        elif events[0].capture is not None:
            self._captures.begin(events[0])
        elif events[0].only_reshapes:
            self._lab.do(*verbs)
        else:
            with sampler.changing(self._lab):
                self._lab.do(*verbs)
        done = self._clock()
        self._ideals_are_due(begun)
        if verbs:
            numbers = [entry for event in events for entry in event.entries]
            self._observers.changed(begun, numbers, before)
        for event in events:
            self._writer.event(event.at, begun, done, event.what, event.entries)
            self._tell(event, begun)

    def _tell(self, event: Event, begun: float) -> None:
        """Tell the user; of an entry with many events one a second at most."""
        since = [begun - self._told[entry] for entry in event.entries if entry in self._told]
        once = any(self._experiment.entries[entry - 1].events == 1 for entry in event.entries)
        pause = _TOLD_EVERY_S if event.only_reshapes else _FAULT_TOLD_EVERY_S
        if once or len(since) < len(event.entries) or max(since) >= pause:
            self._told.update(dict.fromkeys(event.entries, begun))
            self._sink(TimelineFired(event.at, begun, event.what))

    def _ideals_are_due(self, at: float | None = None) -> None:
        # A step is carried out just after its time: flows that begin then count.
        now = self._clock() if at is None else at
        self._ideals.due(now, self._lab.state)

    def _prove(self, pair: tuple[str, str]) -> None:
        verdict = self._proofs[pair].run()
        leaked = sum(verdict.leaked.values())
        self._writer.proof(*pair, verdict.sent, verdict.seen_in_own, leaked)
        seen = sum(verdict.seen_in_own.values())
        self._sink(
            Note(
                f"{sum(verdict.sent.values())} odd frames sent in {pair[0]}: "
                f"{seen} arrivals there, {leaked} in {pair[1]}"
            )
        )

    def _wait_until(self, at: float, sampler: Sampler) -> None:
        while (left := at - self._clock()) > 0:
            overdue = self._clock() - self._tick_at
            if overdue >= 0 and (left > _ROOM_FOR_TICK_S or overdue > _LATEST_TICK_S):
                self._tick(sampler)
            elif not self._work_aside(left):
                idle = min(-overdue, self._observers.idle_s)
                time.sleep(min(left, max(idle, _ROOM_FOR_TICK_S)))

    def _work_aside(self, left: float) -> bool:
        """Do what can wait, if there is any, without going before the programs of the lab."""
        with like_others():
            return self._ideals.work(left) or self._observers.work(left)

    def _tick(self, sampler: Sampler) -> None:
        """See after all that runs by itself."""
        if sampler.error is not None:
            raise ExperimentFailed(f"the counters could not be read: {sampler.error}")
        self._observers.check()
        now = self._clock()
        self._tick_at = now + _TICK_S
        if now >= self._experiment.duration:
            return  # flows may end now
        self._streams.check()
        for flow in self._running.values():
            flow.check()
        rates = tuple((name, sampler.rates_mbit.get(name, 0.0)) for name in self._flows)
        self._sink(PhaseTick(now, self._experiment.duration, rates))
