"""Commands of the shell itself: this machine, files of commands, help, the end."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vnemu.errors import InputError, Problem
from vnemu.schema.wording import did_you_mean
from vnemu.sessions.visit import login_shell
from vnemu.shell.lines import Line, Misused, between
from vnemu.shell.looking import table
from vnemu.shell.registry import CHANGE, COMMANDS, SECTIONS, SHELL

if TYPE_CHECKING:
    from vnemu.shell.names import Names
    from vnemu.shell.session import Shell


@COMMANDS.command("do ENTRY", CHANGE)
def _do(shell: Shell, line: Line) -> int:
    """An entry of a timeline, without at:, such as move: a/r1, to: rm2 (do may be left out)."""
    if not line.rest:
        raise Misused("there is something missing")
    return shell.do(line.rest)


@COMMANDS.command("sh COMMAND", SHELL)
def _sh(_: Shell, line: Line) -> int:
    """A command on this machine, outside of the lab."""
    if not line.rest:
        raise Misused("there is no command")
    sys.stdout.flush()
    status = subprocess.run(["sh", "-c", line.rest], check=False).returncode
    return status if status >= 0 else 128 - status


@COMMANDS.command("py EXPRESSION", SHELL)
def _py(shell: Shell, line: Line) -> int:
    """Python; there are lab (what vnemu inspect --json shows), do(ENTRY) and run(NODE, WORD...)."""
    scope = shell.scope
    scope["lab"] = shell.names().data
    try:
        try:
            code = compile(line.rest, "<py>", "eval")
        except SyntaxError:
            exec(compile(line.rest, "<py>", "exec"), scope)  # noqa: S102 the user's program
            return 0
        found = eval(code, scope)  # noqa: S307 the user's program
    except Exception as error:
        raise InputError(f"py: {type(error).__name__}: {error}") from error
    if found is not None:
        print(found)
    return 0


@COMMANDS.command("source FILE", SHELL, "file")
def _source(shell: Shell, line: Line) -> int:
    """The commands of a file, up to the first that fails."""
    (name,) = between(line.words, 1)
    if name in shell.sources:
        raise InputError(f"{name} is being read already")
    shell.sources.append(name)
    try:
        shell.run_lines(read_script(Path(name)), name)
    finally:
        shell.sources.remove(name)
    return 0


def read_script(file: Path) -> list[str]:
    """The lines of a file of commands.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InputError([Problem(str(file), f"cannot be read: {reason}")]) from None


@COMMANDS.command("time COMMAND", SHELL)
def _time(shell: Shell, line: Line) -> int:
    """How long a command of this shell takes."""
    if not line.rest:
        raise Misused("there is no command")
    begun = time.monotonic()
    status = shell.run(line.rest)
    print(f"{time.monotonic() - begun:.3f} s")
    return status


@COMMANDS.command("shell NODE", SHELL, "node")
def _shell(shell: Shell, line: Line) -> int:
    """A login shell in a node; its name alone does the same."""
    (word,) = between(line.words, 1)
    path = shell.names().node(word)
    shell.note(line)
    return shell.execute(path, login_shell(path))


@COMMANDS.command("cp SOURCE TARGET", SHELL, "place")
def _cp(shell: Shell, line: Line) -> int:
    """A file or folder into a node, out of it, or between two: one of the two is NODE:PATH."""
    from vnemu.sessions.copying import copy

    names = shell.names()
    source, target = (_with_node(names, word) for word in between(line.words, 2))
    copy(shell.lab, source, target)
    return 0


def _with_node(names: Names, word: str) -> str:
    """NODE:PATH with the whole name of the node."""
    from vnemu.sessions.copying import parts

    node, path = parts(word)
    return f"{names.node(node)}:{path}" if node else word


@COMMANDS.command("xterm NODE...", SHELL, "node")
def _xterm(shell: Shell, line: Line) -> int:
    """A shell in a node in a window of its own; without a display it says what to type there."""
    words = between(line.words, 1, len(line.words))
    paths = list(map(shell.names().node, words))
    xterm = shutil.which("xterm") if os.environ.get("DISPLAY") else None
    for path in paths:
        if xterm:
            _open_window(xterm, shell.lab, path)
        else:
            print(f"in another window: vnemu shell {shell.lab} {path}; in this one: {path}")
    return 0


def _open_window(xterm: str, lab: str, path: str) -> None:
    """It outlives this shell, and ends with the lab."""
    command = [xterm, "-T", path, "-e", sys.executable, "-m", "vnemu", "shell", lab, path]
    nothing = subprocess.DEVNULL
    subprocess.Popen(command, stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True)


@COMMANDS.command("help [COMMAND]", SHELL, "command")
def _help(_: Shell, line: Line) -> int:
    """All commands, or one."""
    words = between(line.words, 0, 1)
    if not words:
        _overview()
        return 0
    command = COMMANDS.get(words[0])
    if command is None:
        hint = did_you_mean(words[0], COMMANDS) or "help shows all"
        raise InputError([Problem("", f"there is no command '{words[0]}'", hint)])
    print(f"{command.form}\n  {command.help}")
    return 0


def _overview() -> None:
    for section in SECTIONS:
        print(f"{section}:")
        found = (command for command in COMMANDS.values() if command.section == section)
        table([f"  {command.name}", command.help] for command in found)
    print("NODE COMMAND runs a command in a node: names of nodes in it become addresses.")
    print("Of names such as a/r1, the network may be left out where that is unique.")


def _quit(shell: Shell, line: Line) -> int:
    """Leave the shell; a lab that vnemu up has started in it ends."""
    between(line.words, 0)
    shell.over = True
    return 0


for _form in ("quit", "exit"):
    COMMANDS.command(_form, SHELL)(_quit)
