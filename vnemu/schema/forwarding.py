"""The forwarding capacity of a VR, as a file says it: bits a second, packets a second, or both."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self

from vnemu.schema.fields import check_rate
from vnemu.units import PacketRate, Rate, Written

_MOST_PACKETS = PacketRate(10**9)


@dataclass(frozen=True)
class Forwarding(Written):
    """How much a VR takes in: never more than either says; None: not said.

    A frame takes the longer of the two times that it has by its length and as a packet.

    Parameters:
        rate: of frames, in bit/s.
        packets: frames a second.
    """

    rate: Rate | None = None
    packets: PacketRate | None = None

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read text: ``100mbit``, ``10kpps`` or ``100mbit 10kpps``.

        Raises:
            ValueError: with a message that shows the right form.
        """
        if isinstance(value, cls):
            return value
        if not isinstance(value, str):
            return cls(Rate.parse(value))
        parts = re.split(r"\s+(?=[0-9.])", value.strip())
        packets = [part for part in parts if part.lower().endswith("pps")]
        rates = [part for part in parts if part not in packets]
        if len(packets) > 1 or len(rates) > 1:
            raise ValueError(
                f"'{value[:40]}' says one thing twice: write bits a second (100mbit), packets "
                "a second (10kpps) or both (100mbit 10kpps)"
            )
        return cls(
            check_rate(Rate.parse(rates[0])) if rates else None,
            _check_packets(PacketRate.parse(packets[0])) if packets else None,
        )

    def __str__(self) -> str:
        return " ".join(str(part) for part in (self.rate, self.packets) if part is not None)


def _check_packets(packets: PacketRate) -> PacketRate:
    if not 1 <= packets.pps <= _MOST_PACKETS.pps:
        raise ValueError(f"{packets} is out of range: a router takes 1pps to {_MOST_PACKETS}")
    return packets
