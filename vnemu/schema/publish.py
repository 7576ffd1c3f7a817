"""JSON Schemas of the files, for editors and other tools (draft 2020-12)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from vnemu.schema.experiment import ExperimentDoc
from vnemu.schema.physical import PhysicalNetworkDoc
from vnemu.schema.teaching import LabDoc
from vnemu.schema.topology import TopologyDoc

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def topology_schema() -> dict[str, Any]:
    """Return the JSON Schema of topology files."""
    return _schema(TopologyDoc, "vnemu topology")


def experiment_schema() -> dict[str, Any]:
    """Return the JSON Schema of experiment files."""
    return _schema(ExperimentDoc, "vnemu experiment")


def physical_schema() -> dict[str, Any]:
    """Return the JSON Schema of descriptions of existing networks."""
    return _schema(PhysicalNetworkDoc, "vnemu physical")


def lab_schema() -> dict[str, Any]:
    """Return the JSON Schema of the checks of teaching labs."""
    return _schema(LabDoc, "vnemu lab")


def _schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    schema = _polished(model.model_json_schema(by_alias=True, mode="validation"))
    assert isinstance(schema, dict)
    return {"$schema": DIALECT, "$id": f"urn:{title.replace(' ', ':')}", **schema, "title": title}


def _polished(schema: Any) -> Any:
    """Close mappings whose keys are names, and drop the titles that only repeat a key."""
    if isinstance(schema, list):
        return [_polished(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    polished = {key: _polished(part) for key, part in schema.items()}
    # A property may be called title; a title itself is always a text.
    if isinstance(polished.get("title"), str):
        del polished["title"]
    if "patternProperties" in polished:
        polished["additionalProperties"] = False
    return polished
