"""The command that captures frames, as `vnemu capture` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vnemu.sessions.capture_view import show
from vnemu.sessions.captures import Wish
from vnemu.shell.forms import pairs
from vnemu.shell.lines import Line, Misused
from vnemu.shell.names import Names
from vnemu.shell.registry import COMMANDS, TRY, Command
from vnemu.units import Duration

if TYPE_CHECKING:
    from vnemu.shell.session import Shell

_OPTIONS: Mapping[str, str] = {
    "-w": "file",
    "write": "file",
    "filter": "value",
    "count": "value",
    "for": "time",
}
_FORM = "capture LINK|NODE|NODE:NIC [-w FILE] [filter EXPR] [count N] [for TIME]"
_HELP = "Frames at a link or a NIC: a line for each, or a file for Wireshark. Until Ctrl-C."


def _capture(shell: Shell, line: Line) -> int:
    if not (words := line.words):
        raise Misused("there is something missing")
    options = dict(pairs(_OPTIONS, words[1:]))
    wish = Wish(
        shell.lab,
        place(shell.names(), words[0]),
        options.get("filter"),
        _count(options["count"]) if "count" in options else None,
        _seconds(options["for"]) if "for" in options else None,
    )
    show(wish, options.get("write", options.get("-w")))
    return 0


def place(names: Names, word: str) -> str:
    """Where to capture: names without a network are completed.

    Raises:
        InputError: if there is nothing of that name.
    """
    name, colon, part = word.partition(":")
    others = [*names.links, *names.physical_links, *names.machines]
    return names.node_or(name, others, "link, node or machine") + colon + part


def _count(text: str) -> int:
    if not text.isdecimal():
        raise Misused(f"count '{text}' is no number")
    return int(text)


def _seconds(text: str) -> float:
    try:
        return Duration.parse(text).seconds
    except ValueError as error:
        raise Misused(f"for: {error}") from None


COMMANDS["capture"] = Command("capture", _FORM, _HELP, TRY, _capture, ("captured",), _OPTIONS)
