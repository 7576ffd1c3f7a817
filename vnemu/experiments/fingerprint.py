"""The black-box proof: VRs are looked at from outside, and nobody has touched them.

A VR's fingerprint is what a person who reconfigures it would change: the files of its own
/etc/bird or /etc/frr, its processes, its network namespace's sysctls, and its interfaces
with name, MAC, MTU, administrative state and addresses. Its carrier, routes and neighbours
are not in it: those change by themselves, or with what is done to a VL. What is told to a
daemon by its control socket and not written to a file is not seen.

It is read through /proc and netlink; nothing runs in the VR. To read all sysctls of a VR takes
10 ms, so those of a NIC (net.ipv4.conf.eth0 …) are only read again when netlink, which tells
them all in one answer, says that they differ.
"""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.netlink import attributes, nested
from vnemu.drivers.router_os import configuration_folder
from vnemu.lab import Lab
from vnemu.model.overlay import Topology
from vnemu.plan.objects import node_namespace
from vnemu.results.record import RunWriter

Key = tuple[str, str]
"""The NIC that a setting is of (empty: of none), and what it is."""
Fingerprint = dict[Key, str]

_SYSCTLS = "/proc/sys/net"
_COUNTERS = {"nf_conntrack_count"}  # no settings, though they are listed among them
_SLICE = 60
_PER_DEVICE, _OF_ALL = {"conf", "neigh"}, {"all", "default"}
_IFLA_AF_SPEC, _IFLA_INET_CONF, _IFLA_INET6_CONF = 26, 1, 2
_OUTSIDE = 0  # the parent, as a VR sees it, of what was started from outside

_GUESS_S = 0.002
_FORGETTING = 0.9
_MARGIN_S = 0.002
_CALM_S = 0.5
"""It leaves the first moments after a change to the routers and their probes."""
_REST = 19.0
"""After each step it waits this many times as long as the step took: there may be one processor."""


class Looker:
    """Takes the fingerprint of one VR, step by step.

    Parameters:
        names: the sysctls of VRs by the names of their NICs, as far as they are known.
    """

    def __init__(self, lab: Lab, path: str, names: dict[tuple[str, ...], list[str]]) -> None:
        self._lab = lab
        self._names = names
        self._path = path
        self._namespace = node_namespace(path)
        daemon = lab.topology.nodes[path].os.daemon
        self._folder = configuration_folder(daemon) if daemon else ""
        self._sysctls: dict[str, list[tuple[str, Key]]] = {}
        self._read: dict[str, tuple[bytes, Fingerprint]] = {}

    def _list(self) -> None:
        """Find out what sysctls there are: the same as of a VR with NICs of the same names."""
        nics = tuple(nic.name for nic in self._lab.topology.nodes[self._path].nics)
        if nics not in self._names:
            self._names[nics] = self._lab.kernel.inside(self._namespace, _sysctl_names)
        for name in self._names[nics]:
            key = "sysctl net." + name.removeprefix(f"{_SYSCTLS}/").replace("/", ".")
            nic = _nic_of(name)
            self._sysctls.setdefault(nic, []).append((name, (nic, key)))

    def look(self, into: Fingerprint) -> Iterator[None]:
        """Fill `into`, a part at each step of a millisecond or so."""
        if not self._sysctls:
            self._list()
            yield
        init = self._lab[self._path].pid_1
        if init is not None:
            root = Path(f"/proc/{init}/root")
            into.update(_files(root, self._folder))
            yield
            into.update(_processes(root / "proc"))
            yield
        devices = self._devices()
        into.update(self._interfaces(devices))
        yield
        for name, settings in devices.items():
            into.update(self._of_nic(name, settings[1]))
            yield
        general = self._sysctls.get("", [])
        for start in range(0, len(general), _SLICE):
            part = partial(_values, general[start : start + _SLICE])
            into.update(self._lab.kernel.inside(self._namespace, part))
            yield

    def _devices(self) -> dict[str, tuple[rt.Device, bytes]]:
        """The VR's devices by name, each with its sysctls as netlink tells them."""
        socket = self._lab.kernel.namespaces[self._namespace].socket
        answers = list(socket.dump(rt.RTM_GETLINK, rt.LIST_DEVICES_BARE))
        listed = [(rt.device(answer), _settings(answer)) for answer in answers]
        return {device.name: (device, settings) for device, settings in listed}

    def _of_nic(self, name: str, settings: bytes) -> Fingerprint:
        """The sysctls of a NIC, which are those read before while netlink tells the same."""
        before, known = self._read.get(name, (b"", {}))
        if settings != before or not settings:
            own = partial(_values, self._sysctls.get(name, []))
            known = self._lab.kernel.inside(self._namespace, own)
            self._read[name] = settings, known
        return known

    def _interfaces(self, devices: Mapping[str, tuple[rt.Device, bytes]]) -> Fingerprint:
        socket = self._lab.kernel.namespaces[self._namespace].socket
        names = {device.index: name for name, (device, _) in devices.items()}
        found = {
            (name, f"interface {name}"): (
                f"{d.mac.hex(':')}, mtu {d.mtu}, {'up' if d.up else 'down'}"
            )
            for name, (d, _) in devices.items()
        }
        addresses: dict[str, list[str]] = {}
        for answer in socket.dump(rt.RTM_GETADDR, rt.IFADDR.pack(0, 0, 0, 0, 0)):
            _, length, _, _, index = rt.IFADDR.unpack_from(answer)
            own = attributes(answer, rt.IFADDR.size)
            packed = own.get(rt.IFA_LOCAL) or own.get(rt.IFA_ADDRESS, b"")
            name = names.get(index, str(index))
            addresses.setdefault(name, []).append(f"{_address(packed)}/{length}")
        for name, listed in addresses.items():
            found[name, f"addresses of {name}"] = " ".join(sorted(listed))
        return found


