"""Flows: one iperf3 server and one client each, counted at the receiver by the kernel."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, Protocol, TypeVar

from vnemu.drivers.programs import program
from vnemu.errors import ExperimentFailed
from vnemu.traffic.counters import Counter, TcpCounter, TcpDiagnosis, UdpCounter

T = TypeVar("T")

FIRST_PORT = 5201
_READY_SECONDS = 10.0
_LOOK_SECONDS = 0.005
_PATIENCE_SECONDS = 2.0

_ETHERNET = 14
_UDP = 8
_IP_HEADER = {4: 20, 6: 40}
_TCP_HEADER = 32  # with timestamps
_MTU = 1500


@dataclass(frozen=True)
class FlowSpec:
    """What a flow does.

    Parameters:
        source, target: node paths.
        address, nic: the target's address, and the name of its NIC.
        rate: bit/s of payload, for UDP; None for greedy TCP.
        length: bytes of payload of a datagram.
        start, stop: seconds after the experiment's start; an infinite stop: none.
    """

    name: str
    source: str
    target: str
    address: str
    nic: str
    protocol: Literal["tcp", "udp"]
    version: Literal[4, 6]
    port: int
    start: float
    stop: float
    rate: int | None = None
    length: int = 0
    parallel: int = 1
    congestion: str | None = None

    @property
    def frame_payload(self) -> tuple[int, int]:
        """Payload of a full data packet, and the bytes of its frames (without the checksum)."""
        header = _IP_HEADER[self.version]
        if self.protocol == "tcp":
            return _MTU - header - _TCP_HEADER, _MTU + _ETHERNET
        body = self.length + _UDP
        if body + header <= _MTU:
            return self.length, body + header + _ETHERNET
        # Fragments carry multiples of 8 bytes; IPv6 adds a header to each (RFC 8200).
        extra = 8 if self.version == 6 else 0
        room = (_MTU - header - extra) // 8 * 8
        pieces = math.ceil(body / room)
        return self.length, body + pieces * (header + extra + _ETHERNET)


def full_datagram(version: int) -> int:
    """The payload of a datagram that fills a packet of 1500 bytes."""
    return _MTU - _IP_HEADER[version] - _UDP


class Node(Protocol):
    """Where programs are started: a node of a lab."""

    def popen(
        self, *argv: str, stdout: int | IO[Any] | None = None, stderr: int | IO[Any] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program."""

    def inside(self, call: Callable[[], T]) -> T:
        """Open a socket."""


