"""result.json: what came out of a run, for programs (docs/results.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from vnemu.results.runinfo import Machine, Status

RESULT_VERSION = 1


class ResultPart(BaseModel):
    """Base of the parts of a result. Times are seconds since the start of the experiment (t0)."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class FlowInPhase(ResultPart):
    """A flow in a phase, over the part of the phase in which it was active."""

    goodput_mbit: float = Field(
        description="mean payload given to the application in Mbit/s, without the first second"
    )
    ideal_mbit: float | None = Field(
        default=None, description="the goodput that the model computes, over the same time"
    )
    error_percent: float | None = Field(
        default=None, description="of the goodput against the ideal"
    )
    from_s: float = Field(description="the mean is taken from here …")
    to_s: float = Field(description="… to here")


class LinkInPhase(ResultPart):
    """One direction of a VL in a phase."""

    rate_mbit: float = Field(
        description="mean rate of frames in Mbit/s, without the phase's first second"
    )
    dropped: int = Field(description="packets dropped in the phase")
    backlog_max_bytes: int = Field(description="longest queue seen at a sample")
    paths_percent: dict[str, float] = Field(
        default={}, description="of a VL over several paths: what each carried of its octets"
    )


class PhaseResult(ResultPart):
    """The time between two events. Phases count from 1."""

    start_s: float
    end_s: float
    finished: bool = Field(default=True, description="false: the run was cut off in this phase")
    flows: dict[str, FlowInPhase] = Field(default={}, description="by name, those that were active")
    links: dict[str, dict[str, LinkInPhase]] = Field(
        default={}, description="by network/link, then by direction (r1>r2)"
    )


class ProbeAtEvent(ResultPart):
    """A probe around an event: what was sent from 50 ms before it to 1 s after it is over."""

    sent: int
    lost: int
    outage_ms: float = Field(description="longest run of lost probes, as time")


class ControlAtEvent(ResultPart):
    """Routing messages of a protocol that VRs sent, counted at their vifs."""

    messages: int
    bytes: int = Field(description="of whole frames, acknowledgements of TCP included")


class PathAtEvent(ResultPart):
    """The paths from one node to another by the routing tables; several: ECMP; none: no route."""

    from_: Annotated[
        str,
        Field(validation_alias=AliasChoices("from", "from_"), serialization_alias="from"),
    ]
    to: str
    ip: Literal[4, 6]
    before: tuple[tuple[str, ...], ...] = ()
    after: tuple[tuple[str, ...], ...] = ()


class RoutingAtEvent(ResultPart):
    """What the routers did from the begin of an event to the next one that cuts a phase."""

    until_s: float = Field(description="end of that window")
    changes: int = Field(
        default=0, description="routes that were set or deleted, but for those of NICs"
    )
    nodes: tuple[str, ...] = Field(default=(), description="whose tables changed")
    first_s: float | None = Field(
        default=None, description="from the event to the first change of a route"
    )
    convergence_s: float | None = Field(
        default=None, description="from the event to the last change of a route"
    )
    paths: tuple[PathAtEvent, ...] = Field(
        default=(), description="of flows and probes, just before the event and at the end"
    )
    control: dict[str, ControlAtEvent] = Field(default={}, description="by protocol")


class StreamAtEvent(ResultPart):
    """One direction of a stream of UDP probes, from an event to the next one."""

    sent: int
    lost: int
    duplicated: int = 0
    reordered: int = 0
    outage_ms: float = Field(
        description="longest loss period: from the sending of its first probe to that of the "
        "next one that arrived"
    )
    until_s: float = Field(default=0.0, description="end of that time")
    first_loss_s: float | None = Field(
        default=None, description="from the event to the sending of the first lost probe"
    )
    first_repair_s: float | None = Field(
        default=None,
        description="from the event to the sending of the first probe that arrived again",
    )
    last_repair_s: float | None = Field(
        default=None,
        description="from the event to the sending of the first probe behind the last lost one; "
        "null: none arrived before the next event",
    )


class EventResult(ResultPart):
    """An event, that is an entry of the timeline. Events count from 1, as in the file."""

    name: str = ""
    what: str
    planned_s: float
    until_s: float | None = Field(
        default=None, description="planned end of one that lasts (a ramp, a flap, a replay)"
    )
    actual_s: float | None = Field(default=None, description="null: the run ended before it")
    done_s: float | None = Field(default=None, description="when its first firing was done")
    ended_s: float | None = Field(default=None, description="begin of the last firing, if it lasts")
    firings: int = Field(default=0, description="how often something was done")
    observes: bool = Field(
        default=False, description="it changes nothing (a capture), and cuts no phase"
    )
    late_ms: float | None = Field(default=None, description="actual minus planned time")
    took_ms: float | None = Field(default=None, description="from begun to done")
    late_p99_ms: float | None = Field(default=None, description="99th percentile of its firings")
    late_max_ms: float | None = None
    took_max_ms: float | None = None
    settle_s: dict[str, float | None] = Field(
        default={},
        description="by flow: seconds until its 100 ms windows stay within the band "
        "(and one frame) around the new level; null: they do not",
    )
    level_mbit: dict[str, float] = Field(
        default={},
        description="by flow: the new level, its mean in the second half of the time from the "
        "event to the end of the phase, in Mbit/s of payload that arrived",
    )
    band_percent: dict[str, float] = Field(
        default={},
        description="by flow: half the width of that band; 5, or more on a restless level",
    )
    strays: dict[str, int] = Field(
        default={},
        description="by flow: later windows outside of the band all the same (at most 2%)",
    )
    probes: dict[str, ProbeAtEvent] = {}
    streams: dict[str, StreamAtEvent] = Field(
        default={}, description="by name and direction: NAME> there, NAME< back"
    )
    routing: RoutingAtEvent | None = None
    untouched: bool | None = Field(
        default=None, description="whether the VRs were as before when looked at after it"
    )
    differences: tuple[str, ...] = Field(default=(), description="what was not, if so")


