"""Labs that run while other commands look at them, change them and end them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vnemu.sessions import client

from .conftest import _MARK, ROOT, TOPOLOGIES, Done, Host
from .private_kernel import BEFORE, NEEDS, PATIENCE_S, comm, wait_for
from .terminal import Terminal

LAB = TOPOLOGIES / "wowkivs2009.yaml"
RING = TOPOLOGIES / "ring4-ospf.yaml"


class Labs:
    """The commands on running labs, as a user calls them; ended with the test."""

    def __init__(self, host: Host, before: tuple[str, ...] = ()) -> None:
        self.host = host
        self.before = before

    def call(self, *argv: str | Path) -> Done:
        return self.host.run(*argv, before=self.before)

    def fine(self, *argv: str | Path) -> str:
        done = self.call(*argv)
        assert done.status == 0, done.err
        return done.out

    def up(self, name: str, *options: str | Path, file: Path = LAB) -> None:
        assert self.fine("up", file, "--detach", "--name", name, *options) == f"{name}\n"

    def exec(
        self, lab: str, node: str, *argv: str, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        whole = [*self.before, sys.executable, "-m", "vnemu", "exec", lab, node, "--", *argv]
        return subprocess.run(
            whole, input=stdin, env=self.environment, capture_output=True, timeout=20, check=False
        )

    @property
    def environment(self) -> dict[str, str]:
        own = {_MARK: self.host.mark, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.host.scratch)}
        return {**os.environ, **own}

    def ps(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.fine("ps", "--json"))
        return found

    def names(self) -> list[str]:
        return [lab["name"] for lab in client.overviews()]

    def down_all(self) -> None:
        """End those that still run."""
        if self.names():
            self.fine("down", "--all")

    def inspect(self, lab: str) -> dict[str, Any]:
        """What the command says; this process asks in its place, and is quicker."""
        found: dict[str, Any] = client.ask(lab, "inspect")
        return found


@pytest.fixture
def labs(host: Host) -> Iterator[Labs]:
    own = Labs(host)
    yield own
    own.down_all()


@pytest.mark.parametrize("before", [(), BEFORE], ids=["as-called", "ordinary-user"])
def test_the_life_of_a_lab(host: Host, before: tuple[str, ...]) -> None:
    labs = Labs(host, before)
    labs.up("one")
    (about,) = labs.ps()
    assert (about["name"], about["state"], about["nodes"]) == ("one", "running", 8)
    done = labs.exec("one", "a/r1", "sh", "-c", "cat; echo no >&2; exit 7", stdin=b"a\0b")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"a\0b", b"no\n")
    assert labs.exec("one", "a/c1", "ping", "-c1", "-W5", "10.0.0.9").returncode == 0
    assert labs.fine("pause", "one", "a/r1").startswith("pause a/r1 (")
    labs.fine("do", "one", "resume: a/r1", "reshape: a/core, limit: 10mbit")
    labs.fine("cut", "one", "a/core", "--direction", "r1>r2")
    found = json.loads(labs.fine("inspect", "one", "--json"))
    assert found["nodes"]["a/r1"]["state"] == "running"
    assert found["nodes"]["a/r1"]["machine"] == "rm1"
    assert found["links"]["a/core"]["limit"] == "10mbit"
    assert found["links"]["a/core"]["cut"] == ["r1>r2"]
    assert "a/core" in labs.fine("inspect", "one")
    kinds = [json.loads(line)["kind"] for line in labs.fine("events", "one", "--json").splitlines()]
    assert [kind for kind in kinds if kind != "note"] == ["state", "change", "change", "change"]
    labs.fine("down", "one")
    assert labs.ps() == []


EVERY_VERB = [
    (("stop", "a/r1"), lambda lab: lab["nodes"]["a/r1"]["state"] == "stopped"),
    (("start", "a/r1"), lambda lab: lab["nodes"]["a/r1"]["state"] == "running"),
    (("pause", "b"), lambda lab: lab["networks"]["b"]["state"] == "paused"),
    (("resume", "b"), lambda lab: lab["networks"]["b"]["state"] == "running"),
    (("create", "a/r3", "--on", "rm2"), lambda lab: lab["nodes"]["a/r3"]["machine"] == "rm2"),
    (("add", "a/x", "r1", "r3", "--limit", "1mbit"), lambda lab: "a/x" in lab["links"]),
    (("copy", "a/r1", "a/r4", "--on", "rm2"), lambda lab: "a/r4" in lab["nodes"]),
    (("destroy", "a/r4"), lambda lab: "a/r4" not in lab["nodes"]),
    (("move", "a/r3", "--to", "rm1"), lambda lab: lab["nodes"]["a/r3"]["machine"] == "rm1"),
    (("remove", "a/x"), lambda lab: "a/x" not in lab["links"]),
    (("unplug", "a/core"), lambda lab: not lab["links"]["a/core"]["carrier"]),
    (("plug", "a/core"), lambda lab: lab["links"]["a/core"]["carrier"]),
    (("cut", "a/core"), lambda lab: len(lab["links"]["a/core"]["cut"]) == 2),
    (("mend", "a/core"), lambda lab: not lab["links"]["a/core"]["cut"]),
    (("fail", "rm1-rm2"), lambda lab: lab["failed"]["links"] == ["rm1-rm2"]),
    (("repair", "rm1-rm2"), lambda lab: not lab["failed"]["links"]),
    (
        ("reshape", "a/core", "--guarantee", "30mbit"),
        lambda lab: lab["links"]["a/core"]["guarantee"] == "30mbit",
    ),
    (("limit", "a/r1", "--cpus", "none"), lambda lab: lab["nodes"]["a/r1"]["limits"] == {}),
    (
        ("create-network", "c", "c.yaml"),
        lambda lab: lab["networks"]["c"]["routers"] == ["c/r1", "c/r2"],
    ),
    (("destroy-network", "c"), lambda lab: "c" not in lab["networks"]),
]


def test_every_verb(labs: Labs) -> None:
    text = "routers: {r1: {on: rm1}, r2: {on: rm2}}\nlinks: [{endpoints: [r1, r2]}]\n"
    (labs.host.folder / "c.yaml").write_text(text)
    labs.up("verbs")
    for (verb, *words), holds in EVERY_VERB:
        labs.fine(verb, "verbs", *words)
        assert holds(labs.inspect("verbs")), verb


@pytest.fixture(scope="class")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    labs = Labs(Host(tmp_path_factory.mktemp("refused")))
    labs.up("taken")
    yield labs
    labs.fine("down", "taken")


class TestRefused:
    """What a lab refuses, and the commands do; one lab for all of them."""

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            (("up", LAB, "--name", "taken"), "a lab 'taken' runs already"),
            (("ps", "--jsn"), "No such option"),
            (("inspect", "takn"), "no lab 'takn' runs; did you mean 'taken'?"),
            (("exec", "taken", "a/r9", "--", "true"), "there is no node 'a/r9'"),
            (("do", "taken", "pause: a/r9"), "there is no node 'a/r9'; did you mean"),
            (("do", "taken", "pause: a/r1", "resume: a/r2"), "a/r2 is running already"),
            (("move", "taken", "a/r1", "--to", "rm9"), "there is no machine 'rm9'"),
            (("reshape", "taken", "a/core"), "reshape changes nothing"),
            (("reshape", "taken", "a/core", "--guarantee", "33mbit"), "rm1-rm2"),
            (("down",), "name the labs to end, or give --all"),
        ],
    )
    def test_what_is_refused(self, taken: Labs, argv: tuple[str | Path, ...], message: str) -> None:
        done = taken.call(*argv)
        assert done.status == 2
        assert message in done.err
        found = taken.inspect("taken")
        assert {node["state"] for node in found["nodes"].values()} == {"running"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_lab_in_the_foreground(labs: Labs, number: signal.Signals) -> None:
    process = labs.host.start("up", LAB)
    wait_for(lambda: [lab["state"] for lab in labs.ps()] == ["running"], "it does not run")
    send = os.killpg if number == signal.SIGINT else os.kill
    send(process.pid, number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "vnemu down wowkivs2009" in err
    assert labs.names() == []


def ours(host: Host) -> list[int]:
    return sorted(pid for pid in host.processes() if comm(pid).startswith("python"))


@pytest.mark.parametrize("which", range(4))
def test_kill_of_any_process_ends_a_lab(labs: Labs, which: int) -> None:
    """Caller, keeper, supervisor and the lab itself, in this order."""
    labs.up("victim")
    os.kill(ours(labs.host)[which], signal.SIGKILL)
    wait_for(lambda: not labs.host.processes(), "something is left")
    assert labs.names() == []
    labs.up("victim")
    assert labs.names() == ["victim"]


def test_a_lab_that_hangs_is_shown_and_ended(labs: Labs) -> None:
    labs.up("hanging")
    os.kill(ours(labs.host)[3], signal.SIGSTOP)
    (about,) = labs.ps()
    assert about["state"] == "no answer"
    os.kill(about["pid"], signal.SIGKILL)
    wait_for(lambda: not labs.host.processes(), "something is left")
    assert labs.names() == []


def test_labs_side_by_side(labs: Labs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of this user, and one of somebody else that --all does not touch."""
    labs.up("one")
    labs.up("two")
    assert labs.names() == ["one", "two"]
    labs.fine("pause", "one", "a/r1")
    assert labs.inspect("two")["nodes"]["a/r1"]["state"] == "running"
    with monkeypatch.context() as other:
        other.setenv("XDG_RUNTIME_DIR", str(labs.host.scratch))
        labs.up("one")
        assert labs.names() == ["one"]
    labs.fine("down", "--all")
    assert labs.names() == []
    with monkeypatch.context() as other:
        other.setenv("XDG_RUNTIME_DIR", str(labs.host.scratch))
        assert labs.inspect("one")["nodes"]["a/r1"]["state"] == "running"
        labs.fine("down", "one")


