"""The limits of VRs: as a file says them, and as they change."""

from __future__ import annotations

from pathlib import Path

import pytest

from vnemu.embedding.strategies import embed
from vnemu.errors import InputError
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.schema.load import load_topology
from vnemu.schema.resources import LimitsDoc
from vnemu.schema.violations import read
from vnemu.verbs.limits import Limit
from vnemu.verbs.state import State, carry_out

TEXT = """
underlay: {{machines: [rm1]}}
networks:
  a:
    routers: {{r1: {{resources: {resources}}}, r2: {{}}}}
    links: [{{endpoints: [r1, r2]}}]
"""


def topology(folder: Path, resources: str) -> Topology:
    file = folder / "t.yaml"
    file.write_text(TEXT.format(resources=resources))
    return resolve(load_topology(file))


def limited(state: State, **limits: object) -> State:
    return carry_out(state, [Limit("a/r1", read(LimitsDoc, limits))])


def shown(state: State) -> dict[str, str]:
    return {key: str(value) for key, value in state.topology.nodes["a/r1"].resources}


@pytest.fixture
def state(tmp_path: Path) -> State:
    there = topology(tmp_path, "{cpu: 150%, cpus: 2, memory: 64mb, disk: 1mb}")
    return State(there, embed(there))


class TestFile:
    def test_all_of_them(self, state: State) -> None:
        assert shown(state) == {"cpu": "150%", "cpus": "2", "memory": "64mb", "disk": "1mb"}
        where = state.topology.nodes["a/r1"].resources.written_at
        assert where.endswith("t.yaml:5")

    def test_none(self, tmp_path: Path) -> None:
        assert not list(topology(tmp_path, "{}").nodes["a/r1"].resources)

    @pytest.mark.parametrize(
        ("resources", "said"),
        [
            ("{cpu: 0.5%}", "0.5% is less than the kernel can enforce: give 1% or more"),
            ("{cpu: 0.5}", "a share of a processor needs a unit"),
            ("{cpus: 0}", "cpus"),
            ("{memory: 1mb}", "1mb is too little for a router"),
            ("{disk: 1kb}", "1kb is too little for a router"),
            ("{forwarding: 100mbit}", "limit its virtual links"),
        ],
    )
    def test_what_is_wrong(self, resources: str, said: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=rf"t\.yaml:5: .*{said}"):
            topology(tmp_path, resources)


class TestChange:
    def test_what_is_not_named_stays(self, state: State) -> None:
        after = limited(state, cpu="20%", disk="none")
        assert shown(after) == {"cpu": "20%", "cpus": "2", "memory": "64mb"}

    def test_its_words(self) -> None:
        verb = Limit("a/r1", read(LimitsDoc, {"cpu": "20%", "memory": "none"}))
        assert str(verb) == "limit a/r1 cpu 20% memory none"

    def test_what_is_wrong(self, state: State) -> None:
        with pytest.raises(InputError, match="forwards cannot be limited"):
            limited(state, forwarding="5mbit")
