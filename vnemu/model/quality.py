"""The quality of one direction of a link: rates, what happens to frames, where they wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, NamedTuple, TypeVar

from vnemu.schema.quality import (
    Discipline,
    Distribution,
    ImpairmentDoc,
    LossDoc,
    QueueDoc,
)
from vnemu.units import Duration, Rate, Share, Size

Way = Literal["forward", "backward"]
"""A direction of a link: from its end a to its end b, or back."""
WAYS: tuple[Way, Way] = ("forward", "backward")
BOTH_WAYS: frozenset[Way] = frozenset(WAYS)


@dataclass(frozen=True)
class Loss:
    """Which frames are lost.

    Parameters:
        random: each frame with this probability.
        correlation: how far a frame's fate follows that of the frame before.
        bursts: the Gilbert-Elliott model instead of the two.
    """

    random: Share = Share(0)
    correlation: Share = Share(0)
    bursts: GilbertElliott | None = None

    def __bool__(self) -> bool:
        return bool(self.random.amount or self.bursts)

    @property
    def mean(self) -> float:
        """The part of the frames that is lost in the long run, from 0 to 1."""
        return self.bursts.mean if self.bursts else self.random.fraction

    def __str__(self) -> str:
        if self.bursts:
            return str(self.bursts)
        follows = f" (correlation {self.correlation})" if self.correlation.amount else ""
        return f"{self.random}{follows}"


@dataclass(frozen=True)
class GilbertElliott:
    """Loss in bursts: a good and a bad state, with a loss of its own in each.

    E. N. Gilbert, Capacity of a burst-noise channel, and E. O. Elliott, Estimates of
    error rates for codes on burst-noise channels, Bell System Technical Journal 39 and
    42 (1960, 1963).

    Parameters:
        p, r: probability, at each frame, to go from good to bad and from bad to good.
        bad, good: loss in each of the two states.
    """

    p: Share
    r: Share
    bad: Share = Share(10**6)
    good: Share = Share(0)

    @property
    def mean(self) -> float:
        """The part of the frames that is lost in the long run, from 0 to 1."""
        p, r = self.p.fraction, self.r.fraction
        return (p * self.bad.fraction + r * self.good.fraction) / (p + r)

    def __str__(self) -> str:
        return f"in bursts (p {self.p}, r {self.r}, bad {self.bad}, good {self.good})"


@dataclass(frozen=True)
class Impairment:
    """What one direction of a link does to frames beside limiting their rate.

    Parameters:
        delay: one-way delay.
        jitter: how much the delay varies either way; frames stay in their order.
        loss: the frames that are lost.
        distribution: of the delay. uniform: all values within the jitter are equally
            likely; else the jitter is the standard deviation.
        delay_correlation: how far a frame's delay follows that of the frame before.
        duplicate, corrupt: the part of the frames that comes twice, or with a wrong bit.
        reorder: the part of the frames that skips the delay.
    """

    delay: Duration = Duration(0)
    jitter: Duration = Duration(0)
    loss: Loss = Loss()
    distribution: Distribution = "uniform"
    delay_correlation: Share = Share(0)
    duplicate: Share = Share(0)
    corrupt: Share = Share(0)
    reorder: Share = Share(0)

    def __bool__(self) -> bool:
        return bool(self.delay.amount or self.jitter.amount or self.is_lossy)

    @property
    def is_lossy(self) -> bool:
        """Whether single frames fare differently, so that each must be seen by itself."""
        parts = (self.duplicate, self.corrupt, self.reorder)
        return bool(self.loss) or any(part.amount for part in parts)

    @property
    def longest(self) -> Duration:
        """The longest delay that a frame meets: netem's tables end at four deviations."""
        spread = 1 if self.distribution == "uniform" else 4
        return Duration(self.delay.amount + spread * self.jitter.amount)

    def __str__(self) -> str:
        shape = "" if self.distribution == "uniform" else f" ({self.distribution})"
        named = {
            "delay": self.delay.amount and self.delay,
            "jitter": self.jitter.amount and f"{self.jitter}{shape}",
            "delay correlation": self.delay_correlation.amount and self.delay_correlation,
            "loss": self.loss,
            "duplicate": self.duplicate.amount and self.duplicate,
            "corrupt": self.corrupt.amount and self.corrupt,
            "reorder": self.reorder.amount and self.reorder,
        }
        return ", ".join(f"{name} {value}" for name, value in named.items() if value)


