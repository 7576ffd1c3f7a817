"""A student's work on a lab: what was answered, checked and asked for, in one folder."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vnemu import __version__
from vnemu.errors import InputError, Problem
from vnemu.teaching.answers import read_answers, template
from vnemu.teaching.catalogue import TeachingLab
from vnemu.teaching.verdicts import Verdict

SUBMISSION = "submission.json"
ANSWERS = "answers.yaml"
FORMAT = 1


def default_folder(lab: str) -> Path:
    """Where the work on a lab is kept if nothing else is said."""
    return Path("my-labs") / lab


def load(path: Path) -> dict[str, Any]:
    """Read a submission.json.

    Raises:
        InputError: if it is none.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError([Problem(str(path), f"cannot be read: {error}")]) from None
    whole = isinstance(data, dict) and isinstance(data.get("steps"), dict)
    if not whole or data.get("format") != FORMAT or not isinstance(data.get("lab"), str):
        message = f"is no submission of format {FORMAT}"
        raise InputError([Problem(str(path), message, "vnemu lab check writes one")])
    found: dict[str, Any] = data
    return found


@dataclass(frozen=True)
class Work:
    """The work on a lab.

    Parameters:
        folder: where it is kept; it is made when there is something to keep.
        data: what submission.json holds (docs/labs.md describes the keys).
    """

    lab: TeachingLab
    folder: Path
    data: dict[str, Any]

    @classmethod
    def of(cls, lab: TeachingLab, folder: Path | None) -> Work:
        """The work in a folder; None: the usual one. A new one if there is none yet.

        Raises:
            InputError: if the folder holds the work on another lab.
        """
        folder = folder or default_folder(lab.name)
        path = folder / SUBMISSION
        if not path.exists():
            return cls(lab, folder, _new(lab))
        data = load(path)
        if data["lab"] != lab.name:
            message = f"holds the work on lab '{data['lab']}', not '{lab.name}'"
            raise InputError([Problem(str(path), message, "give another folder: --save FOLDER")])
        return cls(lab, folder, data)

    def step(self, name: str) -> dict[str, Any]:
        """What is known of a step."""
        empty: dict[str, Any] = {"passed_at": None, "attempts": 0, "hints": 0, "checks": []}
        found: dict[str, Any] = self.data["steps"].setdefault(name, empty)
        return found

    def answers(self, given: Mapping[str, object]) -> dict[str, object]:
        """All answers: what is given now takes the place of what was given before.

        Raises:
            InputError: if answers.yaml is wrong.
        """
        written = read_answers(self.folder / ANSWERS, self.lab.doc)
        self.data["answers"] = {**self.data["answers"], **written, **given}
        return dict(self.data["answers"])

    def began(self, what: str) -> None:
        """The lab was started or reset."""
        self._log(what)
        self._save()
        path = self.folder / ANSWERS
        if self.lab.doc.questions and not path.exists():
            path.write_text(template(self.lab.doc), encoding="utf-8")

    def checked(self, name: str, verdicts: Sequence[Verdict]) -> None:
        """A step was checked; once it was met, it is done."""
        step = self.step(name)
        met = all(verdict.met for verdict in verdicts)
        step["attempts"] += 1
        if met or step["passed_at"] is None:
            step["checks"] = [verdict.as_data() for verdict in verdicts]
        if met and step["passed_at"] is None:
            step["passed_at"] = time.time()
        self._log("check", step=name, met=met)

    def next_hint(self, name: str) -> tuple[int, str | None]:
        """The next hint of a step, and its number from 1; None when there are no more."""
        hints = self.lab.step(name).hints
        step = self.step(name)
        if step["hints"] >= len(hints):
            return len(hints), None
        step["hints"] += 1
        self._log("hint", step=name)
        self._save()
        return step["hints"], hints[step["hints"] - 1]

    def seen(self, state: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
        """Keep how the running lab is now, and what has happened in it; everything is written."""
        self.data["state"] = state
        self.data["events"] = list(events)
        self._save()

    def _log(self, what: str, **more: object) -> None:
        self.data["log"].append({"time": time.time(), "what": what, **more})

    def _save(self) -> None:
        from vnemu.results.files import write_atomic

        self.folder.mkdir(parents=True, exist_ok=True)
        self.data.update(vnemu=__version__, digest=self.lab.digest)
        write_atomic(self.folder / SUBMISSION, json.dumps(self.data, indent=1) + "\n")


def _new(lab: TeachingLab) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "vnemu": __version__,
        "lab": lab.name,
        "digest": lab.digest,
        "answers": {},
        "steps": {},
        "log": [],
        "state": None,
        "events": [],
    }
