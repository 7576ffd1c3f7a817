"""A lab that runs, as other processes see it: what they may ask, one change at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vnemu.drivers.capture import Capture, Chosen
from vnemu.drivers.processes import Ended
from vnemu.errors import ExperimentFailed, InputError, VnemuError
from vnemu.events import Sink
from vnemu.experiments.entries import Beside, verbs_of
from vnemu.experiments.sampler import LinkCounters
from vnemu.lab import Lab
from vnemu.nodes import VirtualNode
from vnemu.schema.entry import EntryDoc
from vnemu.schema.now import networks_of, read_now, texts_of
from vnemu.schema.said import written
from vnemu.sessions.flows import Flows
from vnemu.sessions.inspection import inspected
from vnemu.sessions.journal import Journal
from vnemu.verbs.state import State, Verb

_LOOK_S = 1.0


class RunningLab:
    """A lab from when it is being set up until it ends.

    Parameters:
        name: that others find it by.
        file: what it is of.
        kernel: what its capsule rests on.
    """

    def __init__(self, name: str, file: Path, kernel: str) -> None:
        self.name = name
        self.journal = Journal()
        self.over = threading.Event()
        self.flows = Flows(lambda: self.lab, self.journal)
        self._file = file
        self._kernel = kernel
        self._since = time.time()
        self._lab: Lab | None = None
        self._changing = threading.Lock()
        self._counters: LinkCounters | None = None
        self._counted: State | None = None

    def begin(self, lab: Lab) -> None:
        """It is set up; called by a thread that lasts as long."""
        lab.serve_threads()
        self._lab = lab
        self.journal.add("state", f"lab {self.name} runs")
        threading.Thread(target=self._watch, daemon=True).start()

    def end(self) -> None:
        """It is about to be taken down; a change that is being made is waited for."""
        self.over.set()
        self.flows.close()
        with self._changing:
            self._lab = None
            if self._counters is not None:
                self._counters.close()
        self.journal.close()

    @property
    def lab(self) -> Lab:
        """The lab.

        Raises:
            ExperimentFailed: if it is not up yet, or not any more.
        """
        if self._lab is None:
            how = "ends" if self.over.is_set() else "is still being set up"
            raise ExperimentFailed(f"lab '{self.name}' {how}")
        return self._lab

    def about(self) -> dict[str, Any]:
        """What it is, in short."""
        found: dict[str, Any] = {
            "name": self.name,
            "state": self._state(),
            "file": str(self._file.absolute()),
            "kernel": self._kernel,
            "since": self._since,
        }
        if self._lab is not None:
            topology = self._lab.topology
            found |= {
                "networks": len(topology.networks),
                "nodes": len(topology.nodes),
                "links": len(topology.links),
            }
        return found

    def _state(self) -> str:
        if self.over.is_set():
            return "ending"
        return "starting" if self._lab is None else "running"

    def inspect(self) -> dict[str, Any]:
        """All that it is at the moment, between two changes."""
        with self._changing:
            found = inspected(self.lab)
            journal = {"last": self.journal.count, "time": time.time()}
            return {**found, "lab": self.about(), "journal": journal}

    def node(self, path: str) -> VirtualNode:
        """One of its VRs and hosts.

        Raises:
            InputError: if there is none of that name.
        """
        return self.lab[path]

    def do(self, texts: Sequence[str], folder: Path, source: str = "") -> dict[str, Any]:
        """Carry out what is written in the timeline's words, as one change.

        Parameters:
            texts: such as ``pause: a/r1``.
            folder: that files they name are seen from.
            source: the file that the texts are from; empty: none.

        Returns:
            ``done``, what was done, each in words; ``notes``, what was done by itself;
            ``took_ms``.

        Raises:
            InputError: if it cannot be; then nothing is changed.
        """
        entries = [read_now(text, source) for text in texts]
        verbs = [verb for doc in entries for verb in verbs_of(doc, _beside(doc, folder))]
        with self._changing:
            try:
                return self._changed(verbs, entries, folder)
            except VnemuError as error:
                self.journal.add("refused", f"{_in_words(verbs)}: {error}")
                raise

    def _changed(
        self, verbs: Sequence[Verb], entries: Sequence[EntryDoc], folder: Path
    ) -> dict[str, Any]:
        lab = self.lab
        begun = time.monotonic()
        lab.do(*verbs)
        took_ms = round((time.monotonic() - begun) * 1e3, 3)
        as_said = {"entries": [written(doc) for doc in entries], "folder": str(folder)}
        self.journal.add("change", _in_words(verbs), took_ms=took_ms, **as_said)
        done = [str(verb) for verb in verbs]
        return {"done": done, "notes": list(lab.state.notes), "took_ms": took_ms}

    def converge(self, timeout_s: float, sink: Sink) -> None:
        """Wait until the routing of all networks has converged; changes go on meanwhile.

        Parameters:
            timeout_s: how long that may take, in seconds.
            sink: is told how far it is.

        Raises:
            ExperimentFailed: if it takes longer, saying who does not reach whom.
        """
        self.lab.converge(timeout_s, sink=sink)

    def logs(self, path: str | None) -> dict[str, dict[str, str]]:
        """What the programs of Router OSs have logged, by node and program.

        Raises:
            InputError: if there is no such node.
        """
        with self._changing:
            lab = self.lab
            nodes = lab.topology.nodes if path is None else [path]
            found = {node: lab[node].logs() for node in nodes}
        if path is not None:
            return found
        return {node: logs for node, logs in found.items() if logs}

    def capture(self, what: str, output: int, chosen: Chosen) -> Capture:
        """Begin to capture.

        Parameters:
            what, output, chosen: as of `Lab.capture`.

        Raises:
            InputError: if there is nothing of that name.
            ExperimentFailed: if it cannot be begun.
        """
        capture = Capture()
        capture.prepare()  # changes need not wait for that
        try:
            with self._changing:
                return self.lab.capture(what, output, chosen, capture)
        except BaseException:
            capture.close()
            raise

    def counters(self) -> dict[str, Any]:
        """What all virtual links have carried, in each direction, since it was first asked.

        Returns:
            ``time``, in seconds of some clock; ``links`` by path and direction, each with
            ``bytes``, ``packets`` and ``drops`` so far, and ``backlog``, the bytes that wait.
        """
        with self._changing:
            links: dict[str, dict[str, Any]] = {}
            for path, direction, found in self._following().read():
                links.setdefault(path, {})[direction] = asdict(found)
            return {"time": time.monotonic(), "links": links}

    def _following(self) -> LinkCounters:
        lab = self.lab
        if self._counters is None:
            self._counters = LinkCounters(lab)
        elif self._counted is not lab.state:
            self._counters.follow(lab)
        self._counted = lab.state
        return self._counters

    def _watch(self) -> None:
        """Tell of programs that end by themselves."""
        told: set[Ended] = set()
        while not self.over.wait(_LOOK_S):
            with self._changing:
                fresh = (
                    [e for e in self._lab.ended_programs() if e not in told] if self._lab else []
                )
            for ended in fresh:
                told.add(ended)
                self.journal.add("ended", str(ended), node=ended.vr)


def _beside(doc: EntryDoc, folder: Path) -> Beside:
    return Beside(networks_of(doc, folder), texts_of(doc, folder))


def _in_words(verbs: Sequence[Verb]) -> str:
    return ", ".join(str(verb) for verb in verbs)


def text_of(request: dict[str, Any], key: str) -> str:
    """A text that belongs to a request.

    Raises:
        InputError: if it is not there.
    """
    value = request.get(key)
    if not isinstance(value, str):
        raise InputError(f"the request has no {key}")
    return value
