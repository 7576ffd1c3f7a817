"""What a VR may use of its machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace

from vnemu.schema.forwarding import Forwarding
from vnemu.units import ProcessorTime, Size


@dataclass(frozen=True)
class Resources:
    """The limits of a VR; None: none of its own.

    Parameters:
        cpu: processor time of all its processes together, in parts of one processor.
        cpus: number of processors that its processes may run on.
        memory: of all its processes together, the file cache for them included.
        disk: of its private files (/run, /etc/bird …), which are in memory too.
        forwarding: of what comes in by all its NICs together.
        written_at: file:line of their declaration.
    """

    cpu: ProcessorTime | None = None
    cpus: int | None = None
    memory: Size | None = None
    disk: Size | None = None
    forwarding: Forwarding | None = None
    written_at: str = field(default="", compare=False)

    def __iter__(self) -> Iterator[tuple[str, object]]:
        """The limits that there are, by their keys in a file."""
        for key in fields(self):
            value = getattr(self, key.name)
            if key.compare and value is not None:
                yield key.name, value

    @property
    def inside(self) -> Resources:
        """Those that are kept where the VR runs: what it forwards is limited in front of it."""
        return replace(self, forwarding=None) if self.forwarding else self


UNLIMITED = Resources()
