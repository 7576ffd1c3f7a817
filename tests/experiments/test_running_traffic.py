"""Traffic that goes on in a running lab, and sessions that are recorded and repeated."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vnemu.sessions import client

from .conftest import Host
from .private_kernel import comm, wait_for
from .terminal import Terminal
from .test_interactive_shell import Open, on_terminal  # noqa: F401 a fixture
from .test_running_labs import LAB, Labs


@pytest.fixture
def labs(host: Host) -> Iterator[Labs]:
    own = Labs(host)
    yield own
    own.fine("down", "--all")


def flows(lab: str) -> dict[str, Any]:
    return {flow["name"]: flow for flow in client.ask(lab, "traffic")}


def iperf3s(labs: Labs) -> int:
    return sum(comm(pid) == "iperf3" for pid in labs.host.processes())


def test_traffic_goes_on_until_it_is_stopped(labs: Labs) -> None:
    labs.up("mine")
    assert labs.fine("traffic", "start", "mine", "a/c1", "a/c2", "--parallel", "2") == "flow-1\n"
    udp = ("--udp", "1mbit", "--length", "200b", "--ip", "6")
    labs.fine("traffic", "start", "mine", "a/c1", "a/c2", "--name", "small", *udp)
    labs.fine("traffic", "start", "mine", "b/c1", "b/c2", "--name", "short", "--for", "300ms")
    wait_for(lambda: flows("mine")["short"]["state"] == "ended", "it goes on")
    wait_for(lambda: flows("mine")["small"]["goodput_mbit"], "no rate")
    found = json.loads(labs.fine("traffic", "list", "mine", "--json"))
    assert [flow["state"] for flow in found] == ["running", "running", "ended"]
    assert found[0]["tcp"] == {"parallel": 2}
    assert 0.5 < found[1]["goodput_mbit"] < 1.5
    assert found[2]["received"] > 10_000
    assert "udp 1mbit ipv6" in labs.fine("traffic", "list", "mine")
    labs.fine("traffic", "stop", "mine", "small")
    assert flows("mine").keys() == {"flow-1", "short"}
    # What ends by itself is told.
    labs.fine("stop", "mine", "a/c2")
    wait_for(lambda: flows("mine")["flow-1"]["state"] == "ended", "it goes on")
    assert "flow-1 has ended: " in labs.fine("events", "mine")
    labs.fine("traffic", "stop", "mine", "--all")
    assert (flows("mine"), iperf3s(labs)) == ({}, 0)


REFUSED = [
    (("a/c1", "a/c9"), 2, "there is no node 'a/c9'; did you mean"),
    (("a/c1", "b/c2"), 2, "networks do not reach each other"),
    (("a/c1", "a/c2", "--name", "taken"), 2, "a flow 'taken' runs already"),
    (("a/c1", "a/r2", "--congestion", "none-such"), 1, "unable to set TCP_CONGESTION"),
    (("a/c1", "a/c2", "--udp", "fast"), 2, "fast"),
    (("b/c1", "b/c2"), 2, "b/c1 is paused"),
    (("b/c2", "b/c1"), 2, "b/c1 is paused"),
    (("b/r2", "b/r1"), 2, "b/r2 has no route to b/r1 (10.0.128.1)"),
]


def test_traffic_that_cannot_be(labs: Labs) -> None:
    labs.up("mine")
    labs.fine("traffic", "start", "mine", "a/c1", "a/c2", "--name", "taken", "--udp", "1mbit")
    labs.fine("pause", "mine", "b/c1")
    labs.exec("mine", "b/r2", "ip", "route", "flush", "root", "0/0")
    for words, status, why in REFUSED:
        done = labs.call("traffic", "start", "mine", *words)
        assert (done.status, why in done.err) == (status, True), done
    assert flows("mine").keys() == {"taken"}
    assert iperf3s(labs) == 2
    assert labs.call("traffic", "stop", "mine", "other").status == 2


SCRIPT = """
pause b/c1
traffic start old a/c1 a/c2 udp 1mbit
record session.yaml
traffic start f a/c1 a/c2 udp 2mbit
reshape a/core limit 10mbit
a/r1 true
traffic stop f
create a/r3 rm2
add a/x r1 r3 limit 1mbit
create-network c c.yaml
do {batch: [{cut: a/x}, {pause: a/r3}]}
stop a/c2
start a/c2
traffic start f a/c1 a/c2
fail rm1-rm2
record stop
"""
CHANGES = [
    "pause b/c1",
    "reshape a/core limit 10mbit",
    "create a/r3 on rm2",
    "add a/x between r1 and r3",
    "create network c",
    "cut a/x, pause a/r3",
    "stop a/c2",
    "start a/c2",
    "fail rm1-rm2",
]


def events(folder: Path) -> list[str]:
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [r["what"] for r in map(json.loads, lines) if r["kind"] == "event"]


def test_a_session_is_recorded_and_repeated(labs: Labs) -> None:
    folder = labs.host.folder
    text = "routers: {r1: {on: rm1}, r2: {on: rm2}}\nlinks: [{endpoints: [r1, r2]}]\n"
    (folder / "c.yaml").write_text(text)
    (folder / "session.vn").write_text(SCRIPT)
    labs.fine("up", LAB, "--run", "session.vn")
    assert "session.yaml: fine" in labs.fine("check", "session.yaml")
    recorded = (folder / "session.yaml").read_text()
    assert "not repeated: a/r1 true" in recorded
    assert re.search(r"# [^ ]*, not repeated: old has ended: ", recorded)
    assert [line.split(",")[0] for line in recorded.splitlines() if "{name: " in line] == [
        *("- {name: old", "- {name: f", "- {name: f-2"),
    ]
    labs.fine("run", "session.yaml", "--time-scale", "0.5", "--no-report", "--out", "again")
    assert events(folder / "again") == CHANGES


def test_a_recording_outlives_its_shell(labs: Labs, on_terminal: Open) -> None:  # noqa: F811
    labs.up("mine")
    terminal: Terminal = on_terminal("attach", "mine")
    terminal.expect("mine>")
    terminal.type("record session.yaml\r")
    terminal.expect("recording to session.yaml")
    labs.fine("cut", "mine", "a/core")  # by another
    part = labs.host.folder / "session.yaml.part"
    wait_for(lambda: "cut: a/core" in part.read_text(), "it is not written")
    os.kill(terminal.process.pid, signal.SIGKILL)
    terminal.end()
    assert "fine" in labs.fine("check", part)
    again: Terminal = on_terminal("attach", "mine")
    again.expect("mine>")
    again.type("record session.yaml\r")
    again.expect("session.yaml.part: is there already")
    again.type("record other.yaml\r")
    again.expect("recording to other.yaml")
    again.type("traffic start b/c1 b/c2\rrecord\r")
    again.expect("flow-1: b/c1 -> b/c2, tcp")
    again.expect("recording to other.yaml")
    again.process.terminate()
    again.expect("recorded other.yaml")
    assert again.end() == 128 + signal.SIGTERM
    assert "at: 0s, cut: a/core" in (labs.host.folder / "other.yaml").read_text()


def test_recorded_until_interrupted(labs: Labs) -> None:
    labs.up("mine")
    recording = labs.host.start("record", "mine", "session.yaml")
    part = labs.host.folder / "session.yaml.part"
    wait_for(part.exists, "it does not begin")
    labs.fine("cut", "mine", "a/core")
    recording.send_signal(signal.SIGINT)
    recording.communicate(timeout=30)
    assert recording.returncode == 0
    assert not part.exists()
    assert "cut: a/core" in (labs.host.folder / "session.yaml").read_text()
