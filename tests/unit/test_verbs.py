"""The verbs on the model: what they change, what they refuse, and what is planned again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.random_topologies import (
    CAPACITIES,
    QUALITIES,
    RATES,
    Data,
    from_data,
    networks,
    topology,
    trees,
)
from vnemu.drivers.fake import FakeKernel
from vnemu.drivers.transaction import carry_out as transact
from vnemu.embedding.strategies import embed
from vnemu.errors import InputError, KernelRefused
from vnemu.model.change import Change
from vnemu.model.overlay import Topology
from vnemu.plan.build import build
from vnemu.plan.changed import changed_fragments, draining
from vnemu.plan.diff import Action, Plan, apply, diff
from vnemu.plan.objects import (
    FABRIC,
    Classifier,
    HtbClass,
    Key,
    Object,
    Queue,
    Route,
    machine_namespace,
)
from vnemu.plan.tunnels import tunnel_ends, wire_ends
from vnemu.schema.forwarding import Forwarding
from vnemu.schema.resources import LimitsDoc
from vnemu.schema.topology import RouterDoc, VirtualLinkDoc
from vnemu.schema.violations import read
from vnemu.verbs.existence import Add, AddNic, Remove
from vnemu.verbs.faults import Cut, Down, Fail, Mend, Repair, Up
from vnemu.verbs.life import Copy, Create, Destroy, MoveRouter, Pause, Resume, Start, Stop
from vnemu.verbs.limits import Limit
from vnemu.verbs.paths import Move
from vnemu.verbs.quality import Reshape, ReshapeAll
from vnemu.verbs.state import State, Verb, carry_out, moved_links

RING = """
underlay:
  machines: [rm1, rm2, rm3, rm4]
  links:
    - {endpoints: [rm1, rm2], rate: 100mbit}
    - {endpoints: [rm2, rm3], rate: 100mbit}
    - {endpoints: [rm3, rm4], rate: 100mbit}
    - {endpoints: [rm4, rm1], rate: 10mbit}
    - {name: spare, endpoints: [rm2, rm1], rate: 50mbit}
networks:
  a:
    routers: {r1: {on: rm1}, r2: {on: rm3}, r3: {on: rm1, nics: 3}}
    hosts: {h: {at: r2}}
    links:
      - {name: core, endpoints: [r1, r2], path: [rm1, rm2, rm3], guarantee: 20mbit%s}
      - {name: side, endpoints: [r2, r3]}
