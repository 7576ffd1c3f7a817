"""Teaching labs without a lab: their files, answers, what is measured, and grades."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from vnemu.errors import InputError
from vnemu.schema.document import Document
from vnemu.schema.teaching import LabDoc, QuestionDoc
from vnemu.schema.violations import validate
from vnemu.teaching import grades
from vnemu.teaching.answers import given_answers, judged, read_answers, seal, template
from vnemu.teaching.catalogue import find, folders, read
from vnemu.teaching.measure import Loss, _intervals
from vnemu.teaching.submission import SUBMISSION, Work
from vnemu.teaching.verdicts import Verdict

LABS = Path(__file__).parents[2] / "labs"


def question(**keys: Any) -> QuestionDoc:
    return QuestionDoc.model_validate({"ask": "?", **keys})


@pytest.mark.parametrize(
    ("asked", "answer", "right"),
    [
        (question(number=15.3, within=1.5, unit="mbit"), 14, True),
        (question(number=15.3, within=1.5, unit="mbit"), "16.8 Mbit", True),
        (question(number=15.3, within=1.5, unit="mbit"), "17", False),
        (question(number=15.3, within=1.5, unit="mbit"), "fifteen", False),
        (question(number=2), "nan", False),
        (question(number=0), 0, True),
        (question(text=["RM 2", "rm2"]), " rm  2 ", True),
        (question(text=["rm2"]), "rm1", False),
        (question(choices={"a": "A", "b": "B"}, text=["b"]), "B", True),
        (question(choices={"a": "A", "b": "B"}, text=["b"]), "c", False),
        (question(sealed=[seal("lab", "q", "rm2")]), "RM2", True),
        (question(sealed=[seal("other", "q", "rm2")]), "rm2", False),
        (question(number=1), None, False),
    ],
)
def test_answers_are_judged(asked: QuestionDoc, answer: object, right: bool) -> None:
    met, _, expected = judged("lab", "q", asked, answer)
    assert met == right
    assert "15.3" not in expected
    assert "rm2" not in expected.lower()


def test_a_seal_is_what_the_page_says() -> None:
    import hashlib

    assert seal("l", "q", "RM  2") == hashlib.sha256(b"l/q/rm 2").hexdigest()


def test_answers_are_read(tmp_path: Path) -> None:
    doc = find("first-network", LABS).doc
    file = tmp_path / "answers.yaml"
    assert read_answers(file, doc) == {}
    file.write_text(template(doc))
    assert read_answers(file, doc) == {}
    file.write_text("ttl: 62\nmachin: rm2\n")
    with pytest.raises(InputError, match=r"answers.yaml:2: .*'machin'; did you mean 'machine'"):
        read_answers(file, doc)
    assert given_answers(["ttl=62"], doc) == {"ttl": "62"}
    for wrong in ("ttl", "tll=62"):
        with pytest.raises(InputError):
            given_answers([wrong], doc)


WRONG = [
    ("number: 1, text: [a]", "has one solution"),
    ("text: [a], unit: s", "are of a number"),
    ("choices: {a: x}, text: [b]", "none of its choices"),
    ("sealed: [abc]", "no SHA-256"),
]


@pytest.mark.parametrize(("keys", "message"), WRONG)
def test_questions_that_are_wrong(keys: str, message: str) -> None:
    text = f"title: t\nlevel: 1\nminutes: 1\nquestions:\n  q: {{ask: x, {keys}}}\nsteps: []\n"
    doc, findings = validate(LabDoc, Document.parse(text, "checks.yaml"))
    assert doc is None
    assert any(f.mark.line == 5 and message in f.message for f in findings), findings


def test_checks_that_are_unknown() -> None:
    text = "title: t\nlevel: 1\nminutes: 1\nsteps:\n  - name: s\n    title: S\n    checks:\n"
    doc, findings = validate(LabDoc, Document.parse(f"{text}      - {{rech: [a/b, a/c]}}\n", "c"))
    assert doc is None
    assert [f.mark.line for f in findings] == [8]
    assert "a check has one of the keys reach," in findings[0].message


@pytest.mark.parametrize("folder", folders(LABS), ids=lambda folder: folder.name)
def test_labs_are_fine(folder: Path) -> None:
    lab = read(folder)
    assert all(step.hints for step in lab.doc.steps)


def test_a_lab_that_is_not_there() -> None:
    with pytest.raises(InputError, match="did you mean 'first-network'"):
        find("first-netwrk", LABS)


def test_loss() -> None:
    loss = Loss(0.1)
    for number, rtt in enumerate([1.0, 1.0, None, None, 1.0, None]):
        loss.take(number / 10, number, rtt)
    assert loss.lost == 3
    assert loss.longest_s == pytest.approx(0.2)
    without_end = Loss(0.1)
    for number, rtt in enumerate([1.0, None, None, None]):
        without_end.take(number / 10, number, rtt)
    assert without_end.longest_s == pytest.approx(0.3)


def test_intervals_of_iperf3() -> None:
    text = """\
