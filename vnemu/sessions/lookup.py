"""Who has which address, and what is where, in a lab as ``inspect`` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_interface
from typing import Any

from vnemu.errors import InputError, Problem
from vnemu.schema.wording import instead_of

Data = Mapping[str, Any]


def node(data: Data, path: str) -> Data:
    """What is known of a VR or host.

    Raises:
        InputError: if there is none of that name.
    """
    nodes: Mapping[str, Data] = data["nodes"]
    if path not in nodes:
        hint = instead_of(path, list(nodes))
        raise InputError([Problem("", f"there is no node '{path}'", hint)])
    return nodes[path]


def address(data: Data, path: str, version: int | None = None) -> str:
    """Where a VR or host is reached: its loopback if it has one, else its first NIC.

    Parameters:
        version: of IP; None: 4 if it has such an address.

    Raises:
        InputError: if there is no such node, or it has none.
    """
    known = node(data, path)
    nics = (text for nic in known["nics"].values() for text in nic["addresses"])
    every = [ip_interface(text).ip for text in (*known["loopbacks"], *nics)]
    found = [ip for ip in every if version in (None, ip.version)]
    if not found:
        raise InputError(f"{path} has no {'' if version is None else f'IPv{version} '}address")
    return str(min(found, key=lambda ip: ip.version))


def other_end(data: Data, path: str, nic: str) -> str | None:
    """The node at the other end of a NIC's VL; None: there is no VL."""
    link = data["nodes"][path]["nics"].get(nic, {}).get("link")
    if link not in data["links"]:
        return None
    one, other = data["links"][link]["ends"]
    return str(other if one == path else one)
