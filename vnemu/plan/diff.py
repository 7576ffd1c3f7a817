"""From one plan to the next: the actions, in an order in which nothing is cut early."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import Any, Literal, NamedTuple

from vnemu.plan.objects import Key, Object, Patch, Route
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


class Action(NamedTuple):
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
    new comes in the order of creation; then what changes in place, routes and patches
    last and in the order of the plan; and what is gone is removed at the end, in the
    reverse order. So a new path is complete before anything switches to it, and the
    old one is taken away after that.
    """
    want, old = _differing(wanted, have)
    other = {k: o for k, (_, o) in want.items()}
    first = _in_the_way(want, old, other)
    if first:  # what stands on it may be the same in both
        want, old = _flat(wanted), _flat(have)
        first = _in_the_way(want, old, other)
    built, changed, gone, replaced = [], [], [], []
    for key, (reason, item) in want.items():
        if key in first or (key in other and key not in old):
            built.append(Action(reason, None, item))
        elif key in other:
            changed.append(Action(reason, old[key][1], item))
    for key, (reason, item) in old.items():
        if key in first:
            replaced.append(Action(reason, item, None))
        elif key not in want:
            gone.append(Action(reason, item, None))
    return [
        *_backwards(replaced),
        *sorted(built, key=_rank),
        *sorted(changed, key=_turn),
        *_backwards(gone),
    ]


_Flat = dict[Key, tuple[FragmentKey, Object]]


def _flat(fragments: Mapping[FragmentKey, Fragment]) -> _Flat:
    return {k: (reason, o) for reason, fragment in fragments.items() for k, o in fragment.items()}


def _differing(
    wanted: Mapping[FragmentKey, Fragment], have: Mapping[FragmentKey, Fragment]
) -> tuple[_Flat, _Flat]:
    """What of both is not the same in the other."""
    want: _Flat = {}
    old: _Flat = {}
    for reason, fragment in wanted.items():
        there = have.get(reason, {})
        for key, item in fragment.items():
            present = there.get(key)
            if present != item:
                want[key] = (reason, item)
                if present is not None:
                    old[key] = (reason, present)
    for reason, fragment in have.items():
        here = wanted.get(reason, {})
        gone = {k: item for k, item in fragment.items() if k not in here}
        for key, item in gone.items():
            if key in want and want[key][1] == item:
                del want[key]  # it is in another fragment now
            else:
                old[key] = (reason, item)
    return want, old


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
    kind: Any = type(old)
    fixed = _fixed(kind)
    return fixed(old) == fixed(new)


@cache
def _fixed(kind: Any) -> Callable[[Object], object]:
    """Reads those properties of a kind of object that do not change in place."""
    names = [part.name for part in fields(kind) if part.name not in kind.IN_PLACE]
    return attrgetter(*names)


def _rank(action: Action) -> int:
    return action.target.RANK


_SWITCHES = 100
"""After all ranks."""


def _turn(change: Action) -> int:
    target = change.target
    return _SWITCHES if isinstance(target, (Patch, Route)) else target.RANK


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
