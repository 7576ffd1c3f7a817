"""What can come next on a line of the shell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vnemu.shell.names import Names, short
from vnemu.shell.registry import Command

_VALUES = {
    "rate": ("1mbit", "10mbit", "100mbit", "none"),
    "time": ("1ms", "5ms", "10ms", "50ms", "none"),
    "share": ("0.1%", "1%", "10%", "50%", "none"),
    "size": ("64mb", "256mb", "1gb", "none"),
    "value": ("none",),
    "up or down": ("up", "down"),
    "start or stop": ("start", "stop"),
    "of a flow": ("udp", "length", "parallel", "congestion", "ip", "for"),
}


def complete(text: str, commands: Mapping[str, Command], names: Names) -> tuple[str, list[str]]:
    """The word that is being typed at the end of a line, and all that it may become.

    Parameters:
        text: the line up to the cursor.
    """
    *before, word = _split(text)
    if before and before[0] in ("time", "help"):
        before = before[1:]
    choices = sorted(set(_choices(before, commands, names, word)))
    return word, [choice for choice in choices if choice.startswith(word)]


def _split(text: str) -> list[str]:
    words = text.split()
    return [*words, ""] if not words or text[-1].isspace() else words


def _choices(
    before: list[str], commands: Mapping[str, Command], names: Names, word: str
) -> Iterable[str]:
    if not before:
        return [*commands, *_nodes(names)]
    first, *more = before
    command = commands.get(first)
    if command is None:
        return _nodes(names) if names.is_node(first) else ()
    place = len(more)
    if not command.options:
        kind = command.takes[min(place, len(command.takes) - 1)] if command.takes else ""
        return _of_kind(kind, names, more, word)
    if place < len(command.takes):
        return _of_kind(command.takes[place], names, more, word)
    last = more[-1]
    if last in command.options and (place - len(command.takes)) % 2:
        return _of_kind(command.options[last], names, more, word)
    return [key for key in command.options if key not in more]


def _of_kind(kind: str, names: Names, more: list[str], word: str) -> Iterable[str]:
    if kind in _VALUES:
        return _VALUES[kind]
    if kind == "file":
        return _files(word)
    if kind == "place":
        return [*(f"{node}:" for node in _nodes(names)), *_files(word)]
    if kind == "direction":
        return _directions(names, more)
    find = _BY_KIND.get(kind)
    return find(names) if find else ()


def _nodes(names: Names) -> list[str]:
    return [*names.nodes, *(short(path, names.nodes) for path in names.nodes)]


def _links(names: Names) -> list[str]:
    return [*names.links, *(short(path, names.links) for path in names.links)]


def _directions(names: Names, more: list[str]) -> list[str]:
    known = [name for name in more if name in names.links]
    ends = [names.data["links"][name]["ends"] for name in known]
    bare = [[end.rpartition("/")[2] for end in pair] for pair in ends]
    return [f"{a}>{b}" for one, other in bare for a, b in ((one, other), (other, one))]


def _files(word: str) -> list[str]:
    folder = Path(word) if word.endswith("/") else Path(word).parent
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return []
    return [f"{path}/" if path.is_dir() else str(path) for path in found]


_BY_KIND: Mapping[str, Callable[[Names], Iterable[str]]] = {
    "node": _nodes,
    "link": _links,
    "any link": lambda names: [*_links(names), *names.physical_links],
    "physical": lambda names: [*names.physical_links, *names.machines],
    "network": lambda names: names.networks,
    "node or network": lambda names: [*_nodes(names), *names.networks],
    "node or link": lambda names: [*_nodes(names), *_links(names)],
    "node or machine": lambda names: [*_nodes(names), *names.machines],
    "captured": lambda names: [
        *(*_links(names), *_nodes(names), *names.physical_links, *names.machines),
        *(f"{node}:{nic}" for node, found in names.data["nodes"].items() for nic in found["nics"]),
    ],
    "machine": lambda names: names.machines,
    "machines": lambda names: names.machines,
}
