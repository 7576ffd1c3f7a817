"""The objects of traffic control: who may send how much, what befalls frames, where they go.

Rates are in bit/s, sizes in bytes, delays in ns, as in `vnemu.plan.objects`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar, Literal

from vnemu.units import Rate

Key = tuple[object, ...]
Distribution = Literal["uniform", "normal", "pareto", "paretonormal"]
Discipline = Literal["bfifo", "codel", "fq_codel", "cake", "red"]

_CODEL = (("target", 5_000_000), ("interval", 100_000_000))
DEFAULTS: dict[Discipline, tuple[tuple[str, int], ...]] = {
    "bfifo": (),
    "codel": (*_CODEL, ("ecn", 0)),
    "fq_codel": (*_CODEL, ("ecn", 1)),
    "cake": _CODEL,
    "red": (("ecn", 0), ("rate", 10_000_000)),
}
"""The options of each discipline, as the kernel and tc have them if nothing is said."""


@dataclass(frozen=True, slots=True)
class Htb:
    """The shaper of a device: its root and the class 1:1 that all of it passes.

    Parameters:
        rate: capacity in bit/s, of frames as the VRs sent them.
        overhead: bytes of encapsulation in front of each frame here.
        leaf: whether all traffic is one queue (class 1:1), or has a class per VL.
    """

    namespace: str
    device: str
    rate: int
    overhead: int
    leaf: bool
    RANK: ClassVar[int] = 4
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"rate"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (7, self.namespace, self.device)

    def __str__(self) -> str:
        return f"shaper {self.namespace} {self.device}: {Rate(self.rate)}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """A token bucket: all that leaves a device, at a rate.

    Parameters:
        rate: in bit/s.
        limit: at most as many bytes wait, as they count.
        least: bytes that each frame counts at least.
        cut: larger segmentation-offload packets are cut into frames before they wait, in
            bytes; 0: none is. It cannot change in place, since a packet that waits and is
            larger than a burst of the new rate would wait for ever.
    """

    namespace: str
    device: str
    rate: int
    limit: int
    least: int = 0
    cut: int = 0
    RANK: ClassVar[int] = 4
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"rate", "limit", "least"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (15, self.namespace, self.device)

    def __str__(self) -> str:
        text = f"bucket {self.namespace} {self.device}: {Rate(self.rate)}, {self.limit} bytes"
        text += f", {self.least} a frame at least" if self.least else ""
        return text + (", cuts large packets" if self.cut else "")


@dataclass(frozen=True, slots=True)
class HtbClass:
    """The part of a shaped device that one VL has: assured `rate`, at most `ceil`, in bit/s."""

    namespace: str
    device: str
    minor: int
    rate: int
    ceil: int
    RANK: ClassVar[int] = 8
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"rate", "ceil"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (8, self.namespace, self.device, self.minor)

    def __str__(self) -> str:
        return (
            f"class {self.namespace} {self.device} 1:{self.minor:x}: "
            f"assured {Rate(self.rate)}, ceiling {Rate(self.ceil)}"
        )


@dataclass(frozen=True, slots=True)
class Queue:
    """Where the frames of a class wait.

    Parameters:
        limit: at most as many bytes of them wait.
        discipline: which frame goes next, and which is dropped or marked before the
            queue is full.
        options: of the discipline: `target` and `interval` (ns; codel, fq_codel, cake),
            `ecn` (0 or 1; codel, fq_codel, red) and `rate` (bit/s, the class's ceiling;
            red, whose average falls with time). What is left out is as `DEFAULTS` says.
    """

    namespace: str
    device: str
    minor: int
    limit: int
    discipline: Discipline = "bfifo"
    options: tuple[tuple[str, int], ...] = ()
    RANK: ClassVar[int] = 9
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"limit", "discipline", "options"})

    @property
    def settings(self) -> dict[str, int]:
        """All options of the discipline; others do not concern it."""
        if self.discipline == "bfifo":
            return {}
        options = dict(self.options)
        return {name: options.get(name, usual) for name, usual in DEFAULTS[self.discipline]}

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (9, self.namespace, self.device, self.minor)

    def __str__(self) -> str:
        text = f"queue {self.namespace} {self.device} 1:{self.minor:x}: {self.limit} bytes"
        if self.discipline == "bfifo":
            return text
        return " ".join(
            (text, self.discipline, *(f"{name} {value}" for name, value in self.options))
        )


@dataclass(frozen=True, slots=True)
class Classifier:
    """What goes to the outer address `destination` belongs to class 1:`minor`."""

    namespace: str
    device: str
    destination: IPv4Address
    minor: int
    RANK: ClassVar[int] = 10
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (10, self.namespace, self.device, int(self.destination))

    def __str__(self) -> str:
        return f"filter {self.namespace} {self.device}: to {self.destination} -> 1:{self.minor:x}"


@dataclass(frozen=True, slots=True)
class Netem:
    """What befalls the frames that leave a device.

    Parameters:
        delay, jitter: in ns; the delay of a frame lies about that far from `delay`.
        loss, duplicate, corrupt, reorder: fractions of all frames; a reordered one does
            not wait.
        limit: room for as many packets.
        distribution: of the jitter; uniform: never farther than that from `delay`.
        delay_correlation, loss_correlation: how far (a fraction) a frame's fate follows
            that of the one before.
        gilbert_elliott: chance to go from the good state to the bad, chance to go back,
            loss in the bad state, loss in the good one (fractions); `loss` is 0 then.
    """

    namespace: str
    device: str
    delay: int
    jitter: int
    loss: float
    limit: int
    distribution: Distribution = "uniform"
    delay_correlation: float = 0.0
    loss_correlation: float = 0.0
    gilbert_elliott: tuple[float, float, float, float] | None = None
    duplicate: float = 0.0
    corrupt: float = 0.0
    reorder: float = 0.0
    RANK: ClassVar[int] = 11
    IN_PLACE: ClassVar[frozenset[str]] = frozenset(
        {
            "delay",
            "jitter",
            "loss",
            "limit",
            "distribution",
            "delay_correlation",
            "loss_correlation",
            "gilbert_elliott",
            "duplicate",
            "corrupt",
            "reorder",
        }
    )

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (11, self.namespace, self.device)

    @property
    def chain(self) -> tuple[float, float, float, float] | None:
        """The loss as a Gilbert-Elliott model; None if each frame's is its own.

        Correlated loss is the one of its kind in which the bad state loses all and the
        good one nothing: a frame is lost with probability loss + c (1 - loss) after one
        that was, and loss (1 - c) after one that was not. (netem's own loss correlation
        moves the loss away from what was asked: see tc-netem(8), "BUGS".)
        """
        if self.gilbert_elliott is not None or not self.loss_correlation:
            return self.gilbert_elliott
        others = 1 - self.loss_correlation
        return (self.loss * others, (1 - self.loss) * others, 1.0, 0.0)

    def __str__(self) -> str:
        parts = [f"netem {self.namespace} {self.device}: {self._delay_words()}"]
        if self.gilbert_elliott is not None:
            p, r, bad, good = (f"{share * 100:g}%" for share in self.gilbert_elliott)
            parts.append(f"loss {bad} in bad times ({p} in, {r} out), else {good}")
        else:
            parts.append(f"loss {self.loss * 100:g}%{_correlated(self.loss_correlation)}")
        others = {
            "duplicate": self.duplicate,
            "corrupt": self.corrupt,
            "reorder": self.reorder,
        }
        parts += (f"{name} {share * 100:g}%" for name, share in others.items() if share)
        return ", ".join(parts)

    def _delay_words(self) -> str:
        words = f"delay {self.delay / 1e6:g} ms"
        if not self.jitter:
            return words
        words += f" ± {self.jitter / 1e6:g} ms"
        if self.distribution != "uniform":
            words += f" {self.distribution}"
        return words + _correlated(self.delay_correlation)


def _correlated(share: float) -> str:
    return f" (correlation {share * 100:g}%)" if share else ""


@dataclass(frozen=True, slots=True)
class Patch:
    """Every frame that arrives on `source` leaves by `target`.

    Parameters:
        others: more targets, over which and `target` the frames are spread evenly.
        spread: whether all frames of a flow take the same one, or each any.
    """

    namespace: str
    source: str
    target: str
    others: tuple[str, ...] = ()
    spread: Literal["flow", "packet"] = "flow"
    RANK: ClassVar[int] = 12
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"target", "others", "spread"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (12, self.namespace, self.source)

    @property
    def targets(self) -> tuple[str, ...]:
        """All devices by which frames leave."""
        return (self.target, *self.others)

    def __str__(self) -> str:
        text = f"patch {self.namespace}: {self.source} -> {', '.join(self.targets)}"
        return f"{text} (spread per {self.spread})" if self.others else text


@dataclass(frozen=True, slots=True)
class Block:
    """Nothing that arrives at the device gets through; its carrier stays."""

    namespace: str
    device: str
    RANK: ClassVar[int] = 13
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (13, self.namespace, self.device)

    def __str__(self) -> str:
        return f"block {self.namespace} {self.device}"


@dataclass(frozen=True, slots=True)
class Detour:
    """Every frame that is to leave by a vif passes another device first, and waits there."""

    namespace: str
    device: str
    over: str
    RANK: ClassVar[int] = 14
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (14, self.namespace, self.device)

    def __str__(self) -> str:
        return f"detour {self.namespace} {self.device}: over {self.over}"
