"""The way that packets take when routing has adapted."""

from __future__ import annotations

import re

import pytest

from tests.random_topologies import topology
from vnemu.routing.shortest import cheapest

RING = """
underlay: {machines: [m]}
networks:
  a:
    routing: {protocol: %s}
    routers: [r1, r2, r3, r4]
    hosts: {c1: {at: r1}, c3: {at: r3}, c2: {at: r2}}
    links:
      - {endpoints: [r1, r2], cost: 10}
      - {endpoints: [r2, r3], cost: 10}
      - {endpoints: [r3, r4], cost: 5}
      - {endpoints: [r4, r1], cost: 4}
"""
OVER_R2 = ("a/c1-r1", "a/r1-r2", "a/r2-r3", "a/c3-r3")
OVER_R4 = ("a/c1-r1", "a/r4-r1", "a/r3-r4", "a/c3-r3")


@pytest.mark.parametrize(
    ("protocol", "gone", "expected"),
    [
        ("ospf", (), OVER_R4),
        ("ospf", ("a/r3-r4",), OVER_R2),
        ("bgp", ("a/r4-r1",), OVER_R2),
        ("ospf", ("a/r3-r4", "a/r1-r2"), None),
    ],
)
def test_the_cheapest_way(
    protocol: str, gone: tuple[str, ...], expected: tuple[str, ...] | None
) -> None:
    text = RING % protocol if protocol == "ospf" else re.sub(r", cost: \d+", "", RING % protocol)
    network = topology(text).networks["a"]
    found = cheapest(network, "a/c1", "a/c3", lambda link: link.path not in gone)
    assert (found and tuple(path for path, _ in found)) == expected
