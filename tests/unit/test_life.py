"""The life of VRs on the model: which transitions there are, and what a move leaves as it was."""

from __future__ import annotations

import pytest

from tests.unit.test_verbs import RING, filled, new_link, next_plan, planned, ring, state_of
from vnemu.errors import InputError
from vnemu.lab import Lab
from vnemu.model.life import TRANSITIONS, Transition
from vnemu.model.overlay import NodeState
from vnemu.plan.diff import apply, diff
from vnemu.plan.objects import Block, Patch, Tunnel, Veth
from vnemu.schema.resources import LimitsDoc
from vnemu.schema.topology import RouterDoc
from vnemu.schema.violations import read
from vnemu.verbs.existence import Add, AddNic, Remove
from vnemu.verbs.faults import Fail
from vnemu.verbs.life import Copy, Create, Destroy, MoveRouter, Pause, Resume, Start, Stop
from vnemu.verbs.limits import Limit
from vnemu.verbs.networks import PauseNetwork
from vnemu.verbs.paths import Move
from vnemu.verbs.state import Verb, carry_out

VERBS: dict[Transition, type[Pause | Resume | Stop | Start]] = {
    "pause": Pause,
    "resume": Resume,
    "stop": Stop,
    "start": Start,
}
TO: dict[NodeState, list[Verb]] = {
    "running": [],
    "paused": [Pause("a/r1")],
    "stopped": [Stop("a/r1")],
}


def create(path: str, **keys: object) -> Create:
    return Create(path, read(RouterDoc, keys))


class TestStates:
    @pytest.mark.parametrize("state", TO)
    @pytest.mark.parametrize("transition", VERBS)
    def test_only_those_of_the_table(self, state: NodeState, transition: Transition) -> None:
        before = carry_out(ring(), TO[state])
        verb, allowed = VERBS[transition]("a/r1"), TRANSITIONS[transition]
        if state in allowed.origins:
            assert carry_out(before, [verb]).topology.nodes["a/r1"].state == allowed.to
        else:
            with pytest.raises(InputError, match=f"a/r1 is {state}"):
                carry_out(before, [verb])

    def test_the_way_out_is_said(self) -> None:
        with pytest.raises(InputError, match="it cannot be started; resume it first"):
            carry_out(ring(), [Pause("a/r1"), Start("a/r1")])

    @pytest.mark.parametrize("state", TO)
    def test_it_moves_and_is_copied_in_all(self, state: NodeState) -> None:
        before = carry_out(ring(), TO[state])
        after = carry_out(before, [MoveRouter("a/r1", "rm2"), Copy("a/r1", "a/r9")])
        assert after.topology.nodes["a/r1"].state == state
        copied = "running" if state == "running" else "stopped"
        assert after.topology.nodes["a/r9"].state == copied

    def test_paused_nothing_passes_and_carrier_stays(self) -> None:
        before = ring()
        after = carry_out(before, [Pause("a/r1")])
        actions = diff(planned(after).fragments, planned(before).fragments)
        assert {type(action.target) for action in actions} == {Block}
        assert {str(a.target) for a in actions} == {"block fabric a.r1.0", "block fabric a.r2.0"}

    def test_stopped_its_peers_have_no_carrier(self) -> None:
        after = carry_out(ring(), [Stop("a/r2")])
        dark = {
            o.b.namespace + " " + o.b.device
            for o in planned(after).objects().values()
            if isinstance(o, Veth) and not o.carrier
        }
        assert {"vr:a/r1 eth0", "vr:a/r3 eth0", "vr:a/h eth0"} <= dark

    def test_back_again_all_is_as_before(self) -> None:
        before = ring()
        after = carry_out(before, [Pause("a/r1"), Stop("a/h"), Resume("a/r1")])
        after = carry_out(after, [Start("a/h")])
        assert after.topology == before.topology
        assert filled(next_plan(planned(before), before, after)) == filled(planned(before))


