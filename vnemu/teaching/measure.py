"""What checks measure in a running lab: goodput, and what is lost around a change."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise

from vnemu.drivers.programs import program
from vnemu.errors import InputError
from vnemu.schema.teaching import FlowsDoc, MeasuredFlowDoc, MeasuredOutageDoc, OutagesDoc
from vnemu.sessions.remote import RemoteLab
from vnemu.sessions.remote_programs import RemoteProgram
from vnemu.teaching.network import Network
from vnemu.traffic.ping import Ledger
from vnemu.units import Rate

_FIRST_PORT = 5401  # students use 5201, the usual one
_WARM_UP_S = 1.0
_LISTENING = "Server listening"
_PATIENCE_S = 10.0
_LOOK_S = 0.01
_SHOWN = 200
_BEFORE_S = 0.4
_AFTER_S = 0.3


def answers_ping(lab: RemoteLab, source: str, address: str, pings: int = 1) -> bool:
    """Whether one of some pings is answered, each within a second."""
    return lab.ping(source, address, pings, interval_s=0.2).received > 0


def goodput(lab: RemoteLab, doc: FlowsDoc) -> list[Rate]:
    """What each flow carries, seen by its receiver, while all of them send.

    Raises:
        InputError: if one does not start.
    """
    seconds = _WARM_UP_S + doc.for_.seconds
    with ExitStack() as stack:
        flows = [
            _Flow(lab, flow, _FIRST_PORT + number, stack) for number, flow in enumerate(doc.flows)
        ]
        for flow in flows:
            flow.send(seconds)
        return [flow.received(seconds) for flow in flows]


class _Flow:
    """An iperf3 server and its client."""

    def __init__(self, lab: RemoteLab, doc: MeasuredFlowDoc, port: int, stack: ExitStack) -> None:
        self._lab, self._doc, self._stack = lab, doc, stack
        self._iperf3 = (program("iperf3"), "-p", str(port))
        argv = (*self._iperf3, "-s", "-1", "-i", "0.5", "--forceflush")
        self._server = stack.enter_context(lab[doc.to].start(*argv))
        self._until_listening()

    def _until_listening(self) -> None:
        until = time.monotonic() + _PATIENCE_S
        while _LISTENING not in self._server.output:
            if time.monotonic() > until or "error" in self._server.output:
                said = self._server.output[-_SHOWN:]
                raise InputError(f"no iperf3 server in {self._doc.to}: {said}")
            time.sleep(_LOOK_S)

    def send(self, seconds: float) -> None:
        """Start the client."""
        address = self._lab.address(self._doc.to)
        argv = ("-c", address, "-t", str(round(seconds + 0.5)), "--connect-timeout", "3000", "-J")
        self._client: RemoteProgram = self._stack.enter_context(
            self._lab[self._doc.from_].start(*self._iperf3, *argv)
        )

    def received(self, seconds: float) -> Rate:
        """What came in after the warm-up, on average."""
        done = self._client.wait(seconds + _PATIENCE_S)
        if done.returncode:
            raise InputError(f"no flow from {self._doc.from_} to {self._doc.to}: {_reason(done)}")
        with suppress(subprocess.TimeoutExpired):
            self._server.wait(_PATIENCE_S)
        rates = list(_intervals(self._server.output))
        if not rates:
            raise InputError(f"{self._doc.to} received nothing from {self._doc.from_}")
        return Rate(round(sum(rates) / len(rates)))


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    with suppress(ValueError):
        return str(json.loads(done.stdout).get("error", "unknown"))
    return (done.stdout + done.stderr).strip()[-_SHOWN:] or f"status {done.returncode}"


_UNITS = {"bits/sec": 1.0, "Kbits/sec": 1e3, "Mbits/sec": 1e6, "Gbits/sec": 1e9}


def _intervals(output: str) -> Iterator[float]:
    """The rates of whole intervals of half a second after the warm-up, in bit/s."""
    for line in output.splitlines():
        words = line.partition("]")[2].split()
        # 1.00-1.50   sec  1.81 MBytes  30.4 Mbits/sec
        if len(words) < 6 or words[1] != "sec" or words[5] not in _UNITS or "receiver" in words:
            continue
        begin, _, end = words[0].partition("-")
        if float(begin) >= _WARM_UP_S and 0.45 < float(end) - float(begin) < 0.55:
            yield float(words[4]) * _UNITS[words[5]]


@dataclass
class Loss:
    """What a stream of pings lost.

    Parameters:
        interval: between two of them, in seconds.
        answered: when those that were answered were sent, in seconds.
        last: when the last of all was sent.
    """

    interval: float
    answered: list[float] = field(default_factory=list)
    lost: int = 0
    last: float = 0.0

    def take(self, sent: float, _: int, rtt: float | None) -> None:
        """Take in what became of a ping."""
        self.last = max(self.last, sent)
        if rtt is None:
            self.lost += 1
        else:
            self.answered.append(sent)

    @property
    def longest_s(self) -> float:
        """The longest time without an answered ping, beyond the interval; 0 if none is lost."""
        if not self.lost:
            return 0.0
        sent = [*sorted(self.answered), self.last + self.interval]
        return max(b - a for a, b in pairwise(sent)) - self.interval if sent[1:] else 0.0


def outages(network: Network, doc: OutagesDoc) -> list[Loss]:
    """What is lost around a change that is made and taken back.

    Raises:
        InputError: if the change is refused; if nothing was answered before it.
    """
    if doc.quiet is not None:
        time.sleep(max(0.0, doc.quiet.seconds - network.quiet_s))
    with ExitStack() as stack:
        streams = [stack.enter_context(_pinging(network.lab, o, doc)) for o in doc.outages]
        time.sleep(_BEFORE_S)
        for wanted, (pings, _) in zip(doc.outages, streams, strict=True):
            if "time=" not in pings.output:
                raise InputError(f"{wanted.from_} does not reach {wanted.to} before the change")
        with _changed(network, doc):
            time.sleep(doc.for_.seconds)
        time.sleep(_AFTER_S)
        return [finish() for _, finish in streams]


@contextmanager
def _changed(network: Network, doc: OutagesDoc) -> Iterator[None]:
    network.lab.do(doc.when[0])  # if it is refused, there is nothing to take back
    try:
        for text in doc.when[1:]:
            network.lab.do(text)
        yield
    finally:
        for text in doc.afterwards:
            network.lab.do(text)


Finish = Callable[[], Loss]


@contextmanager
def _pinging(
    lab: RemoteLab, wanted: MeasuredOutageDoc, doc: OutagesDoc
) -> Iterator[tuple[RemoteProgram, Finish]]:
    interval = doc.interval.seconds
    address = lab.address(wanted.to, wanted.version)
    argv = (program("ping"), "-n", "-D", "-i", f"{interval:g}", address)
    with lab[wanted.from_].start(*argv) as pings:

        def finish() -> Loss:
            pings.signal(signal.SIGINT)
            loss = Loss(interval)
            ledger = Ledger(interval, loss.take)
            for line in pings.wait(_PATIENCE_S).stdout.splitlines():
                ledger.line(line.encode())
            return loss

        yield pings, finish
