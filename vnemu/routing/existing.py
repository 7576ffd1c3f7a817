"""What a Router OS' own configuration says that its neighbours have to know, and its addresses.

Formats: the FRR User Guide (https://docs.frrouting.org), "The BIRD 2.0 User's Guide"
(https://bird.network.cz). Only what is looked for is understood; all else is the daemon's.
"""

from __future__ import annotations

import re
from contextlib import suppress
from ipaddress import IPv4Address, ip_interface

from vnemu.model.overlay import Interface
from vnemu.schema.routing import Daemon, Protocol

_BIRD = re.compile(r"^\s*(protocol|template)\s+\w+[^;\n]*\{", re.MULTILINE)
_SPOKEN: dict[Daemon, dict[Protocol, str]] = {
    "bird": {
        "ospf": r"^\s*protocol\s+ospf\b",
        "bgp": r"^\s*protocol\s+bgp\b",
        "rip": r"^\s*protocol\s+rip\b",
        "babel": r"^\s*protocol\s+babel\b",
    },
    "frr": {
        "ospf": r"^router ospf6?\b",
        "bgp": r"^router bgp\b",
        "rip": r"^router rip(ng)?\b",
        "babel": r"^router babel\b",
        "isis": r"^router isis\b",
    },
}
_ADDRESS = r"\d+\.\d+\.\d+\.\d+"
_ID = {
    "bird": rf"^\s*router\s+id\s+({_ADDRESS})\s*;",
    "frr": rf"^\s*(?:ip |ospf6? |bgp )?router-id\s+({_ADDRESS})",
}
_AS = {"bird": r"(?:^|[{;])\s*local\b[^;\n]*\bas\s+(\w+)\s*;", "frr": r"^router bgp\s+(\d+)"}
_BLOCK = re.compile(r"^interface\s+(\S+)")
_GIVEN = re.compile(r"^\s+ip(?:v6)?\s+address\s+(\S+)")


def daemon_of_text(text: str) -> Daemon:
    """Whose configuration a text is: BIRD's has protocols in braces."""
    return "bird" if _BIRD.search(_without_comments(text, "bird")) else "frr"


def protocols_of_text(daemon: Daemon, text: str) -> list[Protocol]:
    """The protocols that it configures; without any: none."""
    plain = _without_comments(text, daemon)
    found: list[Protocol] = [
        protocol
        for protocol, sign in _SPOKEN[daemon].items()
        if re.search(sign, plain, re.MULTILINE)
    ]
    return found or ["none"]


def as_of_text(daemon: Daemon, text: str) -> int | None:
    """The autonomous system that it speaks BGP for, if it says one."""
    plain = _without_comments(text, daemon)
    found = re.search(_AS[daemon], plain, re.MULTILINE)
    if found is None:
        return None
    word = found[1]
    if not word.isdigit():
        defined = re.search(rf"^\s*define\s+{word}\s*=\s*(\d+)\s*;", plain, re.MULTILINE)
        word = defined[1] if defined else ""
    return int(word) if word else None


def id_of_text(daemon: Daemon, text: str) -> IPv4Address | None:
    """The router ID, if it says one."""
    found = re.search(_ID[daemon], _without_comments(text, daemon), re.MULTILINE)
    try:
        return IPv4Address(found[1]) if found else None
    except ValueError:
        return None


def frr_addresses(text: str) -> dict[str, list[Interface]]:
    """The addresses that FRR gives to interfaces, by their names."""
    found: dict[str, list[Interface]] = {}
    here: str | None = None
    for line in text.splitlines():
        block, given = _BLOCK.match(line), _GIVEN.match(line)
        if block:
            here = block[1]
        elif given and here:
            # What is no address the daemon refuses itself.
            with suppress(ValueError):
                address = ip_interface(given[1])
                found.setdefault(here, []).append(address)
        elif line[:1].isalpha():
            here = None
    return found


def _without_comments(text: str, daemon: Daemon) -> str:
    if daemon == "frr":
        return re.sub(r"^\s*[!#].*$", "", text, flags=re.MULTILINE)
    return re.sub(r"/\*.*?\*/|#.*?$", "", text, flags=re.MULTILINE | re.DOTALL)
