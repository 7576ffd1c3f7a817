"""The driver that talks to Linux: actions become netlink batches, one per namespace."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
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
from vnemu.plan.objects import NODES, Namespace, Queue, Waiting

T = TypeVar("T")

_GONE_ALREADY = {errno.ENOENT, errno.ENODEV, errno.ESRCH, errno.EADDRNOTAVAIL, errno.EINVAL}
_THERE_ALREADY = {errno.EEXIST}

Batch = list[tuple[Request, Action]]


def _is_gone(namespace: str, action: Action, refusal: Refusal) -> bool:
    """Whether a Router OS has taken away itself what was to be removed."""
    inside = namespace.startswith(NODES) and action.new is None
    return inside and refusal.errno in _GONE_ALREADY


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


class Kernel:
    """Makes plans real in this kernel's namespaces; all of it is gone after `close`."""

    def __init__(self) -> None:
        self._maker = NamespaceMaker()
        self.namespaces: dict[str, NetworkNamespace] = {}

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
                if stage[1] == "configuration":
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

    def _namespace(
        self, action: Action, tolerated: frozenset[int], later: dict[str, Batch]
    ) -> None:
        new, old = action.new, action.old
        if isinstance(new, Namespace):
            if new.name in self.namespaces:
                if not tolerated:
                    raise KernelRefused(str(action), errno.EEXIST)
                return
            try:
                self.namespaces[new.name] = self._maker.make(new.role)
            except OSError as error:
                raise KernelRefused(str(action), error.errno or 0) from error
            later.setdefault(new.name, []).append((requests.loopback_up(), action))
        elif isinstance(old, Namespace):
            namespace = self.namespaces.pop(old.name, None)
            if namespace is not None:
                namespace.close()
            elif not tolerated:
                raise KernelRefused(str(action), errno.ENOENT)

    def _send(self, batches: dict[str, Batch], tolerated: frozenset[int]) -> None:
        failures = []
        for name, batch in batches.items():
            namespace = self.namespaces.get(name)
            if namespace is None:
                if tolerated:
                    continue
                raise KernelRefused(str(batch[0][1]), errno.ENODEV, f"no namespace {name}")
            sent = _together(batch)
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
        for namespace in self.namespaces.values():
            namespace.close()
        self.namespaces.clear()
        self._maker.close()
