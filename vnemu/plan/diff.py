"""From one plan to the next: the actions, in an order in which nothing is cut early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from vnemu.plan.objects import Key, Object
from vnemu.plan.places import Place, needs, provides

FragmentKey = tuple[str, str]
"""What a fragment is for: ("machine", "rm1"), ("link", "a/core") …"""

Fragment = dict[Key, Object]


@dataclass(frozen=True)
class Plan:
    """All wanted objects, in fragments that can be planned again one by one."""

    fragments: dict[FragmentKey, Fragment] = field(default_factory=dict)

    def objects(self) -> dict[Key, Object]:
        """All objects by key."""
        return {k: o for fragment in self.fragments.values() for k, o in fragment.items()}

    def updated(self, fresh: Mapping[FragmentKey, Fragment]) -> Plan:
        """The plan with some fragments replaced; an empty one is left out."""
        merged = {**self.fragments, **fresh}
        return Plan({key: fragment for key, fragment in merged.items() if fragment})


@dataclass(frozen=True, slots=True)
class Action:
    """One step: create `new`, remove `old`, or change `old` into `new` in place.

    Parameters:
        reason: the fragment it is for.
    """

    reason: FragmentKey
    old: Object | None
    new: Object | None

    @property
    def verb(self) -> Literal["create", "change", "remove"]:
        """What is done."""
        if self.old is None:
            return "create"
        return "remove" if self.new is None else "change"

    @property
    def target(self) -> Object:
        """The object it is about."""
        target = self.new or self.old
        assert target is not None
        return target

    def undone(self) -> Action:
        """The action that takes this one back."""
        return Action(self.reason, self.new, self.old)

    def __str__(self) -> str:
        return f"{self.verb} {self.target}"


def diff(
    wanted: Mapping[FragmentKey, Fragment], have: Mapping[FragmentKey, Fragment]
) -> list[Action]:
    """The actions that turn `have` into `wanted`.

    What must be replaced goes first, with all that stands on it; then all that is
    new or changes comes in the order of creation; and what is gone is removed
    last, in the reverse order: a new path is complete before the old one is
    taken away.
    """
    want, old = _flat(wanted), _flat(have)
    other = {k: o for k, (_, o) in want.items() if k not in old or old[k][1] != o}
    first = _in_the_way(want, old, other)
    built, gone, replaced = [], [], []
    for key, (reason, item) in want.items():
        if key in other or key in first:
            present = old[key][1] if key in old and key not in first else None
            built.append(Action(reason, present, item))
    for key, (reason, item) in old.items():
        if key in first:
            replaced.append(Action(reason, item, None))
        elif key not in want:
            gone.append(Action(reason, item, None))
    return [*_backwards(replaced), *sorted(built, key=_rank), *_backwards(gone)]


_Flat = dict[Key, tuple[FragmentKey, Object]]


def _flat(fragments: Mapping[FragmentKey, Fragment]) -> _Flat:
    return {k: (reason, o) for reason, fragment in fragments.items() for k, o in fragment.items()}


def _in_the_way(want: _Flat, old: _Flat, other: Mapping[Key, Object]) -> set[Key]:
    """What must go before anything is built: it cannot change in place, or its place is wanted.

    `other` is what of `want` is new or not as it was.
    """
    found = {k for k, o in other.items() if k in old and not _can_become(old[k][1], o)}
    fresh = {place for k, o in other.items() if old and k not in old for place in provides(o)}
    if fresh:
        found |= {
            k for k, (_, o) in old.items() if k not in want and not fresh.isdisjoint(provides(o))
        }
    lost: set[Place] = set()
    fallen = found
    while fallen:
        lost.update(place for key in fallen for place in provides(old[key][1]))
        fallen = {
            k for k, (_, o) in old.items() if k not in found and not lost.isdisjoint(needs(o))
        }
        found |= fallen
    return found


def _can_become(old: Object, new: Object) -> bool:
    return all(
        part.name in old.IN_PLACE or getattr(old, part.name) == getattr(new, part.name)
        for part in fields(old)
    )


def _rank(action: Action) -> int:
    return action.target.RANK


def _backwards(actions: list[Action]) -> list[Action]:
    return sorted(actions, key=_rank, reverse=True)


def apply(plan: Mapping[Key, Object], actions: list[Action]) -> dict[Key, Object]:
    """What a kernel that holds `plan` holds after `actions`; the meaning of an action, as data."""
    after = dict(plan)
    for action in actions:
        if action.old is not None and action.new is None:
            del after[action.old.key]
        elif action.new is not None:
            after[action.new.key] = action.new
    return after
