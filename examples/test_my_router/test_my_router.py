"""Tests of a router's configuration, on a network of three of it: run `pytest` here."""

from collections.abc import Iterator

import pytest

import vnemu

pytestmark = pytest.mark.vnet("triangle.yaml", scope="module")


@pytest.fixture(autouse=True)
def _whole(vnet: vnemu.RemoteLab) -> Iterator[None]:
    """All tests have the same lab: each finds it at rest, and leaves its links whole."""
    vnet.wait_until(lambda: vnet.path("a/r1", "a/r2") == ["a/r1", "a/r2"], 30)
    yield
    vnet.do("mend: a/direct", "up: a/direct")


def test_the_direct_way_is_taken(vnet: vnemu.RemoteLab) -> None:
    route = vnet.route("a/r1", "a/r2")
    assert route is not None
    assert (route.protocol, route.next) == ("bird", "a/r2")


def test_an_unplugged_cable_is_avoided(vnet: vnemu.RemoteLab) -> None:
    vnet.down("a/direct")
    vnet.wait_reachable("a/r1", "a/r2", timeout_s=20)
    assert vnet.path("a/r1", "a/r2") == ["a/r1", "a/r3", "a/r2"]
    assert 15 < vnet.goodput_mbit("a/r1", "a/r2", seconds=1) < 20


def test_a_silent_link_is_noticed(vnet: vnemu.RemoteLab) -> None:
    """Nobody tells the routers; they miss hellos for four seconds."""
    vnet.cut("a/direct")
    assert vnet.ping("a/r1", "a/r2", count=3).lost == 3
    vnet.wait_reachable("a/r1", "a/r2", timeout_s=30)
