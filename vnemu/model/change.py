"""Changes of links at run time, as data: a change gives another topology."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeVar

from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Topology, VirtualLink
from vnemu.model.quality import (
    BOTH_WAYS,
    Way,
    contradictions,
    settings,
    with_settings,
)
from vnemu.model.underlay import PhysicalLink
from vnemu.schema.quality import ImpairmentDoc, QualityDoc
from vnemu.schema.violations import read
from vnemu.schema.wording import did_you_mean, instead_of

L = TypeVar("L", VirtualLink, PhysicalLink)

_VIRTUAL = ("limit", "guarantee", "queue")
_PHYSICAL = ("rate",)
"""What only a VL has, and what only a physical link has."""


class Setting(NamedTuple):
    """One property and its new value, in one direction (r1>r2) or, with None, in both."""

    direction: str | None
    name: str
    value: Any


@dataclass(frozen=True)
class Change:
    """What to change of one link; each property that is not named keeps its value.

    Parameters:
        settings: done one after the other.
    """

    settings: tuple[Setting, ...] = ()

    @classmethod
    def parse(cls, direction: str | None = None, **texts: object) -> Self:
        """Read properties as they are written in files: ``limit="5mbit", loss="none"``.

        Parameters:
            direction: END>END, the names of the link's ends; None: both directions.
            texts: by property; a text, a quantity or, for loss and queue, a mapping.
                None takes a property away, as ``"none"`` does.

        Raises:
            InputError: with all that is wrong with them.
        """
        written = {name: "none" if text is None else text for name, text in texts.items()}
        return cls.of(read(QualityDoc, written), direction)

    @classmethod
    def of(cls, doc: ImpairmentDoc, direction: str | None = None) -> Self:
        """The change that a document says."""
        return cls(tuple(Setting(direction, *item) for item in settings(doc).items()))

    def over(self, other: Change) -> Change:
        """This change after `other`."""
        latest = {(s.direction, s.name) for s in self.settings}
        both = {s.name for s in self.settings if s.direction is None}
        kept = (
            s for s in other.settings if (s.direction, s.name) not in latest and s.name not in both
        )
        return Change((*kept, *self.settings))

    def __bool__(self) -> bool:
        return bool(self.settings)

    def __str__(self) -> str:
        words: dict[str | None, list[str]] = {}
        for direction, name, value in self.settings:
            words.setdefault(direction, []).append(f"{name} {_shown(value)}")
        return ", ".join(" ".join([*([d] if d else []), *parts]) for d, parts in words.items())


def _shown(value: Any) -> str:
    if value is None or getattr(value, "amount", 1) == 0:
        return "none"
    return str(value) if str(value) != "0%" else "none"


def ways(link: VirtualLink | PhysicalLink, direction: str | None) -> frozenset[Way]:
    """The ways that a direction means, as the user writes it; None: both.

    Raises:
        InputError: if it is not of this link.
    """
    if direction is None:
        return BOTH_WAYS
    names: dict[str, Way] = {link.direction(True): "forward", link.direction(False): "backward"}
    way = names.get(direction.replace(" ", ""))
    if way is None:
        near = did_you_mean(direction, names) or f"it has {' and '.join(names)}"
        raise InputError([Problem("", f"{name_of(link)} has no direction '{direction}'", near)])
    return frozenset({way})


def name_of(link: VirtualLink | PhysicalLink) -> str:
    """What the user calls a link: network/link, or a physical link's name."""
    return link.path if isinstance(link, VirtualLink) else link.name


def find(topology: Topology, name: str) -> VirtualLink | PhysicalLink:
    """The VL (a name with a slash) or physical link called `name`.

    Raises:
        InputError: if there is none.
    """
    virtual = "/" in name
    links: Mapping[str, VirtualLink | PhysicalLink] = (
        topology.links if virtual else topology.underlay.links
    )
    link = links.get(name)
    if link is None:
        kind = "virtual link" if virtual else "physical link"
        named_so = [path for path in topology.links if path.endswith(f"/{name}")]
        near = f"did you mean {' or '.join(map(repr, named_so))}?" if named_so else ""
        hint = near or instead_of(name, list(links))
        raise InputError([Problem("", f"there is no {kind} '{name}'", hint)])
    return link


def reshaped(topology: Topology, changes: Mapping[str, Change]) -> Topology:
    """The topology with the qualities of some links changed.

    Parameters:
        changes: by VL (network/link) or physical link (a name without a slash).

    Raises:
        InputError: with all that cannot be: an unknown link or direction, a property
            that the link does not have, properties that do not go together.
    """
    virtual: dict[str, VirtualLink] = {}
    physical: dict[str, PhysicalLink] = {}
    problems: list[Problem] = []
    alike = _Alike()
    for name, change in changes.items():
        try:
            link = find(topology, name)
            if isinstance(link, VirtualLink):
                virtual[name] = alike.changed(link, change)
            else:
                physical[name] = alike.changed(link, change)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    return topology.with_links(virtual).with_physical_links(physical)


class _Alike:
    """Changes links; those that have the same qualities before have the same ones after it."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int], tuple[Any, Any]] = {}

    def changed(self, link: L, change: Change) -> L:
        """As `changed`."""
        key = id(link.forward), id(link.backward), id(change)
        if key in self._known:
            return link.with_qualities(*self._known[key])
        fresh = changed(link, change)
        # Directions have other names on other links.
        if all(setting.direction is None for setting in change.settings):
            self._known[key] = fresh.forward, fresh.backward
        return fresh


def changed(link: L, change: Change) -> L:
    """The link after a change.

    Raises:
        InputError: as `reshaped`.
    """
    _check_has(link, change)
    forward: dict[str, Any] = {}
    backward: dict[str, Any] = {}
    for direction, name, value in change.settings:
        asked = ways(link, direction)
        if "forward" in asked:
            forward[name] = value
        if "backward" in asked:
            backward[name] = value
    return _with(link, forward, backward)


def _with(link: L, forward: dict[str, Any], backward: dict[str, Any]) -> L:
    there: Any = with_settings(link.forward, forward)
    # Where both directions are alike they stay one value, which is settled once.
    alike: bool = link.forward is link.backward and forward == backward
    back: Any = there if alike else with_settings(link.backward, backward)
    wrong = [*contradictions(there), *([] if alike else contradictions(back))]
    if wrong:
        name = name_of(link)
        raise InputError(
            [Problem("", f"{name}: {w.message}", w.hint) for w in dict.fromkeys(wrong)]
        )
    return link.with_qualities(there, back)


def _check_has(link: VirtualLink | PhysicalLink, change: Change) -> None:
    virtual = isinstance(link, VirtualLink)
    foreign = [s.name for s in change.settings if s.name in (_PHYSICAL if virtual else _VIRTUAL)]
    if foreign:
        kind = "virtual link" if virtual else "physical link"
        own = "limit: and guarantee:" if virtual else "rate:"
        raise InputError(
            [
                Problem("", f"{name_of(link)} is a {kind}: it has no {name}", f"it has {own}")
                for name in dict.fromkeys(foreign)
            ]
        )
