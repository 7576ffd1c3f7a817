"""Who watches the routers while an experiment runs, all of them from outside.

Kernel routes of every node, routing messages at the vifs, and whether anybody touched a VR.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from vnemu.drivers.control_messages import ControlMessages, Heard
from vnemu.drivers.pcapng import PcapngFile
from vnemu.drivers.route_monitor import NodeRoutes, RouteChange, RouteMonitor
from vnemu.errors import ExperimentFailed
from vnemu.events import Note, Sink
from vnemu.experiments.fingerprint import Untouched
from vnemu.lab import Lab
from vnemu.model.overlay import Node, Topology
from vnemu.plan.objects import FABRIC, node_namespace
from vnemu.plan.taps import nic_name
from vnemu.results.record import NodePlace, RunWriter


class Observers:
    """Watches a lab's routers and records what it sees; stopped by `finish` or `close`.

    Parameters:
        capture: whether to keep all routing messages in control.pcapng.
    """

    def __init__(self, lab: Lab, writer: RunWriter, sink: Sink, *, capture: bool = False) -> None:
        self._lab = lab
        self._writer = writer
        self._sink = sink
        self._waiting: list[RouteChange] | None = []
        self._begun_at = 0.0
        self._clock: Callable[[], float] = lambda: 0.0
        with ExitStack() as stack:
            self._untouched = Untouched(lab, writer)
            self._routes = RouteMonitor(_sockets(lab, lab.topology.nodes), self._route)
            stack.callback(self._routes.close)
            self._messages = lab.kernel.inside(FABRIC, ControlMessages)
            stack.callback(self._messages.close)
            self._file = _file(writer.folder / "control.pcapng") if capture else None
            if self._file is not None:
                stack.callback(self._file.close)
            self._stack = stack.pop_all()

    def look(self) -> None:
        """See how everything is before the experiment starts."""
        self._untouched.begin()
        self._routes.start()
        self._messages.follow(_vifs(self._lab))

    def begin(self, clock: Callable[[], float]) -> None:
        """The experiment starts: `clock` tells the seconds since then."""
        self._clock = clock
        self._begun_at = time.monotonic() - clock()
        self._messages.read()  # what was sent before is not counted
        self._messages.reset()
        self._writer.places(0.0, _places(self._lab.topology, self._lab.topology.nodes))
        waiting, self._waiting = self._waiting or [], None
        for change in waiting:
            self._write(change)

    def _route(self, change: RouteChange) -> None:
        if self._waiting is not None:
            self._waiting.append(change)
        else:
            self._write(change)

    def _write(self, change: RouteChange) -> None:
        route = change.route
        self._writer.route(
            change.at - self._begun_at,
            change.node,
            change.action,
            route.prefix,
            route.next_hops,
            route.protocol,
            route.metric,
        )

    def sample(self) -> None:
        """Record the routing messages that were heard up to now."""
        at = self._clock()
        self._writer.control(at, self._messages.read(self._keep if self._file else None))
        if self._file is not None:
            self._file.flush()

    def _keep(self, heard: Heard) -> None:
        assert self._file is not None, "it is asked to keep them"
        name = nic_name(heard.node, heard.nic)
        self._file.write(name, heard.at_ns, heard.frame, heard.size, heard.outward)

    def changed(self, at: float, events: Sequence[int], before: Topology) -> None:
        """The lab was changed from outside at `at`, for the events so numbered."""
        after = self._lab.topology
        self._untouched.due(events, before, after)
        if before.nodes.keys() != after.nodes.keys():
            new = _sockets(self._lab, [path for path in after.nodes if path not in before.nodes])
            self._routes.follow(new, [path for path in before.nodes if path not in after.nodes])
        if before.nodes is not after.nodes or before.links.keys() != after.links.keys():
            self._messages.follow(_vifs(self._lab))
            places = _places(after, after.nodes)
            old = _places(before, before.nodes)
            self._writer.places(at, {n: p for n, p in places.items() if old.get(n) != p})

    def work(self, left_s: float) -> bool:
        """Do something that can wait, if there is any and `left_s` seconds are enough."""
        return self._untouched.work(left_s, self._clock)

    @property
    def idle_s(self) -> float:
        """For how many seconds there is nothing that waits."""
        return self._untouched.idle_s

    def check(self) -> None:
        """See whether it still watches.

        Raises:
            ExperimentFailed: if it does not.
        """
        if self._routes.error is not None:
            raise ExperimentFailed(f"the routes could not be followed: {self._routes.error}")

    def finish(self) -> None:
        """Look for the last time."""
        self._routes.close()
        self.sample()
        self._untouched.finish(self._clock)
        if self._messages.dropped:
            self._sink(Note(f"{self._messages.dropped} routing messages came too fast to count"))

    def close(self) -> None:
        """Let go of all sockets; a second call does nothing."""
        self._stack.close()


def _file(path: Path) -> PcapngFile:
    return PcapngFile(path.open("wb", buffering=0))


def _sockets(lab: Lab, nodes: Iterable[str]) -> dict[str, tuple[NodeRoutes, Callable[[int], str]]]:
    found: dict[str, tuple[NodeRoutes, Callable[[int], str]]] = {}
    for path in nodes:
        name = node_namespace(path)
        indices = lab.kernel.namespaces[name].indices
        found[path] = lab.kernel.inside(name, NodeRoutes), _namer(indices)
    return found


def _namer(indices: Mapping[str, int]) -> Callable[[int], str]:
    """Device names by index, of a mapping that grows with new devices."""
    known: dict[int, str] = {}

    def name(index: int) -> str:
        if index not in known:
            known.update({number: device for device, number in list(indices.items())})
        return known.get(index, str(index))

    return name


def _vifs(lab: Lab) -> dict[int, tuple[str, str]]:
    indices = lab.kernel.namespaces[FABRIC].indices
    return {indices[device]: nic for nic, device in lab.topology.vifs.items()}


def _places(topology: Topology, nodes: Mapping[str, Node]) -> dict[str, NodePlace]:
    return {path: _place(topology, node) for path, node in nodes.items()}


def _place(topology: Topology, node: Node) -> NodePlace:
    peers = {}
    for nic in node.nics:
        link = topology.links.get(nic.link)
        if link is not None:
            peers[nic.name] = link.b if link.a == node.path else link.a
    return NodePlace(addresses=tuple(str(a.ip) for a in node.addresses), peers=peers)
