"""An existing network becomes a VN: the same configurations, tables and reachability (P11)."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from tests.kernel.reaching import reaches
from tests.kernel.test_router_os import answers, need_daemon
from vnemu.lab import Lab
from vnemu.routing.migration import Target, topology_data
from vnemu.schema.physical import load_physical

ROOT = Path(__file__).parents[2]
CAMPUS = ROOT / "topologies" / "campus" / "network.yaml"
TWO = {"machines": ["rm1", "rm2"], "links": [{"endpoints": ["rm1", "rm2"], "rate": "1gbit"}]}
ON = {"core1": "rm1", "lab": "rm1", "core2": "rm2", "edge": "rm2", "branch": "rm2"}
ROUTERS = [f"campus/{name}" for name in ON]
NAMED = """
underlay: {machines: [rm1]}
networks:
  a:
    routers: {r1: {loopbacks: [198.51.100.1/32]}, r2: {loopbacks: ["2001:db8::2/128"]}}
    hosts:
      c1:
        at: r1
        ends:
          r1: {nic: lan0, addresses: [10.0.9.1/24, "2001:db8:9::1/64"]}
          c1: {nic: ens1, addresses: [10.0.9.10/24, "2001:db8:9::10/64"]}
    links:
      - endpoints: [r1, r2]
        ends:
          r1: {nic: ens3, addresses: ["2001:db8:12::1/64", 10.0.0.1/31]}
          r2: {nic: ge-0.0, addresses: [10.0.0.0/31, "2001:db8:12::2/64"]}
"""

Tables = dict[str, list[dict[str, Any]]]


def write(folder: Path, target: Target) -> Path:
    file = folder / "campus.json"
    file.write_text(json.dumps(topology_data(load_physical(CAMPUS), target)))
    return file


@dataclass(frozen=True)
class Seen:
    """A network once its routing has converged: its tables, who reaches whom, where its VRs are."""

    tables: Tables
    reached: frozenset[tuple[str, str]]
    where: dict[str, str]


def observe(lab: Lab) -> Seen:
    tables = {path: table(lab, path) for path in ROUTERS}
    where = {path: lab.mapping.machines[path] for path in ROUTERS}
    return Seen(tables, frozenset(reached(lab)), where)


def table(lab: Lab, path: str) -> list[dict[str, Any]]:
    """A VR's main table, without the numbers of the kernel's that differ from start to start."""
    routes = json.loads(lab[path].run("ip", "-j", "route").stdout)
    plain = [{k: v for k, v in route.items() if k not in ("nhid", "flags")} for route in routes]
    return sorted(plain, key=str)


def reached(lab: Lab) -> Iterator[tuple[str, str]]:
    targets = {path: str(lab.topology.nodes[path].loopbacks[0].ip) for path in ROUTERS}
    for host in ("campus/server", "campus/desk"):
        targets[host] = str(lab.topology.nodes[host].nics[0].addresses[0].ip)
    for start, end in permutations(targets, 2):
        if reaches(lab, start, end, at=targets[end]):
            yield start, end


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Lab]]:
    """Five routers on a machine each, and the same on two; their routing converges together."""
    need_daemon("bird", "frr")
    one, other = (tmp_path_factory.mktemp(name) for name in ("physical", "virtual"))
    with (
        Lab.from_file(write(one, Target(one))) as physical,
        Lab.from_file(write(other, Target(other, TWO, ON))) as virtual,
    ):
        for lab in (physical, virtual):
            lab["campus/server"].run("true")  # what makes its processes stays, and counts as left
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda lab: lab.converge(timeout_s=110), (physical, virtual)))
        yield physical, virtual


@pytest.fixture(scope="module")
def both(labs: tuple[Lab, Lab]) -> tuple[Seen, Seen]:
    return observe(labs[0]), observe(labs[1])


class TestFiveRoutersOnTwoMachines:
    def test_they_were_on_five_before(self, both: tuple[Seen, Seen]) -> None:
        assert len(set(both[0].where.values())) == 5
        assert set(both[1].where.values()) == {"rm1", "rm2"}

    @pytest.mark.parametrize("path", ROUTERS)
    def test_the_same_routing_table(self, both: tuple[Seen, Seen], path: str) -> None:
        before, after = both[0].tables[path], both[1].tables[path]
        assert before == after
        assert sum("gateway" in route for route in before) >= 5

    def test_all_reach_all_before_and_after(self, both: tuple[Seen, Seen]) -> None:
        assert both[0].reached == both[1].reached
        assert len(both[0].reached) == 7 * 6


LOSSLESS = re.compile(r"(\d+) packets transmitted, (\d+) received")


def test_it_is_consolidated_live(labs: tuple[Lab, Lab], both: tuple[Seen, Seen]) -> None:
    """Three of five RMs are emptied under a 500 Hz ping: none is lost, no route changes."""
    lab, before = labs[0], both[0]
    monitors = [lab[path].popen("ip", "monitor", "route", stdout=PIPE) for path in ROUTERS]
    address = str(lab.topology.nodes["campus/desk"].nics[0].addresses[0].ip)
    probe = lab["campus/server"].popen("ping", "-qni", "0.002", address, stdout=PIPE)
    time.sleep(1.0)
    for router, machine in (("lab", "core1"), ("edge", "core2"), ("branch", "core2")):
        lab.move(f"campus/{router}", to=machine)
        time.sleep(0.3)
    os.killpg(probe.pid, signal.SIGINT)
    counts = LOSSLESS.search(probe.communicate()[0].decode())
    assert {lab.mapping.machines[path] for path in ROUTERS} == {"core1", "core2"}
    assert counts is not None
    assert int(counts[1]) > 200  # on a busy machine ping does not keep its pace
    assert counts[1] == counts[2]
    assert {path: table(lab, path) for path in ROUTERS} == before.tables
    for monitor in monitors:
        os.killpg(monitor.pid, signal.SIGTERM)
        assert monitor.communicate()[0] == b""


@pytest.fixture
def named(tmp_path: Path) -> Iterator[Lab]:
    file = tmp_path / "named.yaml"
    file.write_text(NAMED)
    with Lab.from_file(file) as lab:
        yield lab


class TestNamesAndAddresses:
    def test_nics_have_the_names_they_were_given(self, named: Lab) -> None:
        shown = {path: named[path].run("ip", "-br", "link").stdout for path in ("a/r1", "a/r2")}
        assert "ens3@" in shown["a/r1"]
        assert "lan0@" in shown["a/r1"]
        assert "ge-0.0@" in shown["a/r2"]

    @pytest.mark.parametrize("target", ["10.0.0.0", "2001:db8::2"])
    def test_addresses_are_those_given(self, named: Lab, target: str) -> None:
        assert answers(named, "a/c1", target)

    def test_a_link_that_comes_later_can_name_its_nics(self, named: Lab) -> None:
        ends = {
            "r1": {"nic": "ens9", "addresses": ["203.0.113.1/31"]},
            "r2": {"addresses": ["203.0.113.0/31"]},
        }
        named.add("a/later", ["r1", "r2"], ends=ends)
        assert "ens9@" in named["a/r1"].run("ip", "-br", "link").stdout
        assert answers(named, "a/r1", "203.0.113.0")
        named.remove("a/later")
        assert "ens9" not in named["a/r1"].run("ip", "-br", "link").stdout
