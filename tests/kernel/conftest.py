"""Every test here leaves nothing behind: that is checked around each of them."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.kernel.wires import Wires
from vnemu.drivers import probe
from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.kernel import Kernel

_PATIENCE_S = 3.0
"""The kernel ends a killed process a little after the signal."""


def processes() -> dict[int, str]:
    """All processes of the capsule: pid -> command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            found[int(entry.name)] = line
    return found


def descriptors() -> Counter[str]:
    """How many descriptors of each kind this process has open: net, socket, pipe, files."""
    kinds: Counter[str] = Counter()
    for entry in list(Path("/proc/self/fd").iterdir()):
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # that of the listing itself
            continue
        kinds[target.partition(":")[0] if not target.startswith("/") else "file"] += 1
    return kinds


def devices() -> list[str]:
    """The devices of the network namespace that the tests run in."""
    return [name for _, name in socket.if_nameindex()]


_NO_DEVICE = 12345


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the kernel refuse a feature that it may have, when it is probed."""

    def lack(name: str) -> None:
        refused = replace(probe.BY_NAME[name], requests=lambda *_: [rt.set_up(_NO_DEVICE)])
        monkeypatch.setitem(probe.BY_NAME, name, refused)

    return lack


@pytest.fixture(autouse=True)
def _leaves_nothing() -> Iterator[None]:
    home = Path("/proc/thread-self/ns/net").readlink()
    before = processes(), descriptors(), devices()
    yield
    assert Path("/proc/thread-self/ns/net").readlink() == home, "the test did not come home"
    deadline = time.monotonic() + _PATIENCE_S
    while (left := set(processes()) - set(before[0])) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not left, {pid: processes().get(pid) for pid in left}
    assert descriptors() == before[1]
    assert devices() == before[2]


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    """A kernel with nothing in it yet."""
    with contextlib.closing(Kernel()) as kernel:
        yield kernel


@pytest.fixture
def wires(kernel: Kernel) -> Iterator[Wires]:
    """Frames sent and heard on its devices."""
    with contextlib.closing(Wires(kernel)) as wires:
        yield wires
