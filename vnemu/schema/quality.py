"""The quality of a link in the files: of a VL, of a physical link, and of a change at run time.

A key that is left out says nothing; ``none`` takes a property away. So the same keys
describe a link, one direction of it over the link's own keys, and a change.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from vnemu.schema.fields import Delay, Jitter, LinkRate, Span, Strict
from vnemu.units import Duration, Share, Size

Nothing = Literal["none"]
Distribution = Literal["uniform", "normal", "pareto", "paretonormal"]
Discipline = Literal["bfifo", "codel", "fq_codel", "cake", "red"]

SMALLEST_QUEUE = Size(3028)
LARGEST_QUEUE = Size(10**9)
LONGEST_QUEUE = Duration(60 * 10**9)
_DELAYED: frozenset[Discipline] = frozenset({"codel", "fq_codel"})
"""The disciplines that have a target and an interval of their own (cake has a round trip)."""


class LossDoc(Strict):
    """Which frames are lost: at random, or in bursts (the Gilbert-Elliott model).

    The short form is the share alone: ``1%``.
    """

    random: Share | None = Field(None, description="each frame with this probability")
    correlation: Share | None = Field(
        None, description="how far a frame's fate follows that of the frame before"
    )
    p: Share | None = Field(None, description="from the good to the bad state, at each frame")
    r: Share | None = Field(None, description="from the bad to the good state, at each frame")
    bad: Share | None = Field(None, description="loss in the bad state; default: 100%")
    good: Share | None = Field(None, description="loss in the good state; default: 0%")

    @model_validator(mode="after")
    def _one_model(self) -> LossDoc:
        bursts = [self.p, self.r, self.bad, self.good]
        if (self.random is None) == all(part is None for part in bursts):
            raise ValueError(
                "loss is either {random: 1%, correlation: 25%} or {p: 1%, r: 20%, bad: 100%, "
                "good: 0%}: name one of random: and p:"
            )
        if self.random is None and not (self.p and self.r and self.p.amount and self.r.amount):
            raise ValueError("loss in bursts needs both p: and r:, each more than 0%")
        if self.random is None and self.correlation is not None:
            raise ValueError("correlation: belongs to random loss; bursts follow from p: and r:")
        return self

    @model_serializer(mode="wrap")
    def _short(self, handler: SerializerFunctionWrapHandler) -> Any:
        if self.random is not None and self.correlation is None:
            return str(self.random)
        return handler(self)


def _check_size(size: Size) -> Size:
    if not SMALLEST_QUEUE <= size <= LARGEST_QUEUE:
        raise ValueError(
            f"{size} is out of range: a queue has room for {SMALLEST_QUEUE} (two full frames) "
            f"to {LARGEST_QUEUE}"
        )
    return size


def _check_time(time: Duration) -> Duration:
    if time > LONGEST_QUEUE:
        raise ValueError(f"{time} is out of range: a queue is at most {LONGEST_QUEUE} long")
    return time


class QueueDoc(Strict):
    """Where frames wait: how many bytes, or for how long, and in which discipline.

    The short forms are the size or the time alone: ``100kb``, ``50ms``.
    """

    discipline: Discipline = "bfifo"
    size: Annotated[Size, AfterValidator(_check_size)] | None = Field(
        None, description="room in bytes; default: by rate and delay"
    )
    time: Annotated[Span, AfterValidator(_check_time)] | None = Field(
        None, description="room for what the link sends in this time"
    )
    target: Span | None = Field(None, description="the delay that codel and fq_codel aim at")
    interval: Span | None = Field(
        None, description="over which codel and fq_codel look for the least delay"
    )
    ecn: bool | None = Field(None, description="mark packets instead of dropping them")

    @model_validator(mode="after")
    def _fits_the_discipline(self) -> QueueDoc:
        if self.size is not None and self.time is not None:
            raise ValueError("a queue has size: or time:, not both")
        timed = self.target is not None or self.interval is not None
        if timed and self.discipline not in _DELAYED:
            raise ValueError(
                f"target: and interval: are for codel and fq_codel, not for {self.discipline}"
            )
        if self.ecn is not None and self.discipline in ("bfifo", "cake"):
            raise ValueError(f"ecn: is for codel, fq_codel and red, not for {self.discipline}")
        return self


def _loss(value: Any) -> Any:
    if isinstance(value, dict | LossDoc):
        return value
    return LossDoc.model_validate({"random": Share.parse(value)})


def _queue(value: Any) -> Any:
    if isinstance(value, dict | QueueDoc):
        return value
    if not isinstance(value, str):
        raise ValueError("a queue is a size like 100kb, a time like 50ms, or a mapping")
    if value.rstrip()[-1:] in "sSnNhH":
        time = Duration.parse(value)
        if not time.amount:
            raise ValueError("must be more than 0s")
        return QueueDoc.model_validate({"time": _check_time(time)})
    return QueueDoc.model_validate({"size": _check_size(Size.parse(value))})


LossField = Annotated[LossDoc, BeforeValidator(_loss, json_schema_input_type=Share | LossDoc)]
QueueField = Annotated[
    QueueDoc, BeforeValidator(_queue, json_schema_input_type=Size | Duration | QueueDoc)
]

_NETEM = "needs netem in the kernel"


class _RateDoc(Strict):
    rate: LinkRate | None = Field(
        None, description="capacity in each direction, counted in the VRs' frames"
    )


class _BoundsDoc(Strict):
    limit: LinkRate | Nothing | None = Field(
        None, description="never more than this, in each direction"
    )
    guarantee: LinkRate | Nothing | None = Field(
        None, description="never less than this when wanted"
    )


class ImpairmentDoc(Strict):
    """What a link does to frames beside limiting their rate."""

    delay: Delay | Nothing | None = Field(None, description=f"one-way delay; {_NETEM}")
    jitter: Jitter | Nothing | None = Field(
        None, description=f"the delay varies by up to this either way, in order; {_NETEM}"
    )
    distribution: Literal[Distribution, Nothing] | None = Field(
        None, description="of the jitter; all but uniform take it as the standard deviation"
    )
    delay_correlation: Share | Nothing | None = Field(
        None, description="how far a frame's delay follows that of the frame before"
    )
    loss: LossField | Nothing | None = Field(
        None, description=f"loss in each direction, at random or in bursts; {_NETEM}"
    )
    duplicate: Share | Nothing | None = Field(None, description="frames that come twice")
    corrupt: Share | Nothing | None = Field(None, description="frames with one bit turned over")
    reorder: Share | Nothing | None = Field(
        None, description="frames that skip the delay, and so overtake others"
    )


class VirtualQualityDoc(ImpairmentDoc, _BoundsDoc):
    """The quality of a VL, or of one direction of it."""

    queue: QueueField | Nothing | None = Field(
        None, description="where frames wait: a size, a time, or a mapping; none: the default"
    )


class PhysicalQualityDoc(ImpairmentDoc, _RateDoc):
    """The quality of a physical link, or of one direction of it."""


class QualityDoc(VirtualQualityDoc, PhysicalQualityDoc):
    """A change of the quality of a VL or a physical link."""
