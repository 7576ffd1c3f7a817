"""What a VR may use of its machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from vnemu.units import ProcessorTime, Size


@dataclass(frozen=True)
class Resources:
    """The limits of a VR; None: none of its own.

    Parameters:
        cpu: processor time of all its processes together, in parts of one processor.
        cpus: number of processors that its processes may run on.
        memory: of all its processes together, the file cache for them included.
        disk: of its private files (/run, /etc/bird …), which are in memory too.
        written_at: file:line of their declaration.
    """

    cpu: ProcessorTime | None = None
    cpus: int | None = None
    memory: Size | None = None
    disk: Size | None = None
    written_at: str = field(default="", compare=False)

    def __iter__(self) -> Iterator[tuple[str, object]]:
        """The limits that there are, by their keys in a file."""
        for key in fields(self):
            value = getattr(self, key.name)
            if key.compare and value is not None:
                yield key.name, value


UNLIMITED = Resources()
