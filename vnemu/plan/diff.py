"""From one plan to the next: the actions, in an order in which nothing is cut early."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from vnemu.plan.objects import Key, Object

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

    What must be replaced goes first, then all that is new or changes comes in the
    order of creation, and what is gone is removed last, in the reverse order: a
    new path is complete before the old one is taken away.
    """
    replaced: list[Action] = []
    built: list[Action] = []
    gone: list[Action] = []
    for reason in dict.fromkeys((*wanted, *have)):
        new, old = wanted.get(reason, {}), have.get(reason, {})
        for key, want in new.items():
            present = old.get(key)
            if present is None:
                built.append(Action(reason, None, want))
            elif present != want:
                if want.IN_PLACE:
                    built.append(Action(reason, present, want))
                else:
                    replaced.append(Action(reason, present, None))
                    built.append(Action(reason, None, want))
        gone += [Action(reason, o, None) for key, o in old.items() if key not in new]
    built.sort(key=_rank)
    return [*sorted(replaced, key=_rank, reverse=True), *built, *_reversed(gone)]


def _rank(action: Action) -> int:
    return action.target.RANK


def _reversed(actions: list[Action]) -> list[Action]:
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
