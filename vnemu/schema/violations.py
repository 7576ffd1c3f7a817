"""Where a document differs from its model, in the words of its file.

pydantic reports a place as a path through its own validators: branches of
unions stand between the keys. Following the path through the model's types
tells the two apart.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError

from vnemu.errors import InputError, Problem
from vnemu.schema.document import Document
from vnemu.schema.nodes import Child, Node
from vnemu.schema.wording import Finding, KeyPath, Mark, did_you_mean, dotted, kind_of, short

M = TypeVar("M", bound=BaseModel)

_BUILDING = threading.RLock()
"""A model is built when the first document of its kind is read: by one thread."""

_NEEDED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
}


@dataclass(frozen=True)
class _Violation:
    """One error of pydantic, with its path in the terms of the file.

    Parameters:
        owner: the model that lacks or does not know the path's last key.
        union: the path of the union that it is in a branch of, if it is.
        is_key: it is about the key, not the value.
    """

    path: KeyPath
    kind: str
    context: dict[str, Any]
    text: str
    owner: type[BaseModel] | None = None
    union: KeyPath | None = None
    is_key: bool = False

    @property
    def needed(self) -> str:
        """What must stand here instead, if this is about the type."""
        if self.kind == "literal_error":
            return str(self.context["expected"])
        return _NEEDED.get(self.kind, "")

    @property
    def is_of_wrong_branch(self) -> bool:
        """True if it only says that the value is of another branch of its union."""
        return self.union == self.path and bool(self.needed)


def validate(model: type[M], document: Document) -> tuple[M | None, list[Finding]]:
    """Read a document as a model.

    Returns:
        The model's instance, or None, and all that the document does wrong.
    """
    try:
        with _BUILDING:
            return model.model_validate(document.data, by_alias=True, by_name=False), []
    except ValidationError as error:
        violations = [_violation(model, details) for details in error.errors(include_url=False)]
        return None, [_finding(document, v) for v in _of_meant_branches(violations)]


def read(model: type[M], data: Mapping[str, Any]) -> M:
    """Read data that was not in a file, such as a method's keywords.

    Raises:
        InputError: with all that it does wrong.
    """
    doc, findings = validate(model, Document(plain_tree(dict(data)), ""))
    if doc is None:
        raise InputError([Problem("", found.message, found.hint) for found in findings])
    return doc


def plain_tree(value: Any) -> Node:
    """Return plain data as the tree of a file that has no name."""
    mark = Mark("")
    children = value.items() if isinstance(value, dict) else ()
    return Node(value, mark, {key: Child(mark, plain_tree(below)) for key, below in children})


def _violation(model: type[BaseModel], details: Any) -> _Violation:
    path: list[str | int] = []
    union: KeyPath | None = None
    owner: type[BaseModel] | None = None
    at: Any = model
    steps = list(details["loc"])
    is_key = bool(steps) and steps[-1] == "[key]"
    for step in steps[:-1] if is_key else steps:
        at = _plain(at)
        if _is_union(at):
            union = tuple(path)
            at = _branch(at, step)
            continue
        path.append(step)
        owner = at if isinstance(at, type) and issubclass(at, BaseModel) else None
        at = _below(at, step)
    context = details.get("ctx", {})
    kind, text = details["type"], details["msg"]
    return _Violation(tuple(path), kind, context, text, owner, union, is_key)


def _plain(annotation: Any) -> Any:
    """Return a type without Annotated and without None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if _is_union(annotation):
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) == 1:
            return _plain(members[0])
    return annotation


def _is_union(annotation: Any) -> bool:
    # int | str is a types.UnionType before Python 3.14, Annotated[…] | str a typing.Union.
    return get_origin(annotation) in (Union, type(int | str))


def _branch(union: Any, label: Any) -> Any:
    for member in get_args(union):
        if get_origin(member) is Annotated:
            tags = [extra.tag for extra in get_args(member)[1:] if isinstance(extra, Tag)]
            if label in tags:
                return member
        name = getattr(_plain(member), "__name__", "")
        # pydantic calls a validated type like function-before[check(), Name].
        if name and (label == name or str(label).rstrip("]").endswith(f", {name}")):
            return member
    return Any