@dataclass(frozen=True)
class Queue:
    """Where the frames of one direction wait.

    Parameters:
        size: room in bytes.
        time: room for what is sent in this time; of both None: by rate and delay.
        target, interval: of codel and fq_codel; None: the kernel's.
        ecn: whether packets are marked instead of dropped; None: as the kernel has it.
    """

    discipline: Discipline = "bfifo"
    size: Size | None = None
    time: Duration | None = None
    target: Duration | None = None
    interval: Duration | None = None
    ecn: bool | None = None

    def __str__(self) -> str:
        parts = [
            self.discipline if self.discipline != "bfifo" else "",
            str(self.size or self.time or ""),
            f"target {self.target}" if self.target else "",
            f"interval {self.interval}" if self.interval else "",
            "" if self.ecn is None else "ecn" if self.ecn else "no ecn",
        ]
        return " ".join(part for part in parts if part) or "default"


@dataclass(frozen=True)
class Quality:
    """One direction of a VL.

    Parameters:
        limit: never more than this; None: no limit of its own.
        guarantee: never less than this, when wanted; None: no guarantee.
    """

    limit: Rate | None = None
    guarantee: Rate | None = None
    impairment: Impairment = Impairment()
    queue: Queue = Queue()

    @property
    def guaranteed(self) -> int:
        """The guarantee in bit/s; 0 without one."""
        return self.guarantee.bps if self.guarantee else 0


@dataclass(frozen=True)
class WireQuality:
    """One direction of a physical link.

    Parameters:
        rate: its capacity, in bit/s of the frames that VRs send.
    """

    rate: Rate
    impairment: Impairment = Impairment()


PLAIN = Quality()
"""No limit, no guarantee, nothing that happens to frames."""

Q = TypeVar("Q", bound=Quality | WireQuality)

_OF_IMPAIRMENT = frozenset(part.name for part in fields(Impairment))
_WITHOUT: dict[str, Any] = {
    "limit": None,
    "guarantee": None,
    "queue": Queue(),
    **{part.name: part.default for part in fields(Impairment)},
}


def settings(doc: ImpairmentDoc) -> dict[str, Any]:
    """What a document says of a quality: property -> value; ``none`` is the value without it."""
    names = [name for name in ("rate", *_WITHOUT) if getattr(doc, name, None) is not None]
    return {name: _value(name, getattr(doc, name)) for name in names}


def _value(name: str, written: Any) -> Any:
    if written == "none":
        return _WITHOUT[name]
    if isinstance(written, LossDoc):
        return _loss(written)
    if isinstance(written, QueueDoc):
        return Queue(**{part.name: getattr(written, part.name) for part in fields(Queue)})
    return written


def _loss(doc: LossDoc) -> Loss:
    if doc.random is not None:
        return Loss(doc.random, doc.correlation or Share(0))
    assert doc.p is not None
    assert doc.r is not None
    bad = Share(10**6) if doc.bad is None else doc.bad
    return Loss(bursts=GilbertElliott(doc.p, doc.r, bad, doc.good or Share(0)))


def with_settings(quality: Q, values: Mapping[str, Any]) -> Q:
    """The quality with some properties changed, each named as in the files."""
    frames = {name: value for name, value in values.items() if name in _OF_IMPAIRMENT}
    own = {name: value for name, value in values.items() if name not in _OF_IMPAIRMENT}
    if frames:
        own["impairment"] = replace(quality.impairment, **frames)
    return replace(quality, **own) if own else quality


class Contradiction(NamedTuple):
    """Two properties of one direction that do not go together; `key` is the one to blame."""

    key: str
    message: str
    hint: str


def contradictions(quality: Quality | WireQuality) -> Iterator[Contradiction]:
    """What of a quality cannot be had together."""
    if isinstance(quality, Quality):
        yield from _of_rates(quality)
    yield from _of_delay(quality.impairment)


def _of_rates(quality: Quality) -> Iterator[Contradiction]:
    limit, guarantee = quality.limit, quality.guarantee
    if limit and guarantee and limit < guarantee:
        yield Contradiction(
            "guarantee",
            f"the guarantee {guarantee} is more than the limit {limit}",
            "raise the limit or lower the guarantee",
        )


def _of_delay(impairment: Impairment) -> Iterator[Contradiction]:
    delay, jitter = impairment.delay, impairment.jitter
    if jitter > delay:
        than = f"the delay {delay}" if delay.amount else "the delay, which is left out"
        yield Contradiction(
            "jitter",
            f"the jitter {jitter} is more than {than}",
            "the delay varies by up to the jitter either way: raise delay: or lower jitter:",
        )
    if impairment.reorder.amount and not delay.amount:
        yield Contradiction(
            "reorder",
            f"reorder {impairment.reorder} has no delay that frames could skip",
            "add delay: or take reorder: away",
        )
    for key, given in (
        ("distribution", impairment.distribution != "uniform"),
        ("delay_correlation", bool(impairment.delay_correlation.amount)),
    ):
        if given and not jitter.amount:
            yield Contradiction(
                key,
                f"{key} is of the jitter, which is left out",
                f"add jitter: or take {key}: away",
            )
