"""Programs of this machine: where they are, and how those are installed that are not."""

from __future__ import annotations

import os
import shutil

from vnemu.errors import MissingCapability

_FRR = ("zebra", "ospfd", "ospf6d", "bgpd", "ripd", "ripngd", "babeld", "isisd", "bfdd", "staticd")
INSTALL = {
    "iperf3": "sudo apt-get install iperf3",
    "ping": "sudo apt-get install iputils-ping",
    "nsenter": "sudo apt-get install util-linux",
    "tcpdump": "sudo apt-get install tcpdump",
    "bird": "sudo apt-get install bird2",
    **dict.fromkeys((*_FRR, "vtysh"), "sudo apt-get install frr"),
}
_FOLDERS = (
    *("/usr/sbin", "/sbin", "/usr/local/sbin"),
    *("/usr/lib/frr", "/usr/local/lib/frr", "/usr/libexec/frr"),
)
"""Where distributions have programs that may not be in an ordinary user's PATH."""


def find(name: str) -> str | None:
    """The path of a program; None if it is not installed."""
    return shutil.which(name, path=":".join((os.environ.get("PATH", ""), *_FOLDERS)))


def program(name: str) -> str:
    """The path of an installed program.

    Raises:
        MissingCapability: with the command that installs it.
    """
    path = find(name)
    if path is None:
        raise MissingCapability(
            f"the program '{name}' is not installed",
            f"run: {INSTALL.get(name, f'sudo apt-get install {name}')}",
        )
    return path
