"""From files to checked documents: all that is wrong is reported at once."""

from __future__ import annotations

import os.path
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import BaseModel

from vnemu.errors import InputError, Problem
from vnemu.schema.document import Document, examine
from vnemu.schema.entry import EntryDoc
from vnemu.schema.experiment import ExperimentDoc
from vnemu.schema.fields import NAME_LIMIT
from vnemu.schema.life import CreateDoc, CreateNetworkDoc, NetworkSource
from vnemu.schema.networks import WrittenNetwork, read_network
from vnemu.schema.nodes import Node
from vnemu.schema.texts import TextFile, Texts, names_in, read_named, read_texts
from vnemu.schema.timeline import BatchDoc, ReplayDoc
from vnemu.schema.topology import TopologyDoc
from vnemu.schema.traces import Trace, read_trace
from vnemu.schema.violations import validate
from vnemu.schema.wording import Finding, KeyPath, Mark, in_file_order

D = TypeVar("D", bound=BaseModel)

# The top-level keys of a topology that --set reaches without the prefix "topology.".
_TOPOLOGY_KEYS = ("underlay", "networks")


@dataclass(frozen=True)
class Override:
    """A value that takes the place of another: one of a sweep, or of an option.

    Parameters:
        path: dotted, as in ``--set``; or step by step, for what only the experiment has.
        mark: where the path was written, for messages; the value has marks of its own.
    """

    path: str | tuple[str | int, ...]
    value: Node
    mark: Mark


@dataclass(frozen=True)
class Loaded(Generic[D]):
    """A document that keeps to its model.

    Parameters:
        doc: the model's instance.
        document: the plain data and where it was written.
        name: the document's own name, else that of its file.
        texts: the files that it names for its VRs, by the place of the name.
    """

    doc: D
    document: Document
    name: str
    texts: Mapping[KeyPath, TextFile] = field(default_factory=dict, kw_only=True)


@dataclass(frozen=True)
class LoadedExperiment(Loaded[ExperimentDoc]):
    """An experiment with the topology it runs on.

    Parameters:
        traces: what the replays of its timeline name, by the entry's index.
        networks: what its timeline creates.
        files: that its timeline names for VRs, by their names there.
    """

    topology: Loaded[TopologyDoc]
    traces: Mapping[int, Trace] = field(default_factory=dict)
    networks: Mapping[NetworkSource, WrittenNetwork] = field(default_factory=dict)
    files: Texts = field(default_factory=dict)


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


def load_experiment(path: Path, overrides: Sequence[str | Override] = ()) -> LoadedExperiment:
    """Read an experiment file and its topology, a file or part of it.

    Parameters:
        overrides: what the user gave to ``--set``, and values of a sweep. Those of
            ``underlay`` and ``networks``, or with the prefix ``topology.``, are for
            the topology.

    Raises:
        InputError: with all that is wrong with both files, each in its order.
    """
    document, findings = examine(path)
    if document is None:
        raise InputError(in_file_order(findings))
    ours = [each for each in overrides if not _is_of_topology(each)]
    theirs = [each for each in overrides if _is_of_topology(each)]
    document = _overridden(document, ours, findings)
    if isinstance(document.data.get("topology"), dict):
        return _with_inline_topology(path, document, theirs, findings)
    return _with_topology_file(path, document, theirs, findings)


def problem(loaded: Loaded[D], path: KeyPath, message: str, hint: str = "") -> Problem:
    """Return a problem with the value at `path` of a loaded document."""
    return Problem(loaded.document.where(path), message, hint)


def _with_inline_topology(
    path: Path, document: Document, overrides: list[str | Override], findings: list[Finding]
) -> LoadedExperiment:
    document = _overridden(document, overrides, findings, _into_topology)
    doc = _validated(ExperimentDoc, document, findings)
    if doc is None or findings:
        raise InputError(in_file_order(findings))
    assert isinstance(doc.topology, TopologyDoc)
    beside, problems = _beside_it(path, doc, document)
    inline = document.at("topology")
    texts, more = read_texts(path.parent, doc.topology.networks, inline)
    if problems or more:
        raise InputError([*problems, *in_file_order(more)])
    name = _name(doc, path)
    part = Loaded(doc.topology, inline, doc.topology.name or name, texts=texts)
    return LoadedExperiment(doc, document, name, part, *beside)


def _with_topology_file(
    path: Path, document: Document, overrides: list[str | Override], findings: list[Finding]
) -> LoadedExperiment:
    doc = _validated(ExperimentDoc, document, findings)
    problems = in_file_order(findings)
    file, topology = document.data.get("topology"), None
    if isinstance(file, str):
        mark = document.mark(("topology",))
        topology, more = _topology_file(_beside(path, file), mark, overrides, _out_of_topology)
        problems += more
    if doc is None:
        raise InputError(problems)
    beside, more = _beside_it(path, doc, document)
    problems += more
    if topology is None or problems:
        raise InputError(problems)
    return LoadedExperiment(doc, document, _name(doc, path), topology, *beside)


_Beside = tuple[Mapping[int, Trace], Mapping[NetworkSource, WrittenNetwork], Texts]


