"""Control groups, version 1 and 2: where this process may make some, and making them.

Sources: the kernel's Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst.

A lab's groups are below one folder of its own for each hierarchy, in the group that it
runs in (version 2: the nearest one above that may have subgroups with the controller), so
what limits the lab still does. Whoever survives the lab removes it (`vnemu.capsule.remains`).
The folder is locked while the lab lives: one without a lock was left by a lab of which all was
killed at once, and the next lab removes it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vnemu.capsule import remains

_PREFIX = "vnemu-"
_PATIENCE_S = 3.0
_POLL_S = 0.005
_ATTEMPTS = 3
CONTROLLERS = ("cpu", "cpuset", "memory")


@dataclass(frozen=True)
class Place:
    """A group below which others can be made for a controller.

    Parameters:
        version: of the interface, 1 or 2.
    """

    folder: Path
    version: int


def places(mounts: str, own: str) -> dict[str, Place]:
    """Where groups can be made, by controller.

    Parameters:
        mounts: as /proc/self/mounts.
        own: as /proc/self/cgroup.
    """
    groups = dict(_groups(line) for line in own.splitlines())
    found: dict[str, Place] = {}
    for line in mounts.splitlines():
        _, mount_point, kind, options, *_ = line.split()
        for controller in CONTROLLERS:
            place = None
            if kind == "cgroup" and controller in options.split(","):
                place = _version_1(Path(mount_point), groups.get(controller, ""))
            elif kind == "cgroup2":
                place = _version_2(Path(mount_point), groups.get("", ""), controller)
            if place is not None:
                found.setdefault(controller, place)
    return found


def _groups(line: str) -> tuple[str, str]:
    """A controller and its group; in /proc/self/cgroup a line is ``ID:CONTROLLERS:GROUP``."""
    _, controllers, group = line.split(":", 2)
    return next(
        (name for name in CONTROLLERS if name in controllers.split(",")), controllers
    ), group


def _version_1(mount_point: Path, group: str) -> Place | None:
    folder = mount_point / group.lstrip("/")
    return Place(folder, 1) if group and os.access(folder, os.W_OK) else None


def _version_2(mount_point: Path, group: str, controller: str) -> Place | None:
    """The nearest group that may have subgroups: one with processes may not, but the root."""
    own = mount_point / group.lstrip("/")
    for folder in (own, *own.parents):
        with suppress(OSError):
            given = (folder / "cgroup.subtree_control").read_text().split()
            if controller in given:
                return Place(folder, 2) if os.access(folder, os.W_OK) else None
        if folder == mount_point:
            break
    return None


class Hierarchy:
    """The groups of a lab in one place, for some controllers."""

    def __init__(self, place: Place, controllers: list[str]) -> None:
        self.version = place.version
        self._controllers = controllers
        self._lock, self._folder = _new_folder(place.folder)
        self._prepare(self._folder)
        if self.version == 2:
            enabled = " ".join(f"+{name}" for name in controllers)
            (self._folder / "cgroup.subtree_control").write_text(enabled)

    def _prepare(self, folder: Path) -> None:
        """Give a group what one of version 1 must have before processes can be in it."""
        if self.version == 1 and "cpuset" in self._controllers:
            for name in ("cpuset.cpus", "cpuset.mems"):
                (folder / name).write_text((folder.parent / name).read_text())

    def group(self, name: str) -> Path:
        """The folder of a group, made if it is not there.

        Raises:
            OSError: as the kernel says.
        """
        folder = self._folder / name
        if not folder.exists():
            folder.mkdir()
            self._prepare(folder)
        return folder

    def has(self, name: str) -> bool:
        """Whether there is a group of that name."""
        return (self._folder / name).exists()

    def remove(self, name: str) -> None:
        """Take a group away; its last process may take a moment to go."""
        latest = time.monotonic() + _PATIENCE_S
        folder = self._folder / name
        while not remains.removed(folder) and time.monotonic() < latest:
            time.sleep(_POLL_S)

    def abandon(self) -> None:
        """Leave the groups behind, as a lab does that is killed."""
        os.close(self._lock)

    def close(self) -> None:
        """Take all groups away."""
        for folder in remains.subgroups(self._folder):
            self.remove(folder.name)
        remains.removed(self._folder)
        os.close(self._lock)


def _new_folder(parent: Path) -> tuple[int, Path]:
    """A folder that is locked, so that no other lab takes it for a dead one's."""
    capsule = Path("/proc/self/ns/pid").stat().st_ino
    for _ in range(_ATTEMPTS):
        folder = parent / f"{_PREFIX}{capsule}-{os.getpid()}-{time.monotonic_ns()}"
        remains.note(folder)
        folder.mkdir()
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_SH)
        except FileNotFoundError:
            continue
        if folder.exists():  # nobody removed it before it was locked
            return lock, folder
        os.close(lock)
    raise OSError(f"cannot keep a group in {parent}")


def remove_dead(found: Iterable[Place]) -> None:
    """Remove the folders that labs of the same user have left in these places.

    A folder that is locked is that of a lab that lives.
    """
    for parent in {place.folder for place in found}:
        for folder in parent.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                _remove_unless_locked(folder)


def _remove_unless_locked(folder: Path) -> None:
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        remains.removed(folder)
    finally:
        os.close(lock)


def hierarchies(found: Mapping[str, Place], wanted: Collection[str]) -> dict[str, Hierarchy]:
    """One hierarchy for each place that `wanted` controllers need, by controller.

    A place of version 2 serves all controllers that are found there.

    Raises:
        OSError: as the kernel says.
    """
    needed = {found[controller] for controller in wanted}
    together: dict[Place, list[str]] = {}
    for controller, place in found.items():
        if place in needed:
            together.setdefault(place, []).append(controller)
    made = {place: Hierarchy(place, controllers) for place, controllers in together.items()}
    return {name: made[place] for place, names in together.items() for name in names}
