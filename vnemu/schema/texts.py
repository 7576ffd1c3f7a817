"""The files that a topology names for its VRs: configurations and templates of the user's."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vnemu.schema.document import Document, Unreadable, read_bytes
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


def read_texts(
    folder: Path, networks: Mapping[str, NetworkDoc], document: Document
) -> tuple[dict[KeyPath, TextFile], list[Finding]]:
    """Read the files that a topology names for its VRs.

    Parameters:
        folder: that of the topology file, from which their names are seen.
        networks: those of the file, by name.

    Returns:
        Each by the place of its name, and what cannot be read.
    """
    return read_named(folder, _named(networks), document)


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
            own = of_router.routing
            if own is None:
                continue
            for key, name in (("config", own.config), ("template", own.template)):
                if name is not None:
                    yield ("networks", network, "routers", router, "routing", key), name
