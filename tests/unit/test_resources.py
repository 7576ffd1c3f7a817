"""The limits of VRs: as a file says them, and as they change."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnemu.embedding.strategies import embed
from vnemu.errors import InputError
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.plan.capacity import charge
from vnemu.schema.forwarding import Forwarding
from vnemu.schema.load import load_topology
from vnemu.schema.resources import LimitsDoc
from vnemu.schema.violations import read
from vnemu.units import PacketRate, Rate
from vnemu.verbs.limits import Limit
from vnemu.verbs.state import State, carry_out

TEXT = """
underlay: {{machines: [rm1]}}
networks:
  a:
    routers: {{r1: {{resources: {resources}}}, r2: {{}}}}
    hosts: {{h1: {{at: r1}}}}
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
            ("{forwarding: 100}", "a rate needs a unit: write it like 100mbit"),
            ("{forwarding: 10 pps 20pps}", "says one thing twice"),
            ("{forwarding: 10mbps}", "ambiguous"),
            ("{forwarding: 1bit}", "out of range"),
            ("{forwarding: 0pps}", "0pps is out of range: a router takes 1pps to 1000mpps"),
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

    def test_forwarding(self, state: State) -> None:
        after = limited(state, forwarding="5mbit")
        assert shown(after)["forwarding"] == "5mbit"
        assert "forwarding" not in shown(limited(after, forwarding="none"))
        verb = Limit("a/r1", read(LimitsDoc, {"forwarding": "1kpps"}))
        assert str(verb) == "limit a/r1 forwarding 1kpps"

    def test_a_host_forwards_nothing(self, state: State) -> None:
        with pytest.raises(InputError, match="a/h1 is a host: it forwards nothing"):
            carry_out(state, [Limit("a/h1", read(LimitsDoc, {"forwarding": "5mbit"}))])


class TestForwarding:
    @pytest.mark.parametrize(
        ("written", "shown", "rate", "least"),
        [
            ("100mbit", "100mbit", 100_000_000, 0),
            ("10kpps", "10kpps", 10_000 * 1514 * 8, 1514),
            (" 10 kpps ", "10kpps", 10_000 * 1514 * 8, 1514),
            ("100mbit 20kpps", "100mbit 20kpps", 100_000_000, 625),
            ("20 Kpps 100 Mbit/s", "100mbit 20kpps", 100_000_000, 625),
            ("1gbit 1kpps", "1gbit 1kpps", 1000 * 1514 * 8, 1514),  # only packets can be scarce
        ],
    )
    def test_how_it_is_written_and_charged(
        self, written: str, shown: str, rate: int, least: int
    ) -> None:
        capacity = Forwarding.parse(written)
        assert str(capacity) == shown
        assert charge(capacity) == (rate, least)
        assert Forwarding.parse(str(capacity)) == capacity

    @given(
        st.integers(1_000, 10**11),
        st.integers(1, 10**7),
        st.lists(st.integers(60, 1514), min_size=1),
    )
    def test_neither_is_ever_exceeded(self, bps: int, pps: int, frames: list[int]) -> None:
        rate, least = charge(Forwarding(Rate(bps), PacketRate(pps)))
        taken = sum(max(frame, least) for frame in frames) * 8 / rate
        assert taken >= len(frames) / pps * (1 - 1e-9)
        assert taken >= sum(frames) * 8 / bps * (1 - 1e-9)
