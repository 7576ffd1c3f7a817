"""VRs that are namespaces: what a change does to their processes (`vnemu.drivers.routers`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial

from vnemu.drivers import limits, router_os
from vnemu.drivers.leftovers import remove_dynamic_routes
from vnemu.drivers.limits import Limits
from vnemu.drivers.namespaces import NetworkNamespace
from vnemu.drivers.private_files import copied
from vnemu.drivers.processes import ProcessMaker
from vnemu.drivers.vr_init import Order
from vnemu.errors import ExperimentFailed, VnemuError
from vnemu.model.overlay import Node, Topology
from vnemu.model.resources import UNLIMITED
from vnemu.plan.objects import node_namespace
from vnemu.verbs.state import State

GONE = "gone"


class NamespaceRouters:
    """Carries out what `Routers` says for VRs and hosts whose processes a `ProcessMaker` makes.

    Parameters:
        namespaces: the network namespaces that the kernel driver has now, by name.
    """

    def __init__(self, processes: ProcessMaker, namespaces: Mapping[str, NetworkNamespace]) -> None:
        self._processes = processes
        self._namespaces = namespaces
        self._limits = Limits(processes)
        self._is: dict[str, str] = {}
        """The nodes that are paused or stopped; all others run."""

    def prepare(self, topology: Topology) -> None:
        """See `Routers.prepare`."""
        limits.clear()
        self._limits.set(topology.nodes.values())

    def close(self) -> None:
        """Leave nothing on the machine, after all processes have ended."""
        self._limits.close()

    def check(self, before: State, after: State) -> None:
        """See `Routers.check`: the programs of new VRs must be installed."""
        for node in _new(before, after):
            if not node.copied_from:
                router_os.order_of(after.topology, node)

    def before_batch(self, before: State, after: State) -> None:
        """See `Routers.before_batch`."""
        resting = [p for p in _changed(before, after) if _state(after, p) != "running"]
        self._freeze([path for path in resting if path not in self._is])

    def begin(self, before: State, after: State) -> None:
        """See `Routers.begin`."""
        self._limits.set(_otherwise_limited(before, after))
        self._start(after.topology, _new(before, after))

    def after_batch(self, before: State, after: State) -> None:
        """See `Routers.after_batch`."""
        changed = _changed(before, after)
        running = [path for path in changed if _state(after, path) == "running"]
        self._restart([path for path in running if self._is.get(path) == "stopped"])
        self._thaw([path for path in running if self._is.get(path) == "paused"])
        self._stop([path for path in changed if _state(after, path) == "stopped"])
        self._end([path for path in changed if _state(after, path) == GONE])

    def take_back(self, before: State, after: State) -> None:
        """See `Routers.take_back`."""
        changed = _changed(before, after)
        was = {path: _state(before, path) for path in changed}
        steps: list[tuple[Callable[[Collection[str]], None], str]] = [
            (self._freeze_again, "paused"),
            (self._stop, "stopped"),
            (self._run_again, "running"),
        ]
        new = [node.path for node in _new(before, after)]
        limited = [node for node in _otherwise_limited(after, before) if node.path not in new]
        _all_of(
            [
                partial(self._end, new),
                *(partial(self._limits.set, [node]) for node in limited),
                *(partial(step, [p for p in changed if was[p] == state]) for step, state in steps),
            ]
        )

    def _freeze_again(self, paths: Collection[str]) -> None:
        self._freeze([path for path in paths if path not in self._is])

    def _run_again(self, paths: Collection[str]) -> None:
        """Let VRs run that did, whose programs rest or have ended meanwhile."""
        self._thaw([path for path in paths if self._is.get(path) == "paused"])
        ended = [path for path in paths if self._is.get(path) == "stopped"]
        self._restart(ended)
        lost = [path for path in ended if self._processes.pid_1(path) is not None]
        if lost:
            message = f"all that ran in {', '.join(lost)} had ended"
            raise ExperimentFailed(f"{message}; its Router OS, if any, was started again")

    def _freeze(self, paths: Collection[str]) -> None:
        if paths:
            self._processes.freeze(paths)
            self._is.update(dict.fromkeys(paths, "paused"))

    def _thaw(self, paths: Collection[str]) -> None:
        if paths:
            self._processes.thaw(paths)
            self._run(paths)

    def _stop(self, paths: Collection[str]) -> None:
        paths = [path for path in paths if self._is.get(path) != "stopped"]
        if paths:
            # Should one not end, the others have: what is taken back starts them again.
            self._is.update(dict.fromkeys(paths, "stopped"))
            self._processes.stop(paths)
        for path in paths:
            remove_dynamic_routes(self._namespaces[node_namespace(path)])

    def _restart(self, paths: Collection[str]) -> None:
        if paths:
            self._run(paths)
            self._processes.restart(paths)

    def _run(self, paths: Collection[str]) -> None:
        for path in paths:
            self._is.pop(path, None)

    def _end(self, paths: Collection[str]) -> None:
        if paths:
            self._processes.end(paths)
            self._limits.forget(paths)
            self._run(paths)

    def _start(self, topology: Topology, nodes: Iterable[Node]) -> None:
        """Start what new VRs run; a copy that is stopped has its files already."""
        orders = {}
        for node in nodes:
            order = self._order(topology, node)
            if order is not None:
                orders[node.path] = order, self._namespaces[node_namespace(node.path)].fd
            if node.state == "stopped":
                self._is[node.path] = "stopped"
        if orders:
            self._processes.start(orders)

    def _order(self, topology: Topology, node: Node) -> Order | None:
        if not node.copied_from:
            return router_os.order_of(topology, node)
        init = self._processes.pid_1(node.copied_from)
        order = self._processes.order(node.copied_from)
        if order is None or init is None:
            return None
        return copied(order, init, node.name, node.state == "stopped")


def _changed(before: State, after: State) -> list[str]:
    """The nodes that were there, and whose state is another now, or which are gone."""
    old, new = before.topology.nodes, after.topology.nodes
    if old is new:
        return []
    return [path for path, node in old.items() if _state(after, path) != node.state]


def _otherwise_limited(before: State, after: State) -> list[Node]:
    """The nodes of `after` that have other limits than before, new ones with any among them."""
    old, new = before.topology.nodes, after.topology.nodes
    if old is new:
        return []
    had = {path: node.resources for path, node in old.items()}
    return [node for path, node in new.items() if node.resources != had.get(path, UNLIMITED)]


def _new(before: State, after: State) -> list[Node]:
    old, new = before.topology.nodes, after.topology.nodes
    return [] if old is new else [node for path, node in new.items() if path not in old]


def _state(state: State, path: str) -> str:
    node = state.topology.nodes.get(path)
    return node.state if node is not None else GONE


def _all_of(steps: Iterable[Callable[[], None]]) -> None:
    """Take all steps, also after one has failed.

    Raises:
        ExperimentFailed: with all that went wrong.
    """
    wrong = []
    for step in steps:
        try:
            step()
        except (VnemuError, OSError) as error:
            wrong.append(str(error))
    if wrong:
        raise ExperimentFailed("; ".join(wrong))
