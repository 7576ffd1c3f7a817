"""Changes of a topology at run time, as data: a change gives another topology."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, Self

from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Topology, VirtualLink
from vnemu.schema.fields import check_rate
from vnemu.schema.wording import some
from vnemu.units import Rate

Keep = Literal["keep"]


@dataclass(frozen=True)
class Quality:
    """New properties of a VL; what is "keep" stays, None takes it away."""

    limit: Rate | Keep | None = "keep"
    guarantee: Rate | Keep | None = "keep"

    @classmethod
    def parse(
        cls, limit: str | Rate | None = "keep", guarantee: str | Rate | None = "keep"
    ) -> Self:
        """Read rates as text; "none" takes a property away.

        Raises:
            InputError: if one is no rate.
        """
        return cls(_parse_rate("limit", limit), _parse_rate("guarantee", guarantee))

    def over(self, other: Quality) -> Quality:
        """This change after `other`."""
        return Quality(
            other.limit if self.limit == "keep" else self.limit,
            other.guarantee if self.guarantee == "keep" else self.guarantee,
        )

    def __str__(self) -> str:
        named = {"limit": self.limit, "guarantee": self.guarantee}
        return " ".join(f"{k} {v or 'none'}" for k, v in named.items() if v != "keep")


def _parse_rate(what: str, value: str | Rate | None) -> Rate | Keep | None:
    if value == "keep":
        return "keep"
    if value is None or value == "none":
        return None
    try:
        return check_rate(Rate.parse(value))
    except ValueError as error:
        raise InputError(f"{what}: {error}") from None


def reshaped(topology: Topology, changes: Mapping[str, Quality]) -> Topology:
    """The topology with the qualities of some VLs changed.

    Raises:
        InputError: if there is no such VL, or a guarantee exceeds its limit.
    """
    return topology.with_links({path: _changed(topology, path, q) for path, q in changes.items()})


def _changed(topology: Topology, path: str, quality: Quality) -> VirtualLink:
    link = topology.links.get(path)
    if link is None:
        raise InputError(f"there is no link '{path}'; there are: {some(topology.links)}")
    limit = link.limit if quality.limit == "keep" else quality.limit
    guarantee = link.guarantee if quality.guarantee == "keep" else quality.guarantee
    if limit and guarantee and limit < guarantee:
        message = f"{path}: the guarantee {guarantee} is more than the limit {limit}"
        raise InputError([Problem("", message, "raise the limit or lower the guarantee")])
    return replace(link, limit=limit, guarantee=guarantee)