def _beside_it(path: Path, doc: ExperimentDoc, document: Document) -> tuple[_Beside, list[Problem]]:
    """Read all files that the timeline of the experiment file `path` names."""
    traces, problems = _traces(path, doc, document)
    networks, more = _networks(path, doc, document)
    files, others = _files(path, doc, document)
    return (traces, networks, files), [*problems, *more, *others]


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


def _networks(
    path: Path, doc: ExperimentDoc, document: Document
) -> tuple[dict[NetworkSource, WrittenNetwork], list[Problem]]:
    """Read the files of the networks that the timeline of the experiment file `path` creates."""
    networks: dict[NetworkSource, WrittenNetwork] = {}
    problems: list[Problem] = []
    for place, entry in _entries(doc, CreateNetworkDoc):
        file = _beside(path, entry.file)
        said_at = document.mark((*place, "file"))
        found, wrong = read_network(file, entry.create_network, entry.network, said_at)
        problems += in_file_order(wrong)
        if found is not None:
            networks[entry.source] = found
    return networks, list(dict.fromkeys(problems))


def _files(path: Path, doc: ExperimentDoc, document: Document) -> tuple[Texts, list[Problem]]:
    """Read what the timeline of the experiment file `path` names for the VRs it creates."""
    named = [
        item
        for place, entry in _entries(doc, CreateDoc)
        for item in names_in(entry.routing, (*place, "routing"))
    ]
    texts, wrong = read_named(path.parent, named, document)
    found = {name: texts[place] for place, name in named if place in texts}
    return found, list(dict.fromkeys(in_file_order(wrong)))


E = TypeVar("E", bound=EntryDoc)


def _entries(doc: ExperimentDoc, kind: type[E]) -> Iterator[tuple[KeyPath, E]]:
    """The entries of a kind, those in batches among them, with their places."""
    for index, entry in enumerate(doc.timeline):
        place = ("timeline", index)
        if isinstance(entry, kind):
            yield place, entry
        elif isinstance(entry, BatchDoc):
            for number, part in enumerate(entry.batch):
                if isinstance(part, kind):
                    yield (*place, "batch", number), part


def _topology_file(
    path: Path,
    said_at: Mark | None,
    overrides: Iterable[str | Override],
    moved: Callable[[str], str] = str,
) -> tuple[Loaded[TopologyDoc] | None, list[Problem]]:
    document, findings = examine(path, said_at)
    doc = None
    if document is not None:
        document = _overridden(document, overrides, findings, moved)
        doc = _validated(TopologyDoc, document, findings)
    if document is None or doc is None:
        return None, in_file_order(findings)
    texts, more = read_texts(path.parent, doc.networks, document)
    problems = in_file_order([*findings, *more])
    return Loaded(doc, document, _name(doc, path), texts=texts), problems


def _validated(model: type[D], document: Document, findings: list[Finding]) -> D | None:
    doc, violations = validate(model, document)
    # A value that YAML could not give is empty here; it is enough to say so once.
    marks = {finding.mark for finding in findings if finding.mark.line}
    findings.extend(violation for violation in violations if violation.mark not in marks)
    return doc


def _is_of_topology(override: str | Override) -> bool:
    path = override.path if isinstance(override, Override) else override.partition("=")[0]
    if isinstance(path, tuple):
        return False
    first, dot, _ = path.partition(".")
    return first in _TOPOLOGY_KEYS or (first == "topology" and bool(dot))


def _into_topology(path: str) -> str:
    return path if path.startswith("topology.") else f"topology.{path}"


def _out_of_topology(path: str) -> str:
    return path.removeprefix("topology.")


def _overridden(
    document: Document,
    overrides: Iterable[str | Override],
    findings: list[Finding],
    moved: Callable[[str], str] = str,
) -> Document:
    for override in overrides:
        try:
            if isinstance(override, str):
                document = _with_option(document, override, moved)
            elif isinstance(override.path, str):
                path = moved(override.path)
                document = document.with_node(path, override.value, override.mark)
            else:
                document = document.with_node_at(override.path, override.value, override.mark)
        except InputError as error:
            mark = _said_at(override)
            findings += [Finding(mark, each.message, each.hint) for each in error.problems]
    return document


def _with_option(document: Document, override: str, moved: Callable[[str], str]) -> Document:
    path, equals, value = override.partition("=")
    if not equals or not path:
        hint = "write it like --set underlay.links.0.rate=320mbit"
        raise InputError([Problem("", "is not of the form PATH=VALUE", hint)])
    return document.with_value(moved(path), value, f"--set {path}")


def _said_at(override: str | Override) -> Mark:
    if isinstance(override, Override):
        return override.mark
    path, equals, _ = override.partition("=")
    return Mark(f"--set {path}" if equals and path else f"--set {override}")


def _beside(path: Path, file: str) -> Path:
    """Return a file that is named as seen from `path`, without the detour of ``a/../b``."""
    joined = path.parent / file
    direct = Path(os.path.normpath(joined))
    try:
        return direct if direct.samefile(joined) else joined
    except (OSError, ValueError):
        return joined


def _name(doc: TopologyDoc | ExperimentDoc, path: Path) -> str:
    return file_name(path) if doc.name is None else doc.name


def file_name(path: Path) -> str:
    """Return the name of a file without its suffix, what no name may have replaced."""
    safe = re.sub(r"[^A-Za-z0-9_.-]", "-", path.stem)[:NAME_LIMIT].lstrip("-.")
    return safe or "unnamed"