[ ID] Interval           Transfer     Bitrate
[  5]   0.00-0.50   sec  1.81 MBytes  99.4 Mbits/sec
[  5]   1.00-1.50   sec  1.81 MBytes  30.0 Mbits/sec
[  5]   1.50-2.00   sec   181 KBytes  3.00 Mbits/sec
[  5]   2.00-2.04   sec  1.81 MBytes  99.4 Mbits/sec
[  5]   0.00-2.04   sec  7.81 MBytes  99.4 Mbits/sec                  receiver
"""
    assert list(_intervals(text)) == [30e6, 3e6]


def worked(folder: Path, *met: str, answers: dict[str, object] | None = None) -> None:
    """A submission on first-network, in which some steps are done."""
    lab = find("first-network", LABS)
    work = Work.of(lab, folder)
    work.answers(answers or {})
    for step in lab.doc.steps:
        work.checked(step.name, [Verdict("it <works>", step.name in met, "no", "yes")])
    work.seen({}, [])


RIGHT: dict[str, object] = {"machine": "rm2", "ttl": 62, "twin": "a"}


def test_grades(tmp_path: Path) -> None:
    worked(tmp_path / "alice" / "first-network", "look", "ping", "cut", answers=RIGHT)
    worked(tmp_path / "=bob", "look", "ping", "own", answers={**RIGHT, "machine": "rm1"})
    for name, text in {"carol": "{", "dave": '{"format": 1, "lab": "x", "steps": {}}'}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / SUBMISSION).write_text(text)
    forged = json.loads((tmp_path / "=bob" / SUBMISSION).read_text())
    forged["steps"] = {"look": 7}
    (tmp_path / "eve").mkdir()
    (tmp_path / "eve" / SUBMISSION).write_text(json.dumps(forged))
    found = grades.grade(tmp_path, LABS)
    assert {g.student: (g.points, g.of) for g in found} == {
        "alice": (4, 8),
        "=bob": (4, 8),
        **dict.fromkeys(("carol", "dave", "eve"), (0, 0)),
    }
    bob = found[0]
    assert bob.steps[0].missing == ["the answer to 'machine': 'rm1'"]
    assert all(g.notes for g in found if not g.of)
    files = grades.write(found, tmp_path)
    assert [file.name for file in files] == list(grades.MADE)
    assert len(json.loads(files[0].read_text())["submissions"]) == 5
    rows = list(csv.DictReader(files[1].open()))
    assert len(rows) == 5 + 5 + 3
    assert rows[0]["student"] == "'=bob"
    page = files[2].read_text()
    assert "it &lt;works&gt;" in page
    assert "http" not in page


def test_a_step_stays_done(tmp_path: Path) -> None:
    worked(tmp_path, "cut")
    worked(tmp_path)
    data = json.loads((tmp_path / SUBMISSION).read_text())
    assert data["steps"]["cut"]["passed_at"] is not None
    assert data["steps"]["cut"]["attempts"] == 2
    assert data["steps"]["cut"]["checks"][0]["met"] is True


def test_work_on_another_lab_is_refused(tmp_path: Path) -> None:
    worked(tmp_path)
    with pytest.raises(InputError, match="--save FOLDER"):
        Work.of(find("ospf-repair", LABS), tmp_path)


def test_other_checks_are_noted(tmp_path: Path) -> None:
    worked(tmp_path / "handed-in")
    changed = tmp_path / "labs"
    shutil.copytree(LABS / "first-network", changed / "first-network")
    with (changed / "first-network" / "checks.yaml").open("a") as file:
        file.write("# changed\n")
    (grade,) = grades.grade(tmp_path / "handed-in", changed)
    assert grade.notes == ["made with other checks than those that are here now"]
    with pytest.raises(InputError, match=r"has no submission\.json"):
        grades.grade(changed, LABS)


def test_the_example_of_the_page_is_fine() -> None:
    page = (LABS.parent / "docs" / "labs.md").read_text(encoding="utf-8")
    text = page.split("```yaml\n")[1].partition("```")[0]
    doc, findings = validate(LabDoc, Document.parse(text, "labs.md"))
    assert doc is not None, findings
