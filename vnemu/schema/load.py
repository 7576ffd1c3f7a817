"""From files to checked documents: all that is wrong is reported at once."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from vnemu.errors import InputError, Problem
from vnemu.schema.document import Document, examine
from vnemu.schema.experiment import ExperimentDoc
from vnemu.schema.fields import NAME_LIMIT
from vnemu.schema.timeline import ReplayDoc
from vnemu.schema.topology import TopologyDoc
from vnemu.schema.traces import Trace, read_trace
from vnemu.schema.violations import validate
from vnemu.schema.wording import Finding, KeyPath, Mark, in_file_order

D = TypeVar("D", bound=BaseModel)

# The top-level keys of a topology that --set reaches without the prefix "topology.".
_TOPOLOGY_KEYS = ("underlay", "networks")


@dataclass(frozen=True)
class Loaded(Generic[D]):
    """A document that keeps to its model.

    Parameters:
        doc: the model's instance.
        document: the plain data and where it was written.
        name: the document's own name, else that of its file.
    """

    doc: D
    document: Document
    name: str


@dataclass(frozen=True)
class LoadedExperiment(Loaded[ExperimentDoc]):
    """An experiment with the topology it runs on.

    Parameters:
        traces: what the replays of its timeline name, by the entry's index.
    """

    topology: Loaded[TopologyDoc]
    traces: Mapping[int, Trace] = field(default_factory=dict)


def load_topology(path: Path, overrides: Sequence[str] = ()) -> Loaded[TopologyDoc]:
    """Read a topology file.

    Parameters:
        overrides: what the user gave to ``--set``: ``underlay.links.0.rate=320mbit``.

    Raises:
        InputError: with all that is wrong with the file, in its order.
    """
    loaded, problems = _topology_file(path, None, overrides)
    if loaded is None or problems:
        raise InputError(problems)
    return loaded


def load_experiment(path: Path, overrides: Sequence[str] = ()) -> LoadedExperiment:
    """Read an experiment file and its topology, a file or part of it.

    Parameters:
        overrides: what the user gave to ``--set``. Those of ``underlay`` and
            ``networks``, or with the prefix ``topology.``, are for the topology.

    Raises:
        InputError: with all that is wrong with both files, each in its order.
    """
    document, findings = examine(path)
    if document is None:
        raise InputError(in_file_order(findings))
    ours = [text for text in overrides if not _is_of_topology(text)]
    theirs = [text for text in overrides if _is_of_topology(text)]
    document = _overridden(document, ours, findings)
    if isinstance(document.data.get("topology"), dict):
        return _with_inline_topology(path, document, theirs, findings)
    return _with_topology_file(path, document, theirs, findings)


def problem(loaded: Loaded[D], path: KeyPath, message: str, hint: str = "") -> Problem:
    """Return a problem with the value at `path` of a loaded document."""
    return Problem(loaded.document.where(path), message, hint)


def _with_inline_topology(
    path: Path, document: Document, overrides: list[str], findings: list[Finding]
) -> LoadedExperiment:
    document = _overridden(document, overrides, findings, _into_topology)
    doc = _validated(ExperimentDoc, document, findings)
    if doc is None or findings:
        raise InputError(in_file_order(findings))
    assert isinstance(doc.topology, TopologyDoc)
    traces, problems = _traces(path, doc, document)
    if problems:
        raise InputError(problems)
    name = _name(doc, path)
    part = Loaded(doc.topology, document.at("topology"), doc.topology.name or name)
    return LoadedExperiment(doc, document, name, part, traces)


def _with_topology_file(
    path: Path, document: Document, overrides: list[str], findings: list[Finding]
) -> LoadedExperiment:
    doc = _validated(ExperimentDoc, document, findings)
    problems = in_file_order(findings)
    file, topology = document.data.get("topology"), None
    if isinstance(file, str):
        mark = document.mark(("topology",))
        topology, more = _topology_file(_beside(path, file), mark, overrides, _out_of_topology)
        problems += more
    traces: dict[int, Trace] = {}
    if doc is not None:
        traces, more = _traces(path, doc, document)
        problems += more
    if doc is None or topology is None or problems:
        raise InputError(problems)
    return LoadedExperiment(doc, document, _name(doc, path), topology, traces)


def _traces(
    path: Path, doc: ExperimentDoc, document: Document
) -> tuple[dict[int, Trace], list[Problem]]:
    """Read the files that the timeline of the experiment file `path` replays."""
    traces: dict[int, Trace] = {}
    problems: list[Problem] = []
    for index, event in enumerate(doc.timeline):
        if isinstance(event, ReplayDoc):
            said_at = document.mark(("timeline", index, "trace"))
            file = _beside(path, event.trace)
            trace, wrong = read_trace(file, said_at, event.format, event.bin)
            problems += in_file_order(wrong)
            if trace is not None:
                traces[index] = trace
    return traces, list(dict.fromkeys(problems))


def _topology_file(
    path: Path,
    said_at: Mark | None,
    overrides: Iterable[str],
    moved: Callable[[str], str] = str,
) -> tuple[Loaded[TopologyDoc] | None, list[Problem]]:
    document, findings = examine(path, said_at)
    doc = None
    if document is not None:
        document = _overridden(document, overrides, findings, moved)
        doc = _validated(TopologyDoc, document, findings)
    if document is None or doc is None:
        return None, in_file_order(findings)
    return Loaded(doc, document, _name(doc, path)), in_file_order(findings)


def _validated(model: type[D], document: Document, findings: list[Finding]) -> D | None:
    doc, violations = validate(model, document)
    # A value that YAML could not give is empty here; it is enough to say so once.
    marks = {finding.mark for finding in findings if finding.mark.line}
    findings.extend(violation for violation in violations if violation.mark not in marks)
    return doc


def _is_of_topology(override: str) -> bool:
    first, dot, _ = override.partition("=")[0].partition(".")
    return first in _TOPOLOGY_KEYS or (first == "topology" and bool(dot))


def _into_topology(path: str) -> str:
    return path if path.startswith("topology.") else f"topology.{path}"


def _out_of_topology(path: str) -> str:
    return path.removeprefix("topology.")


def _overridden(
    document: Document,
    overrides: Iterable[str],
    findings: list[Finding],
    moved: Callable[[str], str] = str,
) -> Document:
    for override in overrides:
        path, equals, value = override.partition("=")
        if not equals or not path:
            hint = "write it like --set underlay.links.0.rate=320mbit"
            whole = Mark(f"--set {override}")
            findings.append(Finding(whole, "is not of the form PATH=VALUE", hint))
            continue
        mark = Mark(f"--set {path}")
        try:
            document = document.with_value(moved(path), value, mark.source)
        except InputError as error:
            findings += [Finding(mark, each.message, each.hint) for each in error.problems]
    return document


def _beside(path: Path, file: str) -> Path:
    """Return a file that is named as seen from `path`, without the detour of ``a/../b``."""
    joined = path.parent / file
    direct = Path(os.path.normpath(joined))
    try:
        return direct if direct.samefile(joined) else joined
    except (OSError, ValueError):
        return joined


def _name(doc: TopologyDoc | ExperimentDoc, path: Path) -> str:
    """Return the document's name, else its file's with what no name may have replaced."""
    if doc.name is not None:
        return doc.name
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", path.stem)[:NAME_LIMIT].lstrip("-.")
    return safe or "unnamed"
