"""What the user sees of errors, and where output goes."""

from __future__ import annotations

import sys

from vnemu.errors import InputError, InternalError, KernelRefused, VnemuError

INTERRUPTED = 130


def complain(error: BaseException) -> int:
    """Say on stderr what went wrong and return the exit status."""
    if isinstance(error, InputError):
        for problem in error.problems:
            _say(str(problem))
        count = len(error.problems)
        if count > 1:
            _say(f"{count} problems; nothing was touched")
        return error.exit_status
    if isinstance(error, InternalError | KernelRefused):
        _say(str(error))
        for note in getattr(error, "__notes__", ()):
            _say(note)
        _say("this is a bug in vnemu: please report it with the file that you ran")
        return error.exit_status
    if isinstance(error, VnemuError):
        for line in str(error).splitlines():
            _say(line)
        return error.exit_status
    if isinstance(error, KeyboardInterrupt):
        _say("interrupted")
        return INTERRUPTED
    import traceback

    traceback.print_exception(error)
    _say("this is a bug in vnemu: please report it with the lines above")
    return InternalError.exit_status


def _say(text: str) -> None:
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        Console(stderr=True, highlight=False).print(
            Text("vnemu: ", style="bold red") + Text(text), soft_wrap=True
        )
    else:
        print(f"vnemu: {text}", file=sys.stderr, flush=True)