def test_what_does_not_come_up_leaves_no_name(labs: Labs) -> None:
    options = ("--set", "underlay.links.0.delay=1ms", "--kernel", "native")
    done = labs.call("up", LAB, "--detach", *options)
    if done.status == 0:
        labs.fine("down", "wowkivs2009")
        pytest.skip("this kernel has netem")
    assert done.status == 3
    assert "netem" in done.err
    assert labs.names() == []


def test_events_are_followed_to_the_end(labs: Labs) -> None:
    labs.up("told")
    follower = labs.host.start("events", "told", "--follow")
    assert follower.stdout is not None
    while "lab told runs" not in follower.stdout.readline():
        pass
    labs.fine("cut", "told", "a/core")
    assert "cut a/core (" in follower.stdout.readline()
    labs.fine("down", "told")
    _, err = follower.communicate(timeout=PATIENCE_S)
    assert (follower.returncode, err) == (0, "")


def test_logs_of_routers(labs: Labs) -> None:
    done = labs.call("up", RING, "--detach", "--name", "ring", "--kernel", "native")
    if done.status == 3:
        pytest.skip(done.err)
    assert "==> ring/r1 bird <==" in labs.fine("logs", "ring")
    assert list(json.loads(labs.fine("logs", "ring", "ring/r2", "--json"))) == ["ring/r2"]
    assert labs.inspect("ring")["nodes"]["ring/r1"]["pid"] > 1