def _address(packed: bytes) -> str:
    import ipaddress

    return str(ipaddress.ip_address(packed))


def _settings(answer: bytes) -> bytes:
    """The values of net.ipv4.conf.NIC and net.ipv6.conf.NIC in what is listed of a device."""
    families = attributes(answer, rt.IFINFO.size).get(_IFLA_AF_SPEC, b"")
    four = nested(families, rt.AF_INET, _IFLA_INET_CONF)
    return four + nested(families, rt.AF_INET6, _IFLA_INET6_CONF)


def _nic_of(name: str) -> str:
    """The NIC that a sysctl (by its path) is of; empty: none."""
    parts = name.removeprefix(_SYSCTLS).split("/")
    is_one = len(parts) > 4 and parts[2] in _PER_DEVICE and parts[3] not in _OF_ALL
    return parts[3] if is_one else ""


def _sysctl_names() -> list[str]:
    """The sysctls of the caller's network namespace that can be read.

    The timers of a NIC's neighbours (net.ipv4.neigh.eth0 …) are left out.
    """
    return sorted(
        os.path.join(folder, name)  # noqa: PTH118 - a thousand of them
        for folder, _, names in os.walk(_SYSCTLS)
        for name in names
        if name not in _COUNTERS and not (folder.count("/neigh/") and _nic_of(f"{folder}/{name}"))
        if os.access(os.path.join(folder, name), os.R_OK)  # noqa: PTH118
    )


def _values(sysctls: Sequence[tuple[str, Key]]) -> Fingerprint:
    """What sysctls are now, each by its file and its key."""
    found: Fingerprint = {}
    for name, key in sysctls:
        # One may go with its device, or refuse to be read before it is set.
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            found[key] = os.read(fd, 4096).decode(errors="replace").rstrip()
        except OSError:
            pass
        finally:
            os.close(fd)
    return found


