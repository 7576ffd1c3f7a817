"""Places in a file and the words of its problems."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from vnemu.errors import Problem

SHOWN_LIMIT = 40
_MESSAGE_LIMIT = 400
_PROBLEM_LIMIT = 200
_PLAIN_STEP = re.compile(r"[\w-]+(\.+[\w-]+)*\.*")

KeyPath = tuple[str | int, ...]


class Mark(NamedTuple):
    """Where something was written.

    Parameters:
        source: the file as the user named it, or the command-line option.
        line: counted from 1; 0 when the source has no lines.
        column: counted from 1; 0 when the source has no lines.
    """

    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


class Finding(NamedTuple):
    """A problem with its exact place, so that problems can be put in file order."""

    mark: Mark
    message: str
    hint: str = ""

    @property
    def problem(self) -> Problem:
        """The problem as the user sees it, on one line."""
        message = self.message
        if len(message) > _MESSAGE_LIMIT:
            message = f"{message[:_MESSAGE_LIMIT]}..."
        return Problem(str(self.mark), printable(message), printable(self.hint))


def in_file_order(findings: Iterable[Finding]) -> list[Problem]:
    """Return the problems by line and column; those without a line come last.

    A file that is something else altogether has more problems than anyone reads:
    from the 201st on they are only counted.
    """

    def order(finding: Finding) -> tuple[bool, int, int]:
        mark = finding.mark
        return not mark.line, mark.line, mark.column

    ordered = sorted(findings, key=order)
    problems = [finding.problem for finding in ordered[:_PROBLEM_LIMIT]]
    if len(ordered) > _PROBLEM_LIMIT:
        source = ordered[0].mark.source
        problems.append(Problem(source, f"has {len(ordered) - _PROBLEM_LIMIT} more problems"))
    return problems


def printable(text: str) -> str:
    """Return `text` with line breaks and invisible characters escaped."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def short(text: str) -> str:
    """Return `text`, cut so that a message stays readable."""
    return text if len(text) <= SHOWN_LIMIT else f"{text[: SHOWN_LIMIT - 3]}..."


def dotted(path: KeyPath) -> str:
    """Return a path as the user writes it: ``networks.a.links.0.rate``."""
    steps = (short(str(step)) for step in path)
    return ".".join(step if _PLAIN_STEP.fullmatch(step) else f"'{step}'" for step in steps)


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the choice nearest to `word`; empty when none is near."""
    import difflib

    near = difflib.get_close_matches(word[:SHOWN_LIMIT], list(choices), n=1)
    return f"did you mean '{short(near[0])}'?" if near else ""


def some(names: Iterable[str]) -> str:
    """Return the first few of `names`, for a message."""
    listed = list(names)
    return ", ".join(listed[:8]) + (", …" if listed[8:] else "")


def instead_of(name: str, names: list[str]) -> str:
    """Return what may be meant by a `name` that is none of `names`: the nearest, or some."""
    import difflib

    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean '{near[0]}'?" if near else f"there are: {some(names) or 'none'}"


def kind_of(value: object) -> str:
    """Return what a user calls the type of a value read from YAML."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "a mapping"
