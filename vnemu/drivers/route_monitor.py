"""Follows the routing tables of many nodes from outside: nothing runs in them.

Each node's network namespace has one netlink socket of ours, which the kernel tells of
every change (rtnetlink(7), multicast groups); one thread waits for all of them. Some
changes come without a word: IPv4 routes that the kernel itself drops with their device,
their address or their nexthop object, and whatever a full buffer lost (ENOBUFS). Then the
table is asked for again, and what is different is reported.
"""

from __future__ import annotations

import errno
import os
import selectors
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.netlink import NLM_F_DUMP, NLM_F_REQUEST
from vnemu.drivers.route_messages import Route, joined, route, without

Action = Literal["there", "set", "gone"]

# RTMGRP_*: LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR, IPV6_ROUTE, and RTNLGRP_NEXTHOP (32).
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 0x80000000
_HEADER = struct.Struct("=IHHII")
_ERROR, _DONE = 2, 3
_SO_RCVBUFFORCE = 33
_BUFFER = 1 << 20
_DUMP_PAUSE_S = 0.02
_WAIT_S = 0.5
_ROUTES = {rt.RTM_NEWROUTE, rt.RTM_DELROUTE}


@dataclass(frozen=True, slots=True)
class RouteChange:
    """A route of `node` is there at the start, is set (new, or with other next hops) or gone.

    Parameters:
        at: time.monotonic() when the notification arrived.
    """

    at: float
    node: str
    action: Action
    route: Route


Report = Callable[[RouteChange], None]


class RouteTable:
    """One node's main table as its notifications and dumps say; needs no socket.

    Parameters:
        names: the name of a device of the node, by its index.
        report: told of each real change.
    """

    def __init__(self, node: str, names: Callable[[int], str], report: Report) -> None:
        self.node = node
        self.routes: dict[tuple[str, int], Route] = {}
        self._names = names
        self._report = report
        self._listed: dict[tuple[str, int], Route] | None = None
        self._since: list[tuple[int, Route]] = []
        self._known = False

    @property
    def is_listing(self) -> bool:
        """Whether a dump is under way."""
        return self._listed is not None

    def begin_list(self) -> None:
        """A dump was asked for."""
        self._listed = {}
        self._since = []

    def listed(self, body: bytes) -> None:
        """Take one answer of the dump."""
        found = route(body, self._names)
        if found is not None and self._listed is not None:
            before = self._listed.get(found.key)
            several = before is not None and ":" in found.prefix
            self._listed[found.key] = joined(before, found) if before and several else found

    def end_list(self, at: float) -> None:
        """The dump is complete: report, as of `at`, what was not known."""
        fresh = self._listed or {}
        for kind, found in self._since:
            _apply(fresh, kind, found)
        self._listed = None
        action: Action = "set" if self._known else "there"
        self._known = True
        for key in [key for key in self.routes if key not in fresh]:
            self._say(at, "gone", self.routes.pop(key))
        for key, found in fresh.items():
            if self.routes.get(key) != found:
                self.routes[key] = found
                self._say(at, action, found)

    def notified(self, at: float, kind: int, body: bytes) -> None:
        """Take a notification (RTM_NEWROUTE or RTM_DELROUTE)."""
        found = route(body, self._names)
        if found is None:
            return
        if self.is_listing:
            self._since.append((kind, found))
        if not self._known:
            return  # the first dump tells
        before = self.routes.get(found.key)
        _apply(self.routes, kind, found)
        after = self.routes.get(found.key)
        if after is not None and after != before:
            self._say(at, "set", after)
        elif after is None and before is not None:
            self._say(at, "gone", before)

    def _say(self, at: float, action: Action, what: Route) -> None:
        self._report(RouteChange(at, self.node, action, what))


def _apply(table: dict[tuple[str, int], Route], kind: int, found: Route) -> None:
    if kind == rt.RTM_NEWROUTE:
        table[found.key] = found
        return
    before = table.pop(found.key, None)
    if before is not None and ":" in found.prefix:
        left = without(before, found)
        if left is not None:
            table[found.key] = left


