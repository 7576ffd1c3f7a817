"""An experiment and its topology as files again, with everything settled in them."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel

from vnemu.embedding.mapping import UnderlayPath
from vnemu.experiments.prepare import Experiment
from vnemu.schema.load import LoadedExperiment


def resolved_texts(loaded: LoadedExperiment, experiment: Experiment) -> tuple[str, str]:
    """The topology and experiment files that repeat this run, as YAML text.

    Overrides are in them, and so are the places and paths that the embedding chose, and
    the tunnels, once they were chosen for a kernel.
    """
    topology = plain(loaded.topology.doc)
    topology["name"] = experiment.topology.name
    topology["underlay"]["tunnel"] = experiment.topology.underlay.tunnel
    for name, network in experiment.topology.networks.items():
        written = topology["networks"][name]
        for node in network.routers:
            written["routers"][node.name]["on"] = experiment.mapping.machines[node.path]
        declared = [link for link in network.links.values() if not link.access]
        for entry, link in zip(written.get("links", []), declared, strict=True):
            entry["name"] = link.name
            entry.update(_paths(experiment.mapping.paths[link.path]))
    document = {**plain(loaded.doc), "name": experiment.name, "topology": "topology.yaml"}
    return as_text(topology), as_text(document)


def _paths(path: UnderlayPath) -> dict[str, Any]:
    if path.beside:
        return {"paths": [list(way.machines) for way in path.ways]}
    return {"path": list(path.machines)}


def plain(doc: BaseModel) -> dict[str, Any]:
    """A document as plain data, for a file."""
    return doc.model_dump(mode="json", by_alias=True, exclude_none=True)


def as_text(data: dict[str, Any]) -> str:
    """Plain data as YAML."""
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
