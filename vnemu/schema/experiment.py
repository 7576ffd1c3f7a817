"""The experiment file: traffic, probes, a timeline and expectations (docs/files.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from vnemu.schema.entry import Direction
from vnemu.schema.fields import Endpoints, LinkRate, Name, NodePath, Span, Strict
from vnemu.schema.timeline import EventDoc
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


class StreamDoc(Strict):
    """Small UDP datagrams both ways, numbered and timed."""

    size: Annotated[Size, AfterValidator(_datagram)] = Field(
        Size(32), description="payload of a datagram"
    )


_PING_EVERY, _STREAM_EVERY = Duration(10_000_000), Duration(1_000_000)
_FASTEST_STREAM = Duration(200_000)


class ProbeDoc(Strict):
    """A stream of probes beside the flows: pings, or UDP both ways."""

    name: Name
    from_: NodePath = Field(alias="from")
    to: NodePath
    udp: StreamDoc | None = Field(None, description="UDP datagrams both ways instead of pings")
    interval: Span | None = Field(None, description="default: 10ms; of UDP: 1ms")
    ip: Literal[4, 6] | None = None

    @model_validator(mode="after")
    def _not_too_fast(self) -> ProbeDoc:
        if self.udp and self.every < _FASTEST_STREAM:
            raise ValueError(
                f"probe '{self.name}' is too fast: its interval is at least {_FASTEST_STREAM}"
            )
        return self

    @property
    def every(self) -> Duration:
        """The time between two probes."""
        return self.interval or (_STREAM_EVERY if self.udp else _PING_EVERY)


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
    """How many probes may be lost: in all, or because of an event.

    Of pings those count that were sent from the event to the second after it; of UDP
    those sent from the event to the next one, in the worse of both directions.
    """

    probe: Name
    lost: Annotated[int, Field(ge=0)]
    event: EventName | None = None


class OutageExpectation(Strict):
    """How long the longest outage of a UDP probe lasts, in the worse of its directions.

    In all, or from an event to the next one.
    """

    outage: Name
    event: EventName | None = None
    max: Duration | None = None
    min: Duration | None = None

    @model_validator(mode="after")
    def _bounded(self) -> OutageExpectation:
        if self.max is None and self.min is None:
            raise ValueError("says no bound: add max: or min:")
        return self


class SpreadExpectation(Strict):
    """Each path of a VL over several carried the same part of a direction's octets, in a phase."""

    spread: NodePath
    direction: Direction
    phase: Ordinal
    within: Share = Field(description="of an equal part, on either side")


class IsolationExpectation(Strict):
    """No frame sent in the first network was seen in the second (needs prove_isolation)."""

    isolated: Endpoints


class ConvergenceExpectation(Strict):
    """The last route that changed because of an event did so within this time after it."""

    convergence: Span
    event: EventName


class UnmovedExpectation(Strict):
    """No route of any VR changed from an event to the next one."""

    unmoved: EventName


class UntouchedExpectation(Strict):
    """Nobody touched a VR: files, processes and settings are what they were at the start."""

    untouched: Literal[True]


class PathExpectation(Strict):
    """When routing has settled after an event, packets take this path and no other."""

    path: Annotated[list[NodePath], Field(min_length=2)]
    event: EventName
    ip: Literal[4, 6] | None = Field(None, description="default: 4 where the network has it")


_EXPECTATIONS = {
    "convergence": ConvergenceExpectation,
    "unmoved": UnmovedExpectation,
    "untouched": UntouchedExpectation,
    "path": PathExpectation,
    "isolated": IsolationExpectation,
    "probe": LossExpectation,
    "outage": OutageExpectation,
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
    | Annotated[ConvergenceExpectation, Tag("convergence")]
    | Annotated[UnmovedExpectation, Tag("unmoved")]
    | Annotated[UntouchedExpectation, Tag("untouched")]
    | Annotated[PathExpectation, Tag("path")]
    | Annotated[LossExpectation, Tag("probe")]
    | Annotated[OutageExpectation, Tag("outage")]
    | Annotated[SettleExpectation, Tag("settle")]
    | Annotated[SpreadExpectation, Tag("spread")]
    | Annotated[GoodputExpectation, Tag("phase")],
    Discriminator(
        _expectation_kind,
        custom_error_type="unknown_expectation",
        custom_error_message="an expectation has one of the keys "
        "phase, settle, probe, outage, spread, isolated, convergence, unmoved, "
        "untouched, path",
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
    repeat: Annotated[int, Field(ge=1, le=10_000)] = 1
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(
        {}, description="by the path of a value, or a routing option: what it is to be"
    )
    ready: Span = Field(
        Duration(120_000_000_000),
        description="how long routing may take to converge before the experiment starts",
    )
    capture: Literal["routing"] | None = Field(
        None, description="routing: keep all routing messages in control.pcapng"
    )
    expect: list[ExpectationDoc] = []
