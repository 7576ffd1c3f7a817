"""The shell of a lab: typed key by key on a terminal, from files, and piped in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from .conftest import Host
from .private_kernel import BEFORE, NEEDS, PATIENCE_S, comm, wait_for
from .terminal import Terminal
from .test_running_labs import LAB, Labs

Open = Callable[..., Terminal]


@pytest.fixture
def labs(host: Host) -> Iterator[Labs]:
    own = Labs(host)
    yield own
    own.down_all()


@pytest.fixture
def on_terminal(host: Host) -> Iterator[Open]:
    opened: list[Terminal] = []

    def start(*argv: str, before: tuple[str, ...] = ()) -> Terminal:
        state = {"XDG_STATE_HOME": str(host.folder / "state")}
        whole = [*before, sys.executable, "-m", "vnemu", *argv]
        opened.append(Terminal(host.folder, {**Labs(host).environment, **state}, whole))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


SLEEPER = (
    'python3 -c \'import time; print("slee" + "ping", flush=True); '
    "[time.sleep(0.1) for _ in iter(int, 1)]'"
)


def session(terminal: Terminal, name: str, *, reshape: str = "limit=10mbit") -> None:
    """What a person does: each line ends with a prompt on which the next one can be typed."""

    def prompt() -> None:
        terminal.expect(rf"\?2004h[^\n]*{name}>")

    prompt()
    terminal.type("a/c1 ping -c1 -W9 c2\r")
    terminal.expect("1 received")
    prompt()
    terminal.type("resh\ta/co\t" + reshape + "\r")
    terminal.expect(r"reshape a/core [^\n]* ms\)")
    prompt()
    terminal.type("a/r1\r")
    terminal.expect("a/r1# ")
    terminal.type("stty size\r")
    terminal.expect("30 100\r\n")
    terminal.type("exit\r")
    prompt()
    # One process, for what forks just then may miss the key; and short sleeps, for a long one
    # could be slept through in the private kernel: see WAIT of private_kernel.py.
    terminal.type(f"a/r1 {SLEEPER}\r")
    terminal.expect("sleeping\r\n")
    terminal.type("\x03")
    prompt()
    terminal.type("a/c2 iperf3 -s -D\r")
    prompt()
    terminal.type("a/c2 sleep 72 &\r")
    prompt()
    terminal.type("a/c2 cat /proc/[0-9]*/cmdline\r")
    terminal.expect(r"iperf3\W-s\W.*sleep\W72")
    prompt()
    terminal.type("watch\r")
    terminal.expect("GUARANTEE")
    terminal.type("\x03")
    prompt()
    terminal.type("link a/r1 a/r2\r")
    terminal.expect(r"write it like: link A B up\|down")
    prompt()


@pytest.mark.parametrize("before", [(), BEFORE], ids=["as-called", "ordinary-user"])
def test_a_session(host: Host, on_terminal: Open, before: tuple[str, ...]) -> None:
    """up on a terminal is a shell, and the lab ends with it."""
    terminal = on_terminal("up", str(LAB), "--name", "mine", before=before)
    session(terminal, "mine")
    terminal.type("\x1b[A")  # history
    terminal.expect("link a/r1 a/r2")
    terminal.type("\x03\x04")
    assert terminal.end() == 0
    assert terminal.get_settings() == terminal.settings
    assert Labs(host, before).ps() == []


def test_attached_shells_leave_the_lab_alone(labs: Labs, on_terminal: Open) -> None:
    labs.up("mine")
    first, second = on_terminal("attach", "mine"), on_terminal("attach", "mine")
    first.expect("mine>")
    second.expect("mine>")
    first.type("pause a/r1\r")
    first.expect(r"pause a/r1 \(")
    second.type("a/r1 true\r")
    second.expect("a/r1 is paused")
    first.type("quit\r")
    assert first.end() == 0
    assert labs.names() == ["mine"]
    labs.fine("down", "mine")
    second.expect("lab 'mine' has ended")
    assert second.end() == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_lab_ends_with_its_shell(labs: Labs, on_terminal: Open, number: signal.Signals) -> None:
    terminal = on_terminal("up", str(LAB))
    terminal.expect("wowkivs2009>")
    os.kill(min(pid for pid in labs.host.processes() if comm(pid).startswith("python")), number)
    terminal.end()
    wait_for(lambda: not labs.host.processes(), "something is left")
    assert labs.names() == []
    if number != signal.SIGKILL:
        assert terminal.get_settings() == terminal.settings


def test_an_attached_shell_that_is_ended(labs: Labs, on_terminal: Open) -> None:
    labs.up("mine")
    terminal = on_terminal("attach", "mine")
    terminal.expect("mine>")
    terminal.process.terminate()
    assert terminal.end() == 128 + signal.SIGTERM
    assert terminal.get_settings() == terminal.settings
    assert labs.names() == ["mine"]


def test_a_login_shell(labs: Labs, on_terminal: Open) -> None:
    labs.up("mine")
    terminal = on_terminal("shell", "mine", "a/r1")
    terminal.expect("a/r1# ")
    terminal.type("exit 7\r")
    assert terminal.end() == 7


SCRIPT = """
# everybody reaches everybody
pingall
reshape a/core limit 10mbit
iperf a/c1 a/c2 1s
watch
py print(run("a/r1", "hostname").strip() or "no name")
"""


def test_a_script(labs: Labs) -> None:
    (labs.host.folder / "fine.vn").write_text(SCRIPT)
    shown = labs.fine("up", LAB, "--run", "fine.vn")
    assert "0% lost (4 of 4 answered)" in shown
    assert "Mbit/s TCP in 1 s" in shown
    assert "10mbit" in next(line for line in shown.splitlines() if line.startswith("a/core  "))
    assert labs.names() == []


def test_what_runs_is_saved_and_comes_up_again(labs: Labs) -> None:
    changes = (
        *("reshape a/core limit 10mbit", "create a/r3 rm2", "add a/x r1 r3 limit 1mbit"),
        *("limit a/r1 cpus 1", "move a/r2 rm1", "destroy-network b", "save saved.yaml"),
    )
    (labs.host.folder / "change.vn").write_text("\n".join(changes))
    labs.fine("up", LAB, "--run", "change.vn", "--detach", "--name", "first")
    labs.up("second", file=labs.host.folder / "saved.yaml")
    one, other = labs.inspect("first"), labs.inspect("second")
    assert one["links"].keys() == other["links"].keys()
    for path, node in one["nodes"].items():
        for key in ("machine", "nics", "loopbacks", "limits"):
            assert node[key] == other["nodes"][path][key], (path, key)
    assert labs.exec("second", "a/r3", "ping", "-c1", "-W5", "10.0.128.2").returncode == 0


def test_a_script_stops_at_its_first_failure(labs: Labs) -> None:
    (labs.host.folder / "wrong.vn").write_text("cut a/core\n\npingall a\nsh echo later\n")
    done = labs.call("up", LAB, "--run", "wrong.vn", "--detach", "--name", "mine")
    assert done.status == 1
    assert "wrong.vn:3: 'pingall a' ended with status 1" in done.err
    assert "100% lost" in done.out
    assert "later" not in done.out
    assert labs.names() == ["mine"]  # it was asked to go on
    assert labs.inspect("mine")["links"]["a/core"]["cut"]


def test_commands_that_are_piped_in(labs: Labs) -> None:
    labs.up("mine")

    def piped(text: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "vnemu", "attach", "mine"]
        return subprocess.run(
            argv,
            input=text,
            env=labs.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    # What a node's program could read are not the next commands.
    done = piped("a/r1 cat\na/r1 echo $((6*7))\npause a/r1\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("42\npause a/r1 (")
    done = piped("resume a/r1\nnodse\nnodes\n")
    assert done.returncode == 2
    assert "<stdin>:2: 'nodse' is no command and no node; did you mean 'nodes'?" in done.stderr


class TestPrivate:
    """The same with the lab in a private kernel."""

    pytestmark = NEEDS

    def test_a_session(self, labs: Labs, on_terminal: Open) -> None:
        options = ("--kernel", "private", "--name", "inner")
        terminal = on_terminal("up", str(LAB), *options)
        session(terminal, "inner", reshape="delay=5ms")
        terminal.type("record inner.yaml\r")
        terminal.expect("recording to inner.yaml")
        terminal.type("traffic start a/c1 a/c2 for 2s\r")
        terminal.expect("flow-1: a/c1 -> a/c2, tcp")
        terminal.type("quit\r")
        terminal.expect("recorded inner.yaml")
        assert terminal.end() == 0
        assert labs.names() == []
        recorded = (labs.host.folder / "inner.yaml").read_text()
        assert "- {name: flow-1, from: a/c1, to: a/c2, tcp: {}, start: " in recorded
