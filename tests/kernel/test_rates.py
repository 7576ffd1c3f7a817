"""Rates of VLs against the ideal: frames are charged as the VRs sent them."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path

import pytest

from tests.rates import WARM_UP_S, WINDOWS, Flow, measured, run_iperf3, topology
from vnemu.drivers import tc
from vnemu.lab import Lab
from vnemu.plan.tunnels import vl_class

pytestmark = pytest.mark.skipif(not shutil.which("iperf3"), reason="iperf3 is not installed")

SLOW = [[Flow(10, h, p, v) for v in (4, 6)] for h in (0, 1, 2) for p in ("tcp", "udp")]
FAST = [[Flow(100, hops, "tcp", v) for v in (4, 6)] for hops in (0, 1, 2)]
MANY_PACKETS = [[Flow(100, 1, "udp", 6)], [Flow(100, 2, "udp", 4)]]
TOGETHER = [*SLOW, *FAST, *MANY_PACKETS]
"""Few at once: a private kernel has one processor."""


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
    answers = held.socket.query([tc.get_class(index, minor) for minor in minors])
    assert None not in answers
    return [tc.counters(answer or b"").bytes for answer in answers]


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
