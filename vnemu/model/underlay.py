"""The underlay: real machines (RMs) and the physical links between them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from vnemu.model.naming import device_name
from vnemu.model.quality import Way, WireQuality


@dataclass(frozen=True)
class PhysicalLink:
    """A full-duplex physical link.

    Parameters:
        forward, backward: its quality from `a` to `b`, and back.
        failed: nothing passes in either direction, until it is repaired.
        cut: the directions in which nothing passes.
        written_at: file:line of its declaration.
    """

    name: str
    a: str
    b: str
    forward: WireQuality
    backward: WireQuality
    failed: bool = False
    cut: frozenset[Way] = frozenset()
    written_at: str = field(default="", compare=False)

    def other(self, machine: str) -> str:
        """The RM at the other end."""
        return self.b if machine == self.a else self.a

    def sent_by(self, machine: str) -> WireQuality:
        """The direction in which this RM sends."""
        return self.forward if machine == self.a else self.backward

    def with_qualities(self, forward: WireQuality, backward: WireQuality) -> PhysicalLink:
        """The same link with other qualities."""
        return replace(self, forward=forward, backward=backward)

    def direction(self, forward: bool) -> str:
        """A direction, as it is written: ``rm1>rm2``."""
        return f"{self.a}>{self.b}" if forward else f"{self.b}>{self.a}"

    @property
    def is_symmetric(self) -> bool:
        """Whether both directions have the same quality."""
        return self.forward == self.backward

    @property
    def slowest(self) -> int:
        """The lower rate of the two directions, in bit/s."""
        return min(self.forward.rate.bps, self.backward.rate.bps)


@dataclass(frozen=True)
class Underlay:
    """All real machines and physical links, in the order of the file.

    Parameters:
        tunnel: what VLs between machines are made of; ``auto`` until a kernel was asked.
        tunnel_written_at: file:line of that.
        failed_machines: RMs on which nothing passes, until they are repaired.
    """

    machines: tuple[str, ...]
    links: dict[str, PhysicalLink] = field(hash=False)
    tunnel: Literal["auto", "gre", "vxlan"] = "auto"
    tunnel_written_at: str = field(default="", compare=False)
    failed_machines: frozenset[str] = frozenset()

    def has_failed(self, link: str) -> bool:
        """Whether a physical link, or the RM at an end of it, has failed."""
        found = self.links[link]
        return found.failed or found.a in self.failed_machines or found.b in self.failed_machines

    def passes(self, link: str, sender: str) -> bool:
        """Whether what the RM `sender` puts on a physical link arrives."""
        found = self.links[link]
        way: Way = "forward" if sender == found.a else "backward"
        return way not in found.cut and not self.has_failed(link)

    @cached_property
    def between(self) -> dict[frozenset[str], tuple[PhysicalLink, ...]]:
        """The parallel links between two machines."""
        found: dict[frozenset[str], tuple[PhysicalLink, ...]] = {}
        for link in self.links.values():
            pair = frozenset((link.a, link.b))
            found[pair] = (*found.get(pair, ()), link)
        return found

    @cached_property
    def ports(self) -> dict[tuple[str, str], str]:
        """The device at each end of each physical link: (link, RM) -> name in that RM."""
        names: dict[tuple[str, str], str] = {}
        taken: dict[str, set[str]] = {machine: {"lo"} for machine in self.machines}
        for link in self.links.values():
            for machine in (link.a, link.b):
                wanted = f"to-{link.other(machine)}"
                if wanted in taken[machine]:
                    wanted = link.name
                name = device_name(wanted, taken[machine])
                taken[machine].add(name)
                names[link.name, machine] = name
        return names

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The physical links, numbered from 0 in the order of the file."""
        return {name: number for number, name in enumerate(self.links)}