class TestMove:
    def test_its_hosts_go_with_it(self) -> None:
        after = carry_out(ring(), [MoveRouter("a/r2", "rm4")])
        assert (after.mapping.machines["a/r2"], after.mapping.machines["a/h"]) == ("rm4", "rm4")
        assert after.mapping.paths["a/core"].machines == ("rm1", "rm2", "rm3", "rm4")

    def test_a_declared_path_is_chosen_anew_and_said(self) -> None:
        after = carry_out(ring(), [MoveRouter("a/r1", "rm2")])
        assert after.topology.links["a/core"].paths == ()
        assert after.notes == (
            "move a/r1 to rm2: a/core goes over rm2-rm3 now, since its declared path ends "
            "elsewhere",
        )

    def test_the_new_tunnels_are_complete_before_the_old_ones_are_left(self) -> None:
        before = ring()
        after = carry_out(before, [MoveRouter("a/r2", "rm2")])
        steps = [
            (action.verb, type(action.target))
            for action in diff(planned(after).fragments, planned(before).fragments)
            if isinstance(action.target, Tunnel | Patch)
        ]
        switch = steps.index(("change", Patch))
        assert ("create", Tunnel) not in steps[switch:]
        assert ("remove", Tunnel) not in steps[:switch]

    def test_a_swap_takes_no_number_of_the_other(self) -> None:
        before = ring()
        after = carry_out(before, [MoveRouter("a/r1", "rm3"), MoveRouter("a/r3", "rm2")])
        numbers = [{p.number for p in s.mapping.paths.values()} for s in (before, after)]
        moved = {after.mapping.paths[p].number for p in ("a/core", "a/side")}
        assert moved.isdisjoint(numbers[0])

    def test_numbers_do_not_run_away(self) -> None:
        state = ring()
        for machine in ("rm2", "rm3", "rm4", "rm1") * 10:
            state = carry_out(state, [MoveRouter("a/r2", machine)])
        assert max(path.number for path in state.mapping.paths.values()) <= 6

    def test_the_best_has_room(self) -> None:
        """On rm4 there would be 10 Mbit/s to r1."""
        after = carry_out(ring(), [MoveRouter("a/r2", avoid=("rm2",))])
        assert after.mapping.machines["a/r2"] in ("rm1", "rm4")
        assert after.mapping.paths["a/core"].links != ("rm4-rm1",)

    def test_by_the_verb_of_links(self) -> None:
        after = carry_out(ring(), [Move("a/r2", avoid=("rm1",))])
        assert after.mapping.machines["a/r2"] in ("rm2", "rm4")

    @pytest.mark.parametrize(
        ("verbs", "words"),
        [
            ([MoveRouter("a/h", "rm1")], "a/h is a host: it lives with its router a/r2"),
            ([MoveRouter("a/r8", "rm1")], "no node 'a/r8'"),
            ([MoveRouter("a/r1", "rm8")], "no machine 'rm8'"),
            ([Fail("rm2"), MoveRouter("a/r1", "rm2")], "rm2 has failed"),
            ([Fail("rm1"), MoveRouter("a/r1", "rm2")], "it cannot be taken from there"),
            ([MoveRouter("a/r1", avoid=("rm2", "rm3", "rm4"))], "no other machine can host a/r1"),
            ([MoveRouter("a/r2", "rm4"), Fail("rm3-rm4")], None),
        ],
    )
    def test_what_cannot_be(self, verbs: list[Verb], words: str | None) -> None:
        if words is None:
            carry_out(ring(), verbs)
            return
        with pytest.raises(InputError, match=words):
            carry_out(ring(), verbs)

    def test_without_room_it_says_why(self) -> None:
        with pytest.raises(InputError, match="rm4-rm1 has 10mbit, but is to guarantee 20mbit"):
            carry_out(ring(), [Fail("rm3-rm4"), MoveRouter("a/r2", "rm4")])


