"""The configuration of FRR from version 8 on, one file for each of its programs.

Format: the FRR User Guide (https://docs.frrouting.org).
"""

from __future__ import annotations

import re

from vnemu.model.routing import Protocol, RouterOs
from vnemu.routing.templates import rendered
from vnemu.routing.view import View

PROGRAMS = (
    "zebra",
    "staticd",
    "bfdd",
    "ospfd",
    "ospf6d",
    "ripd",
    "ripngd",
    "isisd",
    "babeld",
    "bgpd",
)
"""Those of FRR that vnemu starts, in this order: each needs zebra, others need bfdd."""

_SPOKEN_BY: dict[Protocol, dict[int, str]] = {
    "ospf": {4: "ospfd", 6: "ospf6d"},
    "rip": {4: "ripd", 6: "ripngd"},
    "isis": {4: "isisd", 6: "isisd"},
    "bgp": {4: "bgpd", 6: "bgpd"},
}
_KINDS: dict[Protocol, dict[int, str]] = {
    "ospf": {4: "ospf", 6: "ospf6"},
    "rip": {4: "rip", 6: "ripng"},
    "isis": {4: "isis", 6: "isis"},
    "bgp": {4: "bgp", 6: "bgp"},
}

# What in an integrated file needs which program.
_NEEDS = {
    "ospfd": r"^router ospf\b|^\s+ip ospf\b",
    "ospf6d": r"^router ospf6\b|^\s+ipv6 ospf6\b",
    "bgpd": r"^router bgp\b",
    "ripd": r"^router rip\b",
    "ripngd": r"^router ripng\b",
    "babeld": r"^router babel\b",
    "isisd": r"^router isis\b",
    "bfdd": r"^bfd\b|\bbfd\b",
    "staticd": r"^ip(v6)? route\b",
}


def frr_files(view: View) -> dict[str, str]:
    """The files of a VR that runs FRR, by name, in the order in which its programs start."""
    wanted = _programs(view.os, view.versions)
    words = _Words(view)
    return {
        f"{program}.conf": rendered(f"frr.{program}.conf.j2", view=view, os=view.os, frr=words)
        for program in PROGRAMS
        if program in wanted
    }


def integrated_programs(text: str) -> tuple[str, ...]:
    """The programs that an integrated frr.conf is for, in the order in which they start."""
    wanted = {name for name, sign in _NEEDS.items() if re.search(sign, text, re.MULTILINE)}
    return tuple(name for name in PROGRAMS if name == "zebra" or name in wanted)


def _programs(os: RouterOs, versions: tuple[int, ...]) -> set[str]:
    spoken = {_SPOKEN_BY[p][v] for p in os.protocols if p in _SPOKEN_BY for v in versions}
    return {"zebra", *spoken, *(("bfdd",) if os.bfd else ())}


class _Words:
    """What a VR's own view is in FRR's words."""

    profile = "vnemu"

    def __init__(self, view: View) -> None:
        self._view = view

    def redistributed(self, protocol: Protocol, version: int) -> list[str]:
        """What else is told by a protocol of the inside, as `redistribute` names it."""
        return [_KINDS[other][version] for other in self._view.others(protocol)]

    def inner(self, version: int) -> list[str]:
        """What BGP tells of the inside, as `redistribute` names it."""
        return [_KINDS[igp][version] for igp in self._view.os.igps]

    def net(self) -> str:
        """The IS-IS network entity title: area 49.0001, and the router ID in decimal digits."""
        digits = "".join(f"{octet:03d}" for octet in self._view.os.router_id.packed)
        return f"49.0001.{digits[:4]}.{digits[4:8]}.{digits[8:]}.00"
