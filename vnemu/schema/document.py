"""A YAML file as plain data that knows where each of its values was written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vnemu.errors import InputError
from vnemu.schema.address import Step, locate
from vnemu.schema.nodes import Child, Data, Node, list_node, mapping_node, read_tree
from vnemu.schema.wording import Finding, KeyPath, Mark, did_you_mean, in_file_order, kind_of

LARGEST = 2**20


@dataclass(frozen=True)
class Document:
    """Plain data (dict, list, str, int, float, bool, None) and where each of it was written.

    Parameters:
        root: the top-level mapping.
        name: the file's name, as the user gave it.
    """

    root: Node
    name: str

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a file.

        Raises:
            InputError: with all that is wrong with the file as YAML.
        """
        return _sound(*examine(path))

    @classmethod
    def parse(cls, text: str, name: str) -> Document:
        """Read a text; `name` stands for the file's name in messages.

        Raises:
            InputError: with all that is wrong with the text as YAML.
        """
        return _sound(*examine_text(text, name))

    @property
    def data(self) -> dict[str, Data]:
        """The top-level mapping as plain data; not to be changed."""
        assert isinstance(self.root.data, dict)
        return self.root.data

    def mark(self, path: KeyPath) -> Mark:
        """Return where the value at `path` was written, or else its nearest parent."""
        return self._child(path).node.mark

    def key_mark(self, path: KeyPath) -> Mark:
        """Return where the key of `path` was written, or else its nearest parent's key."""
        return self._child(path).key_mark

    def where(self, path: KeyPath) -> str:
        """Return ``file:line`` of the value at `path`, or else of its nearest parent."""
        return str(self.mark(path))

    def key_where(self, path: KeyPath) -> str:
        """Return ``file:line`` of the key of `path`, or else of its nearest parent's key."""
        return str(self.key_mark(path))

    def at(self, key: str) -> Document:
        """Return the mapping under a top-level key as a document of its own."""
        return replace(self, root=self.root.children[key].node)

    def with_value(self, dotted: str, text: str, option: str = "") -> Document:
        """Return a copy in which one value is another: ``--set underlay.links.0.rate=320mbit``.

        A key that has dots is found by the longest match. An item of a list is
        named by its number, its `name`, or its endpoints joined by '-'. Only the
        last key may be new.

        Parameters:
            dotted: the path of the value.
            text: the new value in YAML; flow style for lists and mappings.
            option: what the user wrote, for messages; default ``--set DOTTED``.

        Raises:
            InputError: if there is no such place, or `text` is not YAML.
        """
        mark = Mark(option or f"--set {dotted}")
        value, findings = read_tree(text, mark.source, mark)
        if findings:
            raise InputError(in_file_order(findings))
        return self.with_node(dotted, value or Node(None, mark), mark)

    def with_node(self, dotted: str, value: Node, mark: Mark) -> Document:
        """Return a copy in which the value at a path, as in `with_value`, is `value`.

        Parameters:
            mark: where that was asked for, for messages.

        Raises:
            InputError: if there is no such place.
        """
        return self.with_node_at(locate(self.root, dotted, mark), value, mark)

    def with_node_at(self, steps: Sequence[Step], value: Node, mark: Mark) -> Document:
        """As `with_node`, with a path that is known step by step."""
        return replace(self, root=_replaced(self.root, list(steps), value, mark))

    def _child(self, path: KeyPath) -> Child:
        child = Child(self.root.mark, self.root)
        for step in path:
            below = child.node.children.get(step)
            if below is None:
                break
            child = below
        return child


def _sound(document: Document | None, findings: list[Finding]) -> Document:
    if findings or document is None:
        raise InputError(in_file_order(findings))
    return document


def _replaced(node: Node, steps: list[Step], value: Node, mark: Mark) -> Node:
    if not steps:
        return value
    first, *rest = steps
    old = node.children.get(first)
    key_mark = old.key_mark if old and rest else mark
    below = _replaced(old.node if old else Node(None, mark), rest, value, mark)
    children: Mapping[Step, Child] = {**node.children, first: Child(key_mark, below)}
    build = list_node if isinstance(node.data, list) else mapping_node
    return build(node.mark, children)


def examine(path: Path, said_at: Mark | None = None) -> tuple[Document | None, list[Finding]]:
    """Read a file as far as it can be read.

    Parameters:
        said_at: where the user named the file, when not on the command line.

    Returns:
        The document, or None, and all that is wrong with it as YAML.
    """
    try:
        raw = read_bytes(path)
        return examine_text(raw.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = error.object[error.start]
        mark = Mark(str(path), line, 1)
        return None, [Finding(mark, f"is not UTF-8: it has the byte 0x{byte:02x}")]
    except Unreadable as error:
        mark = said_at or Mark(str(path))
        message = f"{path}: {error}" if said_at else str(error)
        return None, [Finding(mark, message, error.hint)]


def examine_text(text: str, name: str) -> tuple[Document | None, list[Finding]]:
    """Read a text as far as it can be read; as `examine`."""
    root, findings = read_tree(text, name)
    if isinstance(root and root.data, dict):
        assert root is not None
        return Document(root, name), findings
    if not findings:
        findings.append(_no_mapping(root, name))
    return None, findings


def _no_mapping(root: Node | None, name: str) -> Finding:
    if root is None or root.data is None:
        return Finding(Mark(name), "is empty")
    return Finding(root.mark, f"must be a mapping (key: value), not {kind_of(root.data)}")


class Unreadable(Exception):
    """A file cannot be read; the message says why, without its name."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)


def read_bytes(path: Path, largest: int = LARGEST) -> bytes:
    """Read a file of at most `largest` bytes (a power of two, from 1 MiB on).

    Raises:
        Unreadable: if it is not there, no file, or larger.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(largest + 1)
    except FileNotFoundError:
        raise Unreadable("no such file", did_you_mean(path.name, _siblings(path))) from None
    except IsADirectoryError:
        raise Unreadable("is a folder, not a file") from None
    except OSError as error:
        raise Unreadable(f"cannot be read: {(error.strerror or str(error)).lower()}") from None
    except ValueError:
        raise Unreadable("is not a file name") from None
    if len(raw) > largest:
        size = max(path.stat().st_size, len(raw))
        raise Unreadable(
            f"has {size} bytes, but a file may have {largest} ({largest // 2**20} MiB)"
        )
    return raw


def _siblings(path: Path) -> Iterable[str]:
    try:
        return sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    except OSError:
        return ()