class Flow:
    """A flow in a running lab.

    Parameters:
        source, target: the nodes at its ends.
        log: where iperf3's own words go: the client's here, the server's beside it.
        every: seconds between two lines there; 0: only how it began and ended.
    """

    def __init__(
        self, spec: FlowSpec, source: Node, target: Node, log: Path, every: int = 1
    ) -> None:
        self.spec = spec
        self.counter: Counter | None = None
        self._iperf3 = program("iperf3")
        self._source = source
        self._target = target
        self._log = log
        self._every = str(every)
        self._server: subprocess.Popen[bytes] | None = None
        self._client: subprocess.Popen[bytes] | None = None

    def listen(self) -> None:
        """Start the server, again too, and its counter; `wait_ready` says when it listens."""
        # A router answers datagrams from any of its addresses, unless it is told which.
        arguments = ["-s", "-1", "-B", self.spec.address]
        self._server = self._start(self._target, self._server_log, arguments)
        if self.counter is None:
            self.counter = self._target.inside(self._new_counter)

    @property
    def _server_log(self) -> Path:
        return self._log.with_suffix(".server.log")

    def _new_counter(self) -> Counter:
        payload, _ = self.spec.frame_payload
        if self.spec.protocol == "tcp":
            return TcpCounter(self.spec.port, payload, self._connections)
        return UdpCounter(self.spec.nic, self.spec.version, self.spec.port, payload)

    def _start(self, node: Node, log: Path, arguments: list[str]) -> subprocess.Popen[bytes]:
        common = ["-p", str(self.spec.port), "-i", self._every, "--forceflush"]
        argv = [self._iperf3, *common, *arguments]
        with log.open("wb") as output:
            return node.popen(*argv, stdout=output.fileno(), stderr=output.fileno())

    def wait_ready(self) -> None:
        """Return when the server listens.

        Raises:
            ExperimentFailed: if it does not.
        """
        self._await(lambda there: there.listening(self.spec.port), "its iperf3 server listens")

    def wait_connected(self) -> None:
        """Return when the client, which was started, has reached the server.

        Raises:
            ExperimentFailed: if it does not.
        """
        wanted = self._connections
        self._await(lambda t: t.connections(self.spec.port) >= wanted, "its ends are connected")

    @property
    def _connections(self) -> int:
        """How many of TCP it has: one for control, and those that carry its data."""
        return 1 + (self.spec.parallel if self.spec.protocol == "tcp" else 0)

    def _await(self, condition: Callable[[TcpDiagnosis], bool], what: str) -> None:
        until = time.monotonic() + _READY_SECONDS
        with closing(self._target.inside(TcpDiagnosis)) as diagnosis:
            while not condition(diagnosis):
                self._check_server()
                self.check()
                if time.monotonic() > until:
                    raise ExperimentFailed(
                        f"flow {self.spec.name}: not within {_READY_SECONDS:g} s: {what}"
                    )
                time.sleep(_LOOK_SECONDS)

    def _check_server(self) -> None:
        assert self._server is not None, "listen comes first"
        if self._server.poll() is not None:
            raise ExperimentFailed(
                f"flow {self.spec.name}: its iperf3 server ended with status "
                f"{self._server.returncode}; see {self._server_log}"
            )

    def start(self, seconds: float) -> None:
        """Start the client, which sends for `seconds`; infinite: until it is stopped."""
        spec = self.spec
        limit = 0 if math.isinf(seconds) else math.ceil(seconds)
        arguments = ["-c", spec.address, "-t", str(limit)]
        arguments += ["--connect-timeout", "5000"]
        if spec.protocol == "udp":
            arguments += ["-u", "-b", str(spec.rate), "-l", str(spec.length)]
        if spec.parallel > 1:
            arguments += ["-P", str(spec.parallel)]
        if spec.congestion is not None:
            arguments += ["-C", spec.congestion]
        self._client = self._start(self._source, self._log, arguments)

    def check(self) -> None:
        """Check that a started flow runs.

        Raises:
            ExperimentFailed: if its client or server has ended.
        """
        if self._client is None:
            return
        status = self._client.poll()
        if status is not None:
            raise ExperimentFailed(
                f"flow {self.spec.name}: iperf3 ended early with status {status}; see {self._log}"
            )
        self._check_server()

    @property
    def has_ended(self) -> bool:
        """Whether one of its programs has ended."""
        return any(p is not None and p.poll() is not None for p in (self._client, self._server))

    @property
    def complaint(self) -> str:
        """What iperf3 has said against it, at the client or else at the server; empty: nothing."""
        for log in (self._log, self._server_log):
            lines = log.read_text(errors="replace").splitlines() if log.exists() else []
            for line in reversed(lines):
                if line.startswith("iperf3: "):
                    return line
        return ""

    def stop(self) -> None:
        """End the client and the server, at once."""
        for process in (self._client, self._server):
            if process is not None:
                _end(process)

    def finish(self) -> None:
        """Let the client end by itself, within two seconds; then end what is left."""
        if self._client is not None:
            with suppress(subprocess.TimeoutExpired):
                self._client.wait(_PATIENCE_SECONDS)
        self.stop()

    def close(self) -> None:
        """End everything and let go of the counter."""
        self.stop()
        if self.counter is not None:
            self.counter.close()
            self.counter = None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the whole session to end, and see to it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
            return
