"""What a run folder records about a run: the models of run.json and journal.jsonl."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter

RUN_VERSION = 1

Status = Literal["complete", "interrupted", "failed"]


class Record(BaseModel):
    """Base of everything recorded: frozen; unknown keys of later versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


def _from() -> Any:
    # `from` is a keyword in Python but the natural key in the file.
    return Field(validation_alias=AliasChoices("from", "from_"), serialization_alias="from")


class FlowInfo(Record):
    """One flow of the traffic.

    ``frame_payload`` is (payload, frame) in bytes of a full data frame; ``rate_mbit`` is
    the rate of payload that a UDP flow offers, in Mbit/s.
    """

    name: str
    from_: Annotated[str, _from()]
    to: str
    protocol: Literal["tcp", "udp"]
    ip: Literal[4, 6]
    start_s: float = 0.0
    stop_s: float | None = None
    links: tuple[str, ...] = ()
    frame_payload: tuple[int, int] = (1448, 1514)
    rate_mbit: float | None = None


class ProbeInfo(Record):
    """One stream of pings, the base of all streams."""

    name: str
    from_: Annotated[str, _from()]
    to: str
    interval_s: float
    ip: Literal[4, 6]


class StreamInfo(ProbeInfo):
    """One stream of UDP probes, both ways; ``size_bytes`` of payload."""

    size_bytes: int = 32


class PlannedEvent(Record):
    """An event, that is an entry of the timeline; times are seconds since the start (t0).

    ``until_s`` is when one that lasts is over, None for what happens once; ``firings``
    is how often something is done. One that ``observes`` changes nothing and cuts no phase.
    """

    at_s: float
    what: str
    name: str = ""
    until_s: float | None = None
    firings: int = 1
    observes: bool = False


class Machine(Record):
    """The machine that ran the experiment.

    ``capsule`` is what the lab rested on, ``why`` the reason for that kernel; ``load``
    is the load average of the last minute when the run began.
    """

    cpus: int | None = None
    memory_mb: int | None = None
    capsule: str | None = None
    why: str | None = None
    load: float | None = None


class DrawnPhysicalLink(Record):
    """A physical link between the RMs `a` and `b`, its rate as text."""

    name: str
    a: str
    b: str
    rate: str


class DrawnUnderlay(Record):
    """The RMs and physical links of a drawing."""

    machines: tuple[str, ...] = ()
    links: tuple[DrawnPhysicalLink, ...] = ()


class DrawnVirtualLink(Record):
    """A VL between the VRs `a` and `b`; `path` is the RMs it crosses, `beside` its other paths."""

    name: str
    a: str
    b: str
    limit: str | None = None
    guarantee: str | None = None
    path: tuple[str, ...] = ()
    beside: tuple[tuple[str, ...], ...] = ()


class DrawnNetwork(Record):
    """A VN: `routers` maps VR to RM, `hosts` maps end system to VR."""

    name: str
    routers: dict[str, str] = {}
    hosts: dict[str, str] = {}
    links: tuple[DrawnVirtualLink, ...] = ()


class Drawing(Record):
    """What a picture of underlay, overlays and mapping needs."""

    underlay: DrawnUnderlay = DrawnUnderlay()
    networks: tuple[DrawnNetwork, ...] = ()


class RunInfo(Record):
    """run.json: all that is known when the run starts.

    ``duration_s`` and the times of flows and events are those of the run, that is
    after ``time_scale``. ``expect`` holds expectation documents
    (`vnemu.schema.experiment.ExpectationDoc`) as plain data, and ``calibration`` the newest
    one of this kernel (`vnemu.results.calibration.Calibration`), if there is any.
    """

    version: Literal[1] = 1
    experiment: str
    started: str
    command: tuple[str, ...] = ()
    versions: dict[str, str | None] = {}
    machine: Machine = Machine()
    seed: int = 1
    time_scale: float = 1.0
    sample_s: float = 0.1
    duration_s: float
    flows: tuple[FlowInfo, ...] = ()
    probes: tuple[ProbeInfo, ...] = ()
    streams: tuple[StreamInfo, ...] = ()
    events: tuple[PlannedEvent, ...] = ()
    expect: tuple[dict[str, Any], ...] = ()
    calibration: dict[str, Any] | None = None
    drawing: Drawing = Drawing()


class IdealEntry(Record):
    """From ``at_s`` on, the goodput in Mbit/s that each flow would ideally have."""

    kind: Literal["ideal"] = "ideal"
    at_s: float
    flows: dict[str, float]


class EventEntry(Record):
    """Something was begun at ``actual_s`` and done at ``done_s``.

    ``events`` are the numbers of the events that it is a firing of, from 1; empty in
    records of version 0.1, where each was an event of its own.
    """

    kind: Literal["event"] = "event"
    planned_s: float
    actual_s: float
    done_s: float | None = None
    what: str
    events: tuple[int, ...] = ()


class ProofEntry(Record):
    """The outcome of a proof of isolation, in frames.

    ``seen_in_own`` is the control: the frames do travel where they may.
    """

    kind: Literal["proof"] = "proof"
    from_: Annotated[str, _from()]
    to: str
    sent: dict[str, int]
    seen_in_own: dict[str, int]
    leaked: int


class FrameCounts(Record):
    """Frames of an interface: ``packets`` were written, ``dropped`` the kernel had no room for."""

    packets: int
    dropped: int


class CaptureEntry(Record):
    """A capture that is over.

    ``event`` is the number of the event that began it, ``file`` what it wrote, in the run
    folder; ``interfaces`` go by name.
    """

    kind: Literal["capture"] = "capture"
    event: int
    what: str
    file: str
    interfaces: dict[str, FrameCounts] = {}


class NodePlace(Record):
    """Where a node is in its VN.

    ``addresses`` are its own, loopbacks first, without prefix lengths; ``peers`` says which
    node is at the other end of the VL that a NIC is plugged in.
    """

    addresses: tuple[str, ...] = ()
    peers: dict[str, str] = {}

    def address(self, version: int) -> str | None:
        """Its first address of an IP version."""
        return next((a for a in self.addresses if (":" in a) == (version == 6)), None)


class PlacesEntry(Record):
    """From ``at_s`` on, these nodes have these addresses and peers; all of them the first time."""

    kind: Literal["places"] = "places"
    at_s: float
    nodes: dict[str, NodePlace]


class Difference(Record):
    """What is different in a VR: a setting, a file or a process, in words."""

    node: str
    what: str


class UntouchedEntry(Record):
    """VRs were looked at from outside between ``from_s`` and ``to_s``.

    ``events`` are those since the look before, or else the last one; ``differences`` what
    nobody but a Router OS's user could have changed.
    """

    kind: Literal["untouched"] = "untouched"
    from_s: float
    to_s: float
    events: tuple[int, ...] = ()
    nodes: int = 0
    differences: tuple[Difference, ...] = ()


class EndEntry(Record):
    """How the run ended; absent when it was killed."""

    kind: Literal["end"] = "end"
    at_s: float
    status: Status
    reason: str = ""


AnyEntry = (
    IdealEntry | EventEntry | ProofEntry | CaptureEntry | PlacesEntry | UntouchedEntry | EndEntry
)
JOURNAL_ENTRY: TypeAdapter[AnyEntry] = TypeAdapter(Annotated[AnyEntry, Field(discriminator="kind")])
