"""The networks that an experiment creates, as part of the run folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vnemu.experiments.resolved import as_text, plain
from vnemu.schema.life import CreateNetworkDoc, NetworkSource
from vnemu.schema.load import LoadedExperiment
from vnemu.schema.networks import WrittenNetwork
from vnemu.schema.timeline import BatchDoc

_FOLDER = "networks"


def with_own_networks(loaded: LoadedExperiment) -> tuple[LoadedExperiment, dict[str, bytes]]:
    """The experiment with what it creates at its place in the run folder, and those files."""
    files: dict[str, bytes] = {}
    places: dict[NetworkSource, str] = {}
    for number, (source, written) in enumerate(loaded.networks.items(), 1):
        name = f"{number}-{written.name}"
        places[source] = f"{_FOLDER}/{name}.yaml"
        files |= _files(name, written)
    timeline = [_placed(entry, places) for entry in loaded.doc.timeline]
    doc = loaded.doc.model_copy(update={"timeline": timeline})
    return replace(loaded, doc=doc), files


def _files(name: str, written: WrittenNetwork) -> dict[str, bytes]:
    """The file of a network, and beside it those with the texts of its VRs."""
    files: dict[str, bytes] = {}
    data = plain(written.doc)
    for place, text in written.texts.items():
        _, _, _, router, _, key = (str(step) for step in place)
        beside = f"{name}.{router}.{'j2' if key == 'template' else 'conf'}"
        files[f"{_FOLDER}/{beside}"] = text.text.encode()
        data["routers"][router]["routing"][key] = beside
    files[f"{_FOLDER}/{name}.yaml"] = as_text(data).encode()
    return files


def _placed(entry: Any, places: dict[NetworkSource, str]) -> Any:
    if isinstance(entry, BatchDoc):
        return entry.model_copy(update={"batch": [_placed(part, places) for part in entry.batch]})
    if isinstance(entry, CreateNetworkDoc):
        return entry.model_copy(update={"file": places[entry.source], "network": None})
    return entry
