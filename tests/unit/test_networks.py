"""Whole networks that come and go, pause and resume, on the model and in a kernel in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.random_topologies import topology
from vnemu.drivers.fake import FakeKernel
from vnemu.drivers.transaction import carry_out as transact
from vnemu.embedding.strategies import embed
from vnemu.errors import InputError, KernelRefused
from vnemu.model.change import Change
from vnemu.plan.build import build
from vnemu.plan.changed import changed_fragments, draining
from vnemu.plan.diff import Action, apply, diff
from vnemu.plan.objects import HtbClass, Key, Object, Queue
from vnemu.schema.networks import WrittenNetwork, load_network, network_from
from vnemu.schema.topology import NetworkDoc, VirtualLinkDoc
from vnemu.schema.violations import read
from vnemu.verbs.existence import Add, Remove
from vnemu.verbs.faults import Cut, Fail
from vnemu.verbs.life import Pause, Resume, Stop
from vnemu.verbs.networks import CreateNetwork, DestroyNetwork, PauseNetwork, ResumeNetwork
from vnemu.verbs.quality import Reshape
from vnemu.verbs.state import State, Verb, carry_out

TOPOLOGY = """\
underlay:
  machines: [rm1, rm2, rm3]
  links:
    - {endpoints: [rm1, rm2], rate: 100mbit}
    - {endpoints: [rm2, rm3], rate: 100mbit}
    - {endpoints: [rm1, rm3], rate: 100mbit}
networks:
  a:
    routers: {r1: {on: rm1}, r2: {on: rm2}}
    hosts: {c1: {at: r1}, c2: {at: r2}}
    links: [{name: core, endpoints: [r1, r2], guarantee: 60mbit}]
  b:
    routers: {r1: {on: rm1}, r2: {on: rm2}}
    links: [{name: core, endpoints: [r1, r2], guarantee: 30mbit, path: [rm1, rm2]}]
