"""A line of the shell, taken apart: nothing is done here."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from vnemu.errors import InputError


class Misused(Exception):
    """A command was written wrongly; whoever knows the command adds its right form."""


@dataclass(frozen=True)
class Line:
    """What was typed: a first word, and the rest as it was written."""

    word: str
    rest: str

    @property
    def words(self) -> list[str]:
        """The words of the rest; quotes keep blanks together.

        Raises:
            InputError: if a quote has no end.
        """
        try:
            return shlex.split(self.rest)
        except ValueError:
            raise InputError(f"{self.rest}: a quotation has no end") from None

    @property
    def is_entry(self) -> bool:
        """Whether it is written like an entry of a timeline: ``move: a/r1, to: rm2``."""
        return self.word.endswith(":") or self.word.startswith("{")

    @property
    def goes_on(self) -> bool:
        """Whether it leaves a program behind that goes on: ``c2 iperf3 -s &``."""
        return self.rest.endswith("&")

    def __str__(self) -> str:
        return f"{self.word} {self.rest}".rstrip()


def parse(text: str) -> Line | None:
    """Take a line apart; None: it is empty, or a remark (``#``)."""
    stripped = text.strip()
    if not stripped or stripped.startswith("#"):
        return None
    word, _, rest = stripped.partition(" ")
    return Line(word, rest.strip())


def between(words: list[str], least: int, most: int | None = None) -> list[str]:
    """The words, if they are as many as they may be.

    Parameters:
        most: None: exactly `least`.

    Raises:
        Misused: if they are not.
    """
    most = least if most is None else most
    if len(words) < least:
        raise Misused("there is something missing")
    if len(words) > most:
        raise Misused(f"'{words[most]}' is too much")
    return words
