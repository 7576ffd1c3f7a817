"""The limits of a VR, as a file says them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from vnemu.schema.fields import Strict
from vnemu.schema.forwarding import Forwarding
from vnemu.units import ProcessorTime, Size

_LEAST_CPU_PPM = 10_000
_LEAST_MEMORY, _LEAST_DISK = 4 * 2**20, 2**16
_MOST_CPUS = 4096


def _cpu(value: ProcessorTime) -> ProcessorTime:
    if value.amount < _LEAST_CPU_PPM:
        raise ValueError(f"{value} is less than the kernel can enforce: give 1% or more")
    return value


def _at_least(least: int, value: Size) -> Size:
    if value.amount < least:
        raise ValueError(f"{value} is too little for a router: give {Size(least)} or more")
    return value


def _memory(value: Size) -> Size:
    return _at_least(_LEAST_MEMORY, value)


def _disk(value: Size) -> Size:
    return _at_least(_LEAST_DISK, value)


CpuLimit = Annotated[ProcessorTime, AfterValidator(_cpu)]
CpuCount = Annotated[int, Field(ge=1, le=_MOST_CPUS)]
MemoryLimit = Annotated[Size, AfterValidator(_memory)]
DiskLimit = Annotated[Size, AfterValidator(_disk)]


class ResourcesDoc(Strict):
    """What a router may use of the machine that it is on."""

    cpu: CpuLimit | None = Field(
        None, description="time of all its programs, in parts of one processor; may be over 100%"
    )
    cpus: CpuCount | None = Field(None, description="processors that its programs may run on")
    memory: MemoryLimit | None = Field(None, description="memory of all its programs")
    disk: DiskLimit | None = Field(None, description="size of the files it has for itself")
    forwarding: Forwarding | None = Field(
        None, description="what comes in by all its NICs: 100mbit, 10kpps or 100mbit 10kpps"
    )


class LimitsDoc(Strict):
    """Limits that change: what is not named keeps its value, ``none`` takes one away."""

    cpu: CpuLimit | Literal["none"] | None = None
    cpus: CpuCount | Literal["none"] | None = None
    memory: MemoryLimit | Literal["none"] | None = None
    disk: DiskLimit | Literal["none"] | None = None
    forwarding: Forwarding | Literal["none"] | None = None
