"""Traffic in a lab that runs: iperf3 flows that go on until they are stopped."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from vnemu.errors import ExperimentFailed, InputError, Problem, VnemuError
from vnemu.experiments.flows import flow_spec, wrong_ends
from vnemu.lab import Lab
from vnemu.schema.experiment import FlowDoc
from vnemu.schema.said import written
from vnemu.schema.violations import read
from vnemu.sessions.journal import Journal
from vnemu.sessions.pages import flow_kind
from vnemu.traffic.iperf3 import FIRST_PORT, Flow, FlowSpec

_FIRST_PORT = FIRST_PORT + 100
"""Lower ones are for what people start in the nodes, and for the shell's iperf."""

_LOOK_S = 0.1
_RATE_S = 1.0
_MARGIN_S = 5.0
"""So much longer iperf3 would go on: a flow whose time is over is ended here."""

_LOGS = Path("/run/vnemu-flows")
"""In the capsule's own /run, which goes with it."""


class LiveFlow:
    """A flow that runs or has run, looked after by a thread until it ends.

    Parameters:
        doc: what was asked for.
        ended: called when it has ended by itself, or its time is over.
    """

    def __init__(self, doc: FlowDoc, flow: Flow, ended: Callable[[LiveFlow], None]) -> None:
        self.doc = doc
        self.flow = flow
        self.why = ""
        self.is_due = False
        self._ended = ended
        self._since = time.time()
        self._seconds = flow.spec.stop
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._received = 0
        self._mbit: float | None = None

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return not self.why

    def start(self) -> None:
        """Start it; it runs when this returns.

        Raises:
            InputError: if one of its ends is paused or stopped.
            ExperimentFailed: if its target is not reached.
        """
        try:
            self.flow.listen()
            self.flow.wait_ready()
            self.flow.start(self._seconds + _MARGIN_S)
            self.flow.wait_connected()
        except ExperimentFailed as failed:
            said = self.flow.complaint or str(failed)
            self.flow.close()
            ends = f"from {self.doc.from_} to {self.doc.to}"
            raise ExperimentFailed(f"no flow {ends}: {said}") from None
        except BaseException:
            self.flow.close()
            raise
        self._since = time.time()
        threading.Thread(target=self._look_after, daemon=True).start()

    def _look_after(self) -> None:
        """Read its counter once a second, and see when it ends."""
        begun = read_at = time.monotonic()
        while not self._stopped.wait(_LOOK_S):
            now = time.monotonic()
            self.is_due = now - begun >= self._seconds
            if self.is_due:
                self._end(f"its {self._seconds:g} s are over")
            elif self.flow.has_ended:
                self._end(self.flow.complaint or "iperf3 has ended")
            elif now - read_at >= _RATE_S:
                try:
                    self._read(now - read_at)
                except (OSError, VnemuError) as error:
                    self._end(f"its counter cannot be read: {error}")
                read_at = now

    def _end(self, why: str) -> None:
        """It has ended, unless it is being stopped."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
            self.why = why
        self._close()
        self._ended(self)

    def _read(self, seconds: float | None = None) -> None:
        """Read the counter; `seconds` after it was read before."""
        with self._lock:
            if self.flow.counter is not None:
                before, self._received = self._received, self.flow.counter.read().goodput
                self._mbit = (self._received - before) * 8 / seconds / 1e6 if seconds else None

    def stop(self) -> bool:
        """End it; whether it ran until now."""
        with self._lock:
            ran = not self._stopped.is_set()
            self._stopped.set()
        self._close()
        return ran

    def _close(self) -> None:
        with suppress(OSError, VnemuError):
            self._read()
        self.flow.stop()
        with self._lock:
            self.flow.close()

    def as_data(self) -> dict[str, Any]:
        """It as others see it (docs/cli.md describes the keys)."""
        return {
            **written(self.doc),
            "since": self._since,
            "state": "running" if self.runs else "ended",
            "why": self.why,
            "goodput_mbit": None if self._mbit is None else round(self._mbit, 3),
            "received": self._received,
        }


class Flows:
    """The flows of a running lab, by name.

    Parameters:
        lab: the lab, as long as it runs.
        journal: is told of each that starts, is stopped and ends.
    """

    def __init__(self, lab: Callable[[], Lab], journal: Journal) -> None:
        self._lab = lab
        self._journal = journal
        self._names = (f"flow-{number}" for number in count(1))
        self._flows: dict[str, LiveFlow] = {}
        self._lock = threading.Lock()

    def start(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Start a flow; it runs when this returns.

        Parameters:
            asked: as an entry of ``traffic:``; times count from now, and the name may be
                left out.

        Returns:
            It, as of `listed`.

        Raises:
            InputError: if it cannot be; then nothing is started.
            MissingCapability: if there is no iperf3.
            ExperimentFailed: if its target is not reached.
        """
        name = {} if "name" in asked else {"name": self._free_name()}
        doc = read(FlowDoc, {**name, **asked})
        try:
            live = self._started(doc)
        except (InputError, ExperimentFailed) as error:
            self._journal.add("refused", f"traffic {in_words(doc)}: {error}")
            raise
        return live.as_data()

    def _started(self, doc: FlowDoc) -> LiveFlow:
        live = self._made(doc)
        try:
            live.start()
        except BaseException:
            with self._lock:
                self._flows.pop(doc.name, None)
            raise
        self._journal.add("traffic", f"start {in_words(doc)}", start=written(doc))
        return live

    def _made(self, doc: FlowDoc) -> LiveFlow:
        """The flow, not started; its name and port are its own from now on."""
        lab = self._lab()
        _check(lab, doc)
        with self._lock:
            there = self._flows.get(doc.name)
            if there is not None and there.runs:
                hint = "stop it first, or choose another name"
                raise InputError([Problem("", f"a flow '{doc.name}' runs already", hint)])
            stop = doc.stop.seconds if doc.stop else math.inf
            spec = flow_spec(lab.topology, doc, self._free_port(doc.to), 0.0, stop)
            _check_route(lab, spec)
            _LOGS.mkdir(exist_ok=True)
            log = _LOGS / f"{doc.name}.log"
            flow = Flow(spec, lab[doc.from_], lab[doc.to], log, every=0)
            self._flows[doc.name] = live = LiveFlow(doc, flow, self._tell_end)
        return live

    def _free_name(self) -> str:
        with self._lock:  # two that ask at once have one each
            return next(name for name in self._names if name not in self._flows)

    def _free_port(self, target: str) -> int:
        taken = {live.flow.spec.port for live in self._flows.values() if live.doc.to == target}
        return next(port for port in range(_FIRST_PORT, 1 << 16) if port not in taken)

    def _tell_end(self, live: LiveFlow) -> None:
        name = live.doc.name
        how = "stop" if live.is_due else "end"
        self._journal.add("traffic", f"{name} has ended: {live.why}", **{how: name})

    def stop(self, name: str | None) -> list[str]:
        """Stop a flow, or all (None), and forget those that have ended.

        Returns:
            Their names.

        Raises:
            InputError: if there is none of that name.
        """
        with self._lock:
            if name is not None and name not in self._flows:
                hint = f"there are: {', '.join(self._flows) or 'none'}"
                raise InputError([Problem("", f"there is no flow '{name}'", hint)])
            chosen = [name] if name is not None else list(self._flows)
            flows = {each: self._flows.pop(each) for each in chosen}
        for each, live in flows.items():
            if live.stop():
                self._journal.add("traffic", f"stop {each}", stop=each)
        return chosen

    def listed(self) -> list[dict[str, Any]]:
        """All flows that run or have ended, those that were stopped excepted."""
        with self._lock:
            return [live.as_data() for live in self._flows.values()]

    def close(self) -> None:
        """The lab ends: so do they."""
        with self._lock:
            for live in self._flows.values():
                live.stop()
            self._flows.clear()


def in_words(doc: FlowDoc) -> str:
    """A flow on one line."""
    return f"{doc.name}: {doc.from_} -> {doc.to}, {flow_kind(written(doc))}"


def _check(lab: Lab, doc: FlowDoc) -> None:
    problems = [Problem("", message, hint) for _, message, hint in wrong_ends(lab.topology, doc)]
    if doc.start.amount:
        message = "start: is for an experiment; this flow starts now"
        problems.append(Problem("", message, "leave start: out"))
    if problems:
        raise InputError(problems)


def _check_route(lab: Lab, spec: FlowSpec) -> None:
    """See that the source knows a way to the target's address.

    Raises:
        InputError: if it does not.
    """
    family = socket.AF_INET if spec.version == 4 else socket.AF_INET6
    end = lab[spec.source].inside(lambda: socket.socket(family, socket.SOCK_DGRAM))
    try:
        end.connect((spec.address, spec.port))  # of UDP: nothing is sent
    except OSError as error:
        message = f"{spec.source} has no route to {spec.target} ({spec.address}): {error.strerror}"
        hint = f"see its routes: vnemu exec LAB {spec.source} -- ip route"
        raise InputError([Problem("", message, hint)]) from None
    finally:
        end.close()