"""
RING = {
    "routers": ["r1", "r2", "r3"],
    "hosts": {"c": {"at": "r2"}},
    "links": [
        {"endpoints": ["r1", "r2"], "guarantee": "10mbit"},
        {"endpoints": ["r2", "r3"]},
        {"endpoints": ["r3", "r1"]},
    ],
}


@pytest.fixture
def before() -> State:
    found = topology(TOPOLOGY)
    return State(found, embed(found))


def ring(name: str = "c", **keys: object) -> WrittenNetwork:
    return network_from({**RING, **keys}, name)


def planned(state: State) -> dict[Key, Object]:
    return build(state.topology, state.mapping).objects()


def actions(before: State, after: State) -> list[Action]:
    fresh = build(after.topology, after.mapping, changed_fragments(before, after))
    all_of = build(before.topology, before.mapping)
    have = {key: all_of.fragments.get(key, {}) for key in fresh.fragments}
    return diff(fresh.fragments, have)


class TestCreate:
    def test_nothing_that_exists_changes_but_rates(self, before: State) -> None:
        after = carry_out(before, [CreateNetwork(ring())])
        old, new = planned(before), planned(after)
        assert old.keys() < new.keys()
        differ = [new[key] for key, item in old.items() if new[key] != item]
        assert all(isinstance(item, HtbClass | Queue) for item in differ)
        assert apply(old, actions(before, after)) == new

    def test_it_is_the_same_as_if_it_had_been_there_from_the_start(self, before: State) -> None:
        after = carry_out(before, [CreateNetwork(ring())])
        at_once = topology(
            TOPOLOGY + "  c: {routers: [r1, r2, r3], hosts: {c: {at: r2}}, links: ["
            "{endpoints: [r1, r2], guarantee: 10mbit}, {endpoints: [r2, r3]}, "
            "{endpoints: [r3, r1]}]}\n"
        )
        assert after.topology.networks["c"] == at_once.networks["c"]
        assert after.topology.vifs == at_once.vifs

    def test_it_keeps_off_what_has_failed(self, before: State) -> None:
        failed = carry_out(before, [Fail("rm3")])
        after = carry_out(failed, [CreateNetwork(ring())])
        places = {after.mapping.machines[f"c/{node}"] for node in ("r1", "r2", "r3", "c")}
        assert "rm3" not in places

    def test_no_room(self, before: State) -> None:
        greedy = {
            "routers": {"r1": {"on": "rm1"}, "r2": {"on": "rm2"}},
            "links": [
                {"endpoints": ["r1", "r2"], "guarantee": "20mbit", "path": ["rm1", "rm2"]},
            ],
        }
        words = r"60mbit \(a/core\) \+ 30mbit \(b/core\) \+ 20mbit \(c/r1-r2\) = 110mbit"
        with pytest.raises(InputError, match=words):
            carry_out(before, [CreateNetwork(network_from(greedy, "c"))])

    @pytest.mark.parametrize(
        ("network", "words"),
        [
            (ring("a"), "there is a network 'a' already"),
            (ring(routers={"r1": {"on": "rm9"}, "r2": {}, "r3": {}}), "no machine 'rm9'"),
            (ring(hosts={"c": {"at": "r7"}}), "no router 'r7'"),
            (ring(links=[]), "not connected"),
        ],
    )
    def test_what_is_refused(self, before: State, network: WrittenNetwork, words: str) -> None:
        with pytest.raises(InputError, match=words):
            carry_out(before, [CreateNetwork(network)])

    def test_later_it_changes_as_any_other(self, before: State) -> None:
        state = carry_out(before, [CreateNetwork(ring())])
        after = carry_out(state, [Reshape("c/r1-r2", Change.parse(limit="15mbit")), Cut("c/r2-r3")])
        assert apply(planned(state), actions(state, after)) == planned(after)


class TestDestroy:
    def test_what_was_created_is_gone_without_a_trace(self, before: State) -> None:
        there = carry_out(before, [CreateNetwork(ring())])
        after = carry_out(there, [DestroyNetwork("c")])
        assert after == before
        assert planned(after) == planned(before)
        assert apply(planned(there), actions(there, after)) == planned(before)

    def test_those_after_it_are_not_renumbered(self, before: State) -> None:
        after = carry_out(before, [DestroyNetwork("a")])
        assert after.topology.networks["b"] == before.topology.networks["b"]
        old, new = planned(before), planned(after)
        differ = [item for key, item in new.items() if old.get(key) != item]
        assert all(isinstance(item, HtbClass | Queue) for item in differ)
        again = carry_out(after, [CreateNetwork(ring("d"))])
        macs = [nic.mac for node in again.topology.nodes.values() for nic in node.nics]
        assert len(set(macs)) == len(macs)
        assert again.topology.networks["d"].number == 0
        assert all(again.topology.vifs[key] == name for key, name in after.topology.vifs.items())

    def test_names_of_devices_stay_even_if_they_were_second_best(self) -> None:
        text = TOPOLOGY.replace("  a:\n", "  x.y:\n").replace("  b:\n", "  x:\n")
        text = text.replace(
            "{r1: {on: rm1}, r2: {on: rm2}}\n    links",
            "{y.r1: {on: rm1}, r2: {on: rm2}}\n    links",
        )
        found = topology(text.replace("[r1, r2], guarantee: 30mbit", "[y.r1, r2]"))
        state = State(found, embed(found))
        name = state.topology.vifs["x/y.r1", "eth0"]
        assert name != "x.y.r1.0"
        after = carry_out(state, [DestroyNetwork("x.y")])
        assert after.topology.vifs["x/y.r1", "eth0"] == name
        assert apply(planned(state), actions(state, after)) == planned(after)
        back = carry_out(after, [CreateNetwork(ring("x.y"))])
        assert back.topology.vifs["x/y.r1", "eth0"] == name
        assert len(set(back.topology.vifs.values())) == len(back.topology.vifs)

    def test_a_hundred_times(self, before: State) -> None:
        state = before
        for _ in range(100):
            state = carry_out(state, [CreateNetwork(ring("c"))])
            state = carry_out(state, [CreateNetwork(ring("d"))])
            state = carry_out(state, [DestroyNetwork("c")])
            state = carry_out(state, [CreateNetwork(ring("c"))])
            numbers = {w.number for path in state.mapping.paths.values() for w in path.ways}
            assert max(numbers) < 20
            state = carry_out(state, [DestroyNetwork("d"), DestroyNetwork("c")])
        assert state == before

    def test_in_one_change_with_its_successor(self, before: State) -> None:
        there = carry_out(before, [CreateNetwork(ring())])
        after = carry_out(there, [DestroyNetwork("c"), CreateNetwork(ring("d"))])
        assert apply(planned(there), actions(there, after)) == planned(after)
        numbers = [way.number for path in there.mapping.paths.values() for way in path.ways]
        ways = [way for path, way in after.mapping.paths.items() if path.startswith("d/")]
        new = [way.number for several in ways for way in several.ways]
        assert not set(new).intersection(numbers)
        with pytest.raises(InputError, match="c is destroyed and created in one change"):
            carry_out(there, [DestroyNetwork("c"), CreateNetwork(ring())])

    def test_no_such_network(self, before: State) -> None:
        with pytest.raises(InputError, match="no network 'aa'; did you mean 'a'"):
            carry_out(before, [DestroyNetwork("aa")])

    def test_all_of_them(self, before: State) -> None:
        after = carry_out(before, [DestroyNetwork("a"), DestroyNetwork("b")])
        assert not after.topology.nodes
        again = carry_out(after, [CreateNetwork(ring())])
        assert apply(planned(after), actions(after, again)) == planned(again)


class TestPause:
    def test_its_part_goes_to_the_others(self, before: State) -> None:
        after = carry_out(before, [PauseNetwork("a")])
        port = ("rm1-rm2", "rm1")
        assert before.granted[port]["b/core"].assured < 50_000_000
        assert after.granted[port]["b/core"].assured == 100_000_000
        assert after.granted[port]["a/core"].assured == 1000
        assert apply(planned(before), actions(before, after)) == planned(after)

    def test_its_nodes_rest(self, before: State) -> None:
        after = carry_out(before, [PauseNetwork("a")])
        states = {path: node.state for path, node in after.topology.nodes.items()}
        assert {path for path, state in states.items() if state == "paused"} == {
            "a/r1",
            "a/r2",
            "a/c1",
            "a/c2",
        }

    def test_resumed_all_is_as_before(self, before: State) -> None:
        there = carry_out(before, [PauseNetwork("a")])
        after = carry_out(there, [ResumeNetwork("a")])
        assert after == before
        assert apply(planned(there), actions(there, after)) == planned(before)

    def test_what_rested_before_rests_on(self, before: State) -> None:
        there = carry_out(before, [Stop("a/r1"), Pause("a/c1"), PauseNetwork("a")])
        after = carry_out(there, [ResumeNetwork("a")])
        states = [after.topology.nodes[f"a/{name}"].state for name in ("r1", "r2", "c1", "c2")]
        assert states == ["stopped", "running", "paused", "running"]

    def test_its_room_may_be_taken_meanwhile(self, before: State) -> None:
        there = carry_out(before, [PauseNetwork("a")])
        taken = carry_out(there, [Reshape("b/core", Change.parse(guarantee="70mbit"))])
        words = r"rm1-rm2 has 100mbit, but is to guarantee 60mbit \(a/core\) \+ 70mbit \(b/core\)"
        with pytest.raises(InputError, match=words):
            carry_out(taken, [ResumeNetwork("a")])
        room = Reshape("b/core", Change.parse(guarantee="40mbit"))
        assert carry_out(taken, [ResumeNetwork("a"), room]).topology.networks["a"].paused is None

    def test_new_networks_find_the_room(self, before: State) -> None:
        there = carry_out(before, [PauseNetwork("a")])
        wanting = ring(
            routers={"r1": {"on": "rm1"}, "r2": {"on": "rm2"}, "r3": {"on": "rm2"}},
            links=[
                {"endpoints": ["r1", "r2"], "guarantee": "65mbit", "path": ["rm1", "rm2"]},
                {"endpoints": ["r2", "r3"]},
            ],
        )
        with pytest.raises(InputError, match="is to guarantee"):
            carry_out(before, [CreateNetwork(wanting)])
        after = carry_out(there, [CreateNetwork(wanting)])
        assert after.mapping.paths["c/r1-r2"].machines == ("rm1", "rm2")

    def test_links_come_and_go_in_a_paused_network(self, before: State) -> None:
        there = carry_out(before, [PauseNetwork("a")])
        doc = read(
            VirtualLinkDoc,
            {"endpoints": ["r1", "r2"], "guarantee": "90mbit", "path": ["rm1", "rm2"]},
        )
        after = carry_out(there, [Add("a/more", doc)])
        assert after.granted["rm1-rm2", "rm1"]["a/more"].assured == 1000
        with pytest.raises(InputError, match="is to guarantee"):
            carry_out(after, [ResumeNetwork("a")])
        fine = carry_out(after, [Remove("a/more"), ResumeNetwork("a")])
        assert fine.granted[("rm1-rm2", "rm1")] == before.granted[("rm1-rm2", "rm1")]

    @pytest.mark.parametrize(
        ("verbs", "words"),
        [
            ([PauseNetwork("z")], "no network 'z'"),
            ([PauseNetwork("a"), PauseNetwork("a")], "a is paused already"),
            ([ResumeNetwork("a")], "a is not paused"),
            ([PauseNetwork("a"), Resume("a/r1")], "a/r1 is in the paused network a"),
        ],
    )
    def test_what_is_refused(self, before: State, verbs: list[Verb], words: str) -> None:
        with pytest.raises(InputError, match=words):
            carry_out(before, verbs)


CHANGES: dict[str, tuple[list[Verb], list[Verb]]] = {
    "create": ([], [CreateNetwork(ring())]),
    "destroy": ([CreateNetwork(ring())], [DestroyNetwork("c")]),
    "replace": ([CreateNetwork(ring())], [DestroyNetwork("c"), CreateNetwork(ring("d"))]),
    "pause": ([], [PauseNetwork("a")]),
    "resume": ([PauseNetwork("a")], [ResumeNetwork("a")]),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refused_at_any_step_all_is_as_before(before: State, name: str) -> None:
    first, change = CHANGES[name]
    there = carry_out(before, first)
    after = carry_out(there, change)
    steps = actions(there, after)
    queues, flight = draining(steps, there, after)
    for refused in range(len(steps)):
        driver = FakeKernel()
        driver.apply(diff(build(there.topology, there.mapping).fragments, {}))
        driver.refuse_after(refused)
        with pytest.raises(KernelRefused):
            transact(driver, steps, queues, flight)
        assert driver.objects == planned(there)


@pytest.mark.parametrize("name", CHANGES)
def test_carried_out_it_is_what_was_planned(before: State, name: str) -> None:
    first, change = CHANGES[name]
    there = carry_out(before, first)
    after = carry_out(there, change)
    driver = FakeKernel()
    driver.apply(diff(build(there.topology, there.mapping).fragments, {}))
    transact(driver, actions(there, after))
    assert driver.objects == planned(after)


class TestFiles:
    def test_of_a_topology_file_with_one_network(self, tmp_path: Path) -> None:
        file = tmp_path / "t.yaml"
        file.write_text(
            "underlay: {machines: [x]}\n"
            "networks:\n  lab:\n    routers: [r1]\n    hosts: {h: {at: r1}}\n"
        )
        found = load_network(file, "mine")
        assert found.name == "mine"
        assert list(found.doc.routers) == ["r1"]
        assert found.document.where(("networks", "mine", "hosts", "h")) == f"{file}:5"

    def test_of_several_by_name(self, tmp_path: Path) -> None:
        file = tmp_path / "t.yaml"
        file.write_text("networks:\n  a: {routers: [r1]}\n  b: {routers: [r2]}\n")
        assert list(load_network(file, "b").doc.routers) == ["r2"]
        assert list(load_network(file, "c", of="a").doc.routers) == ["r1"]
        with pytest.raises(InputError, match=r"t.yaml:1: there is no network 'c' in this file"):
            load_network(file, "c")

    def test_of_a_file_with_a_network_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "n.yaml"
        file.write_text("routers: {r1: {on: rm1}}\nhosts: {h: {at: r1, on: rm2}}\n")
        with pytest.raises(InputError, match=r"n.yaml:2: unknown key 'on'"):
            load_network(file, "n")

    def test_what_is_wrong_with_it_is_told_at_its_line(self, tmp_path: Path, before: State) -> None:
        file = tmp_path / "n.yaml"
        routers = "routers:\n  r1: {on: rm1}\n  r2: {on: rm7}\n"
        file.write_text(routers + "links: [{endpoints: [r1, r2]}]\n")
        with pytest.raises(InputError, match=r"n.yaml:3: there is no machine 'rm7'"):
            carry_out(before, [CreateNetwork(load_network(file, "n"))])

    def test_a_routers_own_configuration(self, tmp_path: Path, before: State) -> None:
        (tmp_path / "r1.conf").write_text("router id 1.1.1.1;\n")
        file = tmp_path / "n.yaml"
        file.write_text(
            "routers:\n  r1: {on: rm1, routing: {protocol: ospf, daemon: bird, config: r1.conf}}\n"
        )
        after = carry_out(before, [CreateNetwork(load_network(file, "n"))])
        own = after.topology.nodes["n/r1"].os.own
        assert own is not None
        assert own.text == "router id 1.1.1.1;\n"

    def test_no_such_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no such file"):
            load_network(tmp_path / "n.yaml", "n")

    def test_as_plain_data_and_as_a_document(self) -> None:
        written = network_from(RING, "c")
        assert network_from(written.doc, "c").doc == written.doc
        assert isinstance(written.doc, NetworkDoc)
        with pytest.raises(InputError, match="unknown key 'router'"):
            network_from({"router": ["r1"]}, "c")


def test_in_words() -> None:
    verbs = [CreateNetwork(ring()), DestroyNetwork("c"), PauseNetwork("c"), ResumeNetwork("c")]
    words = "create network c, destroy network c, pause network c, resume network c"
    assert ", ".join(map(str, verbs)) == words
