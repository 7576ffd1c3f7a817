"""The published JSON Schemas agree with the loader on good files and unknown keys."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from vnemu.schema.document import Document
from vnemu.schema.publish import (
    experiment_schema,
    lab_schema,
    physical_schema,
    topology_schema,
)

GOOD = Path(__file__).parents[1] / "golden" / "good"
CAMPUS = Path(__file__).parents[2] / "topologies" / "campus" / "network.yaml"
LAB = Path(__file__).parents[2] / "labs" / "silent-failure" / "checks.yaml"
SCHEMAS = {
    "topology": topology_schema(),
    "experiment": experiment_schema(),
    "physical": physical_schema(),
    "lab": lab_schema(),
}
EXAMPLES: dict[str, Any] = {
    "topology": Document.read(GOOD / "topology.yaml").data,
    "experiment": Document.read(GOOD / "experiment.yaml").data,
    "physical": Document.read(CAMPUS).data,
    "lab": Document.read(LAB).data,
}


def complaints(kind: str, data: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(SCHEMAS[kind])
    return [error.message for error in validator.iter_errors(data)]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_schema_is_valid_and_accepts_the_example(kind: str) -> None:
    schema = SCHEMAS[kind]
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"vnemu {kind}"
    assert complaints(kind, EXAMPLES[kind]) == []


def test_inline_topology_is_accepted() -> None:
    data = {**EXAMPLES["experiment"], "topology": EXAMPLES["topology"]}
    assert complaints("experiment", data) == []


def test_keys_are_those_of_the_file() -> None:
    flow = SCHEMAS["experiment"]["$defs"]["FlowDoc"]["properties"]
    assert "from" in flow
    assert "from_" not in flow


def test_short_and_long_forms() -> None:
    long = copy.deepcopy(EXAMPLES["topology"])
    long["underlay"]["machines"] = {"rm1": None, "rm2": {}}
    long["networks"]["a"]["routers"] = ["r1", "r2"]
    long["networks"]["a"]["routing"] = {"protocol": "none"}
    long["networks"]["a"]["ipv4"] = False
    assert complaints("topology", long) == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("topology", ["undrlay"], {}),
        ("topology", ["underlay", "colour"], "red"),
        ("topology", ["underlay", "links", 0, "guarntee"], "30mbit"),
        ("topology", ["underlay", "links", 0, "rate"], 32),
        ("topology", ["underlay", "links", 0, "rate"], "32"),
        ("topology", ["underlay", "links", 0, "endpoints"], ["rm1"]),
        ("topology", ["networks", "a/b"], {"routers": ["r1"]}),
        ("topology", ["networks", "n" * 64], {"routers": ["r1"]}),
        ("topology", ["networks", "a", "routers", "r1", "no"], "rm1"),
        ("topology", ["networks", "a", "routing"], "bgpp"),
        ("experiment", ["durations"], "40s"),
        ("experiment", ["duration"], 40),
        ("experiment", ["traffic", 0, "from_"], "a/c1"),
        ("experiment", ["timeline", 0, "guarntee"], "30mbit"),
        ("experiment", ["expect", 0, "at_leats"], "2%"),
    ],
)
def test_bad_data_is_refused(kind: str, path: list[str | int], value: object) -> None:
    data = copy.deepcopy(EXAMPLES[kind])
    parent = data
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    assert complaints(kind, data)
