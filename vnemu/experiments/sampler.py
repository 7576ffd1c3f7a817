"""Reads the kernel's counters of every flow and every VL at a steady pace, in a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers import tc
from vnemu.drivers.netlink import NetlinkSocket
from vnemu.lab import Lab
from vnemu.plan.objects import FABRIC, machine_namespace
from vnemu.plan.tunnels import vl_class
from vnemu.results.record import RunWriter
from vnemu.traffic.iperf3 import Flow


@dataclass(frozen=True)
class _Shaped:
    """One direction of a VL that crosses physical links, counted by its class on the last one.

    Parameters:
        path: which one it is, of a VL over several.
    """

    link: str
    direction: str
    path: str
    index: int
    minor: int


@dataclass(frozen=True)
class _Patched:
    """One direction of a VL on one RM, counted by the vif that the frames leave by."""

    link: str
    direction: str
    device: str


@dataclass
class _Total:
    """What one direction of a VL was counted with, at all the places where it ever was."""

    places: dict[_Shaped | _Patched, tc.Counters] = field(default_factory=dict)
    gone: list[tuple[_Shaped | _Patched, tc.Counters]] = field(default_factory=list)

    def add(self, place: _Shaped | _Patched, counters: tc.Counters) -> None:
        """Take what is counted at a place now."""
        before = self.places.get(place)
        if before is not None and counters.bytes < before.bytes:
            self.gone.append((place, before))  # it was made anew when the VL came back
        self.places[place] = counters

    def sum(self, present: set[_Shaped | _Patched]) -> tc.Counters:
        """All together; what waits, only at the places where it is now."""
        parts = [counters for _, counters in self._all()]
        return tc.Counters(
            bytes=sum(part.bytes for part in parts),
            packets=sum(part.packets for part in parts),
            drops=sum(part.drops for part in parts),
            backlog=sum(self.places[place].backlog for place in present),
        )

    def octets(self) -> dict[str, int]:
        """The octets on each path of a VL that had several at a time."""
        found: dict[str, int] = {}
        for place, counters in self._all():
            if isinstance(place, _Shaped) and place.path:
                found[place.path] = found.get(place.path, 0) + counters.bytes
        return found

    def _all(self) -> Iterator[tuple[_Shaped | _Patched, tc.Counters]]:
        return chain(self.gone, self.places.items())


class LinkCounters:
    """Sockets and handles with which all VLs of a lab are read.

    A class counts frames as the VRs sent them; a vif counts a large packet with
    its headers once, so that its bytes are up to 4% under those of the frames.
    """

    def __init__(self, lab: Lab) -> None:
        self._sockets: dict[str, NetlinkSocket] = {}
        self._totals: dict[tuple[str, str], _Total] = {}
        self._spread: set[tuple[str, str]] = set()
        self.follow(lab)

    def follow(self, lab: Lab) -> None:
        """Take the lab as it is now: VLs that moved are counted at their new places."""
        self._shaped: dict[str, list[_Shaped]] = {}
        self._patched: dict[str, _Patched] = {}
        for path in lab.topology.links:
            self._add(lab, path, forward=True)
            self._add(lab, path, forward=False)
        for name in [*self._shaped, *([FABRIC] if self._patched else [])]:
            if name not in self._sockets:
                self._sockets[name] = lab.kernel.inside(name, NetlinkSocket)
        places = (place for entries in self._shaped.values() for place in entries)
        self._spread |= {(place.link, place.direction) for place in places if place.path}

    def _add(self, lab: Lab, path: str, *, forward: bool) -> None:
        link = lab.topology.links[path]
        direction = link.direction(forward)
        if not lab.mapping.paths[path].links:
            nic = (link.b, link.b_nic) if forward else (link.a, link.a_nic)
            device = lab.topology.vifs[nic]
            self._patched[device] = _Patched(path, direction, device)
            return
        ways = lab.mapping.paths[path].ways
        for way in ways:
            physical, before, behind = list(way.hops())[-1 if forward else 0]
            machine = before if forward else behind
            name = machine_namespace(machine)
            device = lab.topology.underlay.ports[physical, machine]
            index = lab.kernel.namespaces[name].indices[device]
            name_of_path = "-".join(way.machines) if len(ways) > 1 else ""
            shaped = _Shaped(path, direction, name_of_path, index, vl_class(way.number))
            self._shaped.setdefault(name, []).append(shaped)

    def read(self) -> Iterator[tuple[str, str, tc.Counters]]:
        """VL, direction and counters of each, from the beginning on."""
        present: dict[tuple[str, str], set[_Shaped | _Patched]] = {}
        for place, counters in self._read():
            key = place.link, place.direction
            self._totals.setdefault(key, _Total()).add(place, counters)
            present.setdefault(key, set()).add(place)
        for key, places in present.items():
            yield *key, self._totals[key].sum(places)

    def octets_by_path(self) -> Iterator[tuple[str, str, str, int]]:
        """VL, direction, path and octets as last read, of VLs over several paths."""
        for key in self._spread.intersection(self._totals):
            for path, octets in self._totals[key].octets().items():
                yield *key, path, octets

    def _read(self) -> Iterator[tuple[_Shaped | _Patched, tc.Counters]]:
        for name, entries in self._shaped.items():
            requests = [tc.get_class(entry.index, entry.minor) for entry in entries]
            answers = self._sockets[name].query(requests)
            for entry, answer in zip(entries, answers, strict=True):
                if answer is not None:
                    yield entry, tc.counters(answer)
        if self._patched:
            for answer in self._sockets[FABRIC].dump(rt.RTM_GETLINK, rt.LIST_DEVICES):
                device = rt.device(answer)
                patched = self._patched.get(device.name)
                if patched is not None:
                    octets, packets = device.sent
                    yield patched, tc.Counters(octets, packets, 0, 0)

    def close(self) -> None:
        """Let go of the sockets."""
        for socket in self._sockets.values():
            socket.close()


class Sampler:
    """Writes a sample of everything every `interval` seconds until it is stopped.

    Parameters:
        clock: seconds since the start of the experiment.
        also: called with each sample.
    """

    def __init__(
        self,
        flows: list[Flow],
        links: LinkCounters,
        writer: RunWriter,
        interval: float,
        clock: Callable[[], float],
        also: Callable[[], None] = lambda: None,
    ) -> None:
        self._flows = flows
        self._links = links
        self._writer = writer
        self._interval = interval
        self._clock = clock
        self._also = also
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")
        self._last: dict[str, tuple[float, int]] = {}
        self.rates_mbit: dict[str, float] = {}
        self.error: Exception | None = None

    def start(self) -> None:
        """Take the first sample now and go on in the background."""
        self._sample()
        self._thread.start()

    def _run(self) -> None:
        count = 1
        try:
            while True:
                due = count * self._interval
                if self._stop.wait(max(0.0, due - self._clock())):
                    break
                self._sample()
                # A late sample does not make the next ones late too.
                count = max(count + 1, int(self._clock() / self._interval) + 1)
            self._sample()
        except Exception as error:
            self.error = error

    @contextmanager
    def changing(self, lab: Lab) -> Iterator[None]:
        """Sample the places of VLs before they change, and follow them afterwards."""
        with self._lock:
            self._sample_links()
        try:
            yield
        finally:
            with self._lock:
                self._links.follow(lab)

    def _sample(self) -> None:
        for flow in self._flows:
            if flow.counter is None:
                continue
            at = self._clock()
            received = flow.counter.read()
            name = flow.spec.name
            self._writer.flow(at, name, received.goodput, received.arrived)
            before, arrived = self._last.get(name, (at, received.arrived))
            if at > before:
                self.rates_mbit[name] = (received.arrived - arrived) * 8 / (at - before) / 1e6
            self._last[name] = (at, received.arrived)
        with self._lock:
            self._sample_links()
        self._writer.sampled()
        self._also()

    def _sample_links(self) -> None:
        at = self._clock()
        for link, direction, found in self._links.read():
            self._writer.link(
                at, link, direction, found.bytes, found.packets, found.drops, found.backlog
            )
        for link, direction, path, octets in self._links.octets_by_path():
            self._writer.path(at, link, direction, path, octets)

    def stop(self) -> None:
        """Take a last sample and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(max(5.0, 2 * self._interval))

    def close(self) -> None:
        """End and let go of the sockets."""
        self.stop()
        self._links.close()
        for flow in self._flows:
            flow.close()


def steady_clock() -> Callable[[], float]:
    """A clock that starts at 0 now, in seconds, and never goes back."""
    start = time.monotonic()
    return lambda: time.monotonic() - start
