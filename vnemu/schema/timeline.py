"""The timeline of an experiment file: what happens when (docs/files.md)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from vnemu.schema.entry import (
    Direction,
    EntryDoc,
    LinkName,
    Machines,
    Period,
    link_or_name,
    not_too_close,
)
from vnemu.schema.fields import (
    Name,
    NodePath,
    check_name,
)
from vnemu.schema.life import (
    CopyDoc,
    CreateDoc,
    CreateNetworkDoc,
    DestroyDoc,
    DestroyNetworkDoc,
    LimitDoc,
    PauseDoc,
    ResumeDoc,
    StartDoc,
    StopDoc,
)
from vnemu.schema.observing import CaptureDoc, ProveIsolationDoc
from vnemu.schema.quality import Distribution, Nothing, QueueField
from vnemu.schema.ramps import (
    Ramp,
    RampedDelay,
    RampedJitter,
    RampedLoss,
    RampedRate,
    RampedShare,
)
from vnemu.schema.topology import VirtualLinkDoc
from vnemu.schema.traces import Format
from vnemu.units import Duration

DEFAULT_STEP = Duration(100_000_000)


def _flapping(text: str) -> str:
    network, _, name = text.partition("/")
    return f"{check_name(network)}/*" if name == "*" else link_or_name(text)


def _physical(text: str) -> str:
    if "/" in text:
        raise ValueError(f"'{text}' is virtual: cut: or down: it; fail: is for what is physical")
    return check_name(text)


class ReshapeDoc(EntryDoc):
    """Change the quality of a link; what is not named keeps its value."""

    reshape: LinkName = Field(description="network/link, or a physical link")
    direction: Direction | None = Field(None, description="like r1>r2; default: both")
    over: Period | None = Field(None, description="how long a ramp {from: …, to: …} takes")
    step: Period | None = Field(None, description="between two steps of a ramp; default: 100ms")
    limit: RampedRate | None = Field(None, description="of a VL; none lifts it")
    guarantee: RampedRate | None = Field(None, description="of a VL; none drops it")
    rate: RampedRate | None = Field(None, description="of a physical link")
    delay: RampedDelay | None = None
    jitter: RampedJitter | None = None
    distribution: Distribution | Nothing | None = None
    delay_correlation: RampedShare | None = None
    loss: RampedLoss | None = None
    duplicate: RampedShare | None = None
    corrupt: RampedShare | None = None
    reorder: RampedShare | None = None
    queue: QueueField | Nothing | None = None

    @property
    def quality(self) -> dict[str, Any]:
        """What it changes: key -> value or ramp."""
        return {
            key: value
            for key in type(self).model_fields
            if key not in _OF_RESHAPE and (value := getattr(self, key)) is not None
        }

    @property
    def ramps(self) -> dict[str, Ramp]:
        """What it changes little by little."""
        return {key: value for key, value in self.quality.items() if isinstance(value, Ramp)}

    @model_validator(mode="after")
    def _complete(self) -> ReshapeDoc:
        if not self.quality:
            raise ValueError("reshape changes nothing: add limit: RATE, delay: TIME or another key")
        if self.over is None and (self.ramps or self.step):
            raise ValueError("a ramp needs over: the time that it takes")
        if self.over is not None and not self.ramps:
            raise ValueError("over: is of a ramp: write a value as {from: 100mbit, to: 10mbit}")
        if self.over and self.every and self.every < self.over:
            raise ValueError(f"every {self.every} begins before a ramp of {self.over} is over")
        return self


_OF_RESHAPE = frozenset([*EntryDoc.model_fields, "reshape", "direction", "over", "step"])


class DownDoc(EntryDoc):
    """Both ends of a VL lose their carrier."""

    down: NodePath


class UpDoc(EntryDoc):
    """Both ends of a VL have their carrier again."""

    up: NodePath


class CutDoc(EntryDoc):
    """Nothing passes a link, and nobody is told: the carrier stays."""

    cut: LinkName = Field(description="network/link, or a physical link")
    direction: Direction | None = Field(None, description="like r1>r2; default: both")


class MendDoc(EntryDoc):
    """Ends a cut."""

    mend: LinkName = Field(description="network/link, or a physical link")
    direction: Direction | None = Field(None, description="like r1>r2; default: both")


class FailDoc(EntryDoc):
    """A physical link or a machine fails."""

    fail: Annotated[str, AfterValidator(_physical)] = Field(
        description="a physical link or a machine"
    )
    direction: Direction | None = Field(None, description="like rm1>rm2; default: both")


class RepairDoc(EntryDoc):
    """Ends a failure."""

    repair: Name = Field(description="a physical link or a machine")
    direction: Direction | None = Field(None, description="like rm1>rm2; default: both")


class MoveDoc(EntryDoc):
    """A VL takes another path, or a VR lives on another machine; default: the best one now."""

    move: NodePath = Field(description="network/link, or network/router")
    to: Name | None = Field(None, description="the machine, for a router")
    path: Machines | None = Field(None, description="the machines that it crosses")
    paths: Annotated[list[Machines], Field(min_length=1)] | None = Field(
        None, description="several paths to be aggregated, in place of path"
    )
    avoid: Machines | None = Field(None, description="machines or physical links to keep off")

    @model_validator(mode="after")
    def _one_way(self) -> MoveDoc:
        if sum(way is not None for way in (self.path, self.paths, self.avoid, self.to)) > 1:
            raise ValueError("move has one of path:, paths:, avoid: and to:")
        return self


class AddDoc(VirtualLinkDoc, EntryDoc):
    """A VL appears between two VRs that run, with a new NIC at each."""

    add: NodePath = Field(description="network/link; the other keys are as of a link in a file")

    @property
    def link(self) -> VirtualLinkDoc:
        """The link as a topology file would say it."""
        keys = [key for key in VirtualLinkDoc.model_fields if key != "name"]
        return VirtualLinkDoc(**{key: getattr(self, key) for key in keys})


class RemoveDoc(EntryDoc):
    """A VL disappears, and its NICs."""

    remove: NodePath


class FlapDoc(EntryDoc):
    """A link that fails and recovers with a period; of a whole network one by lot each time."""

    flap: Annotated[str, AfterValidator(_flapping)] = Field(
        description="network/link, network/*, a physical link, or a machine"
    )
    down_for: Period = Field(description="of each period")
    silent: bool = Field(False, description="of a VL: cut and mend in place of down and up")

    @model_validator(mode="after")
    def _has_a_period(self) -> FlapDoc:
        if self.every is None:
            raise ValueError("flap needs every: its period")
        if self.down_for >= self.every:
            raise ValueError(f"down_for {self.down_for} is not less than the period {self.every}")
        return self

    @property
    def network(self) -> str | None:
        """The network of which another VL is drawn by lot each time."""
        return self.flap.removesuffix("/*") if self.flap.endswith("/*") else None


class ReplayDoc(EntryDoc):
    """A recorded bandwidth is replayed on a link."""

    replay: LinkName = Field(description="network/link, or a physical link")
    trace: str = Field(description="a file, seen from this one")
    format: Format | None = Field(None, description="default: csv for *.csv, else mahimahi")
    bin: Annotated[Duration, AfterValidator(not_too_close)] | None = Field(
        None, description="of the mahimahi format; default: 100ms"
    )
    as_: Literal["limit", "guarantee", "rate"] | None = Field(
        None, alias="as", description="default: limit of a VL, rate of a physical link"
    )
    direction: Direction | None = Field(None, description="like r1>r2; default: both")
    loop: bool = False

    @model_validator(mode="after")
    def _once(self) -> ReplayDoc:
        if self.every is not None:
            raise ValueError("a replay has no every: loop: true repeats it until the end")
        if (self.as_ or self.key == "rate") and ("/" in self.replay) == (self.key == "rate"):
            raise ValueError("as: is limit or guarantee for a VL, rate for a physical link")
        return self

    @property
    def key(self) -> str:
        """The property that the trace gives values to."""
        return self.as_ or ("limit" if "/" in self.replay else "rate")


_CHANGES: dict[str, type[EntryDoc]] = {
    "reshape": ReshapeDoc,
    "down": DownDoc,
    "up": UpDoc,
    "cut": CutDoc,
    "mend": MendDoc,
    "fail": FailDoc,
    "repair": RepairDoc,
    "move": MoveDoc,
    "add": AddDoc,
    "remove": RemoveDoc,
    "pause": PauseDoc,
    "resume": ResumeDoc,
    "stop": StopDoc,
    "start": StartDoc,
    "create": CreateDoc,
    "destroy": DestroyDoc,
    "copy": CopyDoc,
    "limit": LimitDoc,
    "create_network": CreateNetworkDoc,
    "destroy_network": DestroyNetworkDoc,
}


def _kind(value: Any, kinds: dict[str, type[EntryDoc]]) -> str | None:
    for kind, doc in kinds.items():
        if isinstance(value, doc) or (isinstance(value, dict) and kind in value):
            return kind
    return None


def _untimed(entry: EntryDoc) -> EntryDoc:
    if entry.is_timed or entry.from_ or entry.until or entry.name:
        raise ValueError("the batch has at: and name:, its parts have none")
    if isinstance(entry, ReshapeDoc) and entry.ramps:
        raise ValueError("a batch happens at once: a ramp is an entry of its own")
    return entry


_Change = (
    Annotated[ReshapeDoc, Tag("reshape")]
    | Annotated[DownDoc, Tag("down")]
    | Annotated[UpDoc, Tag("up")]
    | Annotated[CutDoc, Tag("cut")]
    | Annotated[MendDoc, Tag("mend")]
    | Annotated[FailDoc, Tag("fail")]
    | Annotated[RepairDoc, Tag("repair")]
    | Annotated[MoveDoc, Tag("move")]
    | Annotated[AddDoc, Tag("add")]
    | Annotated[RemoveDoc, Tag("remove")]
    | Annotated[PauseDoc, Tag("pause")]
    | Annotated[ResumeDoc, Tag("resume")]
    | Annotated[StopDoc, Tag("stop")]
    | Annotated[StartDoc, Tag("start")]
    | Annotated[CreateDoc, Tag("create")]
    | Annotated[DestroyDoc, Tag("destroy")]
    | Annotated[CopyDoc, Tag("copy")]
    | Annotated[LimitDoc, Tag("limit")]
    | Annotated[CreateNetworkDoc, Tag("create_network")]
    | Annotated[DestroyNetworkDoc, Tag("destroy_network")]
)
ChangeDoc = Annotated[
    _Change,
    Discriminator(
        lambda value: _kind(value, _CHANGES),
        custom_error_type="unknown_event",
        custom_error_message=f"a part of a batch has one of the verbs {', '.join(_CHANGES)}",
    ),
]


class BatchDoc(EntryDoc):
    """Several changes at once: all or none of them."""

    batch: Annotated[list[Annotated[ChangeDoc, AfterValidator(_untimed)]], Field(min_length=1)]


def changes() -> dict[str, type[EntryDoc]]:
    """The verbs of what happens at once, and how each is written."""
    return {**_CHANGES, "batch": BatchDoc}


_EVENTS: dict[str, type[EntryDoc]] = {
    **_CHANGES,
    "batch": BatchDoc,
    "flap": FlapDoc,
    "replay": ReplayDoc,
    "prove_isolation": ProveIsolationDoc,
    "capture": CaptureDoc,
}


def _timed(entry: EntryDoc) -> EntryDoc:
    if not entry.is_timed:
        raise ValueError("needs at: the time of the event (or every: its period)")
    if entry.at is not None and entry.every is not None:
        raise ValueError("happens at: a time or every: so often, not both")
    if entry.every is None and (entry.from_ is not None):
        raise ValueError("from: is the beginning of every:; an event with at: has none")
    if entry.until is not None and entry.every is None and not isinstance(entry, ReplayDoc):
        raise ValueError("until: is the end of every: or of a replay; an event with at: has none")
    begin = entry.at or entry.from_ or Duration(0)
    if entry.until is not None and entry.until <= begin:
        raise ValueError(f"ends at {entry.until}, before it begins at {begin}")
    return entry


EventDoc = Annotated[
    Annotated[
        _Change
        | Annotated[BatchDoc, Tag("batch")]
        | Annotated[FlapDoc, Tag("flap")]
        | Annotated[ReplayDoc, Tag("replay")]
        | Annotated[ProveIsolationDoc, Tag("prove_isolation")]
        | Annotated[CaptureDoc, Tag("capture")],
        Discriminator(
            lambda value: _kind(value, _EVENTS),
            custom_error_type="unknown_event",
            custom_error_message=f"an event has one of the verbs {', '.join(_EVENTS)}",
        ),
    ],
    AfterValidator(_timed),
]
