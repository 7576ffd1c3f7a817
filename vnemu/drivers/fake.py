"""A kernel in memory: the same refusals, no effects. For fast tests of pure logic."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Sequence

from vnemu.errors import KernelRefused
from vnemu.plan.diff import Action
from vnemu.plan.facts import Facts, facts
from vnemu.plan.objects import FABRIC, Ifb, Key, Namespace, Object, Patch, Tunnel, Veth


class FakeKernel:
    """Keeps objects as data.

    Parameters:
        refuse_at: the how-manieth action (from 0) is refused, to test the undo.
    """

    def __init__(self, refuse_at: int | None = None) -> None:
        self.objects: dict[Key, Object] = {}
        self._refuse_at = refuse_at
        self._count = 0

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
        key = action.target.key
        if action.new is None:
            if self.objects.pop(key, None) is None:
                return errno.ENOENT
            self._drop_orphans()
            return 0
        if action.old is None and key in self.objects:
            return errno.EEXIST
        missing = [part for part in _needs(action.new) if part not in self._places()]
        if missing:
            return errno.ENODEV
        self.objects[key] = action.new
        return 0

    def _places(self) -> set[tuple[str, str]]:
        places = set()
        for item in self.objects.values():
            places |= set(_provides(item))
        return places

    def _drop_orphans(self) -> None:
        """What was in a namespace or on a device goes with it."""
        left = True
        while left:
            places = self._places()
            left = False
            for key, item in list(self.objects.items()):
                if any(part not in places for part in _needs(item)):
                    del self.objects[key]
                    left = True

    def observe(self, objects: Iterable[Object]) -> Facts:
        """See `Driver.observe`."""
        return facts(self.objects[o.key] for o in objects if o.key in self.objects)

    def close(self) -> None:
        """See `Driver.close`."""
        self.objects.clear()


def _provides(item: Object) -> Iterable[tuple[str, str]]:
    match item:
        case Namespace():
            return ((item.name, ""), (item.name, "lo"))
        case Veth():
            return tuple((port.namespace, port.device) for port in (item.a, item.b))
        case Tunnel():
            return ((FABRIC, item.device),)
        case Ifb():
            return ((item.namespace, item.device),)
    return ()


def _needs(item: Object) -> Iterable[tuple[str, str]]:
    match item:
        case Namespace():
            return ()
        case Veth():
            return tuple((port.namespace, "") for port in (item.a, item.b))
        case Tunnel():
            return ((FABRIC, ""), (item.outer, ""))
        case Patch():
            return ((item.namespace, item.source), (item.namespace, item.target))
        case Ifb():
            return ((item.namespace, ""),)
        case _:
            return ((item.namespace, item.device),)
