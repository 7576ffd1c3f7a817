"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

# In Mbit/s; below SLOW two decimals of Mbit/s would say too little.
GBIT = 1000.0
SLOW = 0.1


def rate(mbit: float) -> str:
    """Write a rate given in Mbit/s, with the unit that suits it."""
    if abs(mbit) >= GBIT:
        return f"{mbit / GBIT:.3f} Gbit/s"
    if abs(mbit) >= SLOW or mbit == 0:
        return f"{mbit:.2f} Mbit/s"
    return f"{mbit * 1000:.2f} kbit/s"


def percent(value: float) -> str:
    """Write a deviation given in percent, with its sign."""
    return f"{value:+.1f}%"


def seconds(value: float | None) -> str:
    """Write a span given in seconds; None is `never`."""
    if value is None:
        return "never"
    return f"{value:.3f}".rstrip("0").rstrip(".") + " s"


def listed(names: Sequence[str], joint: str = "and") -> str:
    """Write ``a, b and c``."""
    if not names:
        return ""
    *most, last = names
    return f"{', '.join(most)} {joint} {last}" if most else last
