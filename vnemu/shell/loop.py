"""Where the lines of a shell come from: a terminal, or a file."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from vnemu.errors import VnemuError
from vnemu.sessions import client, folder
from vnemu.sessions.visit import on_terminal

# Each of them makes the commands that are in it known.
from vnemu.shell import (  # noqa: F401
    capturing,
    changing,
    flows,
    general,
    looking,
    saving,
    trying,
    watching,
)
from vnemu.shell.completion import complete
from vnemu.shell.recording import end_recording
from vnemu.shell.registry import COMMANDS
from vnemu.shell.session import Shell

if TYPE_CHECKING:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.completion import CompleteEvent, Completer
    from prompt_toolkit.document import Document
    from prompt_toolkit.history import History
    from prompt_toolkit.output import Output

Complain = Callable[[BaseException], int]


def converse(lab: str, complain: Complain) -> int:
    """A shell on a running lab, until who uses it leaves: on a terminal, or what is piped in.

    Parameters:
        complain: says what went wrong, and returns the status for it.

    Returns:
        0; or the status of the piped line that failed.

    Raises:
        VnemuError: if there is no such lab, or a piped line failed.
    """
    if not on_terminal():
        run_script(lab, sys.stdin, "<stdin>")
        return 0
    shell = Shell(lab)
    try:
        return _converse(shell, complain)
    finally:
        end_recording(shell)


def _converse(shell: Shell, complain: Complain) -> int:
    lab = shell.lab
    session = _session(shell)
    ended = threading.Event()
    threading.Thread(target=_await_end, args=(lab, session, ended), daemon=True).start()
    print(f"lab '{lab}': help shows the commands, Tab completes, Ctrl-D leaves")
    while not shell.over:
        try:
            line = session.prompt(shell.prompt)
        except KeyboardInterrupt:
            continue
        except EOFError:
            break
        _carry_out(shell, line, complain)
        if lab not in folder.labs():
            ended.set()
            break
    if ended.is_set() and not shell.over:
        print(f"lab '{lab}' has ended", file=sys.stderr)
        return 1
    return 0


def _await_end(lab: str, session: PromptSession[str], ended: threading.Event) -> None:
    """Leave the prompt when the lab ends, by whatever."""
    with suppress(VnemuError):
        for _ in client.asked(lab, "events", follow=True):
            pass
    ended.set()

    def leave() -> None:
        with suppress(Exception):  # there is no prompt at the moment
            session.app.exit(exception=EOFError())

    if session.app.loop is not None:
        session.app.loop.call_soon_threadsafe(leave)


def run_script(lab: str, lines: Iterable[str], source: str) -> None:
    """Do what lines say, up to the first that fails.

    Raises:
        VnemuError: with the place of the line that failed.
    """
    shell = Shell(lab)
    try:
        shell.run_lines(lines, source)
    finally:
        end_recording(shell)


def _carry_out(shell: Shell, line: str, complain: Complain) -> None:
    try:
        shell.run(line)
    except KeyboardInterrupt:
        print()
    except Exception as error:  # the shell goes on
        complain(error)


def _session(shell: Shell) -> PromptSession[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.shortcuts import CompleteStyle

    return PromptSession(
        output=_output(),
        history=_history(),
        completer=_completer(shell),
        complete_while_typing=False,
        complete_style=CompleteStyle.READLINE_LIKE,
    )


def _output() -> Output:
    """The terminal, which is not asked where its cursor is: not every one answers."""
    from prompt_toolkit.data_structures import Size
    from prompt_toolkit.output.vt100 import Vt100_Output

    def size() -> Size:
        columns, rows = os.get_terminal_size(1)
        return Size(rows=rows, columns=columns)

    term = os.environ.get("TERM", "dumb")
    return Vt100_Output(sys.stdout, size, term=term, enable_cpr=False)


def _history() -> History:
    """The lines of earlier shells, in the state folder of the user where there is one."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    file = Path(base) / "vnemu" / "history"
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.touch(mode=0o600)
        if os.access(file, os.W_OK):
            return FileHistory(str(file))
    return InMemoryHistory()


def _completer(shell: Shell) -> Completer:
    from prompt_toolkit.completion import Completer, Completion

    class OfLab(Completer):
        """Completes what the lab has, as it was after the last line."""

        def get_completions(self, document: Document, _: CompleteEvent) -> Iterator[Completion]:
            word, choices = complete(document.text_before_cursor, COMMANDS, shell.known)
            for choice in choices:
                done = len(choices) == 1 and not choice.endswith("/")
                yield Completion(f"{choice} " if done else choice, -len(word))

    return OfLab()
