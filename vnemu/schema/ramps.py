"""Values of a change that may be ramps: ``{from: 100mbit, to: 10mbit}``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, model_validator

from vnemu.schema.fields import Delay, Jitter, LinkRate, Strict
from vnemu.schema.quality import LossField, Nothing
from vnemu.units import Share


class RampDoc(Strict):
    """A value that goes evenly from one to another."""

    @model_validator(mode="after")
    def _moves(self) -> RampDoc:
        values = list(self.model_dump().values())
        if values[0] == values[1]:
            raise ValueError(f"from: and to: are both {values[0]}: that is no ramp")
        return self


class RateRamp(RampDoc):
    """A rate that goes evenly from one value to another."""

    from_: LinkRate = Field(alias="from")
    to: LinkRate


class DelayRamp(RampDoc):
    """A delay that goes evenly from one value to another."""

    from_: Delay = Field(alias="from")
    to: Delay


class JitterRamp(RampDoc):
    """A jitter that goes evenly from one value to another."""

    from_: Jitter = Field(alias="from")
    to: Jitter


class ShareRamp(RampDoc):
    """A percentage that goes evenly from one value to another."""

    from_: Share = Field(alias="from")
    to: Share


Ramp = RateRamp | DelayRamp | JitterRamp | ShareRamp


def _value_or_ramp(value: Any) -> str:
    is_ramp = isinstance(value, RampDoc) or (isinstance(value, dict) and {"from", "to"} & {*value})
    return "ramp" if is_ramp else "value"


_Either = Discriminator(_value_or_ramp)
RampedRate = Annotated[
    Annotated[LinkRate | Nothing, Tag("value")] | Annotated[RateRamp, Tag("ramp")], _Either
]
RampedDelay = Annotated[
    Annotated[Delay | Nothing, Tag("value")] | Annotated[DelayRamp, Tag("ramp")], _Either
]
RampedJitter = Annotated[
    Annotated[Jitter | Nothing, Tag("value")] | Annotated[JitterRamp, Tag("ramp")], _Either
]
RampedShare = Annotated[
    Annotated[Share | Nothing, Tag("value")] | Annotated[ShareRamp, Tag("ramp")], _Either
]
RampedLoss = Annotated[
    Annotated[LossField | Nothing, Tag("value")] | Annotated[ShareRamp, Tag("ramp")], _Either
]