def _files(root: Path, folder: str) -> Fingerprint:
    """The sums (SHA-256) of the files of a VR's own configuration."""
    if not folder:
        return {}
    found: Fingerprint = {}
    for file in sorted((root / folder.lstrip("/")).rglob("*")):
        with suppress(OSError):
            if file.is_file():
                name = f"/{file.relative_to(root)}"
                found["", f"file {name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def _processes(proc: Path) -> Fingerprint:
    """The processes of a VR, but for those that were started from outside, as iperf3 is."""
    parents: dict[int, int] = {}
    found: dict[int, str] = {}
    for name in os.listdir(proc):  # noqa: PTH208 - names are wanted
        if not name.isdigit():
            continue
        with suppress(OSError):
            # The name is in brackets and may hold anything (proc(5)).
            stat = (proc / name / "stat").read_text().rpartition(")")[2].split()
            argv = (proc / name / "cmdline").read_bytes().rstrip(b"\0")
            words = argv.replace(b"\0", b" ").decode(errors="replace")
            parents[int(name)] = int(stat[1])
            if words:  # else it has ended, and its parent has yet to hear of it
                found[int(name)] = f"{words}, started {stat[19]}"
    return {
        ("", f"process {pid}"): what
        for pid, what in found.items()
        if pid != 1 and not _is_from_outside(pid, parents)
    }


def _is_from_outside(pid: int, parents: dict[int, int]) -> bool:
    while pid in parents and pid != 1:
        pid = parents[pid]
    return pid == _OUTSIDE


def differences(before: Fingerprint, after: Fingerprint, expected: Iterable[str]) -> list[str]:
    """What is different, in words.

    Parameters:
        expected: NICs that were changed from outside; theirs does not count.
    """
    left_out = set(expected)
    found = []
    for key in sorted(before.keys() | after.keys()):
        nic, what = key
        old, new = before.get(key), after.get(key)
        if old == new or nic in left_out:
            continue
        if what.startswith("file ") and old and new:
            found.append(f"{what} was changed")
        elif new is None:
            found.append(f"{what} is gone ({old})")
        elif old is None:
            found.append(f"{what} is new ({new})")
        else:
            found.append(f"{what}: {old} -> {new}")
    return found


def changed_nics(before: Topology, after: Topology) -> dict[str, set[str]]:
    """The NICs that a change from outside gives a node, takes from it or readdresses."""
    found: dict[str, set[str]] = {}
    if before.nodes is after.nodes:
        return found
    for path, node in after.nodes.items():
        old = before.nodes.get(path)
        if old is not None and old.nics != node.nics:
            found[path] = {nic.name for nic in {*old.nics} ^ {*node.nics}}
    return found


def restarted(before: Topology, after: Topology) -> set[str]:
    """The nodes whose processes a change from outside started or ended, or which are new."""
    old, new = before.nodes, after.nodes
    if old is new:
        return set()
    return {
        path
        for path, node in new.items()
        if path not in old
        or (old[path].state != node.state and "stopped" in (old[path].state, node.state))
    }


class Untouched:
    """Looks at all VRs after each change from outside, when there is time before the next.

    Parameters:
        clock: seconds since the start of the experiment.
    """

    def __init__(self, lab: Lab, writer: RunWriter) -> None:
        self._writer = writer
        self._lab = lab
        self._names: dict[tuple[str, ...], list[str]] = {}
        self._lookers: dict[str, Looker] = {}
        self._follow()
        self._known: dict[str, Fingerprint] = {}
        self._looked_at = 0.0
        self._events: tuple[int, ...] = ()
        self._last_events: tuple[int, ...] = ()
        self._expected: dict[str, set[str]] = {}
        self._fresh: dict[str, Fingerprint] = {}
        self._steps: deque[Iterator[None]] = deque()
        self._is_due = False
        self._cost_s = _GUESS_S
        self._not_before = 0.0

    def _follow(self) -> None:
        """Look at the VRs that there are now."""
        self._lookers = {
            path: self._lookers.get(path) or Looker(self._lab, path, self._names)
            for path, node in self._lab.topology.nodes.items()
            if node.kind == "router"
        }

    def begin(self) -> None:
        """Look at all VRs for the first time."""
        self._restart()
        while self._steps:
            self._step()
        self._known = self._fresh
        self._steps.clear()

    def due(self, events: Sequence[int], before: Topology, after: Topology) -> None:
        """A change was made from outside: look at all VRs anew."""
        self._events = tuple(dict.fromkeys((*self._events, *events)))
        for path, nics in changed_nics(before, after).items():
            self._expected.setdefault(path, set()).update(nics)
        for path in {*self._known} - {*after.nodes} | restarted(before, after):
            self._known.pop(path, None)
            self._lookers.pop(path, None)
        self._follow()
        self._is_due = True
        self._not_before = time.monotonic() + _CALM_S

    def _restart(self) -> None:
        self._is_due = False
        self._fresh = {path: {} for path in self._lookers}
        self._steps = deque(
            looker.look(self._fresh[path]) for path, looker in self._lookers.items()
        )

    @property
    def idle_s(self) -> float:
        """For how many seconds there is nothing to do."""
        if not self._steps and not self._is_due:
            return math.inf
        return max(0.0, self._not_before - time.monotonic())

    def work(self, left_s: float, clock: Callable[[], float]) -> bool:
        """Take a step, if there is one and `left_s` seconds are surely enough."""
        now = time.monotonic()
        if now < self._not_before or left_s < 2 * self._cost_s + _MARGIN_S:
            return False
        if self._is_due:
            self._restart()
        if not self._steps:
            return False
        self._step()
        took = time.monotonic() - now
        self._cost_s = max(took, _FORGETTING * self._cost_s)
        self._not_before = now + (1 + _REST) * took
        if not self._steps:
            self._compare(clock())
        return True

    def _step(self) -> None:
        try:
            next(self._steps[0])
        except StopIteration:
            self._steps.popleft()

    def _compare(self, at: float) -> None:
        found = [
            (path, what)
            for path, fresh in self._fresh.items()
            if path in self._known
            for what in differences(self._known[path], fresh, self._expected.get(path, ()))
        ]
        events = self._events or self._last_events
        at = round(at, 6)
        self._writer.untouched(self._looked_at, at, events, len(self._fresh), found)
        self._known, self._looked_at = self._fresh, at
        self._last_events, self._events, self._expected = events, (), {}

    def finish(self, clock: Callable[[], float]) -> None:
        """Look for the last time."""
        if not self._lookers:
            return
        self._restart()
        while self._steps:
            self._step()
        self._compare(clock())