class ProbeResult(ResultPart):
    """A stream of pings over the whole run."""

    sent: int
    lost: int
    loss_percent: float | None = None
    rtt_median_ms: float | None = None
    rtt_p99_ms: float | None = None
    rtt_max_ms: float | None = None


class StreamResult(ResultPart):
    """One direction of a stream of UDP probes over the whole run."""

    sent: int
    lost: int
    loss_percent: float | None = None
    duplicated: int = 0
    reordered: int = 0
    outage_ms: float = 0.0
    outage_at_s: float | None = Field(default=None, description="when the longest one began")
    delay_median_ms: float | None = Field(default=None, description="one way")
    delay_p99_ms: float | None = None
    delay_max_ms: float | None = None
    pause_max_ms: float | None = Field(
        default=None, description="longest time in which none was sent: how sure outages are"
    )


class ProofResult(ResultPart):
    """Frames sent in one VN and looked for in another, by kind."""

    from_: Annotated[
        str,
        Field(validation_alias=AliasChoices("from", "from_"), serialization_alias="from"),
    ]
    to: str
    sent: dict[str, int]
    seen_in_own: dict[str, int] = Field(description="the control: seen in the VN that sent them")
    leaked: int


class CapturedFrames(ResultPart):
    """The frames of an interface."""

    packets: int = Field(description="that were written")
    dropped: int = Field(description="that the kernel had no room for")


class CaptureResult(ResultPart):
    """A capture that an event of the timeline began."""

    event: int = Field(description="its number, from 1")
    what: str
    file: str = Field(description="in the run folder")
    interfaces: dict[str, CapturedFrames] = Field(
        default={}, description="by name: network/node:nic, or machine:device"
    )


class ExpectationResult(ResultPart):
    """An expectation of the experiment file, and whether it was met."""

    text: str
    measured: str = ""
    met: bool


class FlowResult(ResultPart):
    """What a flow was."""

    from_: Annotated[
        str,
        Field(validation_alias=AliasChoices("from", "from_"), serialization_alias="from"),
    ]
    to: str
    protocol: Literal["tcp", "udp"]
    ip: Literal[4, 6]
    links: tuple[str, ...] = ()


class Conditions(ResultPart):
    """Under which conditions the numbers were measured."""

    started: str
    command: tuple[str, ...] = Field(default=(), description="what repeats the run")
    versions: dict[str, str | None] = Field(
        default={}, description="of vnemu, Python, iperf3, the kernel"
    )
    machine: Machine = Machine()
    seed: int = 1
    time_scale: float = 1.0
    sample_s: float = 0.1


class Result(ResultPart):
    """result.json."""

    version: Literal[1] = 1
    status: Status
    reason: str = Field(default="", description="why the run is not complete")
    experiment: str
    duration_s: float = Field(description="planned duration of the run")
    end_s: float = Field(description="up to here there are samples")
    flows: dict[str, FlowResult] = {}
    phases: tuple[PhaseResult, ...] = ()
    events: tuple[EventResult, ...] = ()
    probes: dict[str, ProbeResult] = {}
    streams: dict[str, StreamResult] = Field(
        default={}, description="by name and direction: NAME> there, NAME< back"
    )
    proofs: tuple[ProofResult, ...] = ()
    captures: tuple[CaptureResult, ...] = ()
    route_protocols: tuple[str, ...] = Field(
        default=(),
        description="who set routes of the VRs, as iproute2 calls them; empty: nobody but vnemu",
    )
    untouched: bool | None = Field(
        default=None, description="whether nobody touched a VR; null: nobody looked"
    )
    differences: tuple[str, ...] = Field(default=(), description="what was touched, if so")
    expectations: tuple[ExpectationResult, ...] = ()
    notes: tuple[str, ...] = Field(default=(), description="what a reader of the numbers must know")
    conditions: Conditions

    @property
    def met(self) -> bool:
        """Whether the run is complete and every expectation was met."""
        return self.status == "complete" and all(e.met for e in self.expectations)


def result_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of result.json."""
    schema = Result.model_json_schema(by_alias=True, mode="serialization")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": f"vnemu result.json, version {RESULT_VERSION}",
    }
