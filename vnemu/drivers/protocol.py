"""What a driver does: carry out actions, and say what is there.

The real one is `vnemu.drivers.kernel.Kernel`; `vnemu.drivers.fake.FakeKernel`
keeps the same objects in memory and passes the same conformance tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from vnemu.plan.diff import Action
from vnemu.plan.facts import FactKey, Facts
from vnemu.plan.objects import Waiting


class Driver(Protocol):
    """Turns actions into objects of a kernel."""

    def apply(self, actions: Sequence[Action]) -> None:
        """Carry out `actions` in their order.

        Raises:
            KernelRefused: for the first that the kernel refused. Others of the
                same batch may have been carried out; `revert` takes all back.
        """

    def revert(self, actions: Sequence[Action]) -> None:
        """Take back `actions`, of which any part may have been carried out.

        Raises:
            KernelRefused: if something could not be taken back.
        """

    def settle(self) -> None:
        """Nothing of what was applied will be taken back any more: let go of what is removed."""

    def observe(self, wanted: Iterable[FactKey]) -> Facts:
        """What the kernel shows of these facts; others may be among them."""

    def waiting(self, queues: Iterable[Waiting]) -> int:
        """How many bytes wait in these queues; in one that is not there, none."""

    def close(self) -> None:
        """Drop all that was made."""