def test_a_command_ends_with_whoever_called_it(labs: Labs) -> None:
    labs.up("left")
    caller = labs.host.start("exec", "left", "a/r1", "--", "sleep", "1000")
    sleeping = wait_for(lambda: [p for p in labs.host.processes() if comm(p) == "sleep"], "none")
    caller.kill()
    caller.communicate(timeout=PATIENCE_S)
    wait_for(lambda: not Path(f"/proc/{sleeping[0]}").exists(), "it sleeps on")


def test_ctrl_c_reaches_the_command(labs: Labs) -> None:
    labs.up("pinging")
    ping = labs.host.start("exec", "pinging", "a/r1", "--", "ping", "10.0.0.2")
    assert ping.stdout is not None
    while "icmp_seq=1 " not in ping.stdout.readline():
        pass
    os.killpg(ping.pid, signal.SIGINT)
    out, _ = ping.communicate(timeout=PATIENCE_S)
    assert ping.returncode == 0
    assert "0% packet loss" in out


@pytest.fixture
def on_terminal(host: Host) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(labs: Labs, *argv: str) -> Terminal:
        whole = [sys.executable, "-m", "vnemu", *argv]
        opened.append(Terminal(host.folder, labs.environment, whole))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


def shell_session(terminal: Terminal) -> None:
    for size in ((30, 100), (40, 120)):
        terminal.resize(*size)
        time.sleep(0.3)
        terminal.expect(r"# ")
        terminal.type("stty size\r")
        terminal.expect("{} {}\r\n".format(*size))
    terminal.expect(r"# ")
    terminal.type("sh -c 'echo here; sleep 100'\r")
    terminal.expect(r"here\r\n")
    time.sleep(0.3)  # the shell may still be handing the terminal over
    terminal.type("\x03")
    terminal.expect(r"# ")
    terminal.type("echo status $?\r")
    terminal.expect(r"status 130")
    terminal.type("exit 5\r")
    assert terminal.end() == 5
    assert terminal.get_settings() == terminal.settings


