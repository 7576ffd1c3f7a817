"""Network namespaces: made, held by a file descriptor, entered only to open a socket."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from vnemu import linux
from vnemu.drivers.netlink import NetlinkSocket

T = TypeVar("T")

# Set before any device is in the namespace: devices inherit from `default`.
_NO_IPV6 = {"ipv6/conf/all/disable_ipv6": "1", "ipv6/conf/default/disable_ipv6": "1"}
_LOOSE = {"ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0"}
_FORWARD_IPV4 = {"ipv4/ip_forward": "1"}
# The addresses are ours and unique: waiting a second to detect duplicates
# would only hold up what starts at once.
_IPV6 = {"ipv6/conf/default/accept_dad": "0"}
SYSCTLS = {
    "fabric": _NO_IPV6,
    "machine": {**_NO_IPV6, **_LOOSE, **_FORWARD_IPV4},
    "router": {**_IPV6, **_LOOSE, **_FORWARD_IPV4, "ipv6/conf/all/forwarding": "1"},
    "host": {**_IPV6, **_LOOSE},
}

_FIRST_INDEX = 100
"""Indices below are left to devices that the kernel puts in every namespace (sit0, gre0 …)."""
_FIRST_INDEX_OF_FABRIC = 1_000_000
"""Its devices share no index with an RM's.

A tunnel is made from its RM for the fabric, and kernels before 6.12 look for the new
device's index among the RM's devices.
"""


@dataclass
class NetworkNamespace:
    """A namespace that is ours: its handle, its socket, the indices of its devices.

    Parameters:
        next_index: of the next device.
        number: by which the fabric knows it (GRE tunnels need that); 0: not yet.
        numbers: how many namespaces it knows by a number, if it is the fabric.
    """

    fd: int
    socket: NetlinkSocket
    next_index: int = _FIRST_INDEX
    indices: dict[str, int] = field(default_factory=lambda: {"lo": 1})
    number: int = 0
    numbers: int = 0

    def new_index(self, device: str) -> int:
        """Settle the index of a device that is about to be made.

        One that was removed gets its index again: should the removal have failed, what
        takes it back finds the device where it was.
        """
        if device not in self.indices:
            self.indices[device] = self.next_index
            self.next_index += 1
        return self.indices[device]

    def close(self) -> None:
        """Let go of it; the kernel removes it with all that is in it."""
        self.socket.close()
        os.close(self.fd)


class NamespaceMaker:
    """Makes namespaces and comes back home each time."""

    def __init__(self) -> None:
        self._home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._fresh: dict[str, str] = {}

    def make(self, role: str) -> NetworkNamespace:
        """A new namespace, set up for what it is (`SYSCTLS`).

        Raises:
            OSError: as the kernel says.
        """
        linux.unshare(linux.CLONE_NEWNET)
        try:
            fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            for name, value in SYSCTLS[role].items():
                self._set(name, value)
            first = _FIRST_INDEX_OF_FABRIC if role == "fabric" else _FIRST_INDEX
            return NetworkNamespace(fd, NetlinkSocket(), first)
        finally:
            linux.setns(self._home, linux.CLONE_NEWNET)

    def _set(self, name: str, value: str) -> None:
        """Write a sysctl, unless fresh namespaces have that value anyway.

        One that is not there belongs to an IPv6 that the kernel does without.
        """
        if name not in self._fresh:
            path = Path("/proc/sys/net") / name
            self._fresh[name] = path.read_text().strip() if path.exists() else value
        if self._fresh[name] == value:
            return
        fd = os.open(f"/proc/sys/net/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)

    def inside(self, namespace: NetworkNamespace, call: Callable[[], T]) -> T:
        """Run `call` in a namespace: to open a socket there, no more."""
        with linux.inside(namespace.fd, self._home):
            return call()

    def close(self) -> None:
        """Let go of the way home; a second call does nothing."""
        if self._home >= 0:
            os.close(self._home)
            self._home = -1
