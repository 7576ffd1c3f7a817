"""A kernel in memory: the same refusals, no effects. For fast tests of pure logic."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from vnemu.errors import KernelRefused
from vnemu.plan.diff import Action
from vnemu.plan.facts import FactKey, Facts, facts
from vnemu.plan.objects import Classifier, HtbClass, Key, Neighbour, Object, Waiting
from vnemu.plan.places import Place, needs, provides


class FakeKernel:
    """Keeps objects as data.

    Parameters:
        refuse_at: the how-manieth action (from 0) is refused, to test the undo.
    """

    def __init__(self, refuse_at: int | None = None) -> None:
        self.objects: dict[Key, Object] = {}
        self._places: set[Place] = set()
        self._refuse_at = refuse_at
        self._count = 0

    def refuse_after(self, count: int) -> None:
        """Refuse the action that comes after `count` more."""
        self._refuse_at = self._count + count

    def apply(self, actions: Sequence[Action]) -> None:
        """See `Driver.apply`."""
        for action in actions:
            if self._count == self._refuse_at:
                self._count += 1
                raise KernelRefused(str(action), errno.ENOMEM, "as the test asked")
            self._count += 1
            refusal = self._carry_out(action)
            if refusal:
                raise KernelRefused(str(action), refusal)

    def revert(self, actions: Sequence[Action]) -> None:
        """See `Driver.revert`."""
        for action in reversed(actions):
            self._carry_out(action.undone())

    def _carry_out(self, action: Action) -> int:
        """The kernel's error number, or 0."""
        if action.new is None:
            return self._remove(action.target)
        if action.old is None and self._is_taken(action.new):
            return errno.EEXIST
        if not self._places.issuperset(needs(action.new)):
            return errno.ENODEV
        self.objects[action.new.key] = action.new
        self._places.update(provides(action.new))
        return 0

    def _is_taken(self, item: Object) -> bool:
        # A neighbour entry may have been learned: making it permanent replaces it.
        if isinstance(item, Neighbour):
            return False
        return item.key in self.objects or not self._places.isdisjoint(provides(item))

    def _remove(self, item: Object) -> int:
        if item.key not in self.objects:
            return errno.ENOENT
        if isinstance(item, HtbClass) and self._is_classified(item):
            return errno.EBUSY
        self._drop(item.key)
        return 0

    def _is_classified(self, item: HtbClass) -> bool:
        return any(
            isinstance(o, Classifier)
            and (o.namespace, o.device, o.minor) == (item.namespace, item.device, item.minor)
            for o in self.objects.values()
        )

    def _drop(self, key: Key) -> None:
        """Remove an object; what stands on it goes with it."""
        places = provides(self.objects.pop(key))
        self._places.difference_update(places)
        if places:
            for other, item in list(self.objects.items()):
                if other in self.objects and not self._places.issuperset(needs(item)):
                    self._drop(other)

    def settle(self) -> None:
        """See `Driver.settle`."""

    def observe(self, wanted: Iterable[FactKey]) -> Facts:
        """See `Driver.observe`."""
        there = facts(self.objects.values())
        return {key: there[key] for key in wanted if key in there}

    def waiting(self, queues: Iterable[Waiting]) -> int:
        """See `Driver.waiting`: nothing is ever sent here."""
        return 0

    def close(self) -> None:
        """See `Driver.close`."""
        self.objects.clear()
        self._places.clear()
