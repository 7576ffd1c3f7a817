"""The capsule ends whole, whatever is killed; seen from outside of it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "topologies" / "wowkivs2009.yaml"
PATIENCE_S = 5.0

ENTER = "from vnemu import capsule\ncapsule.enter()\n"
# Python sleeps on when a signal comes right before it falls asleep.
WAIT = "print('ready', flush=True)\nimport time\nwhile True: time.sleep(0.05)\n"
LAB = f"""
from vnemu.lab import Lab
with Lab.from_file({str(PAPER)!r}) as lab:
    sleepers = [lab[path].popen("sleep", "61") for path in lab.topology.nodes]
    {WAIT.replace(chr(10), chr(10) + "    ")}
"""


class Program:
    """A program in a process of its own, and all that comes from it, found by a mark."""

    def __init__(self, text: str) -> None:
        self.mark = f"VNEMU_TEST_MARK={uuid.uuid4()}"
        name, _, value = self.mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-c", text],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, name: value, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            start_new_session=True,
            text=True,
        )

    def wait_until_ready(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.end()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err

    def alive(self) -> list[int]:
        """All living processes with the mark."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and self.mark.encode() in _environment(entry)
        ]

    def supervisor(self) -> int:
        """The first process inside: the child of the one outside."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return int(path.read_text().split()[0])

    def is_gone(self) -> bool:
        deadline = time.monotonic() + PATIENCE_S
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        return not self.alive()


def _environment(process: Path) -> bytes:
    with contextlib.suppress(OSError):
        return (process / "environ").read_bytes()
    return b""


@contextlib.contextmanager
def running(text: str) -> Iterator[Program]:
    program = Program(text)
    try:
        yield program
    finally:
        program.process.kill()
        program.process.communicate(timeout=20)


def result(text: str) -> tuple[int, str, str]:
    with running(text) as program:
        found = program.end()
        assert program.is_gone()
        return found


@pytest.mark.parametrize("status", [0, 1, 3, 255])
def test_exit_status(status: int) -> None:
    assert result(f"{ENTER}raise SystemExit({status})")[0] == status


def test_an_exception_is_shown_and_is_1() -> None:
    status, _, err = result(f"{ENTER}raise ValueError('for a test')")
    assert status == 1
    assert "ValueError: for a test" in err


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_death_by_a_signal_is_128_and_its_number(number: signal.Signals) -> None:
    assert result(f"{ENTER}import os\nos.kill(os.getpid(), {int(number)})")[0] == 128 + number


def test_output_is_not_repeated() -> None:
    _, out, _ = result(f"print('before')\n{ENTER}print('after')")
    assert out == "before\nafter\n"


INSIDE = """
import os, socket, pathlib
print(os.getpid(), os.getppid(), [name for _, name in socket.if_nameindex()])
print(list(pathlib.Path('/run').iterdir()))
socket.sethostname('of-the-test')
print(capsule.inside(), bool(capsule.kind()))
"""


def test_what_is_seen_inside() -> None:
    name = os.uname().nodename
    _, out, err = result(ENTER + INSIDE)
    assert out == "2 1 ['lo']\n[]\nTrue True\n", err
    assert os.uname().nodename == name


def test_a_second_call_does_nothing() -> None:
    _, out, _ = result(f"{ENTER}import os\ncapsule.enter()\nprint(os.getpid())")
    assert out == "2\n"


def test_outside_it_is_not_inside() -> None:
    _, out, _ = result("from vnemu import capsule\nprint(capsule.inside(), repr(capsule.kind()))")
    assert out == "False ''\n"


def test_a_lab_says_that_it_needs_a_capsule() -> None:
    status, _, err = result(f"from vnemu.lab import Lab\nwith Lab.from_file({str(PAPER)!r}): pass")
    assert status == 1
    assert "a lab runs in a capsule: call vnemu.capsule.enter() first" in err


ORPHAN = "import subprocess\nsubprocess.Popen(['sleep', '62'], start_new_session=True)\n"


def test_what_was_left_running_ends_with_the_program() -> None:
    status, _, _ = result(f"{ENTER}{ORPHAN}")
    assert status == 0


@pytest.mark.parametrize("text", [ENTER + WAIT, ENTER + LAB], ids=["bare", "lab"])
class TestKill:
    def test_of_the_process_outside(self, text: str) -> None:
        with running(text) as program:
            program.wait_until_ready()
            program.process.kill()
            assert program.is_gone()

    def test_of_the_supervisor(self, text: str) -> None:
        with running(text) as program:
            program.wait_until_ready()
            os.kill(program.supervisor(), signal.SIGKILL)
            assert program.end()[0] == 128 + signal.SIGKILL
            assert program.is_gone()

    def test_of_the_program(self, text: str) -> None:
        with running(text) as program:
            program.wait_until_ready()
            first = program.supervisor()
            children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
            os.kill(int(children[0]), signal.SIGKILL)
            assert program.end()[0] == 128 + signal.SIGKILL
            assert program.is_gone()

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
    def test_politely(self, text: str, number: signal.Signals) -> None:
        with running(text) as program:
            program.wait_until_ready()
            program.process.send_signal(number)
            status, _, err = program.end()
            assert "KeyboardInterrupt" in err
            assert status == 128 + signal.SIGINT
            assert program.is_gone()

    def test_as_ctrl_c_does(self, text: str) -> None:
        with running(text) as program:
            program.wait_until_ready()
            os.killpg(program.process.pid, signal.SIGINT)
            status, _, err = program.end()
            assert err.count("Traceback") == 1
            assert status == 128 + signal.SIGINT
            assert program.is_gone()


def test_what_is_to_be_done_at_the_end_is_done_after_sigterm() -> None:
    text = f"{ENTER}try:\n  {WAIT.replace(chr(10), chr(10) + '  ')}\nfinally:\n  print('done')"
    with running(text) as program:
        program.wait_until_ready()
        program.process.terminate()
        assert program.end()[1] == "done\n"


def test_signals_right_at_the_start_leave_nothing() -> None:
    for delay_ms in range(0, 100, 20):
        with running(ENTER + WAIT) as program:
            time.sleep(delay_ms / 1000)
            program.process.kill()
            assert program.is_gone()
