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


def number(value: float) -> str:
    """Write a number with three telling digits, five decimals at most; whole ones as they are."""
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    digits = min(max(0, 2 - int(f"{value:e}".rpartition("e")[2])), 5)
    return f"{value:.{digits}f}"


def octets(value: int) -> str:
    """Write a number of bytes with the unit that suits it (kB is 1000 B)."""
    for unit, size in (("MB", 10**6), ("kB", 10**3)):
        if value >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value} B"
