"""The users' own configurations of Router OSs, as part of the run folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from vnemu.schema.life import CreateDoc
from vnemu.schema.load import LoadedExperiment
from vnemu.schema.timeline import BatchDoc
from vnemu.schema.topology import TopologyDoc


def with_own_texts(loaded: LoadedExperiment) -> tuple[LoadedExperiment, dict[str, bytes]]:
    """The experiment with its routers' texts at their places in the run folder, and those files."""
    topology = loaded.topology
    files: dict[str, bytes] = {}
    doc = topology.doc
    for place, text in topology.texts.items():
        _, network, _, router, _, key = (str(step) for step in place)
        name = f"routers/{network}.{router}.{'j2' if key == 'template' else 'conf'}"
        files[name] = text.text.encode()
        doc = _named(doc, network, router, {key: name})
    places = {
        name: f"routers/created-{number}{Path(name).suffix}"
        for number, name in enumerate(loaded.files, 1)
    }
    files |= {places[name]: text.text.encode() for name, text in loaded.files.items()}
    timeline = [_placed(entry, places) for entry in loaded.doc.timeline]
    own = loaded.doc.model_copy(update={"timeline": timeline})
    return replace(loaded, doc=own, topology=replace(topology, doc=doc)), files


def _placed(entry: Any, places: dict[str, str]) -> Any:
    """An entry of the timeline with the texts that it names at their places."""
    if isinstance(entry, BatchDoc):
        return entry.model_copy(update={"batch": [_placed(part, places) for part in entry.batch]})
    if isinstance(entry, CreateDoc) and entry.routing is not None:
        own = entry.routing
        named = {"config": own.config, "template": own.template}
        update = {key: places[name] for key, name in named.items() if name is not None}
        return entry.model_copy(update={"routing": own.model_copy(update=update)})
    return entry


def _named(doc: TopologyDoc, network: str, router: str, update: dict[str, Any]) -> TopologyDoc:
    of_network = doc.networks[network]
    of_router = of_network.routers[router]
    assert of_router.routing is not None
    routing = of_router.routing.model_copy(update=update)
    routers = {
        **of_network.routers,
        router: of_router.model_copy(update={"routing": routing}),
    }
    networks = {**doc.networks, network: of_network.model_copy(update={"routers": routers})}
    return doc.model_copy(update={"networks": networks})