class TestExistence:
    def test_a_new_router_is_like_a_declared_one(self) -> None:
        state = carry_out(ring(), [create("a/r9", on="rm2", nics=2)])
        node = state.topology.nodes["a/r9"]
        assert [nic.name for nic in node.nics] == ["eth0", "eth1"]
        assert str(node.loopbacks[0]) == "10.0.128.4/32"
        macs = [nic.mac for other in state.topology.nodes.values() for nic in other.nics]
        assert len(set(macs)) == len(macs)

    def test_again_and_again(self) -> None:
        """Numbers, addresses and names come back, and nothing else is touched."""
        before = state = ring()
        seen = set()
        for _ in range(100):
            new: list[Verb] = [create("a/r9"), Add("a/x", new_link("r9", "r1"))]
            grown = carry_out(state, new)
            nodes, links = grown.topology.nodes, grown.topology.links
            seen.add((nodes["a/r9"].nics, nodes["a/r9"].loopbacks, links["a/x"]))
            state = carry_out(grown, [Destroy("a/r9")])
        assert len(seen) == 1
        assert state.topology == before.topology
        assert filled(planned(state)) == filled(planned(before))

    def test_the_others_keep_their_routes(self) -> None:
        before = ring()
        after = carry_out(before, [Destroy("a/h"), Destroy("a/r2")])
        after = carry_out(after, [create("a/r2")])
        kept = ("node", "a/r3")
        routes = [k for k in planned(before).fragments[kept] if k[0] == 6]
        assert routes
        assert "vr:a/r2" in {
            o.name for o in planned(after).objects().values() if hasattr(o, "name")
        }

    def test_it_speaks_what_its_network_speaks(self) -> None:
        spoken = state_of(RING.replace("    routers", "    routing: ospf\n    routers") % "")
        after = carry_out(spoken, [create("a/r9"), create("a/r8", routing="static")])
        assert after.topology.nodes["a/r9"].os.protocols == ("ospf",)
        assert after.topology.nodes["a/r8"].os.protocols == ("static",)
        assert str(after.topology.nodes["a/r9"].os.router_id) == "10.0.128.4"

    def test_a_copy_is_unplugged(self) -> None:
        state = carry_out(ring(), [Copy("a/r2", "a/r9")])
        old, new = state.topology.nodes["a/r2"], state.topology.nodes["a/r9"]
        assert [(n.name, n.addresses) for n in new.nics] == [
            (n.name, n.addresses) for n in old.nics
        ]
        assert {n.link for n in new.nics} == {""}
        assert {n.mac for n in new.nics}.isdisjoint({n.mac for n in old.nics})
        assert new.copied_from == "a/r2"
        assert state.mapping.machines["a/r9"] == "rm3"

    def test_it_takes_the_place_of_its_original(self) -> None:
        state = carry_out(ring(), [Copy("a/r2", "a/r9"), Remove("a/core")])
        again = Add("a/core", new_link("r1", "r9", ipv4="10.0.0.0/30"))
        nic = carry_out(state, [again]).topology.nodes["a/r9"].nics[0]
        assert (nic.name, nic.link) == ("eth0", "a/core")
        assert str(nic.addresses[0]) == "10.0.0.2/30"

    def test_a_new_router_gets_nics(self) -> None:
        state = carry_out(ring(), [create("a/r9"), AddNic("a/r9"), AddNic("a/r9")])
        assert [nic.number for nic in state.topology.nodes["a/r9"].nics] == [0, 1]

    @pytest.mark.parametrize(
        ("verb", "words"),
        [
            (Destroy("a/r2"), "a/h live behind it; first destroy a/h"),
            (Destroy("a/r8"), "no node 'a/r8'"),
            (create("a/r1"), "a node 'a/r1' already"),
            (create("b/r1"), "no network 'b'"),
            (create("a/r9", on="rm8"), "rm8"),
            (Copy("a/h", "a/r9"), "a/h is a host"),
            (Copy("a/r1", "a/r2"), "a node 'a/r2' already"),
            (Copy("a/r1", "a/r9", "rm8"), "no machine 'rm8'"),
        ],
    )
    def test_what_cannot_be(self, verb: Verb, words: str) -> None:
        with pytest.raises(InputError, match=words):
            carry_out(ring(), [verb])

    def test_the_last_router_stays(self) -> None:
        state = carry_out(ring(), [Destroy("a/h"), Destroy("a/r2"), Destroy("a/r3")])
        with pytest.raises(InputError, match="the last VR of network a"):
            carry_out(state, [Destroy("a/r1")])


def test_in_words() -> None:
    verbs = [
        Pause("a/r1"),
        create("a/r9", on="rm2"),
        Copy("a/r1", "a/r9", "rm2"),
        MoveRouter("a/r1", "rm2"),
        Destroy("a/r1"),
    ]
    assert [str(verb) for verb in verbs] == [
        "pause a/r1",
        "create a/r9 on rm2",
        "copy a/r1 as a/r9 on rm2",
        "move a/r1 to rm2",
        "destroy a/r1",
    ]


