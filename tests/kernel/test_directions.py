"""A quality of each direction, as frames meet it; what is said of one leaves the other alone."""

from __future__ import annotations

import json
import re
import statistics
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.features import need
from tests.kernel.test_quality import PLACES, Data, lab_of, remote, round_trips, stream
from vnemu.lab import Lab

LOSSY = {"p": "2%", "r": "20%", "bad": "80%", "good": "1%"}


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Any:
    need("netem", *(["ifb"] if request.param == "wire" else []))
    ways = ("m1>m2", "m2>m1") if request.param == "wire" else ("r1>r2", "r2>r1")

    def data(there: Data, back: Data, **both: Any) -> Data:
        return PLACES[request.param](directions={ways[0]: there, ways[1]: back}, **both)

    return data


def one_way(lab: Lab) -> float:
    """The median delay from r1 to r2 in ms."""
    return 1000 * statistics.median(delay for _, delay in stream(lab, 30, 0.01))


def test_each_direction_has_its_delay(place: Any, tmp_path: Path) -> None:
    with lab_of(place({"delay": "40ms"}, {"delay": "5ms"}), tmp_path) as lab:
        assert one_way(lab) == pytest.approx(40, abs=2)
        assert statistics.median(round_trips(lab)) == pytest.approx(45, abs=3)


def test_one_direction_only(place: Any, tmp_path: Path) -> None:
    with lab_of(place({"delay": "none"}, {}, delay="30ms"), tmp_path) as lab:
        assert one_way(lab) < 3
        assert statistics.median(round_trips(lab)) == pytest.approx(30, abs=3)


def test_loss_in_bursts_of_one_direction(place: Any, tmp_path: Path) -> None:
    """The share of the Gilbert-Elliott model in the long run, and longer runs than by chance."""
    count = 4000
    with lab_of(place({"loss": LOSSY}, {}), tmp_path) as lab:
        numbers = {number for number, _ in stream(lab, count, 0.0005)}
    lost = sorted(set(range(count)) - numbers)
    mean = (0.02 * 0.8 + 0.2 * 0.01) / 0.22
    assert len(lost) / count == pytest.approx(mean, abs=0.03)
    follow = sum(number + 1 in set(lost) for number in lost) / len(lost)
    assert follow > 3 * mean


def test_all_loss_one_way_lets_the_other_pass(place: Any, tmp_path: Path) -> None:
    with lab_of(place({}, {"loss": "100%"}), tmp_path) as lab:
        # Address resolution needs both directions.
        for node, other in (("a/r1", "a/r2"), ("a/r2", "a/r1")):
            nic = lab.topology.nodes[other].nics[0]
            entry = [str(nic.addresses[0].ip), "lladdr", nic.mac.hex(":"), "dev", "eth0"]
            assert lab[node].run("ip", "neigh", "replace", *entry).returncode == 0
        assert round_trips(lab, count=3) == []
        counters = lab["a/r2"].run("cat", "/proc/net/snmp").stdout
        assert int(re.findall(r"^Icmp: (\d+)", counters, re.MULTILINE)[0]) >= 3


@pytest.mark.parametrize("quality", [{"delay": "20ms"}, {"delay": "5ms", "jitter": "2ms"}])
def test_a_live_change_loses_nothing(quality: Data, place: Any, tmp_path: Path) -> None:
    """From nothing at all to a delay in one direction, and on, under a 500 Hz stream."""
    with lab_of(place({}, {}), tmp_path) as lab:
        physical = "m1-m2" if "m1-m2" in _impaired(place) else "a/core"
        way = "m1>m2" if physical == "m1-m2" else "r1>r2"
        timer = threading.Timer(0.6, lambda: lab.reshape(physical, direction=way, **quality))
        timer.start()
        numbers = [number for number, _ in stream(lab, 800, 0.002)]
        timer.join()
    assert set(numbers) == set(range(800))


def _impaired(place: Any) -> str:
    """Where the quality of `place` is said."""
    found = json.dumps(place({"delay": "1ms"}, {}))
    return "m1-m2" if "m1>m2" in found else "a/core"


def test_rates_of_each_direction(tmp_path: Path) -> None:
    """The kernel holds what the plan says; how well it keeps it, test_rates measures."""
    wire = {"directions": {"m2>m1": {"rate": "1mbit"}}}
    data = remote(wire, directions={"r1>r2": {"limit": "8mbit", "queue": "100ms"}})
    with lab_of(data, tmp_path) as lab:
        lab.reshape("a/core", direction="r1>r2", limit="4mbit", queue="none")
        lab.reshape("m1-m2", direction="m2>m1", rate="2mbit")
        lab.reshape("a/core", queue="60kb")
        assert len(round_trips(lab)) == 12