def _below(annotation: Any, step: str | int) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            if step == (field.alias or name):
                return field.annotation
        return Any
    arguments = get_args(annotation)
    return arguments[-1] if arguments else Any


def _of_meant_branches(violations: list[_Violation]) -> Iterator[_Violation]:
    """Leave out what only says that a value is of another branch of its union."""
    told: set[KeyPath] = set()
    for violation in violations:
        if not violation.is_of_wrong_branch:
            yield violation
            continue
        union = violation.path
        rivals = [other for other in violations if other.union == union]
        if union in told or not all(rival.is_of_wrong_branch for rival in rivals):
            continue
        told.add(union)
        needed = " or ".join(rival.needed for rival in rivals)
        yield _Violation(union, "union", {"needed": needed}, violation.text)


def _finding(document: Document, violation: _Violation) -> Finding:
    message, hint = _words(document, violation)
    path = _written(document, violation.path)
    if violation.kind == "missing":
        mark = document.key_mark(path[:-1])
    elif violation.kind == "extra_forbidden" or violation.is_key:
        mark = document.key_mark(path)
    else:
        mark = document.mark(path)
    return Finding(mark, message, hint)


def _written(document: Document, path: KeyPath) -> KeyPath:
    """Return `path` as it stands in the file, where a list may stand for a mapping's keys."""
    value: Any = document.data
    steps: list[str | int] = []
    for step in path:
        steps.append(value.index(step) if isinstance(value, list) and step in value else step)
        try:
            value = value[steps[-1]]
        except (LookupError, TypeError):
            break
    return tuple(steps)


def _value(document: Document, path: KeyPath) -> Any:
    """Return the value at `path`, or of what stands for it in a short form."""
    value: Any = document.data
    for step in _written(document, path):
        try:
            value = value[step]
        except (LookupError, TypeError):
            break
    return value


def _words(document: Document, violation: _Violation) -> tuple[str, str]:
    """Return what is wrong and what to write instead."""
    path, kind, context = violation.path, violation.kind, violation.context
    if kind == "missing":
        return f"{dotted(path[:-1]) or 'the file'} needs '{path[-1]}'", ""
    if kind == "extra_forbidden":
        return _unknown_key(violation)
    place = dotted(path[:-1] if violation.is_key else path)
    needed = context.get("needed") or violation.needed
    if needed:
        return _wrong_type(place, needed, _value(document, path))
    if kind in _LIMITS:
        words, name = _LIMITS[kind]
        return f"{place} must be {words} {context[name]}", ""
    if kind in ("too_short", "too_long"):
        return _wrong_length(place, context), ""
    text = str(context["error"]) if "error" in context else violation.text
    return f"{place}: {text}" if place else text, ""


def _unknown_key(violation: _Violation) -> tuple[str, str]:
    *parent, key = violation.path
    message = f"unknown key '{short(str(key))}'"
    if parent:
        message += f" in {dotted(tuple(parent))}"
    fields = violation.owner.model_fields if violation.owner else {}
    known = [field.alias or name for name, field in fields.items()]
    near = did_you_mean(str(key), known)
    return message, near or (f"it has {', '.join(known)}" if known else "it has no keys")


def _wrong_type(place: str, needed: str, value: Any) -> tuple[str, str]:
    if value is None:
        return f"{place} has no value: it must be {needed}", ""
    given = kind_of(value)
    if isinstance(value, int | float):
        given = str(value).lower()
    elif isinstance(value, str) and "'" in needed:
        given = f"'{short(value)}'"
    hint = "put it in quotes" if needed == "a text" and isinstance(value, int | float) else ""
    return f"{place} must be {needed}, not {given}", hint


def _wrong_length(place: str, context: dict[str, Any]) -> str:
    least, most = context.get("min_length"), context.get("max_length")
    actual = context["actual_length"]
    if least is not None:
        bound = f"at least {least} {'entry' if least == 1 else 'entries'}"
    else:
        bound = f"at most {most} {'entry' if most == 1 else 'entries'}"
    return f"{place} needs {bound}, but has {actual or 'none'}"
