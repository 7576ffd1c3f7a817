"""The shell itself: it does what a line says, by asking the lab."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vnemu.errors import ExperimentFailed, InputError, MissingCapability, Problem, VnemuError
from vnemu.schema.said import entry_text
from vnemu.schema.wording import instead_of
from vnemu.sessions import client, pages, visit
from vnemu.sessions.remote_nodes import RemoteNode
from vnemu.shell.lines import Line, parse
from vnemu.shell.names import Names
from vnemu.shell.registry import COMMANDS, TRY

if TYPE_CHECKING:
    from vnemu.shell.recording import Recorder


class Shell:
    """A shell on a running lab.

    Parameters:
        lab: its name.
    """

    def __init__(self, lab: str) -> None:
        self.lab = lab
        self.network: str | None = None
        self.over = False
        self.sources: list[str] = []
        self.recorder: Recorder | None = None
        self.known = self.names()
        self.scope: dict[str, Any] = {"do": self.do, "run": self.output}

    @property
    def prompt(self) -> str:
        """What stands before a line."""
        return f"{self.lab}/{self.network}> " if self.network else f"{self.lab}> "

    def names(self) -> Names:
        """The names of the lab as it is now."""
        data = client.ask(self.lab, "inspect")
        if self.network not in data["networks"]:
            self.network = None
        self.known = Names(data, self.network)
        return self.known

    def run(self, text: str) -> int:
        """Do what a line says; the status is that of a program: 0 is fine.

        Raises:
            VnemuError: if it cannot be done.
        """
        line = parse(text)
        if line is None:
            return 0
        if line.is_entry:
            return self.do(str(line))
        command = COMMANDS.get(line.word)
        if command is None:
            return self._in_node(line)
        if command.section == TRY:
            self.note(line)
        return command(self, line)

    def note(self, line: Line) -> None:
        """Let a recording say what it cannot repeat."""
        if self.recorder is not None:
            self.recorder.remark(str(line))

    def run_lines(self, lines: Iterable[str], source: str) -> None:
        """Do what lines say, up to the first that fails.

        Parameters:
            source: where they are from, for messages.

        Raises:
            VnemuError: with the place of the line that failed.
        """
        for number, text in enumerate(lines, 1):
            place = f"{source}:{number}"
            try:
                status = self.run(text)
            except VnemuError as error:
                raise _placed(error, place) from error
            if status:
                failed = ExperimentFailed(f"{place}: '{text.strip()}' ended with status {status}")
                failed.exit_status = status
                raise failed
            if self.over:
                return

    def do(self, *texts: str) -> int:
        """Carry out entries of a timeline as one change, and say what was done.

        Raises:
            VnemuError: if the lab refuses.
        """
        found = client.ask(self.lab, "do", texts=list(texts), folder=str(Path.cwd()))
        print("\n".join(pages.done(found)))
        return 0

    def do_entries(self, *entries: Mapping[str, str | None]) -> int:
        """As `do`, of entries that are not written yet."""
        return self.do(*map(entry_text, entries))

    def execute(self, node: str, argv: Sequence[str], *, terminal: bool = True) -> int:
        """Run a program in a node, on this terminal if there is one; its exit status.

        Parameters:
            terminal: False: it has none, but prints here.

        Raises:
            VnemuError: what the lab answers.
        """
        # Without a terminal, what can be read here are the next lines of the shell.
        with visit.nothing_to_read() as nothing:
            return visit.run_in(self.lab, node, argv, nothing, terminal=terminal)

    def output(self, node: str, *argv: str) -> str:
        """What a program in a node prints.

        Raises:
            VnemuError: what the lab answers.
        """
        done = RemoteNode(self.lab, self.names().node(node)).run(*argv)
        return done.stdout + done.stderr

    def _in_node(self, line: Line) -> int:
        names = self.names()
        if not names.is_node(line.word):
            hint = instead_of(line.word, [*COMMANDS, *names.nodes])
            raise InputError([Problem("", f"'{line.word}' is no command and no node", hint)])
        path = names.node(line.word)
        self.note(line)
        if not line.rest:
            return self.execute(path, visit.login_shell(path))
        argv = ["sh", "-c", names.with_addresses(line.rest, path)]
        return self.execute(path, argv, terminal=not line.goes_on)


def _placed(error: VnemuError, place: str) -> VnemuError:
    match error:
        case InputError():
            return InputError(
                Problem(place, f"{p.where}: {p.message}" if p.where else p.message, p.hint)
                for p in error.problems
            )
        case MissingCapability():
            return MissingCapability(f"{place}: {error.message}", error.hint)
        case ExperimentFailed():
            placed = ExperimentFailed(f"{place}: {error}")
            placed.exit_status = error.exit_status
            return placed
    error.add_note(f"in {place}")
    return error
