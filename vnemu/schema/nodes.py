"""YAML text -> a tree of plain values with the place of each.

The tree is built from PyYAML's parser events rather than from its composer: the
composer recurses as deep as the text is nested, and resolves the types of YAML
1.1, for which `on` is true and `1:30` is ninety.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import yaml
from yaml import events as ev

from vnemu.schema.wording import Finding, KeyPath, Mark, dotted, short

Data: TypeAlias = "bool | int | float | str | list[Data] | dict[str, Data] | None"

DEEPEST = 50
MOST_NODES = 200_000

_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
# Longer digits are not a number that anybody means, and are slow to convert.
_LONGEST_NUMBER = 40
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_TAG = "tag:yaml.org,2002:"
_COLLECTION_TAGS = {None, "!", f"{_TAG}map", f"{_TAG}seq"}
_SCALAR_TAGS: dict[str, tuple[type, ...]] = {
    f"{_TAG}str": (str,),
    f"{_TAG}int": (int,),
    f"{_TAG}float": (int, float),
    f"{_TAG}bool": (bool,),
    f"{_TAG}null": (type(None),),
}


class Child(NamedTuple):
    """An entry of a mapping or list: where its key (or dash) is, and its value."""

    key_mark: Mark
    node: Node


@dataclass(frozen=True, slots=True)
class Node:
    """A value, where it was written, and what it contains.

    Parameters:
        size: values in it and below it, aliases counted each time they are used.
        height: levels below it.
    """

    data: Data
    mark: Mark
    children: Mapping[str | int, Child] = field(default_factory=dict)
    size: int = 1
    height: int = 0


class _Hopeless(Exception):
    """Reading on would tell nothing more, or cost too much."""


def read_tree(text: str, name: str, place: Mark | None = None) -> tuple[Node | None, list[Finding]]:
    """Read one YAML document.

    Parameters:
        name: the file's name in messages.
        place: stands for every place in the text, when it is not a file's.

    Returns:
        The tree, or None where there is no use in looking further, and all
        that is wrong with it.
    """
    bad = _UNPRINTABLE.search(text)
    if bad:
        mark = place or Mark(name, text.count("\n", 0, bad.start()) + 1, 1)
        return None, [Finding(mark, f"has the control character {bad[0]!a}")]
    reader = _Reader(text, name, place)
    try:
        return reader.document(), reader.findings
    except _Hopeless:
        return None, reader.findings


def plain_value(text: str) -> Data:
    """Return the value of an unquoted scalar by the YAML 1.2 core schema.

    Two liberties: ``.inf`` and ``.nan`` stay texts, and so does a number of more
    than 40 digits; no quantity of ours could use them.
    """
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
    return float(text) if _FLOAT.fullmatch(text) else text


class _Reader:
    """Builds the tree of one text, collecting what is wrong."""

    def __init__(self, text: str, name: str, place: Mark | None) -> None:
        self._text = text
        self._name = name
        self._place = place
        self._events = self._parse(text)
        self._anchors: dict[str, Node | None] = {}
        self._count = 0
        self.findings: list[Finding] = []

    def document(self) -> Node | None:
        """Return the first document's tree; None if there is none."""
        next(self._events)
        start = next(self._events)
        if isinstance(start, ev.StreamEndEvent):
            return None
        root = self._node(next(self._events), ())
        next(self._events)
        after = next(self._events)
        if isinstance(after, ev.DocumentStartEvent):
            self._find(after, "a second document begins here: a file holds one")
        return root

    def _parse(self, text: str) -> Iterator[Any]:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            yield from yaml.parse(text, Loader=loader)
        except yaml.MarkedYAMLError as error:
            self.findings.append(self._syntax(error))
            raise _Hopeless from None

    def _syntax(self, error: yaml.MarkedYAMLError) -> Finding:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark else 0
        words = f"is not valid YAML: {error.problem}"
        if error.context:
            words += f" {error.context}"
        if error.context_mark and error.context_mark.line != line:
            words += f", which begins in line {error.context_mark.line + 1}"
        lines = self._text.splitlines()
        written = lines[line] if line < len(lines) else ""
        indent = written[: len(written) - len(written.lstrip())]
        hint = "indent with spaces, not with tabs" if "\t" in indent else ""
        return Finding(self._place or Mark(self._name, line + 1, 1), words, hint)

    def _mark(self, event: Any) -> Mark:
        start = event.start_mark
        return self._place or Mark(self._name, start.line + 1, start.column + 1)

    def _find(self, event: Any, message: str, hint: str = "") -> None:
        self.findings.append(Finding(self._mark(event), message, hint))

    def _counted(self, event: Any, size: int = 1) -> None:
        self._count += size
        if self._count > MOST_NODES:
            self._find(
                event, f"holds more than {MOST_NODES} values, aliases counted as written out"
            )
            raise _Hopeless

    def _not_too_deep(self, event: Any, levels: int) -> None:
        if levels > DEEPEST:
            self._find(event, f"is nested deeper than {DEEPEST} levels")
            raise _Hopeless

    def _node(self, event: Any, path: KeyPath) -> Node:
        if isinstance(event, ev.AliasEvent):
            return self._alias(event, path)
        self._counted(event)
        if isinstance(event, ev.ScalarEvent):
            node = Node(self._scalar(event), self._mark(event))
        else:
            node = self._collection(event, path)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: Any, path: KeyPath) -> Node:
        name = short(event.anchor)
        known = self._anchors.get(event.anchor)
        if known:
            self._counted(event, known.size)
            self._not_too_deep(event, len(path) + known.height)
            return known
        if event.anchor in self._anchors:
            self._find(event, f"the alias '*{name}' stands inside of '&{name}': it has no end")
        else:
            self._find(event, f"the alias '*{name}' has no '&{name}' above it")
        return Node(None, self._mark(event))

    def _collection(self, event: Any, path: KeyPath) -> Node:
        self._not_too_deep(event, len(path) + 1)
        if event.tag not in _COLLECTION_TAGS:
            self._refuse_tag(event)
        if event.anchor:
            self._anchors[event.anchor] = None
        if isinstance(event, ev.MappingStartEvent):
            return self._mapping(event, path)
        return self._list(event, path)

    def _list(self, event: Any, path: KeyPath) -> Node:
        children: dict[str | int, Child] = {}
        while not isinstance(item := next(self._events), ev.SequenceEndEvent):
            node = self._node(item, (*path, len(children)))
            children[len(children)] = Child(node.mark, node)
        return list_node(self._mark(event), children)

    def _mapping(self, event: Any, path: KeyPath) -> Node:
        children: dict[str | int, Child] = {}
        while not isinstance(item := next(self._events), ev.MappingEndEvent):
            key = self._key(item, path, children)
            node = self._node(next(self._events), (*path, "?" if key is None else key))
            if key is not None:
                children[key] = Child(self._mark(item), node)
        return mapping_node(self._mark(event), children)

    def _key(self, event: Any, path: KeyPath, known: Mapping[str | int, Child]) -> str | None:
        """Return a key's text; None if its entry cannot be used."""
        if not isinstance(event, ev.ScalarEvent):
            self._find(event, "a key must be a plain text")
            self._node(event, (*path, "?"))
            return None
        self._scalar(event)
        key = str(event.value)
        if key == "<<" and not event.style:
            self._find(event, "the merge key '<<' is not supported", "write its keys out")
            return None
        if key in known:
            where = f"{dotted(path)} has the key" if path else "the key"
            verb = "twice" if path else "stands there twice"
            line = known[key].key_mark.line
            self._find(event, f"{where} '{short(key)}' {verb}, first in line {line}")
            return None
        return key

    def _scalar(self, event: Any) -> Data:
        """Return a scalar's value, by its style and tag."""
        text: str = event.value
        bad = _UNPRINTABLE.search(text)
        if bad:
            self._find(event, f"has the control character {bad[0]!a}")
            return None
        if event.tag in (None, "!"):
            return text if event.style else plain_value(text)
        wanted = _SCALAR_TAGS.get(event.tag)
        if wanted is None:
            self._refuse_tag(event)
            return None
        return self._tagged(event, wanted)

    def _tagged(self, event: Any, wanted: tuple[type, ...]) -> Data:
        if wanted == (str,):
            return str(event.value)
        value = plain_value(event.value)
        if type(value) not in wanted:
            self._find(event, f"'{short(event.value)}' is not a !!{event.tag.removeprefix(_TAG)}")
            return None
        return value

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag
        words = f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag
        self._find(event, f"has the tag {short(words)}: tags make no sense here", "remove it")


def mapping_node(mark: Mark, children: Mapping[str | int, Child]) -> Node:
    """Return a mapping of these entries."""
    return _parent({str(key): child.node.data for key, child in children.items()}, mark, children)


def list_node(mark: Mark, children: Mapping[str | int, Child]) -> Node:
    """Return a list of these items."""
    return _parent([child.node.data for child in children.values()], mark, children)


def _parent(data: Data, mark: Mark, children: Mapping[str | int, Child]) -> Node:
    nodes = [child.node for child in children.values()]
    size = 1 + sum(node.size for node in nodes)
    return Node(data, mark, children, size, 1 + max((node.height for node in nodes), default=0))
