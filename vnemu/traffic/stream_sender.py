"""A program of its own: sends and receives the probes of all streams of a run.

It is no thread of the runner, which has other work that would hold it up. Its sockets
were opened in the nodes' namespaces and are inherited. A line of JSON on standard input
says what to do (`vnemu.traffic.stream`), the line ``ready`` on standard output that it
can be done; the next line of input is t0, in nanoseconds of CLOCK_MONOTONIC. SIGTERM
ends the sending; what is on its way then has a second to arrive.

    python -m vnemu.traffic.stream_sender
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from vnemu import linux
from vnemu.results.stream_record import MAGIC
from vnemu.traffic.stream_batches import Pace, Receiver, Record, Way

_GRACE_NS = 1_000_000_000
_LAST_ROUNDS_S = 0.02
_PRIORITY = 2
_LOOK_EVERY = 61
"""A prime: what happens every so many turns is not seen too often."""


def main() -> None:
    """Serve one run."""
    linux.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    order: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    ways = [Way(**{**way, "to": bytes.fromhex(way["to"])}) for way in order["ways"]]
    record = Record(order["record"])
    paces = [
        Pace([way for way in ways if way.interval_ns == interval], record)
        for interval in sorted({way.interval_ns for way in ways})
    ]
    receiver = Receiver(ways, order["sockets"], record)
    stopped: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    _be_punctual()
    print("ready", flush=True)
    line = sys.stdin.buffer.readline()
    if line:
        record.begin(MAGIC, int(line))
        before = _used()
        hearing = _Sampled(receiver.turn)
        _go(paces, receiver, hearing, stopped)
        receiver.end()
        _tell(paces, receiver, hearing, before)


def _be_punctual() -> None:
    """Keep other programs, garbage and coarse timers from making a probe late."""
    gc.collect()
    gc.freeze()
    gc.disable()
    with suppress(OSError):
        linux.set_timer_slack(1)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))


class _Sampled:
    """Calls something, and now and then looks how much processor time that takes."""

    def __init__(self, call: Callable[[int], None]) -> None:
        self._call = call
        self._calls = self._looks = self._ns = 0

    def __call__(self, now: int) -> None:
        self._calls += 1
        if self._calls % _LOOK_EVERY:
            self._call(now)
            return
        before = time.thread_time_ns()
        self._call(now)
        self._ns += time.thread_time_ns() - before
        self._looks += 1

    @property
    def seconds(self) -> float:
        """An estimate for all calls."""
        return self._ns * 1e-9 * self._calls / self._looks if self._looks else 0.0


def _go(
    paces: list[Pace], receiver: Receiver, hearing: Callable[[int], None], stopped: list[int]
) -> None:
    clock, sleep = time.monotonic_ns, time.sleep
    for pace in paces:
        pace.due = clock()
    while not stopped:
        for pace in paces:
            if pace.due <= clock():
                pace.send()
        hearing(clock())
        wait = min(pace.due for pace in paces) - clock()
        if wait > 0:
            sleep(wait * 1e-9)
    deadline = clock() + _GRACE_NS
    while clock() < deadline:
        receiver.take_all()
        sleep(_LAST_ROUNDS_S)


def _used() -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime, used.ru_stime


def _tell(
    paces: list[Pace], receiver: Receiver, hearing: _Sampled, before: tuple[float, float]
) -> None:
    """Say what it cost, since the start: seconds of processor time, the network's included.

    `hearing_s` of them went to what arrived; the rest to waking up, sending, and the way
    of the datagrams through the network.
    """
    user_s, system_s = (now - then for now, then in zip(_used(), before, strict=True))
    found = {
        "sent": sum(pace.sent for pace in paces),
        "arrived": receiver.arrived,
        "user_s": round(user_s, 6),
        "system_s": round(system_s, 6),
        "hearing_s": round(hearing.seconds, 6),
    }
    print(json.dumps(found), file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
