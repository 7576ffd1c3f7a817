"""The live handle on a topology: what the paper's verbs do.

    with Lab.from_file("topologies/wowkivs2009.yaml") as lab:
        lab["a/r1"].run("ip", "route")
        lab.reshape("a/core", guarantee="30mbit", delay="5ms")
        lab.move("a/core", path=["rm1", "rm3", "rm2"])

A lab lives in a capsule (`vnemu.capsule.enter`). Every change takes the road of
the set-up: model, plan, difference, one batch; then the kernel is asked whether
it holds what was planned. The verbs (`vnemu.verbs`) are values: `Lab.do` carries
several of them out as one.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from vnemu import capsule
from vnemu.drivers import router_os
from vnemu.drivers.capture import Capture, Chosen
from vnemu.drivers.kernel import Kernel
from vnemu.drivers.namespace_routers import NamespaceRouters
from vnemu.drivers.probe import require, require_change, settle
from vnemu.drivers.processes import Ended, ProcessMaker
from vnemu.drivers.routers import Routers
from vnemu.drivers.transaction import carry_out as transact
from vnemu.drivers.vr_init import Order
from vnemu.embedding.mapping import Mapping as Embedding
from vnemu.embedding.strategies import embed
from vnemu.errors import InputError, InternalError
from vnemu.events import Note, Progress, Sink, ignore
from vnemu.lab_verbs import LabVerbs
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.nodes import VirtualNode
from vnemu.plan.build import build
from vnemu.plan.changed import changed_fragments, draining
from vnemu.plan.diff import FragmentKey, Plan, diff
from vnemu.plan.objects import node_namespace
from vnemu.plan.taps import taps_of
from vnemu.readiness import Readiness
from vnemu.schema.load import load_topology
from vnemu.schema.wording import some
from vnemu.verbs.state import State, Verb, carry_out


class Lab(LabVerbs):
    """A topology that exists while the context lasts."""

    def __init__(self, topology: Topology, mapping: Embedding, sink: Sink = ignore) -> None:
        self.state = State(topology, mapping)
        self.plan = Plan()
        self._sink = sink
        self._kernel: Kernel | None = None
        self._processes: ProcessMaker | None = None
        self._routers: Routers | None = None
        self._captures: list[Capture] = []

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
        orders = router_os.orders(topology)
        if chosen:
            self._sink(Note(chosen))
        self._kernel = Kernel()
        try:
            self._processes = ProcessMaker()
            self._routers = NamespaceRouters(self._processes, self._kernel.namespaces)
            self._routers.prepare(topology)
            self._replan(State(topology, self.mapping), None)
            self._start(self._processes, orders)
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

    def _start(self, processes: ProcessMaker, orders: Mapping[str, Order]) -> None:
        """Start the Router OSs, side by side."""
        if orders:
            spaces = self.kernel.namespaces
            there = {p: (order, spaces[node_namespace(p)].fd) for p, order in orders.items()}
            tell = partial(_tell_progress, self._sink, "start routers")
            processes.start(there, tell)

    def converge(
        self,
        timeout_s: float = 120.0,
        stable_only: Collection[str] = (),
        sink: Sink | None = None,
    ) -> None:
        """Wait until the routing of all networks has converged; `vnemu.readiness` says when.

        Networks without routing protocols are ready at once.

        Parameters:
            timeout_s: how long that may take, in seconds.
            stable_only: networks of which not all need to reach all, such as those with
                policies: it is enough that their routing tables do not change any more.
            sink: is told how far it is; None: that of the lab.

        Raises:
            ConvergenceTimeout: if it takes longer, saying who does not reach whom.
            ExperimentFailed: if a program of a Router OS has ended.
        """
        processes = self._processes
        assert processes is not None, "a lab that is up has it"
        tell = partial(_tell_progress, sink or self._sink, "routing")
        readiness = Readiness(
            self.topology, self.mapping, self.kernel, stable_only, tell, processes.complain
        )
        readiness.wait(timeout_s)

    def serve_threads(self) -> None:
        """Let threads that end before the lab start programs in it, from now on."""
        assert self._processes is not None, "a lab that is up has it"
        self._processes.begin()

    def ended_programs(self) -> list[Ended]:
        """The programs of Router OSs that have ended by themselves so far, oldest first."""
        return self._processes.ended() if self._processes is not None else []

    def _close(self) -> None:
        while self._captures:  # their sockets would keep namespaces alive
            self._captures.pop().end()
        if self._processes is not None:
            self._processes.close()
            self._processes = None
        if self._routers is not None:
            self._routers.close()
            self._routers = None
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        self.plan = Plan()

    @property
    def topology(self) -> Topology:
        """What the lab is now."""
        return self.state.topology

    @property
    def mapping(self) -> Embedding:
        """Where it is now."""
        return self.state.mapping

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

    def capture(
        self, what: str, output: int, chosen: Chosen | None = None, capture: Capture | None = None
    ) -> Capture:
        """Capture frames from now on, as pcapng; it ends by `Capture.stop`, or with the lab.

        Parameters:
            what: a link, node, machine, an end or a NIC (`vnemu.plan.taps.taps_of`).
            output: a descriptor to write to.
            chosen: which frames, and when it is to end by itself; None: all of them.
            capture: one that has been made ready.

        Raises:
            InputError: if there is nothing of that name.
            ExperimentFailed: if it cannot be begun.
        """
        own = capture or Capture()
        try:
            taps = taps_of(self.topology, what)
            own.begin(taps, chosen or Chosen(), self.kernel.inside, output)
        except BaseException:
            own.close()
            raise
        self._captures = [each for each in self._captures if not each.is_closed] + [own]
        return own

    def _repr_html_(self) -> str:
        """As a notebook shows it: drawing, nodes and virtual links."""
        from vnemu.plan.explain import described
        from vnemu.results.lab_page import lab_page

        return lab_page(described(self.topology, self.mapping))

    def _repr_svg_(self) -> str:
        """The drawing alone."""
        from vnemu.plan.explain import described
        from vnemu.results.lab_page import lab_drawing

        return lab_drawing(described(self.topology, self.mapping))

    def do(self, *verbs: Verb) -> State:
        """Carry out verbs as one change: all of it happens, in one batch, or nothing.

        Returns:
            The state before them.

        Raises:
            InputError: if one names what is not there, or a physical link cannot hold
                the guarantees that would be on it; then nothing is changed.
            MissingCapability: if this kernel lacks what the change needs.
        """
        before = self.state
        with _no_collection():
            after = carry_out(before, verbs)
            require_change(before.topology, after.topology)
            self._change(after)
        return before

    def _change(self, after: State) -> None:
        """Carry out a change, of kernel objects and of processes: all of it or nothing."""
        routers = self._routers
        assert routers is not None, "a lab that is up has it"
        before = self.state
        routers.check(before, after)
        try:
            routers.before_batch(before, after)
            self._replan(
                after,
                changed_fragments(before, after),
                partial(routers.begin, before, after),
                partial(routers.after_batch, before, after),
            )
        except BaseException as error:
            _take_back(error, routers, before, after)
            raise

    def _replan(
        self,
        after: State,
        only: Iterable[FragmentKey] | None,
        begin: Callable[[], None] = lambda: None,
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        """The one road to the kernel: plan, difference, apply, observe; undo on failure.

        Parameters:
            begin: called when all is there that is new; nothing is removed yet.
            finish: called when all is done.
        """
        fresh = build(after.topology, after.mapping, only, after.granted)
        have = {key: self.plan.fragments.get(key, {}) for key in fresh.fragments}
        actions = diff(fresh.fragments, have)
        self._sink(Progress("set up", 0, len(actions)))
        queues, flight = draining(actions, self.state, after)
        tell = self._teller(after.notes)

        def switched() -> None:
            tell()
            begin()

        transact(self.kernel, actions, queues, flight, switched, finish)
        self.state = after
        self.plan = self.plan.updated(fresh.fragments)
        self._sink(Progress("set up", len(actions), len(actions)))

    def _teller(self, notes: Sequence[str]) -> Callable[[], None]:
        """Says what was done by itself, and how long it took, as soon as it is done."""
        begun = time.monotonic()

        def tell() -> None:
            taken = (time.monotonic() - begun) * 1e3
            for note in notes:
                self._sink(Note(f"{note}, within {taken:.1f} ms"))

        return tell


def _take_back(error: BaseException, routers: Routers, before: State, after: State) -> None:
    """Take processes back after `error`, which says it if that does not work either."""
    try:
        routers.take_back(before, after)
    except Exception as another:
        error.add_note(f"not all is as before: {another}")


def _tell_progress(sink: Sink, step: str, done: int, total: int) -> None:
    sink(Progress(step, done, total))


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
