"""VLs over GRE and over VXLAN: the same rates, whole frames, one hop."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.kernel.features import need
from tests.rates import WARM_UP_S, Flow, measured, run_iperf3, topology
from vnemu.drivers.probe import probe
from vnemu.errors import MissingCapability
from vnemu.events import Event, Note
from vnemu.lab import Lab

KINDS = ("gre", "vxlan")
FLOWS = [
    Flow(10, hops, protocol, version, kind)
    for kind in KINDS
    for hops in (1, 3)
    for protocol in ("tcp", "udp")
    for version in (4, 6)
]
IPV4_HEADERS, IPV6_HEADERS, MTU = 28, 48, 1500


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    need(request.param)
    return str(request.param)


def lab_of(data: dict[str, object], folder: Path, sink: list[Event] | None = None) -> Lab:
    file = folder / "t.yaml"
    file.write_text(json.dumps(data))
    return Lab.from_file(file, sink=(sink if sink is not None else []).append)


def snmp(lab: Lab, counter: str) -> int:
    """The sum of an IPv4 counter over all machines."""
    total = 0
    for name in lab.topology.underlay.machines:
        text = lab.kernel.inside(
            f"rm:{name}", lambda: Path("/proc/thread-self/net/snmp").read_text()
        )
        names, values = (line.split() for line in text.splitlines() if line.startswith("Ip:"))
        total += int(values[names.index(counter)])
    return total


@functools.cache
def arrived(group: tuple[Flow, ...], folder: Path) -> dict[Flow, float]:
    """What arrives of each flow, as a part of what its link should carry."""
    flows = list(group)
    with lab_of(topology(flows), folder) as lab, contextlib.ExitStack() as stack:
        for flow in flows:
            target = lab.topology.nodes[f"{flow.name}/r2"].nics[0].address(flow.version)
            assert target is not None
            run_iperf3(stack, lab, flow.name, str(target.ip), *flow.options())
        time.sleep(WARM_UP_S)
        found = measured(lab, flows)
        assert snmp(lab, "FragCreates") == snmp(lab, "FragFails") == 0
        assert snmp(lab, "InReceives") > 0
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tunnels")


@pytest.mark.skipif(not shutil.which("iperf3"), reason="iperf3 is not installed")
@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_a_link_has_its_rate(flow: Flow, folder: Path) -> None:
    need(flow.tunnel)
    alike = (flow.tunnel, flow.protocol, flow.hops)
    together = tuple(f for f in FLOWS if (f.tunnel, f.protocol, f.hops) == alike)
    assert arrived(together, folder)[flow] == pytest.approx(1, abs=flow.tolerance)


def three_hops(tunnel: str) -> dict[str, object]:
    return topology([Flow(100, 3, "tcp", 4, tunnel)])


@pytest.mark.parametrize(("version", "headers"), [(4, IPV4_HEADERS), (6, IPV6_HEADERS)])
def test_whole_frames_pass_unfragmented(
    kind: str, version: int, headers: int, tmp_path: Path
) -> None:
    data = three_hops(kind)
    with lab_of(data, tmp_path) as lab:
        (network,) = lab.topology.networks
        target = lab.topology.nodes[f"{network}/r2"].nics[0].address(version)
        assert target is not None
        options = ["-M", "do", "-c", "3", "-i", "0.1", "-W", "1"]
        for more, status in ((0, 0), (1, 1)):
            size = ["-s", str(MTU - headers + more)]
            done = lab[f"{network}/r1"].run("ping", *options, *size, str(target.ip))
            assert done.returncode == status, done
        assert snmp(lab, "FragCreates") == snmp(lab, "FragFails") == 0
        assert snmp(lab, "ReasmReqds") == 0


def test_the_devices_are_of_that_kind(kind: str, tmp_path: Path) -> None:
    with lab_of(three_hops(kind), tmp_path) as lab:
        kinds = {o.kind for o in lab.plan.objects().values() if hasattr(o, "kind")}
        assert kinds == {"gretap" if kind == "gre" else "vxlan"}


def test_auto_takes_gre_where_it_is_and_says_so(tmp_path: Path) -> None:
    events: list[Event] = []
    expected = "vxlan" if probe(["gre"])["gre"] else "gre"
    with lab_of(three_hops("auto"), tmp_path, events) as lab:
        assert lab.topology.underlay.tunnel == expected
    notes = [event.text for event in events if isinstance(event, Note)]
    assert len(notes) == 1
    assert notes[0].startswith(f"tunnel: auto chose {expected}, since this kernel has")


def test_gre_that_is_not_there_is_named_with_its_line(
    lacking: Callable[[str], None], tmp_path: Path
) -> None:
    lacking("gre")
    file = tmp_path / "t.yaml"
    file.write_text(
        "underlay:\n  machines: [m1, m2]\n  links: [{endpoints: [m1, m2], rate: 1mbit}]\n"
        "  tunnel: gre\nnetworks: {a: {routers: [r1]}}\n"
    )
    match = r"t\.yaml:4: virtual links are to be gre tunnels: this kernel has no gre"
    with pytest.raises(MissingCapability, match=match), Lab.from_file(file):
        pass
