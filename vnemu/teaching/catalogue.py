"""Where teaching labs are, and what one is: a folder with a topology, a page and checks."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.schema.document import Document, examine
from vnemu.schema.load import load_topology
from vnemu.schema.now import read_now
from vnemu.schema.teaching import (
    AnswerDoc,
    CheckDoc,
    FlowsDoc,
    LabDoc,
    OutagesDoc,
    PathDoc,
    ReachAllDoc,
    ReachDoc,
    RouteDoc,
    ShowsDoc,
    StateDoc,
    StepDoc,
    UnreachableDoc,
)
from vnemu.schema.violations import validate
from vnemu.schema.wording import KeyPath, in_file_order, instead_of

CHECKS = "checks.yaml"
TOPOLOGY = "topology.yaml"
PAGE = "README.md"
PLACE = "VNEMU_LABS"


@dataclass(frozen=True)
class TeachingLab:
    """A teaching lab; the running lab has its name.

    Parameters:
        folder: with all that belongs to it.
        digest: of its checks, SHA-256 in hexadecimal.
    """

    folder: Path
    doc: LabDoc
    digest: str

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    def step(self, name: str) -> StepDoc:
        """One of its steps.

        Raises:
            InputError: if there is none of that name.
        """
        for step in self.doc.steps:
            if step.name == name:
                return step
        hint = instead_of(name, [step.name for step in self.doc.steps])
        raise InputError([Problem("", f"lab '{self.name}' has no step '{name}'", hint)])


def find(name: str, place: Path | None = None) -> TeachingLab:
    """The lab of a name, or of a folder.

    Parameters:
        place: the folder of labs; None: the usual ones.

    Raises:
        InputError: if there is none, or with all that is wrong with it.
    """
    own = Path(name)
    if (own / CHECKS).is_file():
        return read(own.resolve())
    known = {folder.name: folder for folder in folders(place)}
    if name not in known:
        where = f"; labs are looked for in {_in_words(place)}" if not known else ""
        hint = instead_of(name, sorted(known)) + where
        raise InputError([Problem("", f"there is no teaching lab '{name}'", hint)])
    return read(known[name])


def folders(place: Path | None = None) -> list[Path]:
    """The folders of all labs, by name; of two of the same name the first."""
    found: dict[str, Path] = {}
    for root in _places(place):
        for file in sorted(root.glob(f"*/{CHECKS}")):
            found.setdefault(file.parent.name, file.parent.resolve())
    return [found[name] for name in sorted(found)]


def _places(place: Path | None) -> list[Path]:
    """Where labs are looked for: what was said, else here and beside the program."""
    said = place or (Path(os.environ[PLACE]) if os.environ.get(PLACE) else None)
    package = Path(__file__).parents[1]
    return [said] if said else [Path("labs"), package.parent / "labs", package / "labs"]


def _in_words(place: Path | None) -> str:
    return " and ".join(str(root) for root in _places(place))


def read(folder: Path) -> TeachingLab:
    """Read a lab, checked in full.

    Raises:
        InputError: with all that is wrong with it, each with its file and line.
    """
    path = _shown(folder / CHECKS)
    document, findings = examine(path)
    if document is None:
        raise InputError(in_file_order(findings))
    doc, violations = validate(LabDoc, document)
    if doc is None or findings or violations:
        raise InputError(in_file_order([*findings, *violations]))
    problems = [*_of_names(doc, document, resolve(load_topology(_shown(folder / TOPOLOGY))))]
    if not (folder / PAGE).is_file():
        problems.append(Problem(str(_shown(folder)), f"has no page {PAGE}"))
    if problems:
        raise InputError(problems)
    return TeachingLab(folder, doc, hashlib.sha256(path.read_bytes()).hexdigest())


def _shown(path: Path) -> Path:
    """A path as short as it can be said from here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _of_names(doc: LabDoc, document: Document, topology: Topology) -> Iterator[Problem]:
    """What the checks name and nobody knows."""
    seen: set[str] = set()
    known = _known(doc, topology)
    for index, check in enumerate(doc.ready):
        yield from _unknown(check, document, ("ready", index), known, doc.creates)
    for number, step in enumerate(doc.steps):
        place: KeyPath = ("steps", number)
        if step.name in seen:
            yield Problem(document.where((*place, "name")), f"a step '{step.name}' is above")
        seen.add(step.name)
        for index, check in enumerate(step.checks):
            where: KeyPath = (*place, "checks", index)
            yield from _unknown(check, document, where, known, doc.creates)
            if isinstance(check, AnswerDoc) and check.answer not in doc.questions:
                hint = instead_of(check.answer, list(doc.questions))
                message = f"there is no question '{check.answer}'"
                yield Problem(document.where((*where, "answer")), message, hint)


def _known(doc: LabDoc, topology: Topology) -> set[str]:
    underlay = topology.underlay
    places = {*underlay.links, *underlay.machines}
    return {*topology.nodes, *topology.links, *topology.networks, *places, *doc.creates}


def _unknown(
    check: CheckDoc, document: Document, place: KeyPath, known: set[str], made: list[str]
) -> Iterator[Problem]:
    for key, name in _named(check):
        if name not in known and name.partition("/")[0] not in made:
            hint = f"{instead_of(name, sorted(known))}; what students make is said in creates:"
            yield Problem(document.where((*place, key)), f"there is no '{name}'", hint)
    if isinstance(check, OutagesDoc):
        for key, texts in (("when", check.when), ("afterwards", check.afterwards)):
            for index, text in enumerate(texts):
                try:
                    read_now(text)
                except InputError as error:
                    where = document.where((*place, key, index))
                    yield from (Problem(where, p.message, p.hint) for p in error.problems)


def _named(check: CheckDoc) -> Iterator[tuple[str, str]]:
    """The names that a check has, each with the key it is under."""
    match check:
        case ReachAllDoc():
            yield "reach_all", check.reach_all
        case ReachDoc():
            yield from (("reach", name) for name in check.reach)
        case UnreachableDoc():
            yield from (("unreachable", name) for name in check.unreachable)
        case RouteDoc():
            yield from (("route", name) for name in check.route)
            yield "via", check.via
        case PathDoc():
            yield from (("path", name) for name in check.path)
            yield from (("through", name) for name in check.through)
        case StateDoc():
            yield "state", check.state
        case ShowsDoc():
            yield "shows", check.shows
        case FlowsDoc():
            yield from (("flows", name) for flow in check.flows for name in (flow.from_, flow.to))
        case OutagesDoc():
            yield from (("outages", name) for o in check.outages for name in (o.from_, o.to))
