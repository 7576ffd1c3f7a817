"""Rates of VLs against the ideal: frames are charged as the VRs sent them."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from vnemu.drivers import rtnetlink as rt
from vnemu.lab import Lab
from vnemu.plan.build import vl_class

pytestmark = pytest.mark.skipif(not shutil.which("iperf3"), reason="iperf3 is not installed")

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

    @property
    def name(self) -> str:
        return f"{self.protocol}{self.version}-{self.hops}hops-{self.rate}mbit"

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


SLOW = [Flow(10, h, p, v) for h in (0, 1, 2) for p in ("tcp", "udp") for v in (4, 6)]
FAST = [Flow(100, hops, "tcp", v) for hops in (0, 1, 2) for v in (4, 6)]
MANY_PACKETS = [Flow(100, 1, "udp", 6), Flow(100, 2, "udp", 4)]
TOGETHER = [SLOW, FAST, *([flow] for flow in MANY_PACKETS)]


def topology(flows: list[Flow]) -> dict[str, object]:
    """Each flow has machines of its own, so that all can run at once."""
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
    return {"underlay": {"machines": machines, "links": wires}, "networks": networks}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[Flow, float]:
    """What arrives at r2, as a part of what its link should carry."""
    found: dict[Flow, float] = {}
    for flows in TOGETHER:
        file = tmp_path_factory.mktemp("rates") / "t.yaml"
        file.write_text(json.dumps(topology(flows)))
        with Lab.from_file(file) as lab, contextlib.ExitStack() as stack:
            for flow in flows:
                target = lab.topology.nodes[f"{flow.name}/r2"].nics[0].address(flow.version)
                assert target is not None
                run_iperf3(stack, lab, flow.name, str(target.ip), *flow.options())
            time.sleep(WARM_UP_S)
            found.update(measured(lab, flows))
    return found


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
        wanted = min(flow.rate, sent) if flow.protocol == "udp" else flow.rate
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


@pytest.mark.parametrize("flow", [f for flows in TOGETHER for f in flows], ids=lambda f: f.name)
def test_a_link_has_its_rate(parts: dict[Flow, float], flow: Flow) -> None:
    assert parts[flow] == pytest.approx(1, abs=flow.tolerance)


SHARED = """
underlay:
  machines: [m1, m2, m3]
  links: [{endpoints: [m1, m2], rate: 50mbit}, {endpoints: [m2, m3], rate: 100mbit}]
networks:
  a:
    routers: {r1: {on: m1}, r2: {on: m2}}
    links: [{name: core, endpoints: [r1, r2]}]
  b:
    routers: {r1: {on: m1}, r2: {on: m3}}
    links: [{name: core, endpoints: [r1, r2]}]
"""


def class_bytes(lab: Lab, links: list[str]) -> list[int]:
    """What the VLs' classes have sent from m1 to m2."""
    held = lab.kernel.namespaces["rm:m1"]
    index = held.indices["to-m2"]
    minors = [vl_class(lab.mapping.paths[link].number) for link in links]
    answers = held.socket.query([rt.get_class(index, minor) for minor in minors])
    assert None not in answers
    return [rt.counters(answer or b"").bytes for answer in answers]


def rates_mbit(lab: Lab, links: list[str], seconds: float = 0.7) -> list[float]:
    start, before = time.monotonic(), class_bytes(lab, links)
    time.sleep(seconds)
    end, after = time.monotonic(), class_bytes(lab, links)
    return [(b - a) * 8e-6 / (end - start) for a, b in zip(before, after, strict=True)]


def test_a_guarantee_moves_the_share_of_flows_that_run(tmp_path: Path) -> None:
    links = ["a/core", "b/core"]
    file = tmp_path / "t.yaml"
    file.write_text(SHARED)
    with Lab.from_file(file) as lab, contextlib.ExitStack() as stack:
        for network in ("a", "b"):
            target = lab.topology.nodes[f"{network}/r2"].loopbacks[0].ip
            run_iperf3(stack, lab, network, str(target), "-P", "2")
        time.sleep(0.5)
        assert nearest(lab, links, [25, 25]) == pytest.approx([25, 25], rel=0.05)
        lab.reshape("a/core", guarantee="45mbit")
        assert nearest(lab, links, [45, 5]) == pytest.approx([45, 5], rel=0.05)
        lab.reshape("a/core", guarantee="none", limit="10mbit")
        assert nearest(lab, links, [10, 40]) == pytest.approx([10, 40], rel=0.05)


def nearest(lab: Lab, links: list[str], wanted: list[float]) -> list[float]:
    """Rates of the first window that is good, else of the last."""
    time.sleep(0.3)
    for _ in range(WINDOWS):
        found = rates_mbit(lab, links)
        if found == pytest.approx(wanted, rel=0.05):
            break
    return found
