"""What all entries of a timeline have in common: when they happen, and what names they use."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from vnemu.schema.fields import Name, Span, Strict, check_name, check_node_path
from vnemu.schema.traces import CLOSEST
from vnemu.units import Duration


def link_or_name(text: str) -> str:
    """Return `text` if it reads ``network/name``, or is a name by itself.

    Raises:
        ValueError: if it is neither.
    """
    return check_node_path(text) if "/" in text else check_name(text)


def _direction(text: str) -> str:
    one, arrow, other = text.partition(">")
    if not arrow:
        raise ValueError(f"'{text}' is no direction: write it like r1>r2")
    return f"{check_name(one)}>{check_name(other)}"


def not_too_close(value: Duration) -> Duration:
    """Return a period if it can be kept.

    Raises:
        ValueError: if it is too short.
    """
    if value < CLOSEST:
        raise ValueError(f"{value} is too short: it is at least {CLOSEST}")
    return value


LinkName = Annotated[str, AfterValidator(link_or_name)]
"""A VL (network/link) or a physical link."""
Direction = Annotated[str, AfterValidator(_direction)]
Period = Annotated[Duration, AfterValidator(not_too_close)]
Machines = Annotated[list[Name], Field(min_length=1)]


class EntryDoc(Strict):
    """When something happens: once (`at`), or again and again (`every`)."""

    name: Name | None = Field(None, description="for expectations; default: its number")
    at: Duration | None = Field(None, description="once, so long after the start")
    every: Period | None = Field(None, description="again and again, with this period")
    from_: Duration | None = Field(None, alias="from", description="of every; default: 0s")
    until: Span | None = Field(None, description="of every; default: the end")

    @property
    def is_timed(self) -> bool:
        """Whether it says when."""
        return self.at is not None or self.every is not None
