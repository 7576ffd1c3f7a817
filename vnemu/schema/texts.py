"""The files that a topology names for its VRs: configurations and templates of the user's."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from vnemu.schema.document import Document, Unreadable, read_bytes
from vnemu.schema.routing import RouterRoutingDoc
from vnemu.schema.topology import NetworkDoc
from vnemu.schema.wording import Finding, KeyPath, Mark

LARGEST = 2**24


@dataclass(frozen=True)
class TextFile:
    """A text file as read.

    Parameters:
        name: its path, as seen from where vnemu was called.
    """

    name: str
    text: str


Texts = Mapping[str, TextFile]
"""Files by their names as they are written."""
NO_TEXTS: Texts = MappingProxyType({})


def read_texts(
    folder: Path,
    networks: Mapping[str, NetworkDoc],
    document: Document,
    known: Texts = NO_TEXTS,
) -> tuple[dict[KeyPath, TextFile], list[Finding]]:
    """Read the files that a topology names for its VRs.

    Parameters:
        folder: that of the topology file, from which their names are seen.
        networks: those of the file, by name.
        known: those that have been read.

    Returns:
        Each by the place of its name, and what cannot be read.
    """
    named = dict(_named(networks))
    there = {place: known[name] for place, name in named.items() if name in known}
    others = ((place, name) for place, name in named.items() if name not in known)
    texts, findings = read_named(folder, others, document)
    return {**there, **texts}, findings


def read_named(
    folder: Path, named: Iterable[tuple[KeyPath, str]], document: Document
) -> tuple[dict[KeyPath, TextFile], list[Finding]]:
    """Read files that a document names, each at its place; as `read_texts`."""
    texts: dict[KeyPath, TextFile] = {}
    findings: list[Finding] = []
    for place, name in named:
        path = Path(os.path.normpath(folder / name))
        mark = document.mark(place)
        try:
            texts[place] = TextFile(str(path), read_bytes(path, LARGEST).decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            findings.append(Finding(Mark(str(path), line, 1), "is not UTF-8"))
        except Unreadable as error:
            findings.append(Finding(mark, f"{path}: {error}", error.hint))
    return texts, findings


def _named(networks: Mapping[str, NetworkDoc]) -> Iterator[tuple[KeyPath, str]]:
    for network, of_network in networks.items():
        for router, of_router in of_network.routers.items():
            place = ("networks", network, "routers", router, "routing")
            yield from names_in(of_router.routing, place)


def names_in(own: RouterRoutingDoc | None, place: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    """The names of files in the `routing:` of a VR, which is at `place`, with their places."""
    if own is not None:
        for key, name in (("config", own.config), ("template", own.template)):
            if name is not None:
                yield (*place, key), name
