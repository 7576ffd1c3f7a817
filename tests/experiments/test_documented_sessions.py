"""The sessions that the documents show are typed on a terminal, and show what they say.

In a ``shell-session`` block the first line starts a shell; behind each prompt is what is typed, and
below it lines of what is shown then, in that order. ``^C`` is that key. "…" stands for something
more, and a number with a point for any other: times and rates differ.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator

import pytest

from .conftest import Host
from .terminal import Terminal
from .test_docs import Block, of_language, page_folder, with_ids
from .test_running_labs import Labs

__all__ = ["page_folder"]

_TYPED = re.compile(r"([\w./-]+>) (.*)")
_NUMBER = re.compile(r"(?<![\d.])\d+\\\.\d+(?![\d.])")
# What is before a line is not a part of its first word.
_BEFORE = r"(\x1b\[[\d;?]*[a-zA-Z]|(?<![\w.]))"


@pytest.fixture
def terminal(page_folder: Host, block: Block) -> Iterator[Terminal]:
    command = shlex.split(block.text.splitlines()[0].removeprefix("$ vnemu "))
    state = {"XDG_STATE_HOME": str(page_folder.folder / "state")}
    environment = {**Labs(page_folder).environment, **state}
    argv = [sys.executable, "-m", "vnemu", *command]
    own = Terminal(page_folder.folder, environment, argv)
    yield own
    own.close()


@pytest.mark.parametrize("block", with_ids(of_language("shell-session")))
def test_a_session(terminal: Terminal, block: Block) -> None:
    for line in block.text.splitlines()[1:]:
        if found := _TYPED.fullmatch(line):
            terminal.expect(rf"\?2004h[^\n]*{re.escape(found[1])}")
            terminal.type(f"{found[2]}\r")
        elif line == "^C":
            terminal.type("\x03")
        elif line.strip() not in ("", "…"):
            terminal.expect(shown(line))
    assert terminal.end() == 0


def shown(line: str) -> str:
    """What is looked for on the terminal."""
    escaped = r"\s+".join(map(re.escape, line.split())).replace("…", ".*")
    return _BEFORE + _NUMBER.sub(r"\\d+\\.?\\d*", escaped)


def test_what_is_looked_for() -> None:
    assert re.match(shown("0% lost  (… ms)"), "0% lost (17 ms)")
    assert re.search(shown("c1: 9.59 Mbit/s"), "a/c1: 12 Mbit/s")
    assert re.search(shown("up a/x"), "\x1b[?2004lup a/x")
    assert not re.search(shown("0% lost"), "100% lost")
    assert not re.search(shown("via 10.0.0.2 dev"), "via 10.0.0.13 dev")
