"""The experiment file: traffic, probes, a timeline and expectations (docs/files.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from vnemu.schema.fields import Endpoints, LinkRate, Name, NodePath, Span, Strict
from vnemu.schema.timeline import Direction, EventDoc
from vnemu.schema.topology import TopologyDoc
from vnemu.units import Duration, Rate, Share, Size


def _datagram(size: Size) -> Size:
    if not 16 <= size.bytes <= 65_000:
        raise ValueError(f"{size} is out of range: a datagram's payload is 16b to 65kb")
    return size


class TcpDoc(Strict):
    """A greedy TCP flow."""

    parallel: Annotated[int, Field(ge=1, le=64)] = 1
    congestion: Name | None = Field(None, description="congestion control; default: the kernel's")


class UdpDoc(Strict):
    """A UDP flow at a constant rate of payload."""

    rate: LinkRate
    length: Annotated[Size, AfterValidator(_datagram)] | None = Field(
        None, description="payload of a datagram; default: what fills a 1500-byte packet"
    )


class FlowDoc(Strict):
    """One iperf3 flow between two end systems of a network."""

    name: Name
    from_: NodePath = Field(alias="from")
    to: NodePath
    tcp: TcpDoc | None = None
    udp: UdpDoc | None = None
    ip: Literal[4, 6] | None = Field(None, description="default: 4 where the network has it")
    start: Duration = Duration(0)
    stop: Span | None = Field(None, description="default: the end of the experiment")

    @model_validator(mode="after")
    def _one_protocol(self) -> FlowDoc:
        if (self.tcp is None) == (self.udp is None):
            raise ValueError(f"flow '{self.name}' needs one of tcp: {{}} or udp: {{rate: …}}")
        return self


class ProbeDoc(Strict):
    """A stream of pings beside the flows."""

    name: Name
    from_: NodePath = Field(alias="from")
    to: NodePath
    interval: Span = Duration(10_000_000)
    ip: Literal[4, 6] | None = None


FlowNames = Annotated[list[Name], Field(min_length=1)]
Ordinal = Annotated[int, Field(ge=1)]
EventName = Ordinal | Name
"""An entry of the timeline, by its number (from 1) or its name."""


class GoodputExpectation(Strict):
    """The mean goodput of one flow, or of several together, in a phase (phases count from 1)."""

    flow: Name | None = None
    flows: FlowNames | None = None
    phase: Ordinal
    within: Share | None = Field(None, description="of the ideal, on either side")
    at_least: Share | None = Field(None, description="of the ideal")
    min: Rate | None = None
    max: Rate | None = None

    @model_validator(mode="after")
    def _complete(self) -> GoodputExpectation:
        if (self.flow is None) == (self.flows is None):
            raise ValueError("name one of flow: NAME or flows: [NAME, …]")
        if not any((self.within, self.at_least, self.min, self.max)):
            raise ValueError("says no bound: add within:, at_least:, min: or max:")
        return self


class SettleExpectation(Strict):
    """How soon after an event, if it lasts after its end, the flows are at their new level."""

    settle: Span
    event: EventName
    flows: FlowNames | None = Field(None, description="default: all flows")


class LossExpectation(Strict):
    """How many probes may be lost: in all, or from an event to the second after it."""

    probe: Name
    lost: Annotated[int, Field(ge=0)]
    event: EventName | None = None


class SpreadExpectation(Strict):
    """Each path of a VL over several carried the same part of a direction's octets, in a phase."""

    spread: NodePath
    direction: Direction
    phase: Ordinal
    within: Share = Field(description="of an equal part, on either side")


class IsolationExpectation(Strict):
    """No frame sent in the first network was seen in the second (needs prove_isolation)."""

    isolated: Endpoints


_EXPECTATIONS = {
    "isolated": IsolationExpectation,
    "probe": LossExpectation,
    "settle": SettleExpectation,
    "spread": SpreadExpectation,
    "phase": GoodputExpectation,
}


def _expectation_kind(value: Any) -> str | None:
    for kind, doc in _EXPECTATIONS.items():
        if isinstance(value, doc) or (isinstance(value, dict) and kind in value):
            return kind
    return None


ExpectationDoc = Annotated[
    Annotated[IsolationExpectation, Tag("isolated")]
    | Annotated[LossExpectation, Tag("probe")]
    | Annotated[SettleExpectation, Tag("settle")]
    | Annotated[SpreadExpectation, Tag("spread")]
    | Annotated[GoodputExpectation, Tag("phase")],
    Discriminator(
        _expectation_kind,
        custom_error_type="unknown_expectation",
        custom_error_message="an expectation has one of the keys "
        "phase, settle, probe, spread, isolated",
    ),
]


class ExperimentDoc(Strict):
    """An experiment file."""

    name: Name | None = Field(None, description="default: the file's name")
    topology: str | TopologyDoc = Field(description="a file, seen from this one, or the topology")
    traffic: list[FlowDoc] = []
    probes: list[ProbeDoc] = []
    timeline: list[EventDoc] = []
    duration: Span
    sample: Span = Field(Duration(100_000_000), description="interval of the counters' samples")
    kernel: Literal["auto", "native", "private"] = Field(
        "auto", description="which kernel runs it: auto takes the running one if it has all"
    )
    seed: int = 1
    expect: list[ExpectationDoc] = []
