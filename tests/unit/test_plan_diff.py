"""From any plan to any other: nothing is made before, or kept longer than, what it stands on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.random_topologies import plan, topologies
from vnemu.drivers.fake import FakeKernel
from vnemu.errors import KernelRefused
from vnemu.plan.diff import Action, Plan, apply, diff
from vnemu.plan.objects import (
    Address,
    Htb,
    HtbClass,
    Key,
    Namespace,
    Object,
    Patch,
    Port,
    Queue,
    Route,
    Veth,
)
from vnemu.plan.places import Place, needs, provides

plans = topologies().map(plan)


def kernel_with(present: Plan) -> FakeKernel:
    kernel = FakeKernel()
    kernel.apply(diff(present.fragments, {}))
    return kernel


def fragments(*objects: Object) -> dict[tuple[str, str], dict[tuple[object, ...], Object]]:
    return {("test", ""): {item.key: item for item in objects}}


@given(plans, plans)
def test_the_actions_lead_from_one_plan_to_the_other(a: Plan, b: Plan) -> None:
    assert apply(a.objects(), diff(b.fragments, a.fragments)) == b.objects()


@given(plans)
def test_nothing_is_to_be_done_for_the_same(a: Plan) -> None:
    assert diff(a.fragments, a.fragments) == []


@settings(max_examples=60)
@given(plans, plans)
def test_a_kernel_carries_out_every_change(a: Plan, b: Plan) -> None:
    kernel = kernel_with(a)
    kernel.apply(diff(b.fragments, a.fragments))
    assert kernel.objects == b.objects()


@given(plans)
def test_all_can_be_taken_down(a: Plan) -> None:
    kernel = kernel_with(a)
    kernel.apply(diff({}, a.fragments))
    assert kernel.objects == {}


@given(plans, plans, st.data())
def test_a_refused_change_is_taken_back(a: Plan, b: Plan, data: st.DataObject) -> None:
    actions = diff(b.fragments, a.fragments)
    if not actions:
        return
    kernel = kernel_with(a)
    kernel.refuse_after(data.draw(st.integers(0, len(actions) - 1)))
    with pytest.raises(KernelRefused, match="as the test asked"):
        kernel.apply(actions)
    kernel.revert(actions)
    assert kernel.objects == a.objects()


@given(plans, plans)
def test_a_whole_change_is_taken_back(a: Plan, b: Plan) -> None:
    actions = diff(b.fragments, a.fragments)
    kernel = kernel_with(a)
    kernel.apply(actions)
    kernel.revert(actions)
    assert kernel.objects == a.objects()


@settings(max_examples=60)
@given(plans, plans)
def test_no_way_of_both_plans_is_ever_without_its_target(a: Plan, b: Plan) -> None:
    """Make before break: a switch happens when the new is there and the old still is."""
    wanted, have = b.objects(), a.objects()
    actions = diff(b.fragments, a.fragments)
    replaced = {p for p, key in held(have).items() if p in held(wanted) and remade(key, actions)}
    ways = [
        key
        for key, item in have.items()
        if isinstance(item, Patch | Route)
        and key in wanted
        and replaced.isdisjoint((*needs(item), *needs(wanted[key])))
    ]
    now = dict(have)
    for action in actions:
        now = apply(now, [action])
        places = held(now)
        for key in ways:
            assert key in now
            assert places.keys() >= set(needs(now[key]))


def held(objects: Mapping[Key, Object]) -> dict[Place, Key]:
    return {place: key for key, item in objects.items() for place in provides(item)}


def remade(key: Key, actions: list[Action]) -> bool:
    return any(a.new is None and a.target.key == key for a in actions)


@given(plans, plans)
def test_what_is_new_comes_before_what_changes_and_what_is_gone_last(a: Plan, b: Plan) -> None:
    """After what is in the way has been removed."""
    verbs = " ".join(action.verb for action in diff(b.fragments, a.fragments))
    assert re.fullmatch("(remove ?)*(create ?)*(change ?)*(remove ?)*", verbs)


@given(plans)
def test_objects_of_a_plan_have_keys_of_their_own(a: Plan) -> None:
    total = sum(len(fragment) for fragment in a.fragments.values())
    assert len(a.objects()) == total


NAMESPACE = Namespace("rm:1", "machine")
PAIR = Veth(Port("rm:1", "x", b"\2\0\0\0\0\1"), Port("rm:1", "y", b"\2\0\0\0\0\2"), 1500)
SHAPER = Htb("rm:1", "x", 10**6, 0, leaf=True)
QUEUE = Queue("rm:1", "x", 1, 30_280)
CLASS = HtbClass("rm:1", "x", 16, 1000, 2000)
ADDRESS = Address("rm:1", "y", IPv4Interface("10.0.0.1/30"))
PATCH = Patch("rm:1", "x", "y")
OLD = replace(PAIR, a=replace(PAIR.a, device="u"), b=replace(PAIR.b, device="v"))
PINS = ("10.1.0.0/16", "10.2.0.0/16")


def steps(wanted: list[Object], have: list[Object]) -> list[str]:
    return [str(action) for action in diff(fragments(*wanted), fragments(*have))]


class TestWhatIsReplaced:
    def test_a_rate_changes_in_place(self) -> None:
        faster = replace(SHAPER, rate=10**9)
        have = [NAMESPACE, PAIR, SHAPER, QUEUE]
        assert diff(fragments(NAMESPACE, PAIR, faster, QUEUE), fragments(*have)) == [
            Action(("test", ""), SHAPER, faster)
        ]

    def test_what_stands_on_it_is_made_again(self) -> None:
        have: list[Object] = [NAMESPACE, PAIR, SHAPER, QUEUE, ADDRESS, PATCH]
        larger = replace(PAIR, mtu=9000)
        on_it = sorted(have[2:], key=lambda item: item.RANK)
        assert steps([NAMESPACE, larger, *have[2:]], have) == [
            *(f"remove {item}" for item in reversed(on_it)),
            f"remove {PAIR}",
            f"create {larger}",
            *(f"create {item}" for item in on_it),
        ]

    def test_what_stands_elsewhere_is_left_alone(self) -> None:
        have: list[Object] = [NAMESPACE, PAIR, SHAPER, QUEUE, ADDRESS]
        other = replace(SHAPER, overhead=50)
        assert not any(
            "address" in s for s in steps([NAMESPACE, PAIR, other, QUEUE, ADDRESS], have)
        )

    def test_the_new_is_there_before_the_old_goes(self) -> None:
        other = replace(ADDRESS, interface=IPv4Interface("10.0.0.5/30"))
        assert steps([NAMESPACE, PAIR, other], [NAMESPACE, PAIR, ADDRESS]) == [
            f"create {other}",
            f"remove {ADDRESS}",
        ]

    def test_a_name_is_free_before_it_is_taken(self) -> None:
        turned = Veth(PAIR.b, PAIR.a, 1500)
        assert steps([NAMESPACE, turned], [NAMESPACE, PAIR]) == [
            f"remove {PAIR}",
            f"create {turned}",
        ]

    def test_an_object_that_moves_between_fragments_stays(self) -> None:
        have = {("one", ""): {PAIR.key: PAIR}}
        assert diff({("other", ""): {PAIR.key: PAIR}}, have) == []


class TestSwitches:
    """Routes and patches change when all else has, in the order of the plan."""

    NEAR, FAR = (Route("rm:1", IPv4Network(n), IPv4Address("10.0.0.2"), "y") for n in PINS)

    def test_they_come_last_and_as_planned(self) -> None:
        have = [NAMESPACE, PAIR, OLD, PATCH, self.FAR, self.NEAR, CLASS]
        turned = [replace(pin, via=IPv4Address("10.0.0.3")) for pin in (self.NEAR, self.FAR)]
        patch, faster = replace(PATCH, target="z"), replace(CLASS, ceil=3000)
        other = replace(PAIR, a=replace(PAIR.a, device="z"), b=replace(PAIR.b, device="w"))
        assert steps([NAMESPACE, PAIR, other, patch, *turned, faster], have) == [
            f"create {other}",
            f"change {faster}",
            f"change {patch}",
            f"change {turned[0]}",
            f"change {turned[1]}",
            f"remove {OLD}",
        ]


class TestAction:
    def test_verbs(self) -> None:
        changed = replace(CLASS, ceil=3000)
        reason = ("test", "")
        assert Action(reason, None, CLASS).verb == "create"
        assert Action(reason, CLASS, None).verb == "remove"
        assert Action(reason, CLASS, changed).verb == "change"
        assert Action(reason, CLASS, changed).undone() == Action(reason, changed, CLASS)
        assert Action(reason, CLASS, changed).target == changed


def test_a_plan_drops_fragments_that_became_empty() -> None:
    before = Plan(fragments(CLASS))
    assert before.updated({("test", ""): {}}).fragments == {}
    assert before.updated({}).objects() == {CLASS.key: CLASS}