class TestOneChange:
    """All verbs of a change happen at once: what is there before and after it goes on."""

    @pytest.mark.parametrize(
        ("verbs", "words"),
        [
            ([Destroy("a/r3"), create("a/r3")], "a/r3 is destroyed and created in one change"),
            ([Destroy("a/r3"), Copy("a/r1", "a/r3")], "a/r3 is destroyed and created in one"),
            ([Stop("a/r3"), Start("a/r3")], "a/r3 is stopped and started in one change"),
            ([Stop("a/r3"), Destroy("a/r3"), create("a/r3")], "a/r3 is destroyed and created"),
            ([create("a/r8"), Copy("a/r8", "a/r9")], "a/r8 is made and copied in one change"),
            ([Copy("a/r1", "a/r8"), Copy("a/r8", "a/r9")], "a/r8 is made and copied in one"),
        ],
    )
    def test_nothing_begins_anew_in_it(self, verbs: list[Verb], words: str) -> None:
        with pytest.raises(InputError, match=f"{words}.*; make two of it, one after the other"):
            carry_out(ring(), verbs)

    def test_in_two_it_does(self) -> None:
        state = carry_out(ring(), [Destroy("a/r3")])
        state = carry_out(state, [create("a/r3"), Stop("a/r1")])
        state = carry_out(state, [Copy("a/r3", "a/r9"), Start("a/r1")])
        assert {"a/r3", "a/r9"} <= set(state.topology.nodes)

    def test_what_comes_may_go_in_it(self) -> None:
        before = ring()
        after = carry_out(before, [create("a/r9"), Destroy("a/r9")])
        assert after.topology == before.topology

    def test_a_copy_replaces_its_original(self) -> None:
        after = carry_out(ring(), [Copy("a/r1", "a/r9"), Destroy("a/r1")])
        assert "a/r1" not in after.topology.nodes
        assert after.topology.nodes["a/r9"].copied_from == "a/r1"

    def test_a_link_goes_and_another_of_its_name_comes(self) -> None:
        before = ring()
        after = carry_out(before, [Remove("a/core"), Add("a/core", new_link("r1", "r3"))])
        have = planned(before).fragments
        fresh = next_plan(planned(before), before, after)
        assert filled(fresh) == filled(planned(after))
        assert apply(planned(before).objects(), diff(fresh.fragments, have)) == fresh.objects()
        old, new = before.mapping.paths["a/core"], after.mapping.paths["a/core"]
        assert old.number != new.number or old.machines != new.machines


class TestWrongNames:
    @pytest.mark.parametrize(
        ("verb", "words"),
        [
            (Pause("a"), "'a' is a network, not a VR or host; name one of it, like a/r1"),
            (Destroy("a"), "'a' is a network, not a VR or host"),
            (AddNic("a"), "'a' is a network, not a VR or host"),
            (Resume("a/core"), "'a/core' is a virtual link, not a VR or host"),
            (MoveRouter("a/core", "rm2"), "'a/core' is a virtual link, not a VR or host"),
            (Move("a/r1", ("rm1", "rm2")), "'a/r1' is a VR or host: paths are of virtual links"),
            (Copy("a/r1", "a/r2"), "there is a node 'a/r2' already; give it another name"),
            (Limit("a/r1", read(LimitsDoc, {})), "no limit of a/r1 is named; give any of cpu"),
            (Limit("a/r9", read(LimitsDoc, {"cpu": "50%"})), "there is no node 'a/r9'"),
        ],
    )
    def test_it_is_said_what_it_is(self, verb: Verb, words: str) -> None:
        with pytest.raises(InputError, match=words):
            carry_out(ring(), [verb])

    def test_one_way_to_move(self) -> None:
        lab = Lab(ring().topology, ring().mapping)
        with pytest.raises(InputError, match="move a/r1: give one of path=, paths=, avoid= and to"):
            lab.move("a/r1", to="rm2", avoid=["rm3"])

    def test_nothing_starts_in_a_paused_network(self) -> None:
        paused = carry_out(ring(), [PauseNetwork("a")])
        with pytest.raises(InputError, match="a/r9 is in the paused network a; resume that first"):
            carry_out(paused, [create("a/r9")])
