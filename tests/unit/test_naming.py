"""Device names: short, unique, the same in every run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.random_topologies import topologies
from vnemu.model.naming import device_name
from vnemu.model.overlay import Topology

names = st.text("abAB01_.-", min_size=1, max_size=63)


@given(st.lists(names, min_size=1, max_size=30))
def test_names_are_short_and_unique(wanted: list[str]) -> None:
    taken: set[str] = set()
    for name in wanted:
        short = device_name(name, taken)
        assert 0 < len(short) <= 15
        assert short not in taken
        taken.add(short)


@given(names)
def test_the_same_name_gives_the_same_device(name: str) -> None:
    assert device_name(name) == device_name(name)


def test_a_name_that_fits_is_kept() -> None:
    assert device_name("a" * 15) == "a" * 15


def test_a_long_name_begins_as_it_was() -> None:
    assert device_name("core-router-in-berlin").startswith("core-rou-")


def test_a_taken_name_gives_way() -> None:
    assert device_name("x", {"x"}) != "x"


def test_it_is_the_same_on_every_machine() -> None:
    assert device_name("core-router-in-berlin") == "core-rou-776a64"


@given(topologies())
def test_devices_of_a_topology_are_unique(topo: Topology) -> None:
    vifs = list(topo.vifs.values())
    assert len(set(vifs)) == len(vifs)
    assert all(len(name) <= 15 for name in vifs)
    for machine in topo.underlay.machines:
        ports = [name for (_, m), name in topo.underlay.ports.items() if m == machine]
        assert len(set(ports)) == len(ports)
        assert all(len(name) <= 15 for name in ports)
