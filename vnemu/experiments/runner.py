"""Run an experiment: lab up, traffic on, timeline fired, everything recorded as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from vnemu.drivers.probe import settle
from vnemu.errors import ExperimentFailed, VnemuError
from vnemu.events import Note, PhaseTick, Sink, TimelineFired, ignore
from vnemu.experiments.conditions import run_info
from vnemu.experiments.prepare import Event, Experiment
from vnemu.experiments.proofs import proofs_of
from vnemu.experiments.resolved import resolved_texts
from vnemu.experiments.sampler import LinkCounters, Sampler, steady_clock
from vnemu.lab import Lab
from vnemu.plan.explain import explain
from vnemu.results.record import RunWriter
from vnemu.schema.load import LoadedExperiment
from vnemu.traffic.iperf3 import Flow
from vnemu.traffic.isolation import Proof
from vnemu.traffic.ping import Probe, wall_clock_offset

_TICK_SECONDS = 0.25


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
    lab = Lab(experiment.topology, experiment.mapping, sink)
    with ExitStack() as stack:
        stack.enter_context(lab)
        plan = explain(experiment.topology, experiment.mapping)
        writer.begin(run_info(experiment, why), *resolved_texts(loaded, experiment), plan)
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
    """Something to do at a time; `order` settles what goes first at the same time."""

    at: float
    order: int
    action: Callable[[], None] = field(compare=False)


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
        self._flows = {
            spec.name: Flow(
                spec, lab[spec.source], lab[spec.target], writer.log_path(f"{spec.name}.iperf3.log")
            )
            for spec in experiment.flows
        }
        self._running: dict[str, Flow] = {}
        self._proofs: dict[tuple[str, str], Proof] = {}

    def go(self) -> None:
        """Everything between an empty lab and the last sample."""
        with ExitStack() as stack:
            self._proofs = proofs_of(self._experiment, self._lab, stack)
            for flow in self._flows.values():
                stack.callback(flow.close)
                flow.listen()
            for flow in self._flows.values():
                flow.wait_ready()
            probes = [Probe(spec, self._lab[spec.source].popen) for spec in self._experiment.probes]
            for probe in probes:
                stack.callback(probe.stop)
            self._clock = self._recorded.clock = steady_clock()
            sampler = Sampler(
                list(self._flows.values()),
                LinkCounters(self._lab),
                self._writer,
                self._experiment.sample,
                self._clock,
            )
            stack.callback(sampler.close)
            sampler.start()
            self._start_probes(probes)
            self._follow(sampler)
            sampler.stop()
            # Queues run empty before the probes end, so that none is cut off on its way.
            for flow in self._running.values():
                flow.finish()

    def _start_probes(self, probes: list[Probe]) -> None:
        shift = wall_clock_offset() + time.monotonic() - self._clock()
        for probe in probes:
            name = probe.spec.name

            def report(sent: float, seq: int, rtt: float | None, name: str = name) -> None:
                self._writer.probe(sent - shift, name, seq, rtt)

            probe.start(report)

    def _follow(self, sampler: Sampler) -> None:
        """Carry out the steps at their times; look after the flows in between."""
        for step in sorted(self._steps()):
            self._wait_until(step.at, sampler)
            step.action()
        self._wait_until(self._experiment.duration, sampler)

    def _steps(self) -> Iterator[_Step]:
        for spec in self._experiment.flows:
            yield _Step(spec.start, 0, self._starter(self._flows[spec.name]))
            if spec.stop < self._experiment.duration:
                yield _Step(spec.stop, 2, self._stopper(self._flows[spec.name]))
        for event in self._experiment.events:
            yield _Step(event.at, 1, self._firer(event))
        changes = {spec.start for spec in self._experiment.flows}
        changes |= {s.stop for s in self._experiment.flows if s.stop < self._experiment.duration}
        for at in changes:
            yield _Step(at, 3, self._write_ideals)

    def _starter(self, flow: Flow) -> Callable[[], None]:
        def start() -> None:
            flow.start(flow.spec.stop - self._clock())
            self._running[flow.spec.name] = flow

        return start

    def _stopper(self, flow: Flow) -> Callable[[], None]:
        def stop() -> None:
            del self._running[flow.spec.name]
            flow.stop()

        return stop

    def _firer(self, event: Event) -> Callable[[], None]:
        def fire() -> None:
            begun = self._clock()
            if event.prove is not None:
                self._prove(event.prove)
            else:
                self._lab.reshape_all(dict(event.reshape))
            self._writer.event(event.at, begun, self._clock(), event.what)
            self._sink(TimelineFired(event.at, begun, event.what))
            self._write_ideals(begun)

        return fire

    def _write_ideals(self, at: float | None = None) -> None:
        now = self._clock() if at is None else at
        # A step is carried out just after its time: flows that begin then count.
        planned = self._experiment.ideals(self._lab.topology, now)
        self._writer.ideal(now, planned)

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
            time.sleep(min(left, _TICK_SECONDS))
            if sampler.error is not None:
                raise ExperimentFailed(f"the counters could not be read: {sampler.error}")
            if self._clock() >= self._experiment.duration:
                return  # flows may end now
            for flow in self._running.values():
                flow.check()
            rates = tuple((name, sampler.rates_mbit.get(name, 0.0)) for name in self._flows)
            self._sink(PhaseTick(self._clock(), self._experiment.duration, rates))
