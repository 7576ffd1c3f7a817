"""UDP probes and what may be expected of them, as they are written in an experiment file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vnemu.errors import InputError
from vnemu.experiments.prepare import Experiment, prepare
from vnemu.experiments.resolved import resolved_texts
from vnemu.schema.load import load_experiment

TOPOLOGY = {
    "underlay": {"machines": ["m1"]},
    "networks": {
        "a": {
            "routers": ["r1", "r2"],
            "hosts": {"c1": {"at": "r1"}, "c2": {"at": "r2"}},
            "links": [{"name": "core", "endpoints": ["r1", "r2"]}],
        }
    },
}
ENDS = {"from": "a/c1", "to": "a/c2"}


def prepared(folder: Path, *probes: dict[str, Any], **changes: Any) -> Experiment:
    document = {"topology": TOPOLOGY, "probes": list(probes), "duration": "1s", **changes}
    (folder / "e.yaml").write_text(json.dumps(document))
    return prepare(load_experiment(folder / "e.yaml"))


def test_defaults(tmp_path: Path) -> None:
    ping, stream = {"name": "ping", **ENDS}, {"name": "stream", **ENDS, "udp": {}}
    found = prepared(tmp_path, ping, stream)
    assert [(p.name, p.interval) for p in found.probes] == [("ping", 0.01)]
    (spec,) = found.streams
    assert (spec.name, spec.interval, spec.size, spec.version) == ("stream", 0.001, 32, 4)
    assert spec.source_address != spec.target_address


def test_a_router_is_probed_at_its_loopback(tmp_path: Path) -> None:
    probe = {"name": "p", "from": "a/r1", "to": "a/c2", "ip": 6, "udp": {"size": "1kb"}}
    found = prepared(tmp_path, {**probe, "interval": "5ms"})
    (spec,) = found.streams
    (loopback,) = [a for a in found.topology.nodes["a/r1"].loopbacks if a.version == 6]
    assert spec.source_address == str(loopback.ip)
    assert (spec.version, spec.size, spec.interval) == (6, 1000, 0.005)


def test_the_resolved_file_says_the_same(tmp_path: Path) -> None:
    found = prepared(tmp_path, {"name": "p", **ENDS, "udp": {"size": "64b"}})
    topology, experiment = resolved_texts(load_experiment(tmp_path / "e.yaml"), found)
    (tmp_path / "topology.yaml").write_text(topology)
    (tmp_path / "experiment.yaml").write_text(experiment)
    assert prepare(load_experiment(tmp_path / "experiment.yaml")).streams == found.streams


BAD = [
    ({"udp": {}, "interval": "100us"}, {}, "interval is at least 200us"),
    ({"udp": {"size": "10b"}}, {}, "a datagram's payload is 16b to 65kb"),
    ({"udp": {"rate": "1mbit"}}, {}, "unknown key 'rate'"),
    ({}, {"outage": "p", "max": "1s"}, "there is no UDP probe 'p'"),
    ({"udp": {}}, {"outage": "p"}, "says no bound: add max: or min:"),
    ({"udp": {}}, {"outage": "p", "max": "1s", "event": 1}, "there is no event 1"),
]


@pytest.mark.parametrize(("keys", "expected", "message"), BAD)
def test_what_is_wrong_is_said(
    keys: dict[str, Any], expected: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"e\.yaml:\d+: ") as caught:
        prepared(tmp_path, {"name": "p", **ENDS, **keys}, expect=[expected] if expected else [])
    assert message in str(caught.value)
