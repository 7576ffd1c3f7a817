"""Probes: a stream of pings whose every loss is known."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Literal

from vnemu.drivers.programs import program

_REPLY = re.compile(rb"\[(\d+\.\d+)\] .*icmp_seq=(\d+) .*time=([\d.]+) ms")
_SUMMARY = re.compile(rb"(\d+) packets transmitted")
_LOST_AFTER_SECONDS = 1.0

Report = Callable[[float, int, float | None], None]
"""Told of each probe: when it was sent (seconds, wall clock), its number, its RTT in ms."""


@dataclass(frozen=True)
class ProbeSpec:
    """What a probe does; `interval` is in seconds."""

    name: str
    source: str
    target: str
    address: str
    version: Literal[4, 6]
    interval: float


class Ledger:
    """Turns the replies that ping prints into a verdict on each probe sent.

    A probe is lost when a later one was answered and a second has passed, or when
    ping ends without its reply. The very last probe may be on its way when ping is
    ended: it does not count.
    """

    def __init__(self, interval: float, report: Report) -> None:
        self._interval = interval
        self._report = report
        self._next = 1
        self._waiting: dict[int, float] = {}
        self._sent_at = 0.0

    def line(self, line: bytes) -> None:
        """Take in a line of ping's output."""
        reply = _REPLY.search(line)
        if reply is not None:
            rtt = float(reply[3])
            self._reply(int(reply[2]), float(reply[1]) - rtt / 1000, rtt)
            return
        summary = _SUMMARY.search(line)
        if summary is not None:
            self._close(int(summary[1]))

    def _reply(self, seq: int, sent: float, rtt: float) -> None:
        while self._next < seq:
            guess = sent - (seq - self._next) * self._interval
            self._waiting[self._next] = guess
            self._next += 1
        if seq == self._next:
            self._next += 1
        elif self._waiting.pop(seq, None) is None:
            return  # a duplicate
        self._sent_at = max(self._sent_at, sent)
        self._report(sent, seq, rtt)
        for number, at in list(self._waiting.items()):
            if sent - at > _LOST_AFTER_SECONDS:
                del self._waiting[number]
                self._report(at, number, None)

    def _close(self, transmitted: int) -> None:
        for number, at in self._waiting.items():
            self._report(at, number, None)
        self._waiting.clear()
        for number in range(self._next, transmitted):
            self._report(self._sent_at + (number - self._next + 1) * self._interval, number, None)
        self._next = max(self._next, transmitted)


class Probe:
    """A running ping.

    Parameters:
        start: starts a program in the source node with its output in a pipe.
    """

    def __init__(self, spec: ProbeSpec, start: Callable[..., subprocess.Popen[bytes]]) -> None:
        self.spec = spec
        self._start = start
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def start(self, report: Report) -> None:
        """Start pinging; `report` is called from another thread."""
        argv = [
            program("ping"),
            "-n",
            "-D",
            f"-{self.spec.version}",
            "-i",
            f"{self.spec.interval:g}",
            self.spec.address,
        ]
        self._process = self._start(*argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert self._process.stdout is not None, "it is a pipe"
        ledger = Ledger(self.spec.interval, report)
        self._reader = threading.Thread(
            target=_read, args=(self._process.stdout, ledger), name=f"probe {self.spec.name}"
        )
        self._reader.start()

    def stop(self) -> None:
        """End it as Ctrl-C does, so that ping says how many it sent."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if self._reader is not None:
            self._reader.join()
        self._process = None


def _read(output: IO[bytes], ledger: Ledger) -> None:
    with output:
        for line in output:
            ledger.line(line)


def wall_clock_offset() -> float:
    """What to add to the monotonic clock to get the wall clock, in seconds."""
    return time.time() - time.monotonic()
