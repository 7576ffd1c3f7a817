"""The files that a topology names for its VRs: configurations and templates of the user's."""

from __future__ import annotations

import os.path
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vnemu.schema.document import Document, Unreadable, read_bytes
from vnemu.schema.topology import TopologyDoc
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


def read_texts(
    folder: Path, doc: TopologyDoc, document: Document
) -> tuple[dict[KeyPath, TextFile], list[Finding]]:
    """Read the files that a topology names for its VRs.

    Parameters:
        folder: that of the topology file, from which their names are seen.

    Returns:
        Each by the place of its name, and what cannot be read.
    """
    texts: dict[KeyPath, TextFile] = {}
    findings: list[Finding] = []
    for place, name in _named(doc):
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


def _named(doc: TopologyDoc) -> Iterator[tuple[KeyPath, str]]:
    for network, of_network in doc.networks.items():
        for router, of_router in of_network.routers.items():
            own = of_router.routing
            if own is None:
                continue
            for key, name in (("config", own.config), ("template", own.template)):
                if name is not None:
                    yield ("networks", network, "routers", router, "routing", key), name
