"""What checks measure in a running lab: goodput, and what is lost around a change."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from vnemu.drivers.programs import program
from vnemu.errors import InputError
from vnemu.schema.teaching import FlowsDoc, MeasuredFlowDoc, MeasuredOutageDoc, OutagesDoc
from vnemu.teaching.network import Network
from vnemu.teaching.visits import Visit
from vnemu.traffic.ping import Ledger
from vnemu.units import Rate

_FIRST_PORT = 5401  # students use 5201, the usual one
_WARM_UP_S = 1.0
_LISTENING = "Server listening"
_PATIENCE_S = 10.0
_LOOK_S = 0.01
_BEFORE_S = 0.4
_AFTER_S = 0.3


def answers_ping(network: Network, source: str, address: str, pings: int = 1) -> bool:
    """Whether one of some pings is answered, each within a second."""
    argv = ("-n", "-c", str(pings), "-i", "0.2", "-W", "1", address)
    return network.run(source, program("ping"), *argv).status == 0


def goodput(network: Network, doc: FlowsDoc) -> list[Rate]:
    """What each flow carries, seen by its receiver, while all of them send.

    Raises:
        InputError: if one does not start.
    """
    seconds = _WARM_UP_S + doc.for_.seconds
    with ExitStack() as stack:
        flows = [
            _Flow(network, flow, _FIRST_PORT + number, stack)
            for number, flow in enumerate(doc.flows)
        ]
        for flow in flows:
            flow.send(seconds)
        return [flow.received(seconds) for flow in flows]


class _Flow:
    """An iperf3 server and its client."""

    def __init__(self, network: Network, doc: MeasuredFlowDoc, port: int, stack: ExitStack) -> None:
        self._network, self._doc, self._port, self._stack = network, doc, port, stack
        self._iperf3 = (program("iperf3"), "-p", str(port))
        argv = (*self._iperf3, "-s", "-1", "-i", "0.5", "--forceflush")
        self._server = stack.enter_context(network.visit(doc.to, *argv))
        self._until_listening()

    def _until_listening(self) -> None:
        until = time.monotonic() + _PATIENCE_S
        while _LISTENING not in self._server.output:
            if time.monotonic() > until or "error" in self._server.output:
                raise InputError(
                    f"no iperf3 server in {self._doc.to}: {self._server.output[-200:]}"
                )
            time.sleep(_LOOK_S)

    def send(self, seconds: float) -> None:
        """Start the client."""
        address = self._network.address(self._doc.to, None)
        argv = ("-c", address, "-t", str(round(seconds + 0.5)), "--connect-timeout", "3000", "-J")
        self._client: Visit = self._stack.enter_context(
            self._network.visit(self._doc.from_, *self._iperf3, *argv)
        )

    def received(self, seconds: float) -> Rate:
        """What came in after the warm-up, on average."""
        done = self._client.wait(seconds + _PATIENCE_S)
        if done.status:
            raise InputError(f"no flow from {self._doc.from_} to {self._doc.to}: {_reason(done)}")
        with suppress(TimeoutError):
            self._server.wait(_PATIENCE_S)
        rates = list(_intervals(self._server.output))
        if not rates:
            raise InputError(f"{self._doc.to} received nothing from {self._doc.from_}")
        return Rate(round(sum(rates) / len(rates)))


def _reason(done: Any) -> str:
    with suppress(ValueError):
        return str(json.loads(done.output).get("error", "unknown"))
    return done.output.strip()[-200:] or f"status {done.status}"


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
        streams = [stack.enter_context(_pinging(network, o, doc)) for o in doc.outages]
        time.sleep(_BEFORE_S)
        for wanted, (visit, _) in zip(doc.outages, streams, strict=True):
            if "time=" not in visit.output:
                raise InputError(f"{wanted.from_} does not reach {wanted.to} before the change")
        with _changed(network, doc):
            time.sleep(doc.for_.seconds)
        time.sleep(_AFTER_S)
        return [finish() for _, finish in streams]


@contextmanager
def _changed(network: Network, doc: OutagesDoc) -> Iterator[None]:
    network.do(doc.when[0])  # if it is refused, there is nothing to take back
    try:
        for text in doc.when[1:]:
            network.do(text)
        yield
    finally:
        for text in doc.afterwards:
            network.do(text)


Finish = Callable[[], Loss]


@contextmanager
def _pinging(
    network: Network, wanted: MeasuredOutageDoc, doc: OutagesDoc
) -> Iterator[tuple[Visit, Finish]]:
    interval = doc.interval.seconds
    address = network.address(wanted.to, wanted.version)
    argv = (program("ping"), "-n", "-D", "-i", f"{interval:g}", address)
    with network.visit(wanted.from_, *argv) as visit:

        def finish() -> Loss:
            visit.interrupt()
            loss = Loss(interval)
            ledger = Ledger(interval, loss.take)
            for line in visit.wait(_PATIENCE_S).output.splitlines():
                ledger.line(line.encode())
            return loss

        yield visit, finish
