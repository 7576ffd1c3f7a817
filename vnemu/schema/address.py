"""Dotted paths into a document: ``networks.a.links.core.limit``."""

from __future__ import annotations

from collections.abc import Iterator

from vnemu.errors import InputError
from vnemu.schema.nodes import Node
from vnemu.schema.wording import Finding, Mark, did_you_mean, dotted, kind_of, short

Step = str | int


def locate(root: Node, path: str, mark: Mark) -> list[Step]:
    """Return the steps to the value that `path` names; only the last may be a new key.

    Parameters:
        mark: where the user wrote the path, for messages.

    Raises:
        InputError: if there is no such place.
    """
    node, rest, steps = root, path.split("."), list[Step]()
    while rest:
        step, used = _step(node, rest, steps, mark)
        steps.append(step)
        rest = rest[used:]
        if rest:
            node = node.children[step].node
    return steps


def _step(node: Node, rest: list[str], steps: list[Step], mark: Mark) -> tuple[Step, int]:
    """Return the next step and how many of the dotted parts it takes."""
    if isinstance(node.data, list):
        return _item(node, rest, steps, mark)
    if not isinstance(node.data, dict | None):
        what = f"{dotted(tuple(steps))} is {kind_of(node.data)}"
        raise _refusal(mark, f"{what}: there is no '{short(rest[0])}' in it")
    for used in range(len(rest), 0, -1):
        key = ".".join(rest[:used])
        if key in node.children:
            return key, used
    if len(rest) == 1 and rest[0]:
        return rest[0], 1
    keys = [str(key) for key in node.children]
    raise _refusal(mark, _absent("key", rest[0], steps), _choices(rest[0], keys))


def _item(node: Node, rest: list[str], steps: list[Step], mark: Mark) -> tuple[int, int]:
    if rest[0].isascii() and rest[0].isdigit():
        return _numbered(node, rest[0], steps, mark), 1
    names = list(_names(node))
    for used in range(len(rest), 0, -1):
        word = ".".join(rest[:used])
        found = sorted({index for name, index in names if name == word})
        if len(found) > 1:
            numbers = ", ".join(str(index) for index in found)
            words = f"'{short(word)}' names several items of {dotted(tuple(steps))}"
            raise _refusal(mark, words, f"use a number: {numbers}")
        if found:
            return found[0], used
    known = [name for name, _ in names]
    raise _refusal(mark, _absent("item", rest[0], steps), _choices(rest[0], known))


def _numbered(node: Node, digits: str, steps: list[Step], mark: Mark) -> int:
    count = len(node.children)
    if len(digits) > 6 or int(digits) >= count:
        items = "1 item" if count == 1 else f"{count} items"
        hint = f"they are numbered from 0 to {count - 1}" if count > 1 else ""
        hint = "its number is 0" if count == 1 else hint
        words = f"{dotted(tuple(steps))} has {items}, so there is no {short(digits)}"
        raise _refusal(mark, words, hint)
    return int(digits)


def _names(node: Node) -> Iterator[tuple[str, int]]:
    assert isinstance(node.data, list)
    for index, item in enumerate(node.data):
        if not isinstance(item, dict):
            continue
        name, endpoints = item.get("name"), item.get("endpoints")
        if isinstance(name, str):
            yield name, index
        if isinstance(endpoints, list):
            yield "-".join(str(end) for end in endpoints), index


def _absent(kind: str, word: str, steps: list[Step]) -> str:
    place = dotted(tuple(steps)) or "the file"
    return f"{place} has no {kind} '{short(word)}'"


def _choices(word: str, known: list[str]) -> str:
    near = did_you_mean(word, known)
    if near or not known:
        return near
    more = ", …" if len(known) > 10 else ""
    return f"it has {', '.join(short(name) for name in known[:10])}{more}"


def _refusal(mark: Mark, message: str, hint: str = "") -> InputError:
    return InputError([Finding(mark, message, hint).problem])
