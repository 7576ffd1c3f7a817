"""One entry of a timeline that is to happen now, for a lab that runs (docs/cli.md)."""

from __future__ import annotations

from pathlib import Path

from vnemu.errors import InputError, Problem
from vnemu.schema.document import Document
from vnemu.schema.entry import EntryDoc
from vnemu.schema.life import CreateDoc, CreateNetworkDoc, NetworkSource
from vnemu.schema.networks import WrittenNetwork, read_network
from vnemu.schema.texts import Texts, names_in, read_named
from vnemu.schema.timeline import BatchDoc, ReshapeDoc, changes
from vnemu.schema.violations import validate
from vnemu.schema.wording import did_you_mean, in_file_order, instead_of

_LASTING = {
    **dict.fromkeys(("flap", "replay", "prove_isolation"), "vnemu run FILE"),
    "capture": "vnemu capture LAB WHAT",
}
"""What is not done at once, and what does it."""
_WHEN = ("at", "every", "from", "until", "name")


def read_now(text: str, source: str = "") -> EntryDoc:
    """Read an entry, in the words of a timeline; braces around one line may be left out.

    Parameters:
        text: such as ``move: a/r1, to: rm2``.
        source: the file it is from, for messages; empty: it was given as an argument.

    Raises:
        InputError: with all that is wrong with it.
    """
    document = _parsed(text, source)
    kinds = changes()
    verbs = [key for key in document.data if key in kinds]
    if not verbs:
        raise InputError([_no_verb(document, sorted(kinds))])
    _refuse_times(document)
    doc, findings = validate(kinds[verbs[0]], document)
    problems = in_file_order(findings)
    if isinstance(doc, ReshapeDoc) and doc.over:
        message = "a ramp goes on for a time: over: is for the timeline of an experiment"
        problems.append(Problem(document.key_where(("over",)), message))
    if doc is None or problems:
        raise InputError(problems if source else _without_place(problems))
    return doc


def networks_of(doc: EntryDoc, folder: Path) -> dict[NetworkSource, WrittenNetwork]:
    """Read the files of the networks that an entry creates.

    Parameters:
        folder: that their names are seen from.

    Raises:
        InputError: with all that is wrong with them.
    """
    found: dict[NetworkSource, WrittenNetwork] = {}
    for part in doc.batch if isinstance(doc, BatchDoc) else [doc]:
        if isinstance(part, CreateNetworkDoc):
            file = folder / part.file
            network, findings = read_network(file, part.create_network, part.network)
            if network is None or findings:
                raise InputError(in_file_order(findings))
            found[part.source] = network
    return found


def texts_of(doc: EntryDoc, folder: Path) -> Texts:
    """Read the files that an entry names for VRs that it creates, by their names.

    Parameters:
        folder: that their names are seen from.

    Raises:
        InputError: with all that cannot be read.
    """
    named = [
        item
        for number, part in enumerate(doc.batch if isinstance(doc, BatchDoc) else [doc])
        if isinstance(part, CreateDoc)
        for item in names_in(part.routing, (number,))
    ]
    texts, findings = read_named(folder, named, Document.parse("{}", ""))
    if findings:
        raise InputError(_without_place(in_file_order(findings)))
    return {name: texts[place] for place, name in named}


def _parsed(text: str, source: str) -> Document:
    line = text.strip()
    if "\n" not in line and line[:1] not in ("{", "["):
        line = f"{{{line}}}"
    try:
        return Document.parse(line, source or "text")
    except InputError as error:
        if source:
            raise
        hint = "write it like 'pause: a/r1' or 'move: a/r1, to: rm2'"
        told = _without_place(error.problems)
        raise InputError([Problem("", f"'{text}': {told[0].message}", hint)]) from None


def _no_verb(document: Document, verbs: list[str]) -> Problem:
    first = str(next(iter(document.data), ""))
    lasting = [key for key in document.data if key in _LASTING]
    if lasting:
        message = f"{lasting[0]} goes on for a time: it is for the timeline of an experiment"
        return Problem("", message, _LASTING[lasting[0]])
    hint = did_you_mean(first, verbs) or instead_of("", verbs)
    return Problem("", f"'{first}' is no verb", hint)


def _refuse_times(document: Document) -> None:
    said = [key for key in _WHEN if key in document.data]
    if said:
        message = f"{said[0]}: is for the timeline of an experiment; this happens now"
        raise InputError([Problem("", message, f"leave {said[0]}: out")])


def _without_place(problems: list[Problem] | tuple[Problem, ...]) -> list[Problem]:
    return [Problem("", problem.message, problem.hint) for problem in problems]