def test_a_shell_on_a_terminal(labs: Labs, on_terminal: Callable[..., Terminal]) -> None:
    """The window's size and its changes, Ctrl-C, job control, and everything as before."""
    labs.up("typed")
    shell_session(on_terminal(labs, "exec", "typed", "a/r1", "--", "bash", "--norc"))


def test_the_terminal_is_as_before_when_the_lab_is_killed(
    labs: Labs, on_terminal: Callable[..., Terminal]
) -> None:
    labs.up("typed")
    lab = ours(labs.host)[3]
    terminal = on_terminal(labs, "exec", "typed", "a/r1", "--", "bash", "--norc")
    terminal.expect("# ")
    os.kill(lab, signal.SIGKILL)
    assert terminal.end() == 1
    assert terminal.get_settings() == terminal.settings


@pytest.fixture
def private(labs: Labs) -> Labs:
    labs.up("inner", "--kernel", "private")
    return labs


class TestPrivate:
    """The same from outside of a private kernel, in which the lab is."""

    pytestmark = NEEDS

    def test_the_life_of_a_lab(self, private: Labs) -> None:
        assert private.ps()[0]["kernel"] == "private kernel"
        data = os.urandom(300_000)
        text = "cat; echo no >&2; exit 7"
        done = private.exec("inner", "a/r1", "sh", "-c", text, stdin=data)
        assert (done.returncode, done.stderr) == (7, b"no\n")
        assert done.stdout == data
        private.fine("reshape", "inner", "a/core", "--delay", "5ms")
        assert private.inspect("inner")["links"]["a/core"]["delay"] == "5ms"
        refused = private.call("resume", "inner", "a/r1")
        assert (refused.status, refused.out) == (2, "")
        assert "a/r1 is running already" in refused.err
        private.fine("down", "inner")
        assert private.names() == []

    def test_a_shell_on_a_terminal(
        self, private: Labs, on_terminal: Callable[..., Terminal]
    ) -> None:
        shell_session(on_terminal(private, "exec", "inner", "a/r1", "--", "bash", "--norc"))

    @pytest.mark.parametrize("which", [0, 3])
    def test_kill_ends_a_lab(self, private: Labs, which: int) -> None:
        """The caller, and what boots the kernel."""
        os.kill(ours(private.host)[which], signal.SIGKILL)
        wait_for(lambda: not private.host.processes(), "something is left")
        assert private.names() == []
