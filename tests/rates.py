"""Flows over VLs of their own, and what arrives of them."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import time
from dataclasses import dataclass

import pytest

from vnemu.drivers import rtnetlink as rt
from vnemu.lab import Lab

HEADERS = {("tcp", 4): 66, ("tcp", 6): 86, ("udp", 4): 42, ("udp", 6): 62}
WARM_UP_S, WINDOW_S = 0.6, 0.7
# A machine that is busy with something else loses time, and with it what a link could
# have sent: the window that comes nearest counts.
WINDOWS = 12
# 50 000 packets a second, which 100 Mbit/s of 200 bytes are, are too many for a small machine.
DATAGRAM = {10: 200, 100: 600}


@dataclass(frozen=True)
class Flow:
    """A flow over a VL of its own, of `hops` physical links (0: on one machine)."""

    rate: int
    hops: int
    protocol: str
    version: int
    tunnel: str = "auto"

    @property
    def name(self) -> str:
        name = f"{self.protocol}{self.version}-{self.hops}hops-{self.rate}mbit"
        return name if self.tunnel == "auto" else f"{self.tunnel}-{name}"

    @property
    def headers(self) -> int:
        """Bytes in front of the payload; TCP has timestamps."""
        return HEADERS[self.protocol, self.version]

    @property
    def frame(self) -> int:
        """Bytes of a frame."""
        return 1514 if self.protocol == "tcp" else DATAGRAM[self.rate] + self.headers

    @property
    def tolerance(self) -> float:
        """The size table has steps of 16 bytes, which small frames feel."""
        return 0.03 if self.protocol == "tcp" else 0.05

    def options(self) -> list[str]:
        if self.protocol == "tcp":
            return []
        return ["-u", "-l", str(DATAGRAM[self.rate]), "-b", f"{self.rate * 1.5}M"]


def topology(flows: list[Flow]) -> dict[str, object]:
    """Each flow has machines of its own, so that all can run at once over one kind of tunnel."""
    machines, wires, networks = [], [], {}
    for flow in flows:
        own = [f"{flow.name}-m{n}" for n in range(flow.hops + 1)]
        machines += own
        for a, b in itertools.pairwise(own):
            wires.append({"endpoints": [a, b], "rate": f"{flow.rate}mbit"})
        link: dict[str, object] = {"name": "core", "endpoints": ["r1", "r2"]}
        if not flow.hops:
            link["limit"] = f"{flow.rate}mbit"
        networks[flow.name] = {
            "routers": {"r1": {"on": own[0]}, "r2": {"on": own[-1]}},
            "links": [link],
        }
    underlay = {"machines": machines, "links": wires, "tunnel": flows[0].tunnel}
    return {"underlay": underlay, "networks": networks}


def measured(lab: Lab, flows: list[Flow]) -> dict[Flow, float]:
    best = dict.fromkeys(flows, 0.0)
    for _ in range(WINDOWS):
        for flow, part in window(lab, flows).items():
            if abs(part - 1) < abs(best[flow] - 1):
                best[flow] = part
        if all(abs(best[flow] - 1) < flow.tolerance for flow in flows):
            break
    return best


def window(lab: Lab, flows: list[Flow]) -> dict[Flow, float]:
    start, before = time.monotonic(), [traffic(lab, flow) for flow in flows]
    time.sleep(WINDOW_S)
    end, after = time.monotonic(), [traffic(lab, flow) for flow in flows]
    found = {}
    for flow, old, new in zip(flows, before, after, strict=True):
        sent, arrived = ((b - a) * 8e-6 / (end - start) for a, b in zip(old, new, strict=True))
        # Who sends datagrams may be too slow to fill the link; TCP adapts to it.
        wanted = min(flow.rate, sent or flow.rate) if flow.protocol == "udp" else flow.rate
        found[flow] = arrived / wanted
    return found


def traffic(lab: Lab, flow: Flow) -> tuple[float, float]:
    """Bytes of frames that r1 has sent, and of those that have arrived at r2.

    On the way the kernel may join segments (GRO), which then have one header.
    """
    found = []
    for router, which in (("r1", "sent"), ("r2", "received")):
        socket = lab.kernel.namespaces[f"vr:{flow.name}/{router}"].socket
        devices = map(rt.device, socket.dump(rt.RTM_GETLINK, rt.LIST_DEVICES))
        octets, packets = next(getattr(d, which) for d in devices if d.name == "eth0")
        payload = octets - packets * flow.headers
        found.append(payload * flow.frame / (flow.frame - flow.headers))
    return found[0], found[1]


def run_iperf3(
    stack: contextlib.ExitStack, lab: Lab, network: str, target: str, *options: str
) -> None:
    """Send from r1 to r2 until the stack ends."""
    server = lab[f"{network}/r2"].popen("iperf3", "-s", stdout=subprocess.DEVNULL)
    stack.callback(end, server)
    wait_until_it_listens(lab, f"{network}/r2")
    command = ["iperf3", "-c", target, "-t", "30", *options]
    client = lab[f"{network}/r1"].popen(*command, stdout=subprocess.DEVNULL)
    stack.callback(end, client)


def end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)


def wait_until_it_listens(lab: Lab, path: str) -> None:
    for _ in range(200):
        if ":1451 " in lab[path].run("cat", "/proc/net/tcp", "/proc/net/tcp6").stdout:  # 5201
            return
        time.sleep(0.02)
    pytest.fail("iperf3 does not listen")
