"""The four families of errors a user can meet, each with its exit status.

0 is success; the other statuses are documented in docs/cli.md and are part of
the interface.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with what the user wrote.

    Parameters:
        where: ``file:line`` (or the command-line option) it was written at.
        message: what is wrong, in the words of the file.
        hint: what to write instead; may be empty.
    """

    where: str
    message: str
    hint: str = ""

    @property
    def by_line(self) -> tuple[str, int]:
        """File and line: what problems are sorted by, so that line 10 comes behind line 9."""
        file, _, line = self.where.rpartition(":")
        return (file, int(line)) if line.isdigit() else (self.where, 0)

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}" if self.where else self.message
        return f"{text}; {self.hint}" if self.hint else text


class VnemuError(Exception):
    """Base of all errors that vnemu raises on purpose."""

    exit_status = 4


class InputError(VnemuError):
    """The user's input is wrong; nothing has been touched (exit status 2)."""

    exit_status = 2

    def __init__(self, problems: Iterable[Problem] | str) -> None:
        if isinstance(problems, str):
            problems = (Problem("", problems),)
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class MissingCapability(VnemuError):
    """This machine lacks something that was asked for (exit status 3).

    Parameters:
        message: what is missing and which declared line needs it.
        hint: the command or step that provides it.
    """

    exit_status = 3

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = message
        self.hint = hint
        super().__init__(f"{message}; {hint}" if hint else message)


class ExperimentFailed(VnemuError):
    """An experiment did not run to its end, or missed its expectations (exit status 1)."""

    exit_status = 1


class ConvergenceTimeout(ExperimentFailed):
    """Routing did not converge in time; the message says who does not reach whom."""


class KernelRefused(VnemuError):
    """The kernel refused an action that the plan holds for possible: our bug (exit status 4).

    Parameters:
        action: the action in words.
        errno: the kernel's error number.
        detail: the kernel's own words, when it gave any.
    """

    def __init__(self, action: str, errno: int, detail: str = "") -> None:
        self.action = action
        self.errno = errno
        self.detail = detail
        import os

        words = os.strerror(errno) + (f" ({detail})" if detail else "")
        super().__init__(f"{action}: {words}")


class InternalError(VnemuError):
    """Something happened that cannot happen: our bug (exit status 4)."""