class NodeRoutes:
    """The socket of one node, made in its namespace, and the table it tells of."""

    def __init__(self) -> None:
        self.socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, 0
        )
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:  # no CAP_NET_ADMIN in the first user namespace
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self.socket.bind((0, _GROUPS))
        self._sequence = 0
        self._stale_at = 0.0
        self.is_stale = True
        self.lost = 0

    def ask(self, table: RouteTable) -> None:
        """Ask for the whole table."""
        self.is_stale = False
        self._sequence += 1
        table.begin_list()
        body = rt.RTMSG.pack(rt.AF_UNSPEC, 0, 0, 0, 0, 0, 0, 0, 0)
        flags = NLM_F_REQUEST | NLM_F_DUMP
        size = _HEADER.size + len(body)
        self.socket.send(_HEADER.pack(size, rt.RTM_GETROUTE, flags, self._sequence, 0) + body)

    def read(self, table: RouteTable) -> None:
        """Take all that has arrived."""
        while True:
            try:
                data = self.socket.recv(1 << 17)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self.lost += 1
                self._stale(time.monotonic())
                continue
            at = time.monotonic()
            for kind, sequence, body in _messages(data):
                self._take(table, at, kind, sequence, body)

    def _take(self, table: RouteTable, at: float, kind: int, sequence: int, body: bytes) -> None:
        own = sequence == self._sequence and table.is_listing
        if own and kind in {_DONE, _ERROR}:
            table.end_list(self._stale_at or at)
            self._stale_at = self._stale_at if self.is_stale else 0.0
        elif own and kind == rt.RTM_NEWROUTE:
            table.listed(body)
        elif kind in _ROUTES:
            table.notified(at, kind, body)
        elif kind not in {_DONE, _ERROR}:
            self._stale(at)

    def _stale(self, at: float) -> None:
        self.is_stale = True
        self._stale_at = at


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    offset = 0
    while offset + _HEADER.size <= len(data):
        size, kind, _, sequence, _ = _HEADER.unpack_from(data, offset)
        yield kind, sequence, data[offset + _HEADER.size : offset + size]
        offset += (max(size, _HEADER.size) + 3) & ~3


Sockets = Mapping[str, tuple[NodeRoutes, Callable[[int], str]]]
"""By path, the socket of each node (made in its namespace), and its devices by their index."""


class RouteMonitor:
    """Follows the tables of nodes in a thread, until it is closed.

    Parameters:
        nodes: to begin with.
        report: called from the thread, and from `start`.
    """

    def __init__(self, nodes: Sockets, report: Report) -> None:
        self._nodes = {
            path: (routes, RouteTable(path, names, report))
            for path, (routes, names) in nodes.items()
        }
        self._report = report
        self._others: deque[tuple[Sockets, Collection[str]]] = deque()
        self._selector = selectors.DefaultSelector()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        for routes, table in self._nodes.values():
            self._selector.register(routes.socket, selectors.EVENT_READ, (routes, table))
        self._thread = threading.Thread(target=self._run, name="routes", daemon=True)
        self._next_dump = 0.0
        self._is_over = False
        self.error: Exception | None = None

    @property
    def lost(self) -> int:
        """How often a buffer was full, so that a table was read again."""
        return sum(routes.lost for routes, _ in list(self._nodes.values()))

    def follow(self, new: Sockets, gone: Collection[str]) -> None:
        """Follow the tables of nodes that are new, and no longer those of nodes that are gone."""
        if new or gone:
            self._others.append((new, gone))
            os.eventfd_write(self._wake, 1)

    def _follow_others(self) -> None:
        while self._others:
            new, gone = self._others.popleft()
            for path in gone:
                routes, _ = self._nodes.pop(path)
                self._selector.unregister(routes.socket)
                routes.socket.close()
            for path, (routes, names) in new.items():
                table = RouteTable(path, names, self._report)
                self._nodes[path] = routes, table
                self._selector.register(routes.socket, selectors.EVENT_READ, (routes, table))

    def start(self) -> None:
        """List all tables, then go on in the background."""
        for routes, table in self._nodes.values():
            routes.ask(table)
            while table.is_listing:
                routes.read(table)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._is_over:
                self._step()
        except Exception as error:
            self.error = error

    def _step(self) -> None:
        stale = [pair for pair in self._nodes.values() if pair[0].is_stale]
        left = self._next_dump - time.monotonic()
        if stale and left <= 0:
            for routes, table in stale:
                if not table.is_listing:
                    routes.ask(table)
            self._next_dump = time.monotonic() + _DUMP_PAUSE_S
        for key, _ in self._selector.select(max(left, 0.001) if stale else _WAIT_S):
            if key.data is None:
                os.eventfd_read(self._wake)
            else:
                routes, table = key.data
                routes.read(table)
        self._follow_others()

    def close(self) -> None:
        """End, with all that has arrived until now taken in; a second call does nothing."""
        if self._is_over:
            return
        self._is_over = True
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._follow_others()
        self._selector.close()
        os.close(self._wake)
        for routes, table in self._nodes.values():
            with suppress(OSError):
                routes.read(table)
            routes.socket.close()