"""


def state_of(text: str) -> State:
    topo = topology(text)
    return State(topo, embed(topo))


def ring(more: str = "") -> State:
    return state_of(RING % more)


def planned(state: State) -> Plan:
    return build(state.topology, state.mapping)


def new_link(*ends: str, **keys: object) -> VirtualLinkDoc:
    return read(VirtualLinkDoc, {"endpoints": list(ends), **keys})


class TestQuality:
    def test_several_changes_are_admitted_together(self) -> None:
        before = ring()
        verbs = [
            Reshape("rm2-rm3", Change.parse(rate="10mbit")),
            Reshape("a/core", Change.parse(guarantee="none")),
        ]
        with pytest.raises(InputError, match="is to guarantee"):
            carry_out(before, verbs[:1])
        after = carry_out(before, verbs)
        assert after.topology.links["a/core"].forward.guarantee is None

    def test_less_capacity_than_guarantees_is_refused(self) -> None:
        with pytest.raises(InputError, match=r"rm2-rm3 has 10mbit, but is to guarantee 20mbit"):
            carry_out(ring(), [Reshape("rm2-rm3", Change.parse(rate="10mbit"))])

    def test_many_at_once_are_as_many_one_by_one(self) -> None:
        changes = {"a/core": Change.parse(delay="5ms"), "rm1-rm2": Change.parse(loss="1%")}
        one_by_one = [Reshape(name, change) for name, change in changes.items()]
        assert carry_out(ring(), [ReshapeAll(changes)]) == carry_out(ring(), one_by_one)

    def test_in_words(self) -> None:
        assert str(Reshape("a/core", Change.parse(limit="5mbit"))) == "reshape a/core limit 5mbit"


class TestFaults:
    def test_carrier(self) -> None:
        after = carry_out(ring(), [Down("a/core")])
        assert not after.topology.links["a/core"].carrier
        assert carry_out(after, [Up("a/core")]).topology == ring().topology

    def test_a_cut_in_one_direction(self) -> None:
        after = carry_out(ring(), [Cut("a/core", "r1>r2")])
        assert after.topology.links["a/core"].cut == {"forward"}
        assert carry_out(after, [Mend("a/core")]).topology == ring().topology

    @pytest.mark.parametrize("name", ["rm1-rm2", "rm2"])
    def test_failure_and_repair(self, name: str) -> None:
        after = carry_out(ring(), [Fail(name)])
        assert after.topology.underlay.has_failed("rm1-rm2")
        assert after.mapping == ring().mapping
        assert carry_out(after, [Repair(name)]).topology == ring().topology

    @pytest.mark.parametrize(
        ("verb", "words"),
        [
            (Down("a/kore"), "no virtual link 'a/kore'; did you mean 'a/core'"),
            (Down("core"), "'core' is no virtual link; did you mean|there are: a/core"),
            (Down("rm1-rm2"), "'rm1-rm2' is no virtual link"),
            (Cut("a/core", "r1>r9"), "has no direction 'r1>r9'"),
            (Fail("rm9"), "no physical link or machine 'rm9'"),
            (Fail("rm2", "rm1>rm2"), "no physical link or machine 'rm2'"),
        ],
    )
    def test_what_is_not_there(self, verb: Verb, words: str) -> None:
        with pytest.raises(InputError, match=words):
            carry_out(ring(), [verb])


class TestRemap:
    MORE = ", on_failure: remap"

    def test_a_failed_link_is_left_at_once(self) -> None:
        before = ring(self.MORE)
        after = carry_out(before, [Fail("rm1-rm2")])
        assert moved_links(before, after) == ["a/core"]
        assert after.mapping.paths["a/core"].links == ("spare", "rm2-rm3")
        assert after.notes == ("rm1-rm2 failed: a/core goes over rm1-rm2-rm3 now",)

    def test_there_it_stays_after_the_repair(self) -> None:
        after = carry_out(ring(self.MORE), [Fail("rm1-rm2")])
        repaired = carry_out(after, [Repair("rm1-rm2")])
        assert repaired.mapping == after.mapping
        assert repaired.notes == ()

    def test_without_room_it_is_out_of_service_until_there_is(self) -> None:
        failed = carry_out(ring(self.MORE), [Fail("rm2")])
        assert failed.mapping == ring(self.MORE).mapping
        assert "a/core stays without service" in failed.notes[0]
        assert "rm4-rm1 has 10mbit" in failed.notes[0]
        again = carry_out(failed, [Reshape("rm4-rm1", Change.parse(rate="100mbit"))])
        after = carry_out(again, [Repair("rm4")])
        assert after.mapping.paths["a/core"].machines == ("rm1", "rm4", "rm3")

    def test_an_aggregated_link_goes_on_over_what_is_left(self) -> None:
        text = (RING % self.MORE).replace(
            "path: [rm1, rm2, rm3]", "paths: [[rm1, rm2, rm3], [rm1, rm4, rm3]]"
        )
        after = carry_out(state_of(text.replace("20mbit", "2mbit")), [Fail("rm4-rm1")])
        assert after.mapping.paths["a/core"].machines == ("rm1", "rm2", "rm3")
        assert after.mapping.paths["a/core"].beside == ()

    def test_one_that_does_not_ask_stays(self) -> None:
        assert moved_links(ring(), carry_out(ring(), [Fail("rm1-rm2")])) == []


class TestMove:
    def test_to_a_path(self) -> None:
        small = Reshape("a/core", Change.parse(guarantee="1mbit"))
        after = carry_out(ring(), [small, Move("a/core", ("rm1", "rm4", "rm3"))])
        way, old = after.mapping.paths["a/core"], ring().mapping.paths["a/core"]
        assert way.links == ("rm4-rm1", "rm3-rm4")
        assert way.number == old.number

    def test_around_a_link(self) -> None:
        after = carry_out(ring(), [Move("a/core", avoid=("rm1-rm2",))])
        assert after.mapping.paths["a/core"].links == ("spare", "rm2-rm3")

    def test_not_over_what_has_failed(self) -> None:
        after = carry_out(ring(), [Fail("rm1-rm2"), Move("a/core")])
        assert after.mapping.paths["a/core"].links == ("spare", "rm2-rm3")

    @pytest.mark.parametrize(
        ("verb", "words"),
        [
            (Move("a/core", ("rm1", "rm4", "rm3")), "rm4-rm1 has 10mbit, but is to guarantee"),
            (Move("a/core", ("rm1", "rm3")), "link between rm1 and rm3: there is none"),
            (Move("a/core", ("rm1", "rm2")), "leads from rm1 to rm2, but its ends are on"),
            (Move("a/core", avoid=("rm2",)), "no path .* has room for its guarantee 20mbit"),
            (Move("a/core", avoid=("rm3",)), "no physical links lead .* without rm3"),
            (Move("a/core", avoid=("rm8",)), "no machine or physical link 'rm8'"),
            (Move("a/core", ("rm1", "rm8")), "there is no machine 'rm8'"),
        ],
    )
    def test_what_cannot_be(self, verb: Verb, words: str) -> None:
        with pytest.raises(InputError, match=words):
            carry_out(ring(), [verb])

    def test_aggregated_paths_have_no_link_in_common(self) -> None:
        both = (("rm1", "rm2", "rm3"), ("rm1", "rm2", "rm3"))
        with pytest.raises(InputError, match="two of its paths cross the physical link rm2-rm3"):
            carry_out(ring(), [Move("a/core", paths=both)])

    def test_what_several_paths_carry_is_divided(self) -> None:
        two = Move("a/core", paths=(("rm1", "rm2", "rm3"), ("rm1", "rm4", "rm3")))
        with pytest.raises(InputError, match=r"rm4-rm1 has 10mbit, .* 10mbit \(a/core\) \+ 5mbit"):
            carry_out(ring(), [two, Move("a/side", ("rm3", "rm4", "rm1")), _guarantee("a/side")])
        classes = [
            o
            for o in planned(carry_out(ring(), [two])).objects().values()
            if isinstance(o, HtbClass) and o.device in ("to-rm4", "to-rm3")
        ]
        assert {o.rate for o in classes if o.namespace == "rm:rm1"} == {10_000_000}


def _guarantee(link: str) -> Reshape:
    return Reshape(link, Change.parse(guarantee="5mbit"))


class TestExistence:
    def test_a_new_link_renumbers_nothing(self) -> None:
        before = ring()
        after = carry_out(before, [Add("a/extra", new_link("r1", "r2", limit="5mbit"))])
        assert {p: after.mapping.paths[p] for p in before.mapping.paths} == before.mapping.paths
        assert after.topology.vifs.items() >= before.topology.vifs.items()
        old, new = planned(before).objects(), planned(after).objects()
        kept = {k: o for k, o in old.items() if not isinstance(o, HtbClass | Queue)}
        assert kept.items() <= new.items()
        assert after.topology.links["a/extra"].a_nic == "eth1"

    def test_it_takes_the_next_free_subnets(self) -> None:
        after = carry_out(ring(), [Remove("a/core"), Add("a/extra", new_link("r1", "r2"))])
        nic = next(n for n in after.topology.nodes["a/r1"].nics if n.link == "a/extra")
        assert [str(address) for address in nic.addresses] == ["10.0.0.1/30", "fd00:0:0:1::1/64"]
        assert nic.name == "eth1"

    def test_a_free_nic_is_used_first(self) -> None:
        before = ring()
        assert [nic.link for nic in before.topology.nodes["a/r3"].nics] == ["a/side", "", ""]
        after = carry_out(before, [Add("a/extra", new_link("r1", "r3"))])
        assert [nic.link for nic in after.topology.nodes["a/r3"].nics] == ["a/side", "a/extra", ""]
        assert after.topology.nodes["a/r3"].nics[1].mac == before.topology.nodes["a/r3"].nics[1].mac

    def test_a_nic_without_a_link(self) -> None:
        after = carry_out(ring(), [AddNic("a/r1")])
        assert after.topology.nodes["a/r1"].nics[-1].name == "eth1"
        assert after.topology.nodes["a/r1"].nics[-1].link == ""

    def test_nics_go_with_their_link(self) -> None:
        after = carry_out(ring(), [Remove("a/side")])
        assert [nic.name for nic in after.topology.nodes["a/r2"].nics] == ["eth0", "eth2"]
        assert "a/side" not in after.mapping.paths

    def test_the_routers_keep_their_routes(self) -> None:
        def routes(state: State) -> set[Key]:
            return {k for k, o in planned(state).objects().items() if isinstance(o, Route)}

        def inside(state: State) -> set[Key]:
            return {k for k in routes(state) if str(k[1]).startswith("vr:")}

        after = carry_out(ring(), [Add("a/extra", new_link("r1", "r3"))])
        assert inside(after) == inside(ring())
        assert inside(carry_out(ring(), [Remove("a/side")])) < inside(ring())

    @pytest.mark.parametrize(
        ("verb", "words"),
        [
            (Add("a/core", new_link("r1", "r2")), "there is a link 'a/core' already"),
            (Add("b/x", new_link("r1", "r2")), "there is no network 'b'"),
            (Add("x", new_link("r1", "r2")), "names no network"),
            (Add("a/x", new_link("r1", "r9")), "no router 'r9'"),
            (Add("a/x", new_link("r1", "h")), "no router 'h'"),
            (Add("a/x", new_link("r1", "r1")), "two ends are both 'r1'"),
            (Add("a/x", new_link("r1", "r2", guarantee="90mbit")), "has room for its guarantee"),
            (Add("a/x", new_link("r1", "r2", ipv4="10.0.0.0/30")), "overlaps a prefix in use"),
            (Add("a/x", new_link("r1", "r2", path=["rm1", "rm7"])), "no machine 'rm7'"),
            (Add("a/x", new_link("r1", "r2", jitter="5ms")), "is more than the delay"),
            (Remove("a/h-r2"), "attaches a host"),
            (Remove("a/x"), "no virtual link 'a/x'"),
            (AddNic("a/r9"), "there is no node 'a/r9'"),
        ],
    )
    def test_what_cannot_be(self, verb: Verb, words: str) -> None:
        with pytest.raises(InputError, match=words):
            carry_out(ring(), [verb])


# -- any verbs on any topology ---------------------------------------------------------------


@st.composite
def states(draw: st.DrawFn) -> State:
    """A topology whose underlay is not a tree, so that there are other paths."""
    machines = [f"m{n}" for n in range(1, draw(st.integers(2, 5)) + 1)]
    edges = draw(trees(machines, extra=5))
    wires = [
        {"name": f"w{number}", "endpoints": list(edge), "rate": draw(RATES), **draw(QUALITIES)}
        for number, edge in enumerate([*edges, edges[0]])
    ]
    vns = {name: draw(networks(machines)) for name in ("a", "b")[: draw(st.integers(1, 2))]}
    for network in vns.values():
        for link in network["links"]:
            link["on_failure"] = draw(st.sampled_from(["silent", "carrier", "remap"]))
        for router in network["routers"].values():
            if draw(st.booleans()):
                router["nics"] = 12
    data: Data = {"underlay": {"machines": machines, "links": wires}, "networks": vns}
    topo = from_data(data)
    return State(topo, embed(topo))


@st.composite
def verbs(draw: st.DrawFn, state: State) -> Verb:
    """A verb on what is there; it may still be refused."""
    topo = state.topology
    virtual = sorted(path for path, link in topo.links.items() if not link.access)
    physical = sorted(topo.underlay.links)
    either = st.sampled_from([*virtual, *physical])
    broken = st.sampled_from([*physical, *topo.underlay.machines])
    routers = sorted(n.path for n in topo.nodes.values() if n.kind == "router")
    makers = [
        lambda: Reshape(draw(either), Change.parse(**draw(QUALITIES))),
        lambda: Reshape(draw(st.sampled_from(physical)), Change.parse(rate=draw(RATES))),
        lambda: Fail(draw(broken)),
        lambda: Repair(draw(broken)),
        lambda: AddNic(draw(st.sampled_from(routers))),
        *_of_life(draw, topo, routers),
        lambda: Add(_fresh(topo.links), _between(draw(st.permutations(routers)), draw(QUALITIES))),
    ]
    if virtual:
        link = st.sampled_from(virtual)
        makers += [
            lambda: Reshape(draw(link), Change.parse(limit=draw(RATES))),
            lambda: Reshape(
                draw(link), Change.parse(queue=draw(st.sampled_from(["50ms", "none"])))
            ),
            lambda: Down(draw(link)),
            lambda: Up(draw(link)),
            lambda: Cut(draw(either)),
            lambda: Mend(draw(either)),
            lambda: Move(draw(link), avoid=tuple(draw(st.lists(broken, max_size=2)))),
            lambda: Remove(draw(link)),
        ]
    return draw(st.sampled_from(makers))()


def _of_life(draw: st.DrawFn, topo: Topology, routers: list[str]) -> list[Callable[[], Verb]]:
    router, machine = st.sampled_from(routers), st.sampled_from(topo.underlay.machines)
    node, nics = st.sampled_from(sorted(topo.nodes)), st.integers(0, 2)
    new = next(f"a/vr{n}" for n in range(100) if f"a/vr{n}" not in topo.nodes)
    capacity = st.sampled_from(["none", *CAPACITIES])
    return [
        lambda: draw(st.sampled_from([Pause, Resume, Stop, Start, Destroy]))(draw(node)),
        lambda: MoveRouter(draw(router), draw(st.none() | machine)),
        lambda: Create(new, read(RouterDoc, {"on": draw(machine), "nics": draw(nics)})),
        lambda: Copy(draw(router), new, draw(st.none() | machine)),
        lambda: Limit(draw(router), read(LimitsDoc, {"forwarding": draw(capacity)})),
    ]


def _fresh(links: dict[str, object]) -> str:
    return next(f"a/new{n}" for n in range(100) if f"a/new{n}" not in links)


def _between(routers: list[str], quality: Data) -> VirtualLinkDoc:
    own = [path.partition("/")[2] for path in routers if path.startswith("a/")]
    return new_link(own[0], own[-1], **quality)


def _back_again(data: st.DataObject, state: State, batch: list[Verb]) -> list[Verb]:
    """A link of the same name in place of one that the batch removes."""
    routers = sorted(n.path for n in state.topology.nodes.values() if n.kind == "router")
    return [
        Add(verb.link, _between(data.draw(st.permutations(routers)), data.draw(QUALITIES)))
        for verb in batch
        if isinstance(verb, Remove) and verb.link.startswith("a/") and data.draw(st.booleans())
    ]


def changes(data: st.DataObject, most: int = 6) -> list[tuple[State, State]]:
    """The states before and after some changes of one or two verbs each, refused ones left out."""
    state = data.draw(states())
    found = []
    for _ in range(data.draw(st.integers(1, most))):
        batch = data.draw(st.lists(verbs(state), min_size=1, max_size=2))
        batch += _back_again(data, state, batch)
        try:
            after = carry_out(state, batch)
        except InputError:
            continue
        found.append((state, after))
        state = after
    return found


def next_plan(plan: Plan, before: State, after: State) -> Plan:
    return plan.updated(
        build(after.topology, after.mapping, changed_fragments(before, after)).fragments
    )


def filled(plan: Plan) -> dict[tuple[str, str], object]:
    return {key: fragment for key, fragment in plan.fragments.items() if fragment}


@settings(max_examples=150)
@given(st.data())
def test_what_is_planned_again_is_enough(data: st.DataObject) -> None:
    steps = changes(data)
    plan = planned(steps[0][0]) if steps else Plan()
    for before, after in steps:
        plan = next_plan(plan, before, after)
        assert filled(plan) == filled(planned(after))


@settings(max_examples=60)
@given(st.data())
def test_a_kernel_carries_it_out_or_is_as_before(data: st.DataObject) -> None:
    steps = changes(data, 2)
    if not steps:
        return
    kernel = FakeKernel()
    plan = planned(steps[0][0])
    kernel.apply(diff(plan.fragments, {}))
    for before, after in steps:
        fresh = next_plan(plan, before, after)
        actions = diff(fresh.fragments, plan.fragments)
        for number in range(len(actions)):
            kernel.refuse_after(number)
            with pytest.raises(KernelRefused, match="as the test asked"):
                transact(kernel, actions, *draining(actions, before, after))
            assert kernel.objects == plan.objects()
        kernel.refuse_after(-1)
        transact(kernel, actions, *draining(actions, before, after))
        assert kernel.objects == fresh.objects()
        plan = fresh


@settings(max_examples=100)
@given(st.data())
def test_no_step_of_a_move_leaves_a_frame_without_a_way(data: st.DataObject) -> None:
    """Between any two actions, each tunnel leads to its other end, class by class."""
    for before, after in changes(data):
        old, new = planned(before), planned(after)
        actions = diff(new.fragments, old.fragments)
        objects = old.objects()
        for action in actions:
            objects = apply(objects, [action])
            for path in before.mapping.paths:
                if path in after.mapping.paths:
                    _check_ways(before, after, path, objects)


def _check_ways(before: State, after: State, path: str, objects: dict[Key, Object]) -> None:
    old = {way.number: way for way in before.mapping.paths[path].ways}
    for way in after.mapping.paths[path].ways:
        if way.links and way.number in old:
            outer_a, outer_b = tunnel_ends(way.number)
            first, last = way.machines[0], way.machines[-1]
            _follow(after, objects, first, last, outer_b)
            _follow(after, objects, last, first, outer_a)


def _follow(
    state: State, objects: dict[Key, Object], start: str, end: str, destination: object
) -> None:
    underlay = state.topology.underlay
    routes = {
        (o.namespace, o.destination.network_address): o
        for o in objects.values()
        if isinstance(o, Route)
    }
    neighbours = {
        wire_ends(number)[at]: machine
        for name, number in underlay.numbers.items()
        for at, machine in enumerate((underlay.links[name].a, underlay.links[name].b))
    }
    here, hops = start, 0
    while here != end:
        namespace = machine_namespace(here)
        route = routes[namespace, destination]
        classifier = objects[10, namespace, route.device, int(destination)]
        assert isinstance(classifier, Classifier)
        assert (8, namespace, route.device, classifier.minor) in objects
        here = neighbours[route.via]
        hops += 1
        assert hops <= len(underlay.machines), "a loop"


def test_a_longer_path_is_switched_from_its_end() -> None:
    """The pins of a path that turns round: the one nearest to the destination is first."""
    machines = [f"m{n}" for n in range(1, 6)]
    wires = [{"endpoints": [a, b], "rate": "1gbit"} for a, b in pairwise(machines)]
    wires += [
        {"endpoints": ["m1", "m4"], "rate": "1gbit"},
        {"endpoints": ["m2", "m5"], "rate": "1gbit"},
    ]
    data = {
        "underlay": {"machines": machines, "links": wires},
        "networks": {
            "a": {
                "routers": {"r1": {"on": "m1"}, "r2": {"on": "m5"}},
                "links": [{"name": "core", "endpoints": ["r1", "r2"], "path": machines}],
            }
        },
    }
    topo = from_data(data)
    before = State(topo, embed(topo))
    after = carry_out(before, [Move("a/core", ("m1", "m4", "m3", "m2", "m5"))])
    objects = planned(before).objects()
    for action in diff(planned(after).fragments, planned(before).fragments):
        objects = apply(objects, [action])
        _check_ways(before, after, "a/core", objects)


def test_only_queues_that_links_have_left_are_waited_for() -> None:
    def waited(*verbs: Verb) -> set[tuple[str, str]]:
        before = ring()
        after = carry_out(before, verbs)
        actions: list[Action] = diff(planned(after).fragments, planned(before).fragments)
        queues, _ = draining(actions, before, after)
        return {(queue.namespace, queue.device) for queue in queues}

    assert waited(Move("a/core", avoid=("rm1-rm2",))) == {
        ("rm:rm1", "to-rm2"),
        ("rm:rm2", "to-rm1"),
    }
    assert waited(Remove("a/core")) == set()


def test_what_waits_in_front_of_a_vr_is_waited_for_unless_the_vr_goes() -> None:
    before = carry_out(ring(), [Limit("a/r1", LimitsDoc(forwarding=Forwarding.parse("1mbit")))])

    def waited(verb: Verb) -> set[tuple[str, str]]:
        after = carry_out(before, [verb])
        actions = diff(planned(after).fragments, planned(before).fragments)
        return {(queue.namespace, queue.device) for queue in draining(actions, before, after)[0]}

    assert waited(Limit("a/r1", LimitsDoc(forwarding="none"))) == {(FABRIC, "a~r1")}
    assert waited(Limit("a/r1", LimitsDoc(forwarding=Forwarding.parse("2kpps")))) == set()
    assert waited(Destroy("a/r1")) == set()


def test_frames_on_a_long_way_are_waited_for() -> None:
    before = carry_out(ring(), [Reshape("rm1-rm2", Change.parse(delay="30ms", jitter="5ms"))])
    after = carry_out(before, [Move("a/core", avoid=("rm1-rm2",))])
    actions = diff(planned(after).fragments, planned(before).fragments)
    assert draining(actions, before, after)[1] == pytest.approx(0.035)


def test_what_fits_into_a_queue_follows_the_limit() -> None:
    """A queue of 50 ms is short at 5 Mbit/s: large packets are cut before they come to it."""
    before = state_of(RING.replace("100mbit", "1gbit") % ", queue: 50ms, limit: 900mbit")
    after = carry_out(before, [Reshape("a/core", Change.parse(guarantee="none", limit="5mbit"))])
    assert filled(next_plan(planned(before), before, after)) == filled(planned(after))
    assert ("link", "a/core") in changed_fragments(before, after)


def test_nothing_changes_that_is_the_same() -> None:
    state = ring()
    assert changed_fragments(state, state) == []
    assert changed_fragments(state, replace(state, notes=("x",))) == []
