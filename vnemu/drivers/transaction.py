"""One change of a kernel, whole or not at all: applied, looked at, undone if it fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from vnemu.drivers.protocol import Driver
from vnemu.errors import InternalError, KernelRefused
from vnemu.plan.diff import Action
from vnemu.plan.facts import differences, facts
from vnemu.plan.objects import NODES, Detour, Waiting

PATIENCE_S = 1.0
"""How long the removal of an old path waits for its queues at most."""
_POLL_S = 0.001
_CPU_BACKLOG_S = 0.002
"""A frame between two namespaces waits in no queue that could be asked for its length."""


def _nothing() -> None:
    pass


def carry_out(
    driver: Driver,
    actions: Sequence[Action],
    draining: Sequence[Waiting] = (),
    flight: float = 0.0,
    switched: Callable[[], None] = _nothing,
    finish: Callable[[], None] = _nothing,
) -> None:
    """Carry out `actions`, look whether the kernel holds what they make; else take all back.

    What is removed at the end goes when it is no longer used.

    Parameters:
        draining: queues among the removed ones that nothing comes to any more.
        flight: seconds that a frame takes at most on its way between such queues.
        switched: called when all is done but the removals.
        finish: called when all is done; what it raises takes all back too.

    Raises:
        KernelRefused: if the kernel refused one of them.
        InternalError: if it does not hold what was planned.
    """
    kept = _first_of_the_last_removals(actions)
    try:
        driver.apply(actions[:kept])
        switched()
        if draining or flight:
            _drain(driver, draining, flight)
        driver.apply(actions[kept:])
        _verify(driver, actions)
        finish()
    except BaseException as error:
        _undo(driver, actions, error)
        raise
    finally:
        driver.settle()


def _first_of_the_last_removals(actions: Sequence[Action]) -> int:
    """Where the removals at the end begin. The end of a detour is none of them, but a switch."""
    kept = len(actions)
    while kept and actions[kept - 1].new is None and not isinstance(actions[kept - 1].old, Detour):
        kept -= 1
    return kept


def _drain(driver: Driver, queues: Sequence[Waiting], flight: float) -> None:
    """Wait until nothing is left in `queues` or on its way between them."""
    quiet = flight + _CPU_BACKLOG_S
    now = busy = time.monotonic()
    latest = now + PATIENCE_S + quiet
    while now - busy < quiet and now < latest:
        time.sleep(_POLL_S)
        now = time.monotonic()
        if driver.waiting(queues):
            busy = now


def _verify(driver: Driver, actions: Sequence[Action]) -> None:
    built = [action for action in actions if action.new is not None]
    wanted = facts(action.new for action in built if action.new and action.old is None)
    changed = facts(action.new for action in built if action.new and action.old is not None)
    # What a Router OS makes of a NIC that it has already is its own affair.
    wanted |= {key: fact for key, fact in changed.items() if not str(key[1]).startswith(NODES)}
    wrong = differences(wanted, driver.observe(wanted))
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if wrong[5:] else "")
        raise InternalError(f"the kernel does not hold what was planned: {shown}")


def _undo(driver: Driver, actions: Sequence[Action], error: BaseException) -> None:
    before = facts(action.old for action in actions if action.old is not None)
    try:
        driver.revert(actions)
        left = differences(before, driver.observe(before))
    except KernelRefused as refusal:
        left = [str(refusal)]
    if left:
        error.add_note(f"undoing it did not work either: {'; '.join(left[:5])}")
