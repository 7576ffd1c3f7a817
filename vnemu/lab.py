"""The live handle on a topology: what the paper's verbs do.

    with Lab.from_file("topologies/wowkivs2009.yaml") as lab:
        lab["a/r1"].run("ip", "route")
        lab.reshape("a/core", guarantee="30mbit")

A lab lives in a capsule (`vnemu.capsule.enter`). Every change takes the road of
the set-up: model, plan, difference, one batch; then the kernel is asked whether
it holds what was planned.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

from vnemu import capsule
from vnemu.drivers.kernel import Kernel
from vnemu.drivers.probe import require, settle
from vnemu.drivers.processes import ProcessMaker
from vnemu.embedding.mapping import Mapping as Embedding
from vnemu.embedding.mapping import admit
from vnemu.embedding.strategies import embed
from vnemu.errors import InputError, InternalError, KernelRefused
from vnemu.events import Note, Progress, Sink, ignore
from vnemu.model.change import Quality, reshaped
from vnemu.model.overlay import Node, Topology
from vnemu.model.resolve import resolve
from vnemu.plan.build import build, reshared
from vnemu.plan.diff import Action, FragmentKey, Plan, diff
from vnemu.plan.facts import differences, facts
from vnemu.plan.objects import Object, node_namespace
from vnemu.schema.load import load_topology
from vnemu.schema.wording import some
from vnemu.units import Rate

T = TypeVar("T")


class VirtualNode:
    """A VR or host of a running lab."""

    def __init__(self, node: Node, kernel: Kernel, processes: ProcessMaker) -> None:
        self.node = node
        self._kernel = kernel
        self._processes = processes

    def popen(
        self,
        *argv: str,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program inside; it ends with the lab at the latest."""
        network = self._kernel.namespaces[node_namespace(self.node.path)].fd
        init = self._processes.init(self.node.path, self.node.name, network)
        return self._processes.popen(init, argv, stdin, stdout, stderr, env)

    def run(self, *argv: str, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a program inside and return what it printed; `timeout` is in seconds.

        Raises:
            subprocess.TimeoutExpired: if it takes longer; it is ended first.
        """
        with self.popen(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                _end_session(process)
                raise
        return subprocess.CompletedProcess(
            argv, process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
        )

    def inside(self, call: Callable[[], T]) -> T:
        """Run `call` in the node's network namespace: to open a socket there, no more."""
        return self._kernel.inside(node_namespace(self.node.path), call)


def _end_session(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


class Lab:
    """A topology that exists while the context lasts."""

    def __init__(self, topology: Topology, mapping: Embedding, sink: Sink = ignore) -> None:
        self.topology = topology
        self.mapping = mapping
        self.plan = Plan()
        self._sink = sink
        self._kernel: Kernel | None = None
        self._processes: ProcessMaker | None = None

    @classmethod
    def from_file(
        cls, path: str | Path, overrides: Sequence[str] = (), sink: Sink = ignore
    ) -> Self:
        """A lab of a topology file; `overrides` are like ``underlay.links.0.rate=1gbit``.

        Raises:
            InputError: with everything that is wrong with the file.
        """
        topology = resolve(load_topology(Path(path), overrides))
        return cls(topology, embed(topology), sink)

    def __enter__(self) -> Self:
        if not capsule.inside():
            raise InputError(
                "a lab runs in a capsule: call vnemu.capsule.enter() first, at the top of "
                "the program, or use the vnemu command"
            )
        topology, chosen = settle(self.topology)
        require(topology)
        if chosen:
            self._sink(Note(chosen))
        self._kernel = Kernel()
        try:
            self._processes = ProcessMaker()
            self._replan(topology, self.mapping, None)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._processes is not None:
            self._processes.close()
            self._processes = None
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        self.plan = Plan()

    @property
    def kernel(self) -> Kernel:
        """The driver, for observers such as samplers.

        Raises:
            InternalError: if the lab is not up.
        """
        if self._kernel is None:
            raise InternalError("the lab is not up: use it in a with statement")
        return self._kernel

    def __getitem__(self, path: str) -> VirtualNode:
        """The VR or host ``network/name``.

        Raises:
            InputError: if there is none.
        """
        node = self.topology.nodes.get(path)
        if node is None:
            raise InputError(f"there is no node '{path}'; there are: {some(self.topology.nodes)}")
        kernel = self.kernel
        assert self._processes is not None, "a lab that is up has both"
        return VirtualNode(node, kernel, self._processes)

    def reshape(
        self,
        link: str,
        *,
        limit: str | Rate | None = "keep",
        guarantee: str | Rate | None = "keep",
    ) -> None:
        """Change a VL's limit or guarantee; what is not named keeps its value.

        Parameters:
            link: network/link.
            limit, guarantee: a rate such as ``"30mbit"``; ``"none"`` or None to take it away.

        Raises:
            InputError: if there is no such VL, or a physical link cannot hold the
                guarantee; then nothing is changed.
        """
        self.reshape_all({link: Quality.parse(limit, guarantee)})

    def reshape_all(self, changes: Mapping[str, Quality]) -> None:
        """Change several VLs in one batch; all or none of it happens.

        Raises:
            InputError: as `reshape`.
        """
        topology = reshaped(self.topology, changes)
        touched = dict.fromkeys(p for path in changes for p in self.mapping.paths[path].links)
        admit(topology, self.mapping, touched)
        fragments = list(reshared(self.topology, topology, self.mapping, touched))
        fragments += [("link", path) for path in changes if not self.mapping.paths[path].links]
        self._replan(topology, self.mapping, fragments)

    def _replan(
        self, topology: Topology, mapping: Embedding, only: Iterable[FragmentKey] | None
    ) -> None:
        """The one road to the kernel: plan, difference, apply, observe; undo on failure."""
        with _no_collection():
            self._change(topology, mapping, only)

    def _change(
        self, topology: Topology, mapping: Embedding, only: Iterable[FragmentKey] | None
    ) -> None:
        fresh = build(topology, mapping, only)
        have = {key: self.plan.fragments.get(key, {}) for key in fresh.fragments}
        actions = diff(fresh.fragments, have)
        self._sink(Progress("set up", 0, len(actions)))
        try:
            self.kernel.apply(actions)
            self._verify([action.new for action in actions if action.new is not None])
        except BaseException as error:
            self._undo(actions, error)
            raise
        self.topology, self.mapping = topology, mapping
        self.plan = self.plan.updated(fresh.fragments)
        self._sink(Progress("set up", len(actions), len(actions)))

    def _verify(self, objects: list[Object]) -> None:
        wrong = differences(facts(objects), self.kernel.observe(objects))
        if wrong:
            shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if wrong[5:] else "")
            raise InternalError(f"the kernel does not hold what was planned: {shown}")

    def _undo(self, actions: list[Action], error: BaseException) -> None:
        before = [action.old for action in actions if action.old is not None]
        try:
            self.kernel.revert(actions)
            left = differences(facts(before), self.kernel.observe(before))
        except KernelRefused as refusal:
            left = [str(refusal)]
        if left:
            error.add_note(f"undoing it did not work either: {'; '.join(left[:5])}")


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold Python's search for garbage cycles off.

    A plan has none, yet at 1000 links a search takes as long as a change of them all.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
