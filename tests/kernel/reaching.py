"""Whether datagrams pass between nodes, found out by sockets alone: no program is started."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from vnemu.lab import Lab

_AGAIN_S = 0.05
_SILENCE_S = 0.4
_FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}

Ends = tuple[socket.socket, socket.socket, tuple[str, int]]
"""Who sends, who hears, and the address of the latter."""


def reaches(
    lab: Lab,
    start: str = "a/c1",
    end: str = "a/c2",
    version: int = 4,
    at: str = "",
    within_s: float = 10.0,
) -> bool:
    """Whether a datagram from `start` to `end` is answered, sooner or later.

    Who has asked in vain for a MAC address asks again after a second; NICs take one to be up.

    Parameters:
        at: the address of `end` that it goes to; as it is, that of its first NIC.
    """
    with _ends(lab, start, end, version) as (mouth, ear, (usual, port)):
        target = at or usual, port
        latest = time.monotonic() + within_s
        while time.monotonic() < latest:
            with _nothing():
                mouth.sendto(b"there", target)
                ear.sendto(*ear.recvfrom(100))
                return mouth.recv(100) == b"there"
    return False


def silent(lab: Lab, start: str = "a/c1", end: str = "a/c2") -> bool:
    """Whether for a while nothing comes from `start` to `end`."""
    with _ends(lab, start, end, 4) as (mouth, ear, target):
        latest = time.monotonic() + _SILENCE_S
        while time.monotonic() < latest:
            with _nothing():
                mouth.sendto(b"there", target)
                ear.recv(100)
                return False
    return True


@contextmanager
def _nothing() -> Iterator[None]:
    """Nobody may answer; or there is no way known yet, and one is to be looked for later."""
    try:
        yield
    except TimeoutError:
        return
    except OSError:
        time.sleep(_AGAIN_S)


@contextmanager
def _ends(lab: Lab, start: str, end: str, version: int) -> Iterator[Ends]:
    address = lab.topology.nodes[end].nics[0].address(version)
    assert address is not None
    with (
        lab[start].inside(lambda: socket.socket(_FAMILIES[version], socket.SOCK_DGRAM)) as mouth,
        lab[end].inside(lambda: socket.socket(_FAMILIES[version], socket.SOCK_DGRAM)) as ear,
    ):
        for each in (mouth, ear):
            each.bind(("", 0))
            each.settimeout(_AGAIN_S)
        yield mouth, ear, (str(address.ip), ear.getsockname()[1])
