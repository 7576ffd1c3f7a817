"""A lab that another process runs, as Python has it; without a lab."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

import vnemu
from vnemu.cli.files import read_any
from vnemu.errors import ExperimentFailed, InputError
from vnemu.lab import Lab
from vnemu.lab_verbs import LabVerbs
from vnemu.plan.explain import described
from vnemu.results.lab_page import drawing_of
from vnemu.schema.now import read_now
from vnemu.sessions.questions import Ping, Questions, Route
from vnemu.sessions.remote import _text
from vnemu.sessions.remote_verbs import Entry, RemoteVerbs

TOPOLOGIES = Path(__file__).parents[2] / "topologies"
ONLY_IN_PROCESS = {"add_nic", "topology"}
OF_OTHER_TYPES = {"do", "reshape_all", "create_network"}


def methods(of: type) -> dict[str, Any]:
    found = inspect.getmembers(of, inspect.isfunction)
    return {name: call for name, call in found if name[0] != "_"}


def test_all_verbs_are_there() -> None:
    own, others = methods(RemoteVerbs), methods(LabVerbs)
    assert set(own) - {"inspect"} == set(others) - ONLY_IN_PROCESS
    for name in set(others) - ONLY_IN_PROCESS - OF_OTHER_TYPES:
        assert list(inspect.signature(own[name]).parameters) == list(
            inspect.signature(others[name]).parameters
        ), name


class Noted(RemoteVerbs):
    """Notes what it is asked to do, as the lab would read it."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def do(self, *changes: str | Entry) -> dict[str, Any]:
        self.texts += [each if isinstance(each, str) else _text(each) for each in changes]
        return {}

    def inspect(self) -> dict[str, Any]:
        return {"links": {}}


CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = [
    ("reshape", ("a/x",), {"limit": None, "delay": "5ms"}, {"limit": "none", "delay": "5ms"}),
    ("reshape", ("a/x",), {"direction": "r1>r2", "loss": "1%"}, {"direction": "r1>r2"}),
    ("reshape_all", ({"a/x": {"limit": "1mbit"}},), {}, {"reshape": "a/x", "limit": "1mbit"}),
    ("down", ("a/x",), {}, {"down": "a/x"}),
    ("up", ("a/x",), {}, {"up": "a/x"}),
    ("cut", ("a/x", "r1>r2"), {}, {"cut": "a/x", "direction": "r1>r2"}),
    ("mend", ("a/x",), {}, {"mend": "a/x"}),
    ("fail", ("rm1",), {}, {"fail": "rm1"}),
    ("repair", ("rm1-rm2", "rm1>rm2"), {}, {"repair": "rm1-rm2"}),
    ("move", ("a/x",), {"path": ("rm1", "rm2")}, {"path": ["rm1", "rm2"]}),
    ("move", ("a/x",), {"paths": [("rm1", "rm2"), ("rm1", "rm3", "rm2")]}, {"move": "a/x"}),
    ("move", ("a/x",), {"avoid": ["rm1"]}, {"avoid": ["rm1"]}),
    ("move", ("a/r1",), {"to": "rm2"}, {"to": "rm2"}),
    ("pause", ("a/r1",), {}, {"pause": "a/r1"}),
    ("resume", ("a/r1",), {}, {"resume": "a/r1"}),
    ("stop", ("a/r1",), {}, {"stop": "a/r1"}),
    ("start", ("a/r1",), {}, {"start": "a/r1"}),
    ("create", ("a/r9",), {"on": "rm1"}, {"create": "a/r9", "on": "rm1"}),
    ("destroy", ("a/r9",), {}, {"destroy": "a/r9"}),
    ("copy", ("a/r1", "a/r9"), {"on": "rm2"}, {"copy": "a/r1", "as": "a/r9", "on": "rm2"}),
    ("add", ("a/x", ["r1", "r2"]), {"cost": 5}, {"endpoints": ["r1", "r2"], "cost": 5}),
    ("remove", ("a/x",), {}, {"remove": "a/x"}),
    ("create_network", ("nets/c.yaml",), {}, {"create_network": "c", "file": "nets/c.yaml"}),
    ("create_network", ("n.yaml", "c", "a"), {}, {"create_network": "c", "network": "a"}),
    ("destroy_network", ("a",), {}, {"destroy_network": "a"}),
    ("pause_network", ("a",), {}, {"pause": "a"}),
    ("resume_network", ("a",), {}, {"resume": "a"}),
    ("limit", ("a/r1",), {"cpu": "50%", "memory": "none"}, {"cpu": "50%"}),
]


@pytest.mark.parametrize(("verb", "args", "keys", "said"), CALLS)
def test_a_verb_is_an_entry_that_the_lab_reads(
    verb: str, args: tuple[Any, ...], keys: dict[str, Any], said: dict[str, Any]
) -> None:
    lab = Noted()
    getattr(lab, verb)(*args, **keys)
    (text,) = lab.texts
    assert json.loads(text).items() >= said.items()
    read_now(text)


def test_what_a_drawing_shows() -> None:
    planned = read_any(TOPOLOGIES / "wowkivs2009.yaml", [])
    data = json.loads(json.dumps(described(planned.topology, planned.mapping)))
    drawing = drawing_of(data)
    assert drawing == drawing_of(described(planned.topology, planned.mapping))
    assert drawing.underlay.links[0].rate == "32mbit"
    (a, _) = drawing.networks
    assert (a.routers, a.hosts) == ({"r1": "rm1", "r2": "rm2"}, {"c1": "r1", "c2": "r2"})
    (core,) = a.links
    assert (core.name, core.a, core.b, core.path) == ("core", "r1", "r2", ("rm1", "rm2"))


