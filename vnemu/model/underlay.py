"""The underlay: real machines (RMs) and the physical links between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from vnemu.model.impairment import Impairment
from vnemu.model.naming import device_name
from vnemu.units import Duration, Rate, Share


@dataclass(frozen=True)
class PhysicalLink:
    """A full-duplex physical link.

    Parameters:
        rate: capacity of each direction, in bit/s of the frames that VRs send.
        delay, jitter, loss: see `Impairment`.
        written_at: file:line of its declaration.
    """

    name: str
    a: str
    b: str
    rate: Rate
    delay: Duration = Duration(0)
    jitter: Duration = Duration(0)
    loss: Share = Share(0)
    written_at: str = field(default="", compare=False)

    @property
    def impairment(self) -> Impairment:
        """Its delay, jitter and loss together."""
        return Impairment(self.delay, self.jitter, self.loss)

    def other(self, machine: str) -> str:
        """The RM at the other end."""
        return self.b if machine == self.a else self.a


@dataclass(frozen=True)
class Underlay:
    """All real machines and physical links, in the order of the file.

    Parameters:
        tunnel: what VLs between machines are made of; ``auto`` until a kernel was asked.
        tunnel_written_at: file:line of that.
    """

    machines: tuple[str, ...]
    links: dict[str, PhysicalLink] = field(hash=False)
    tunnel: Literal["auto", "gre", "vxlan"] = "auto"
    tunnel_written_at: str = field(default="", compare=False)

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
