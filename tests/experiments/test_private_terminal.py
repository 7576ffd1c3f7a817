"""A private kernel on a terminal."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from .conftest import result_of
from .private_kernel import FIG6, NEEDS, VICTIMS, WAYS, Inside
from .terminal import Terminal

pytestmark = NEEDS


@pytest.fixture
def on_terminal(inside: Inside) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*argv: str) -> Terminal:
        opened.append(Terminal(inside.host.folder, inside.environment, list(argv)))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize("way", ["as-called", "without-namespaces"])
def test_an_interactive_program(
    inside: Inside, on_terminal: Callable[..., Terminal], way: str
) -> None:
    """Line editing, the window's size and its changes, Ctrl-C, and everything as before."""
    argv = inside.argv(sys.executable, "-q", before=WAYS[way])
    terminal = on_terminal(*argv)
    terminal.expect(">>> ")
    terminal.type("12*12)\x01print(\r")
    terminal.expect(r"\n144\r\n")
    terminal.type("import os, time; os.get_terminal_size()\r")
    terminal.expect(r"columns=100, lines=30")
    # Readline sets the size that it has just asked for, when it begins with a line.
    time.sleep(0.5)
    terminal.resize(40, 120)
    time.sleep(0.5)
    terminal.type("os.get_terminal_size()\r")
    terminal.expect(r"columns=120, lines=40")
    # One long sleep could be slept through: see WAIT.
    terminal.type("print('sleeping'); [time.sleep(0.05) for _ in iter(int, 1)]\r")
    terminal.expect(r"\nsleeping\r\n")
    terminal.type("\x03")
    terminal.expect("KeyboardInterrupt")
    terminal.type("exit(5)\r")
    assert terminal.end() == 5
    assert terminal.get_settings() == terminal.settings


@pytest.mark.parametrize("victim", ["booter", "kernel"])
def test_the_terminal_is_as_before_after_a_kill(
    inside: Inside, on_terminal: Callable[..., Terminal], victim: str
) -> None:
    terminal = on_terminal(*inside.argv(sys.executable, "-q"))
    terminal.expect(">>> ")
    assert terminal.get_settings() != terminal.settings
    os.kill(VICTIMS[victim](inside), signal.SIGKILL)
    assert terminal.end() != 0
    assert terminal.get_settings() == terminal.settings


def test_a_run_on_a_terminal(inside: Inside, on_terminal: Callable[..., Terminal]) -> None:
    """Colours and a bar; Ctrl-C gives the run time to finish its folder."""
    folder = inside.host.folder / "run"
    options = ("--kernel", "private", "--out", str(folder))
    terminal = on_terminal(sys.executable, "-m", "vnemu", "run", str(FIG6), *options)
    terminal.expect("running")
    terminal.expect(r"\x1b\[[0-9;]*m")
    terminal.expect(r"Mbit/s")
    terminal.type("\x03")
    assert terminal.end() == 1
    assert result_of(folder)["status"] == "interrupted"
    assert terminal.get_settings() == terminal.settings
