"""Changes of links as data: what is not named stays, and what makes no sense is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.random_topologies import topologies, topology
from vnemu.errors import InputError
from vnemu.model.change import Change, changed, find, reshaped
from vnemu.model.overlay import Topology, VirtualLink
from vnemu.model.quality import GilbertElliott, Impairment, Loss, Quality, Queue
from vnemu.model.underlay import PhysicalLink
from vnemu.units import Duration, Rate, Share, Size

M = 10**6
TEXT = """
underlay: {machines: [m1, m2], links: [{endpoints: [m1, m2], rate: 32mbit}]}
networks:
  a:
    routers: {r1: {on: m1}, r2: {on: m2}}
    links: [{name: core, endpoints: [r1, r2], limit: 8mbit, delay: 10ms, loss: 1%}]
"""


def core(topo: Topology) -> VirtualLink:
    return topo.links["a/core"]


def after(*changes: Change) -> VirtualLink:
    topo = topology(TEXT)
    for change in changes:
        topo = reshaped(topo, {"a/core": change})
    return core(topo)


class TestParse:
    @pytest.mark.parametrize(
        ("name", "text", "value"),
        [
            ("limit", "5mbit", Rate(5 * M)),
            ("limit", Rate(5 * M), Rate(5 * M)),
            ("limit", "none", None),
            ("guarantee", None, None),
            ("rate", "1gbit", Rate(1000 * M)),
            ("delay", "5ms", Duration(5 * M)),
            ("delay", "none", Duration(0)),
            ("distribution", "normal", "normal"),
            ("distribution", "none", "uniform"),
            ("loss", "1%", Loss(Share(10_000))),
            ("loss", {"random": "1%", "correlation": "25%"}, Loss(Share(10_000), Share(250_000))),
            (
                "loss",
                {"p": "1%", "r": "2%"},
                Loss(bursts=GilbertElliott(Share(10**4), Share(20_000))),
            ),
            ("loss", "none", Loss()),
            ("reorder", "25%", Share(250_000)),
            ("queue", "100kb", Queue(size=Size(100_000))),
            ("queue", "50ms", Queue(time=Duration(50 * M))),
            ("queue", {"discipline": "codel", "ecn": True}, Queue("codel", ecn=True)),
            ("queue", None, Queue()),
        ],
    )
    def test_a_property(self, name: str, text: object, value: object) -> None:
        assert Change.parse(**{name: text}).settings == ((None, name, value),)

    def test_all_that_is_wrong_at_once(self) -> None:
        with pytest.raises(InputError) as caught:
            Change.parse(limt="5mbit", delay="5", loss={"p": "1%"})
        assert [str(problem) for problem in caught.value.problems] == [
            "delay: '5' has no unit: write it like 5s",
            "loss: loss in bursts needs both p: and r:, each more than 0%",
            "unknown key 'limt'; did you mean 'limit'?",
        ]

    def test_in_words(self) -> None:
        change = Change.parse(limit="5mbit", loss=None, queue="50ms")
        assert str(change) == "limit 5mbit queue 50ms loss none"
        assert str(Change.parse("r1>r2", delay="5ms").over(change)) == (
            "limit 5mbit queue 50ms loss none, r1>r2 delay 5ms"
        )


class TestReshaped:
    def test_what_is_not_named_stays(self) -> None:
        link = after(Change.parse(limit="5mbit"))
        assert link.forward == link.backward
        assert link.forward == Quality(
            Rate(5 * M), None, Impairment(Duration(10 * M), loss=Loss(Share(10_000)))
        )

    def test_one_direction(self) -> None:
        link = after(Change.parse("r2>r1", limit=None, delay="20ms"))
        assert link.forward == core(topology(TEXT)).forward
        assert link.backward.limit is None
        assert link.backward.impairment.delay == Duration(20 * M)
        assert link.backward.impairment.loss == Loss(Share(10_000))

    def test_a_physical_link(self) -> None:
        change = Change.parse("m1>m2", rate="10mbit", delay="2ms")
        wire = reshaped(topology(TEXT), {"m1-m2": change}).underlay.links["m1-m2"]
        assert (wire.forward.rate, wire.backward.rate) == (Rate(10 * M), Rate(32 * M))
        assert wire.sent_by("m1").impairment.delay == Duration(2 * M)

    def test_several_in_one(self) -> None:
        changes = {"a/core": Change.parse(limit="5mbit"), "m1-m2": Change.parse(rate="10mbit")}
        topo = reshaped(topology(TEXT), changes)
        assert core(topo).forward.limit == Rate(5 * M)
        assert topo.networks["a"].links["core"] is core(topo)
        assert topo.underlay.links["m1-m2"].backward.rate == Rate(10 * M)

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            (
                "a/cor",
                {"limit": "1mbit"},
                "there is no virtual link 'a/cor'; did you mean 'a/core'?",
            ),
            (
                "core",
                {"limit": "1mbit"},
                "there is no physical link 'core'; did you mean 'a/core'?",
            ),
            ("m1m2", {"rate": "1mbit"}, "there is no physical link 'm1m2'; did you mean 'm1-m2'?"),
            ("a/core", {"rate": "1mbit"}, "a/core is a virtual link: it has no rate"),
            ("m1-m2", {"queue": "50ms"}, "m1-m2 is a physical link: it has no queue"),
            (
                "a/core",
                {"guarantee": "9mbit"},
                "a/core: the guarantee 9mbit is more than the limit 8mbit",
            ),
            ("a/core", {"delay": None, "reorder": "1%"}, "a/core: reorder 1% has no delay"),
            ("a/core", {"jitter": "11ms"}, "a/core: the jitter 11ms is more than the delay 10ms"),
            (
                "a/core",
                {"direction": "r1>r3", "limit": "1mbit"},
                "a/core has no direction 'r1>r3'; did you mean 'r1>r2'?",
            ),
        ],
    )
    def test_refused(self, name: str, change: Any, message: str) -> None:
        with pytest.raises(InputError) as caught:
            reshaped(topology(TEXT), {name: Change.parse(**change)})
        assert str(caught.value).startswith(message)
        assert len(caught.value.problems) == 1


CHANGES = st.lists(
    st.builds(
        lambda direction, texts: Change.parse(direction, **texts),
        st.sampled_from([None, "forward", "backward"]),
        st.fixed_dictionaries(
            {},
            optional={
                "delay": st.sampled_from(["none", "30ms", "40ms"]),
                "loss": st.sampled_from(["none", "1%"]),
                "duplicate": st.sampled_from(["none", "2%"]),
            },
        ),
    ),
    max_size=4,
)


def _of(link: VirtualLink | PhysicalLink, change: Change) -> Change:
    ways = {"forward": link.direction(True), "backward": link.direction(False)}
    return Change(
        tuple(s._replace(direction=s.direction and ways[s.direction]) for s in change.settings)
    )


@given(topologies(), CHANGES, st.data())
def test_changes_merge_into_one(topo: Topology, changes: list[Change], data: Any) -> None:
    names = [*topo.links, *topo.underlay.links]
    if not names:
        return
    link = find(topo, data.draw(st.sampled_from(names)))
    one, merged = link, Change()
    try:
        for change in (_of(link, change) for change in changes):
            one = changed(one, change)
            merged = change.over(merged)
    except InputError:
        return
    assert changed(link, merged) == one
