"""Waiting for routing: as a lab comes up, and afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import vnemu
from vnemu.errors import ExperimentFailed
from vnemu.sessions import client

from .conftest import Host
from .test_running_labs import RING, Labs

PAIR = """
name: pair
underlay: {machines: [rm1]}
networks:
  a:
    routers: [r1, r2]
    links: [{endpoints: [r1, r2]}]
    routing: {protocol: babel, daemon: bird, hello: 1s}
"""
LATE = "routing has not converged within 1 s"


@pytest.fixture
def ring(host: Host) -> Iterator[Labs]:
    own = Labs(host)
    yield own
    own.call("down", "one")


def test_it_is_waited_for(ring: Labs, tmp_path: Path) -> None:
    file = tmp_path / "pair.yaml"
    file.write_text(PAIR)
    ring.up("one", "--converge", file=file)
    nodes = client.ask("one", "inspect")["nodes"]
    loopback = nodes["a/r2"]["loopbacks"][0].partition("/")[0]
    assert ring.exec("one", "a/r1", "ping", "-c1", "-W5", loopback).returncode == 0
    *_, last, ok = client.asked("one", "converge", within_s=60)
    assert (last, ok) == ({"progress": [2, 2]}, {"ok": None})
    assert ring.fine("converge", "one", "--timeout", "60s") == ""


def test_it_takes_too_long(ring: Labs) -> None:
    options = ("--detach", "--name", "one", "--converge", "--timeout", "1s")
    done = ring.call("up", RING, *options)
    assert (done.status, done.out) == (1, "")
    assert LATE in done.err
    assert "lab 'one' runs: vnemu converge one waits again" in done.err
    again = ring.call("converge", "one", "--timeout", "1s")
    assert (again.status, LATE in again.err) == (1, True)
    attached = ring.call("do", "one", "pause: ring/r2")
    assert attached.status == 0, "what goes on waiting hinders nobody"


def test_a_script_waits_for_it(ring: Labs, tmp_path: Path) -> None:
    script = tmp_path / "look.vn"
    script.write_text("converge 1s\n")
    done = ring.call("up", RING, "--run", script)
    assert (done.status, f"{script}:1: {LATE}" in done.err) == (1, True), done.err
    done = ring.call("up", RING, "--run", script, "--converge", "--timeout", "1s")
    assert (done.status, f"vnemu: {LATE}" in done.err) == (1, True), done.err
    assert ring.names() == []


def test_from_python(ring: Labs) -> None:
    with pytest.raises(ExperimentFailed, match=LATE):
        vnemu.up(RING, name="one", converge=1.0)
    assert ring.names() == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--converge",), "without a terminal, --converge needs --detach"),
        (("--timeout", "1s"), "--timeout is for --converge"),
        (("--converge", "--detach", "--timeout", "1"), "--timeout: '1' has no unit"),
    ],
)
def test_what_cannot_be(ring: Labs, options: tuple[str, ...], message: str) -> None:
    done = ring.call("up", RING, *options)
    assert (done.status, message in done.err) == (2, True), done.err
