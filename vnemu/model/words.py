"""The two directions of a link in words: said once where they are alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vnemu.model.overlay import VirtualLink
from vnemu.model.underlay import PhysicalLink


def by_direction(
    link: VirtualLink | PhysicalLink, word: Callable[[Any], object]
) -> dict[str, str | None]:
    """What `word` says of each direction's quality, by direction (r1>r2).

    Where it says the same of both there is one entry, with an empty key. What is
    false is said as None.
    """
    there, back = _said(word(link.forward)), _said(word(link.backward))
    if there == back:
        return {"": there}
    return {link.direction(True): there, link.direction(False): back}


def in_words(link: VirtualLink | PhysicalLink, word: Callable[[Any], object]) -> str | None:
    """What `word` says of a link's quality: ``5mbit``, or ``r1>r2 5mbit, r2>r1 none``."""
    found = by_direction(link, word)
    if "" in found:
        return found[""]
    return ", ".join(f"{way} {text or 'none'}" for way, text in found.items())


def _said(value: object) -> str | None:
    return str(value) if value else None
