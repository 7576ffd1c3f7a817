"""The commands of the shell: what each is called, how it is written, and who does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vnemu.errors import InputError, Problem
from vnemu.shell.lines import Line, Misused

if TYPE_CHECKING:
    from vnemu.shell.session import Shell

Run = Callable[["Shell", Line], int]


@dataclass(frozen=True)
class Command:
    """A command.

    Parameters:
        form: how it is written.
        help: what it does, in a line.
        section: of the help that it is in.
        run: does it, and returns a status as a program's: 0 is fine.
        takes: the kinds of its words (`vnemu.shell.completion`); the last one may be repeated.
        options: the kinds of the words behind these, by key.
    """

    name: str
    form: str
    help: str
    section: str
    run: Run
    takes: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, shell: Shell, line: Line) -> int:
        """Do what a line says.

        Raises:
            InputError: if it is written wrongly, with the right form.
        """
        try:
            return self.run(shell, line)
        except Misused as misused:
            hint = f"write it like: {self.form}"
            raise InputError([Problem("", f"{self.name}: {misused}", hint)]) from None


class Registry(dict[str, Command]):
    """All commands by name."""

    def command(self, form: str, section: str, takes: str = "") -> Callable[[Run], Run]:
        """Make a function a command; its docstring is the help.

        Parameters:
            form: how it is written; the first word is its name.
            takes: kinds of words, with commas between them.
        """

        def register(run: Run) -> Run:
            name = form.partition(" ")[0]
            told = (run.__doc__ or "").strip().splitlines()[0]
            kinds = tuple(takes.split(",")) if takes else ()
            self[name] = Command(name, form, told, section, run, kinds)
            return run

        return register


COMMANDS = Registry()
LOOK, TRY, CHANGE, SHELL = "look at it", "try it", "change it", "the shell"
SECTIONS = (LOOK, TRY, CHANGE, SHELL)