def test_a_lab_that_is_not_there_yet_is_shown() -> None:
    lab = Lab.from_file(TOPOLOGIES / "wowkivs2009.yaml")
    page = lab._repr_html_()
    assert "not running" in page
    assert "a/core" in page
    assert lab._repr_svg_() in page


NODES = {
    "a/r1": {
        "loopbacks": ["10.0.128.1"],
        "nics": {"eth0": {"link": "a/x", "addresses": ["10.0.0.1/30", "fd00::1/64"]}},
    },
    "a/r2": {"loopbacks": [], "nics": {"eth0": {"link": "a/x", "addresses": ["10.0.0.2/30"]}}},
}
LINKS = {"a/x": {"ends": ["a/r1", "a/r2"]}}


class Done:
    """What a program printed."""

    def __init__(self, out: str, status: int = 0) -> None:
        self.stdout = out
        self.returncode = status


class Answers(Questions):
    """A lab of two routers whose programs print what is prepared, in this order."""

    def __init__(self, *answers: Done) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, ...]] = []

    def inspect(self) -> dict[str, Any]:
        return {"nodes": NODES, "links": LINKS}

    def __getitem__(self, path: str) -> Any:
        return self

    def run(self, *argv: str, timeout: float = 0.0) -> Done:
        self.asked.append(argv)
        return self.answers.pop(0)


def route(**keys: object) -> Done:
    return Done(json.dumps([{"dst": "10.0.128.2", "dev": "eth0", **keys}]))


@pytest.mark.parametrize(
    ("node", "version", "address"),
    [("a/r1", 4, "10.0.128.1"), ("a/r1", 6, "fd00::1"), ("a/r2", 4, "10.0.0.2")],
)
def test_addresses(node: str, version: int, address: str) -> None:
    assert Answers().address(node, version) == address


def test_addresses_that_are_not_there() -> None:
    with pytest.raises(InputError, match="a/r2 has no IPv6 address"):
        Answers().address("a/r2", 6)
    with pytest.raises(InputError, match="there is no node 'a/r3'; did you mean"):
        Answers().address("a/r3")


def test_the_route_of_a_node() -> None:
    lab = Answers(route(gateway="10.0.0.2", protocol="bird", metric=32))
    found = lab.route("a/r1", "10.0.128.2")
    assert found == Route("10.0.128.2", "eth0", "a/r2", "10.0.0.2", "bird", 32)
    assert lab.asked[0][-3:] == ("get", "fibmatch", "10.0.128.2")


def test_of_several_ways_the_one_that_is_taken() -> None:
    ways = Done('[{"dst": "10.9.0.0/16", "protocol": "bird", "nexthops": [{"dev": "eth7"}]}]')
    found = Answers(ways, route(dst="10.9.0.1", gateway="10.0.0.2")).route("a/r1", "10.9.0.1")
    assert found is not None
    assert (found.to, found.next, found.protocol) == ("10.9.0.0/16", "a/r2", "bird")


def test_a_prefix_has_to_be_in_the_table() -> None:
    lab = Answers(Done("[]"), Done("", 2))
    assert lab.route("a/r1", "10.0.0.0/8") is None
    assert lab.route("a/r1", "10.0.0.9") is None
    assert lab.asked[0][-2:] == ("show", "10.0.0.0/8")


def test_a_path_ends_where_the_address_is() -> None:
    there = Done('[{"type": "local", "dst": "10.0.0.2", "dev": "eth0"}]')
    assert Answers(route(), there).path("a/r1", "a/r2") == ["a/r1", "a/r2"]


def test_a_path_without_an_end() -> None:
    with pytest.raises(ExperimentFailed, match="circle: a/r1 - a/r2 - a/r1"):
        Answers(route(), route()).path("a/r1", "10.9.0.1")
    with pytest.raises(ExperimentFailed, match=r"a/r2 has no route to 10\.9\.0\.1"):
        Answers(route(), Done("", 2)).path("a/r1", "10.9.0.1")


PINGED = """
3 packets transmitted, 2 received, 33% packet loss, time 101ms
rtt min/avg/max/mdev = 0.045/0.061/0.084/0.016 ms
"""


def test_pings() -> None:
    ping = Answers(Done(PINGED, 1)).ping("a/r1", "a/r2", count=3)
    assert ping == Ping(3, 2, 0.061)
    assert (ping.lost, round(ping.loss_percent, 1)) == (1, 33.3)
    unsent = Answers(Done("ping: connect: Network is unreachable", 2)).ping("a/r1", "10.9.0.1")
    assert unsent == Ping(5, 0, None)


def test_waiting_tells_what_was_in_the_way() -> None:
    def fail() -> bool:
        raise ExperimentFailed("not yet")

    with pytest.raises(ExperimentFailed, match="the end: not within 0 s; not yet"):
        Answers().wait_until(fail, 0, "the end")


def test_what_the_package_offers() -> None:
    assert {"up", "connect", "labs", "run", "open_run", "RemoteLab"} <= set(dir(vnemu))
    with pytest.raises(AttributeError, match="no attribute 'upp'"):
        _ = vnemu.upp  # type: ignore[attr-defined]
