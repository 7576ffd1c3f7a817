"""The grades of a folder of submissions: grades.json, grades.csv and grades.html."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vnemu import __version__
from vnemu.errors import InputError, Problem
from vnemu.results.files import write_atomic
from vnemu.schema.teaching import AnswerDoc, StepDoc
from vnemu.teaching.answers import judged
from vnemu.teaching.catalogue import TeachingLab, find
from vnemu.teaching.submission import SUBMISSION, load

MADE = ("grades.json", "grades.csv", "grades.html")
_CSV = ("student", "lab", "step", "points", "of", "passed_at", "attempts", "hints", "notes")


@dataclass(frozen=True)
class StepGrade:
    """What a student has achieved in a step.

    Parameters:
        of: points that the step has.
        passed_at: seconds since 1970; None: not passed.
        missing: the checks that were not met the last time, with what was seen.
    """

    name: str
    title: str
    points: int
    of: int
    passed_at: float | None
    attempts: int
    hints: int
    missing: list[str]


@dataclass(frozen=True)
class Grade:
    """What a student has achieved in a lab.

    Parameters:
        student: the folder of the submission, without the lab's name at its end.
        notes: what a teacher should know of it.
    """

    student: str
    lab: str
    points: int
    of: int
    steps: list[StepGrade]
    notes: list[str]


def grade(folder: Path, place: Path | None = None) -> list[Grade]:
    """Grade all submissions below a folder; one that cannot be read has no points, and a note.

    Parameters:
        place: the folder of labs; None: the usual ones.

    Raises:
        InputError: if there are none.
    """
    files = sorted(folder.rglob(SUBMISSION))
    if not files:
        hint = "vnemu lab check writes one; each student's in a folder of its own"
        raise InputError([Problem(str(folder), f"has no {SUBMISSION} in it", hint)])
    return [_graded(file, folder, place) for file in files]


def _graded(file: Path, root: Path, place: Path | None) -> Grade:
    try:
        data = load(file)
        lab = find(data["lab"], place)
        student = _student(file, root, lab.name)
        return _of_submission(student, lab, data)
    except InputError as error:
        return Grade(_student(file, root, ""), "", 0, 0, [], [str(error)])
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        note = f"{file}: is no submission as vnemu writes it ({type(error).__name__}: {error})"
        return Grade(_student(file, root, ""), "", 0, 0, [], [note])


def _student(file: Path, root: Path, lab: str) -> str:
    parts = list(file.parent.relative_to(root).parts)
    for last in (lab, "my-labs"):
        if parts[-1:] == [last]:
            parts.pop()
    return "/".join(parts) or root.resolve().name


def _of_submission(student: str, lab: TeachingLab, data: Mapping[str, Any]) -> Grade:
    steps = [_of_step(lab, step, data) for step in lab.doc.steps]
    notes = []
    if data.get("digest") != lab.digest:
        notes.append("made with other checks than those that are here now")
    if data.get("vnemu") != __version__:
        notes.append(f"made with vnemu {data.get('vnemu')}")
    points, of = sum(step.points for step in steps), sum(step.of for step in steps)
    return Grade(student, lab.name, points, of, steps, notes)


def _of_step(lab: TeachingLab, step: StepDoc, data: Mapping[str, Any]) -> StepGrade:
    """A step as it was checked; its answers are judged again."""
    found = data["steps"].get(step.name, {})
    wrong = [*_wrong_answers(lab, step, data["answers"])]
    passed_at = None if wrong else found.get("passed_at")
    checks = found.get("checks", []) if passed_at is None else []
    missing = [f"{c['check']}: {c['saw']}" for c in checks if not c["met"]]
    return StepGrade(
        step.name,
        step.title,
        step.points if passed_at is not None else 0,
        step.points,
        None if passed_at is None else float(passed_at),
        int(found.get("attempts", 0)),
        int(found.get("hints", 0)),
        list(dict.fromkeys([*missing, *(wrong if found else [])])),
    )


def _wrong_answers(lab: TeachingLab, step: StepDoc, answers: Mapping[str, Any]) -> list[str]:
    named = [check.answer for check in step.checks if isinstance(check, AnswerDoc)]
    found = {n: judged(lab.name, n, lab.doc.questions[n], answers.get(n)) for n in named}
    return [f"the answer to '{n}': {saw}" for n, (met, saw, _) in found.items() if not met]


def write(grades: list[Grade], folder: Path) -> list[Path]:
    """Write `MADE` into a folder; each file is replaced at once.

    Returns:
        The files.
    """
    made = time.time()
    texts = (as_json(grades, made), as_csv(grades), _page(grades, made))
    files = [folder / name for name in MADE]
    for file, text in zip(files, texts, strict=True):
        write_atomic(file, text)
    return files


def as_json(grades: list[Grade], made: float) -> str:
    """The grades for programs; `made` is in seconds since 1970."""
    data = {"vnemu": __version__, "made": made, "submissions": [asdict(g) for g in grades]}
    return json.dumps(data, indent=1) + "\n"


def as_csv(grades: list[Grade]) -> str:
    """The grades for a spreadsheet: a line for each step, and one for what could not be read."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_CSV)
    for g in grades:
        notes = _harmless("; ".join(g.notes))
        student = _harmless(g.student)
        for s in g.steps:
            row = (s.name, s.points, s.of, s.passed_at or "", s.attempts, s.hints, notes)
            writer.writerow([student, g.lab, *row])
        if not g.steps:
            writer.writerow([student, "", "", 0, 0, "", 0, 0, notes])
    return out.getvalue()


def _harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _page(grades: list[Grade], made: float) -> str:
    import jinja2

    loader = jinja2.PackageLoader("vnemu.teaching", ".")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True)
    environment.filters["clock"] = _clock
    labs = sorted({g.lab for g in grades if g.lab})
    page = environment.get_template("grades.html.j2")
    return page.render(grades=grades, labs=labs, made=made, version=__version__)


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
