"""The answers of a student: read, and judged without telling the solution."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from vnemu.errors import InputError, Problem
from vnemu.schema.document import Document
from vnemu.schema.teaching import LabDoc, QuestionDoc
from vnemu.schema.wording import instead_of

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)")
Answers = Mapping[str, object]


def read_answers(path: Path, doc: LabDoc) -> dict[str, object]:
    """Read an answers.yaml; questions without an answer are left out.

    Raises:
        InputError: with its file and line, if there is no such question.
    """
    if not path.is_file():
        return {}
    document = Document.read(path)
    unknown = [key for key in document.data if key not in doc.questions]
    if unknown:
        hint = instead_of(unknown[0], list(doc.questions))
        message = f"there is no question '{unknown[0]}'"
        raise InputError([Problem(document.key_where((unknown[0],)), message, hint)])
    return {key: value for key, value in document.data.items() if value is not None}


def given_answers(texts: Sequence[str], doc: LabDoc) -> dict[str, object]:
    """Read what was given to ``--answer``: QUESTION=ANSWER.

    Raises:
        InputError: if it is of another form, or there is no such question.
    """
    found: dict[str, object] = {}
    for text in texts:
        name, equals, answer = text.partition("=")
        if not equals:
            hint = "write it like --answer hops=3"
            raise InputError([Problem("--answer", f"'{text}' is not QUESTION=ANSWER", hint)])
        if name not in doc.questions:
            hint = instead_of(name, list(doc.questions))
            raise InputError([Problem("--answer", f"there is no question '{name}'", hint)])
        found[name] = answer.strip()
    return found


def template(doc: LabDoc) -> str:
    """An answers.yaml with all questions, and no answers."""
    lines = ["# Your answers: write them behind the colons. vnemu lab check reads this file."]
    for name, question in doc.questions.items():
        lines += ["", f"# {question.ask}"]
        lines += [f"#   {key}: {text}" for key, text in (question.choices or {}).items()]
        lines += [f"{name}:{f'  # in {question.unit}' if question.unit else ''}"]
    return "\n".join(lines) + "\n"


def judged(lab: str, name: str, question: QuestionDoc, answer: object) -> tuple[bool, str, str]:
    """Judge an answer.

    Returns:
        Whether it is right; the answer; what kind of answer is expected, not which.
    """
    expected = _expected(question)
    if answer is None:
        return False, "no answer yet", expected
    text = str(answer).strip()
    if question.number is not None:
        value = _number(text, question.unit)
        if value is None:
            return False, f"'{text}'", expected
        off = abs(value - question.number)
        return off <= question.within + 1e-9, f"'{text}'", expected
    if question.choices is not None and _plain(text) not in map(_plain, question.choices):
        return False, f"'{text}', which is none of them", expected
    if question.text is not None:
        return _plain(text) in map(_plain, question.text), f"'{text}'", expected
    return seal(lab, name, text) in (question.sealed or ()), f"'{text}'", expected


def seal(lab: str, name: str, text: str) -> str:
    """The seal of an answer: SHA-256 of LAB/QUESTION/ANSWER, small letters, single blanks."""
    return hashlib.sha256(f"{lab}/{name}/{_plain(text)}".encode()).hexdigest()


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _number(text: str, unit: str) -> float | None:
    """The number of an answer; its unit may be written behind it."""
    word = text.lower().removesuffix(unit.lower()).strip() if unit else text
    return float(word) if _NUMBER.fullmatch(word) else None


def _expected(question: QuestionDoc) -> str:
    if question.kind == "number":
        return f"the right number{f' in {question.unit}' if question.unit else ''}"
    if question.choices is not None:
        return f"the right one of {', '.join(question.choices)}"
    return "the right answer"
