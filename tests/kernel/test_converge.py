"""Waiting until routing has converged: what is waited for, and what is said when it does not."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from tests.kernel.test_router_os import (
    QUICK,
    answers,
    lab_of,
    loopback,
    need_daemon,
    ring,
)
from vnemu.drivers.echo import EchoSocket
from vnemu.errors import ConvergenceTimeout
from vnemu.events import Event, Progress
from vnemu.readiness import Changes

LINE = f"""
underlay: {{machines: [rm1]}}
networks:
  a:
    routing: {{protocol: ospf, {QUICK}}}
    routers: {{r1: {{}}, r2: {{}}, r3: {{}}, r4: {{}}}}
    links:
      - {{name: left, endpoints: [r1, r2]}}
      - {{name: core, endpoints: [r2, r3]}}
      - {{name: right, endpoints: [r3, r4]}}
"""
STATIC = """
underlay: {machines: [rm1]}
networks:
  a: {routers: [r1, r2], links: [{name: core, endpoints: [r1, r2]}]}
"""
ODD = "{r1: {}, r2: {}, r3: {}, r4: {routing: {config: silent.conf}}}"
SILENT = "router id 4.4.4.4;\nprotocol device {}\n"
MIXED = "{r1: {}, r2: {routing: {daemon: frr}}, r3: {}, r4: {routing: {daemon: frr}}}"


class TestConverged:
    def test_bird_and_frr_together(self, tmp_path: Path) -> None:
        need_daemon("bird", "frr")
        events: list[Event] = []
        with lab_of(ring("bird", MIXED), tmp_path, events) as lab:
            lab.converge(timeout_s=90)
            for version in (4, 6):
                assert answers(lab, "a/r1", loopback(lab, "a/r3", version))
        told = [event for event in events if isinstance(event, Progress)]
        assert told[-1] == Progress("routing", 28, 28)  # 6 pairs and 8 to hosts, twice

    @pytest.mark.parametrize("daemon", ["bird", "frr"])
    def test_no_route_changes_afterwards(self, daemon: str, tmp_path: Path) -> None:
        need_daemon(daemon)
        with lab_of(ring(daemon), tmp_path) as lab:
            lab.converge(timeout_s=90)
            watches = {
                n.path: lab[n.path].inside(Changes) for n in lab.topology.networks["a"].routers
            }
            time.sleep(8)
            changed = [path for path, watch in watches.items() if watch.any()]
            for watch in watches.values():
                watch.socket.close()
        assert changed == []

    def test_parts_that_a_cut_separates_are_ready_on_their_own(self, tmp_path: Path) -> None:
        need_daemon("bird")
        with lab_of(LINE, tmp_path) as lab:
            lab.cut("a/core")
            lab.converge(timeout_s=60)
            assert answers(lab, "a/r1", loopback(lab, "a/r2", 4))
            assert not answers(lab, "a/r1", loopback(lab, "a/r3", 4))

    def test_networks_without_routing_protocols_are_ready_at_once(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab:
            begun = time.monotonic()
            lab.converge(timeout_s=0)
            assert time.monotonic() - begun < 0.5


class TestTimeout:
    def test_who_does_not_reach_whom_is_said(self, tmp_path: Path) -> None:
        """One router's own configuration does not speak what it is said to speak."""
        need_daemon("bird")
        (tmp_path / "silent.conf").write_text(SILENT)
        with lab_of(ring("bird", ODD), tmp_path) as lab, pytest.raises(ConvergenceTimeout) as why:
            lab.converge(timeout_s=14)
        said = str(why.value).splitlines()
        assert said[0] == "routing has not converged within 14 s"
        assert said[1] == ("  a/r1 and a/r4 (10.0.128.1, 10.0.128.4) do not reach each other")
        assert "  and 6 more of 28 pairs" in said
        assert "(6 s without a change are needed)" in said[-1]

    def test_tables_alone_may_be_waited_for(self, tmp_path: Path) -> None:
        need_daemon("bird")
        (tmp_path / "silent.conf").write_text(SILENT)
        with lab_of(ring("bird", ODD), tmp_path) as lab:
            lab.converge(timeout_s=60, stable_only=["a"])


class TestParts:
    @pytest.mark.parametrize("version", [4, 6])
    def test_an_echo_comes_back_with_its_numbers(self, version: int, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab:
            own, other = (loopback(lab, path, version) for path in ("a/r1", "a/r2"))
            echo = lab["a/r1"].inside(lambda: EchoSocket(own))
            with echo.socket:
                found: list[tuple[int, int]] = []
                end = time.monotonic() + 5
                while not found and time.monotonic() < end:
                    echo.send(other, 70_000, 3)
                    time.sleep(0.05)
                    found = list(echo.replies())
        assert found[0] == (70_000, 3)

    def test_an_address_that_is_not_there(self, tmp_path: Path) -> None:
        with lab_of(STATIC, tmp_path) as lab, pytest.raises(OSError, match="assign"):
            lab["a/r1"].inside(lambda: EchoSocket("192.0.2.1"))

    @pytest.mark.parametrize("version", [4, 6])
    def test_a_change_is_noticed_once(self, version: int, tmp_path: Path) -> None:
        prefix, via = (("192.0.2.0/24", 4), ("2001:db8::/32", 6))[version == 6]
        with lab_of(STATIC, tmp_path) as lab:
            gateway = lab.topology.nodes["a/r2"].nics[0].address(via)
            assert gateway is not None
            watch: Changes = lab["a/r1"].inside(Changes)
            with watch.socket:
                assert not watch.any()
                command = ("ip", f"-{version}", "route", "add", prefix, "via", str(gateway.ip))
                assert lab["a/r1"].run(*command).returncode == 0
                assert watch.any()
                assert not watch.any()

    def test_an_address_alone_is_no_change(self, tmp_path: Path) -> None:
        """It is announced in the local table; that of its subnet is another matter."""
        with lab_of(STATIC, tmp_path) as lab:
            watch: Changes = lab["a/r1"].inside(Changes)
            with watch.socket:
                lab["a/r1"].run("ip", "address", "add", "192.0.2.1/32", "dev", "lo")
                assert not watch.any()
                assert watch.socket.family == socket.AF_NETLINK
