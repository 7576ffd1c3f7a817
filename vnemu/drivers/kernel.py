"""The driver that talks to Linux: actions become netlink batches, one per namespace."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from vnemu.drivers import requests
from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.namespaces import NamespaceMaker, NetworkNamespace
from vnemu.drivers.netlink import Refusal, Request
from vnemu.drivers.observe import Observer
from vnemu.drivers.queues import get_queue, get_root
from vnemu.drivers.tc import counters
from vnemu.errors import KernelRefused
from vnemu.plan.diff import Action
from vnemu.plan.facts import FactKey, Facts
from vnemu.plan.objects import FABRIC, NODES, Namespace, Port, Queue, Veth, Waiting

T = TypeVar("T")

_GONE_ALREADY = {errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL, errno.EINVAL}
_THERE_ALREADY = {errno.EEXIST}
_PATIENCE_S, _POLL_S = 5.0, 0.0005
_AT_ONCE = 4 if os.cpu_count() == 1 else 0
"""Requests in one send, or 0: all. On a single processor all frames and programs wait for it, and
a device takes a millisecond in the private kernel; on several, removing devices singly is slow.
"""

Batch = list[tuple[Request, Action]]


def _is_gone(namespace: str, action: Action, refusal: Refusal) -> bool:
    """Whether a Router OS has taken away itself what was to be removed."""
    inside = namespace.startswith(NODES) and action.new is None
    return inside and refusal.errno in _GONE_ALREADY


def _slices(batch: Batch) -> Iterator[Batch]:
    """The parts of a batch between which others may go on."""
    size = _AT_ONCE or len(batch)
    return (batch[start : start + size] for start in range(0, len(batch), size))


def _together(batch: Batch) -> Batch:
    """The same batch, in which several devices are removed at once."""
    ends = [action for request, action in batch if request.kind == rt.RTM_DELLINK]
    if len(ends) < 2:
        return batch
    doomed = (
        (rt.doom(request) if request.kind == rt.RTM_DELLINK else request, action)
        for request, action in batch
    )
    return [*doomed, (rt.delete_doomed(), ends[-1])]


def _cable_ends(actions: Iterable[Action]) -> Iterator[Port]:
    """The ends of new pairs that are both in the fabric."""
    for action in actions:
        if action.old is None and isinstance(action.new, Veth):
            ends = (action.new.a, action.new.b)
            if action.new.carrier and {end.namespace for end in ends} == {FABRIC}:
                yield from ends


class Kernel:
    """Makes plans real in this kernel's namespaces; all of it is gone after `close`."""

    def __init__(self) -> None:
        self._maker = NamespaceMaker()
        self.namespaces: dict[str, NetworkNamespace] = {}
        self._leaving: dict[str, NetworkNamespace] = {}

    def apply(self, actions: Sequence[Action]) -> None:
        """See `Driver.apply`."""
        self._carry_out(actions, frozenset())

    def revert(self, actions: Sequence[Action]) -> None:
        """See `Driver.revert`."""
        backwards = [action.undone() for action in reversed(actions)]
        self._carry_out(backwards, frozenset(_GONE_ALREADY | _THERE_ALREADY))

    def _carry_out(self, actions: Sequence[Action], tolerated: frozenset[int]) -> None:
        """Send the actions in stages: a device must exist before it is configured.

        Within a stage there is one batch for each namespace, in the order of the
        actions. New devices are brought up when all of them are shaped: to shape
        one that is up, the kernel waits until every processor has noticed.
        """
        batches: dict[str, Batch] = {}
        later: dict[str, Batch] = {}
        stage = ("", "")
        for action in actions:
            if requests.stage(action) != stage:
                self._send(batches, tolerated)
                batches = {}
                stage = requests.stage(action)
                if stage[0] == "switch":
                    self._send(later, tolerated)
                    later = {}
                    self._await_cables(actions)
                elif stage[1] == "configuration":
                    batches, later = later, {}
            if isinstance(action.target, Namespace):
                self._namespace(action, tolerated, later)
                continue
            try:
                now, then = requests.encode(action, self.namespaces)
            except KeyError as missing:
                if tolerated:
                    continue
                raise KernelRefused(str(action), errno.ENODEV, f"no namespace {missing}") from None
            for name, request in now:
                batches.setdefault(name, []).append((request, action))
            for name, request in then:
                later.setdefault(name, []).append((request, action))
        self._send(batches, tolerated)
        self._send(later, tolerated)

    def _await_cables(self, actions: Iterable[Action]) -> None:
        """Wait until frames pass the new cables between devices of the fabric.

        A device that is up before its peer drops all frames until the kernel has looked after
        its carrier, in its own time (linkwatch); kernels from 6.8 on do so when they are asked.

        Raises:
            KernelRefused: if that takes seconds.
        """
        fabric = self.namespaces.get(FABRIC)
        if fabric is None:
            return
        left = [fabric.indices[port.device] for port in _cable_ends(actions)]
        latest = time.monotonic() + _PATIENCE_S
        while left:
            answers = fabric.socket.query([rt.get_device(index) for index in left])
            found = zip(left, answers, strict=True)
            left = [index for index, answer in found if answer is None or not rt.runs(answer)]
            if left and time.monotonic() > latest:
                raise KernelRefused(f"device {left[0]} of the fabric", errno.ENETDOWN)
            time.sleep(_POLL_S if left else 0)

    def _namespace(
        self, action: Action, tolerated: frozenset[int], later: dict[str, Batch]
    ) -> None:
        new, old = action.new, action.old
        if isinstance(new, Namespace):
            if new.name in self.namespaces:
                if not tolerated:
                    raise KernelRefused(str(action), errno.EEXIST)
                return
            self.namespaces[new.name] = self._made(action, new, tolerated)
            later.setdefault(new.name, []).append((requests.loopback_up(), action))
        elif isinstance(old, Namespace):
            self._unmake(action, old, tolerated)

    def _unmake(self, action: Action, old: Namespace, tolerated: frozenset[int]) -> None:
        namespace = self.namespaces.pop(old.name, None)
        if namespace is None:
            if not tolerated:
                raise KernelRefused(str(action), errno.ENOENT)
        elif tolerated:
            namespace.close()
        else:
            earlier = self._leaving.pop(old.name, None)
            if earlier is not None:
                earlier.close()
            self._leaving[old.name] = namespace

    def _made(self, action: Action, new: Namespace, tolerated: frozenset[int]) -> NetworkNamespace:
        """A namespace: to take back a removal, the very one, for processes may be in it."""
        if tolerated and new.name in self._leaving:
            return self._leaving.pop(new.name)
        try:
            return self._maker.make(new.role)
        except OSError as error:
            raise KernelRefused(str(action), error.errno or 0) from error

    def settle(self) -> None:
        """See `Driver.settle`."""
        for namespace in self._leaving.values():
            namespace.close()
        self._leaving.clear()

    def _send(self, batches: dict[str, Batch], tolerated: frozenset[int]) -> None:
        failures = []
        for name, batch in batches.items():
            namespace = self.namespaces.get(name)
            if namespace is None:
                if tolerated:
                    continue
                raise KernelRefused(str(batch[0][1]), errno.ENODEV, f"no namespace {name}")
            for sent in map(_together, _slices(batch)):
                for refusal in namespace.socket.send([request for request, _ in sent]):
                    action = sent[refusal.index][1]
                    if refusal.errno not in tolerated and not _is_gone(name, action, refusal):
                        failures.append(KernelRefused(str(action), refusal.errno, refusal.detail))
        if failures:
            raise failures[0]

    def observe(self, wanted: Iterable[FactKey]) -> Facts:
        """See `Driver.observe`."""
        return Observer(self.namespaces).facts(wanted)

    def waiting(self, queues: Iterable[Waiting]) -> int:
        """See `Driver.waiting`."""
        asked: dict[str, list[Request]] = {}
        for queue in queues:
            namespace = self.namespaces.get(queue.namespace)
            index = namespace.indices.get(queue.device) if namespace else None
            if index is not None:
                request = (
                    get_queue(index, queue.minor) if isinstance(queue, Queue) else get_root(index)
                )
                asked.setdefault(queue.namespace, []).append(request)
        return sum(
            counters(answer).backlog
            for name, requests in asked.items()
            for answer in self.namespaces[name].socket.query(requests)
            if answer is not None
        )

    def inside(self, name: str, call: Callable[[], T]) -> T:
        """Run `call` in the namespace `name`: to open a socket there, no more."""
        return self._maker.inside(self.namespaces[name], call)

    def close(self) -> None:
        """Drop all namespaces together: the kernel takes down what is in them."""
        self.settle()
        for namespace in self.namespaces.values():
            namespace.close()
        self.namespaces.clear()
        self._maker.close()
