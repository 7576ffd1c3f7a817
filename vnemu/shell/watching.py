"""Commands that go on showing: all virtual links with their rates, or a node's routes."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vnemu.sessions import client, pages
from vnemu.sessions.remote_nodes import RemoteNode
from vnemu.shell.lines import Line, between
from vnemu.shell.registry import COMMANDS, LOOK

if TYPE_CHECKING:
    from vnemu.shell.session import Shell

_EVERY_S = 1.0
_HEAD = ["LINK", "DIRECTION", "RATE", "LIMIT", "GUARANTEE", "LOSS", "QUEUE", "STATE"]
_OF_A_NODE = {
    "Neighbours": ("ip", "neighbour"),
    "Routes": ("ip", "-4", "route"),
    "Routes of IPv6": ("ip", "-6", "route"),
}
_BIRD = {
    "ospf": "show ospf neighbors",
    "rip": "show rip neighbors",
    "babel": "show babel neighbors",
    "bgp": "show protocols",
}
_FRR = {
    "ospf": "show ip ospf neighbor",
    "isis": "show isis neighbor",
    "rip": "show ip rip status",
    "babel": "show babel neighbor",
    "bgp": "show bgp summary",
}
_ENTER, _LEAVE, _TOP, _TO_END_OF_LINE, _BELOW = (
    *("\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"),
    *("\x1b[H", "\x1b[K", "\x1b[J"),
)


@COMMANDS.command("watch [NODE]", LOOK, "node")
def _watch(shell: Shell, line: Line) -> int:
    """All virtual links: rate, limit, guarantee, loss, queue; or a node's routes. Until Ctrl-C."""
    words = between(line.words, 0, 1)
    look = _node(shell, words[0]) if words else _links(shell)
    if not sys.stdout.isatty():
        print("\n".join(look()))
        return 0
    with _whole_screen() as show:
        while True:
            show(look())
            time.sleep(0 if not words else _EVERY_S)


@contextmanager
def _whole_screen() -> Iterator[Callable[[list[str]], None]]:
    """Something that shows lines in place of those before; ends with Ctrl-C, and is gone then."""

    def show(lines: list[str]) -> None:
        text = f"{_TO_END_OF_LINE}\r\n".join(fitting(lines, *shutil.get_terminal_size()))
        sys.stdout.write(f"{_TOP}{text}{_BELOW}")
        sys.stdout.flush()

    sys.stdout.write(_ENTER)
    try:
        yield show
    except KeyboardInterrupt:
        pass
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()


def fitting(lines: list[str], columns: int, rows: int) -> list[str]:
    """What a window has room for; its last line says how many there are besides."""
    if len(lines) > rows:
        lines = [*lines[: rows - 1], f"… and {len(lines) - rows + 1} more lines"]
    return [line[: columns - 1] for line in lines]  # what clears the rest clears the last column


def _node(shell: Shell, word: str) -> Callable[[], list[str]]:
    names = shell.names()
    path = names.node(word)
    questions = {**dict(_of_routing(names.data["nodes"][path])), **_OF_A_NODE}

    def look() -> list[str]:
        lines = [path]
        for title, argv in questions.items():
            found = RemoteNode(shell.lab, path).run(*argv).stdout.splitlines()
            lines += ["", title, *(f"  {text.rstrip()}" for text in found)] if found else []
        return lines

    return look


def _of_routing(node: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What a router's routing daemon is asked for its neighbours, by titles."""
    for protocol in node["protocols"]:
        title = f"Neighbours of {protocol}"
        if node["daemon"] == "bird" and protocol in _BIRD:
            yield title, ("birdc", *_BIRD[protocol].split())
        elif node["daemon"] == "frr" and protocol in _FRR:
            yield title, ("vtysh", "-c", _FRR[protocol])


def _links(shell: Shell) -> Callable[[], list[str]]:
    before = client.ask(shell.lab, "counters")

    def look() -> list[str]:
        nonlocal before
        time.sleep(_EVERY_S)
        now, then = client.ask(shell.lab, "counters"), before
        before = now
        return pages.aligned([_HEAD, *rows_of(shell.names().data["links"], then, now)])

    return look


def rows_of(
    links: Mapping[str, Any], then: Mapping[str, Any], now: Mapping[str, Any]
) -> Iterator[list[str]]:
    """A row for each direction of each virtual link, of what was counted at two times.

    Parameters:
        links: as ``inspect`` shows them.
        then, now: what ``counters`` answered.
    """
    seconds = now["time"] - then["time"]
    for path, link in links.items():
        for direction, found in now["links"].get(path, {}).items():
            old = then["links"].get(path, {}).get(direction, found)
            bounds = [_one_way(link.get(key), direction) for key in ("limit", "guarantee")]
            sent, lost = found["packets"] - old["packets"], found["drops"] - old["drops"]
            rate = (found["bytes"] - old["bytes"]) * 8 / seconds / 1e6
            loss = f"{100 * lost / (sent + lost):.1f}%" if lost else "-"
            queue = f"{found['backlog'] / 1e3:.1f}kb" if found["backlog"] else "-"
            state = pages.link_state(link)
            yield [path, direction, f"{rate:.2f}mbit", *bounds, loss, queue, state]


def _one_way(value: object, direction: str) -> str:
    found = value.get(direction) if isinstance(value, Mapping) else value
    return str(found) if found else "-"
