"""The limits of VRs, enforced: control groups for processes, a file system's size for files."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from vnemu import linux
from vnemu.drivers import cgroups
from vnemu.drivers.cgroups import Hierarchy, Place
from vnemu.drivers.freezing import members
from vnemu.drivers.processes import ProcessMaker
from vnemu.errors import ExperimentFailed, MissingCapability
from vnemu.model.overlay import Node
from vnemu.model.resources import UNLIMITED, Resources

NEEDS = {"cpu": "cpu", "cpus": "cpuset", "memory": "memory"}
"""The controller for each limit of processes."""
_PERIOD_US = 100_000
_QUIET_LOOKS = 2


def places() -> dict[str, Place]:
    """Where this machine lets us make control groups now, by controller."""
    try:
        own = Path("/proc/self/cgroup").read_text()
    except FileNotFoundError:  # a kernel without
        return {}
    return cgroups.places(Path("/proc/self/mounts").read_text(), own)


def clear() -> None:
    """Remove the groups of labs of which all processes were killed at once."""
    cgroups.remove_dead(places().values())


def require(nodes: Iterable[Node]) -> None:
    """See that this machine can keep `nodes` within their limits.

    Raises:
        MissingCapability: naming what was declared, and the way out.
    """
    there = None
    for node in nodes:
        for key, value in node.resources.inside:
            there = places() if there is None else there
            _require(node, key, value, there)


def _require(node: Node, key: str, value: object, there: dict[str, Place]) -> None:
    at = f"{node.resources.written_at}: " if node.resources.written_at else ""
    what = f"{at}{node.path} is to have {key}: {value}"
    controller = NEEDS.get(key)
    if controller is not None and controller not in there:
        raise MissingCapability(
            f"{what}, but here vnemu can make no control groups for '{controller}'",
            "run it as root on a kernel that has them, or take the limit away; 'vnemu "
            "doctor' shows what this machine can do",
        )
    most = os.cpu_count() or 1
    if isinstance(value, int) and value > most:
        raise MissingCapability(
            f"{what}, but this machine has {most} processors", f"give at most {most}"
        )


class Limits:
    """Keeps VRs within their limits.

    Parameters:
        processes: what makes their processes.
    """

    def __init__(self, processes: ProcessMaker) -> None:
        self._processes = processes
        self._hierarchies: dict[str, Hierarchy] = {}
        self._has: dict[str, Resources] = {}

    def set(self, nodes: Iterable[Node]) -> None:
        """Limit VRs, those that have processes already as those that will have some.

        Raises:
            ExperimentFailed: if the kernel refuses one.
        """
        for node in nodes:
            wanted = node.resources.inside
            if self._has.get(node.path, UNLIMITED) != wanted:
                try:
                    self._set(node.path, wanted)
                except OSError as error:
                    raise ExperimentFailed(f"{node.path} cannot be limited: {error}") from error

    def _set(self, path: str, wanted: Resources) -> None:
        self._has[path] = wanted
        groups = self._groups(path, wanted)
        for controller, group in groups.items():
            _write_limits(controller, self._hierarchies[controller].version, group, wanted)
        files = list(dict.fromkeys(group / "cgroup.procs" for group in groups.values()))
        self._processes.limit(path, partial(_apply, files, wanted), files)

    def _groups(self, path: str, wanted: Resources) -> dict[str, Path]:
        """The groups of a VR, by controller; those that it once had it keeps."""
        name = _group_name(path)
        asked = [NEEDS[key] for key, _ in wanted if key in NEEDS]
        missing = [controller for controller in asked if controller not in self._hierarchies]
        if missing:
            self._hierarchies |= cgroups.hierarchies(places(), missing)
        return {
            controller: hierarchy.group(name)
            for controller, hierarchy in self._hierarchies.items()
            if controller in asked or hierarchy.has(name)
        }

    def forget(self, paths: Iterable[str]) -> None:
        """VRs have ended: take their groups away."""
        for path in paths:
            if self._has.pop(path, None) is not None:
                for hierarchy in dict.fromkeys(self._hierarchies.values()):
                    hierarchy.remove(_group_name(path))

    def close(self) -> None:
        """Take all groups away, once their processes have ended."""
        for hierarchy in dict.fromkeys(self._hierarchies.values()):
            hierarchy.close()
        self._hierarchies = {}


def _group_name(path: str) -> str:
    """A colon is in no name of a VR, nor of the kernel's own files there."""
    return path.replace("/", ":")


def _apply(files: Iterable[Path], wanted: Resources, init: int) -> None:
    """Limit what is in a VR now: its files, and all its processes."""
    size = wanted.disk.bytes if wanted.disk is not None else 0
    _resize(f"/proc/{init}/root/run", size)
    for file in files:
        _move_all(file, init)


def _resize(folder: str, size: int) -> None:
    """Give a VR's own file system a size in bytes; 0: the kernel's default, half the memory."""
    try:
        linux.reconfigure(folder, "size", str(size) if size else "50%")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise OSError(errno.EINVAL, f"its files take more than {size} bytes already") from error


def _move_all(file: Path, init: int) -> None:
    """Move all processes of a VR into a group, until two looks in a row find none elsewhere."""
    quiet = 0
    while quiet < _QUIET_LOOKS:
        inside = set(file.read_text().split())
        found = [pid for pid in members([init])[init] if str(pid) not in inside]
        quiet = 0 if found else quiet + 1
        for pid in found:
            with suppress(ProcessLookupError):
                file.write_text(str(pid))


def _write_limits(controller: str, version: int, group: Path, wanted: Resources) -> None:
    _WRITERS[controller](version, group, wanted)


def _write_cpu(version: int, group: Path, wanted: Resources) -> None:
    quota = round(wanted.cpu.fraction * _PERIOD_US) if wanted.cpu is not None else None
    if version == 2:
        text = f"{'max' if quota is None else quota} {_PERIOD_US}"
        (group / "cpu.max").write_text(text)
    else:
        (group / "cpu.cfs_quota_us").write_text("-1" if quota is None else str(quota))


def _write_cpus(version: int, group: Path, wanted: Resources) -> None:
    usable = _numbers((group.parent / _usable(version)).read_text())
    count = min(wanted.cpus or len(usable), len(usable))
    first = sum(group.name.encode()) % len(usable)  # not all VRs on the same ones
    chosen = [(usable * 2)[first + offset] for offset in range(count)]
    (group / "cpuset.cpus").write_text(",".join(map(str, sorted(chosen))))


def _usable(version: int) -> str:
    return "cpuset.cpus.effective" if version == 2 else "cpuset.cpus"


def _numbers(text: str) -> list[int]:
    """``0-2,5`` as 0, 1, 2, 5."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def _write_memory(version: int, group: Path, wanted: Resources) -> None:
    size = str(wanted.memory.bytes) if wanted.memory is not None else None
    if version == 2:
        _write_all(group, {"memory.max": size or "max", "memory.swap.max": "0" if size else "max"})
        return
    both = "memory.memsw.limit_in_bytes"
    value = size or "-1"
    # Memory alone may not be more than memory and swap together, at no moment.
    _write_all(group, {both: "-1", "memory.limit_in_bytes": value})
    _write_all(group, {both: value})


def _write_all(group: Path, values: dict[str, str]) -> None:
    """Write values; a kernel without swap has no file for it."""
    for name, value in values.items():
        if "sw" not in name or (group / name).exists():
            (group / name).write_text(value)


_WRITERS: dict[str, Callable[[int, Path, Resources], None]] = {
    "cpu": _write_cpu,
    "cpuset": _write_cpus,
    "memory": _write_memory,
}
