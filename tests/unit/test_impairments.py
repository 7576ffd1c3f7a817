"""What follows from delay, jitter, loss and the kind of tunnel, before any kernel is asked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given

from tests.random_topologies import from_data, plan, topologies
from vnemu.embedding.strategies import embed
from vnemu.experiments.prepare import prepare
from vnemu.experiments.resolved import resolved_texts
from vnemu.model.overlay import Topology
from vnemu.model.quality import GilbertElliott, Impairment, Loss
from vnemu.plan.explain import as_data, explain
from vnemu.plan.impair import netem_room
from vnemu.plan.objects import Htb, Netem, Object, Patch, Tunnel, Veth
from vnemu.plan.sizes import gso_bytes
from vnemu.schema.load import load_experiment
from vnemu.units import Duration, Share

MS = 10**6


def data(tunnel: str = "auto", wire: dict[str, str] | None = None, **quality: str) -> Any:
    return {
        "underlay": {
            "machines": ["m1", "m2"],
            "links": [{"endpoints": ["m1", "m2"], "rate": "1gbit", **(wire or {})}],
            "tunnel": tunnel,
        },
        "networks": {
            "a": {
                "routers": {"r1": {"on": "m1"}, "r2": {"on": "m2"}},
                "links": [{"name": "core", "endpoints": ["r1", "r2"], **quality}],
            }
        },
    }


def objects(given_data: Any) -> list[Object]:
    return list(plan(from_data(given_data)).objects().values())


def tunnels(given_data: Any) -> list[Tunnel]:
    return [item for item in objects(given_data) if isinstance(item, Tunnel)]


class TestRoom:
    def test_small_frames_at_the_full_rate_for_the_longest_delay(self) -> None:
        impairment = Impairment(Duration(40 * MS), Duration(10 * MS))
        assert netem_room(512_000_000, impairment) == 1000 + 50_000

    def test_it_stays_in_the_kernels_range(self) -> None:
        assert netem_room(10**12, Impairment(Duration(60 * 1000 * MS))) == 2**31 - 1


class TestTunnels:
    @pytest.mark.parametrize(
        ("declared", "kind", "overhead"),
        [("auto", "vxlan", 50), ("vxlan", "vxlan", 50), ("gre", "gretap", 42)],
    )
    def test_kind_and_overhead(self, declared: str, kind: str, overhead: int) -> None:
        assert {t.kind for t in tunnels(data(declared))} == {kind}
        assert {o.overhead for o in objects(data(declared)) if isinstance(o, Htb)} == {overhead}

    def test_large_packets_pass_whole_where_nothing_is_lost(self) -> None:
        quality = {"delay": "5ms", "jitter": "1ms"}
        for found in tunnels(data(wire=quality, **quality)):
            assert (found.gso, found.joins) == (gso_bytes(10**9), True)

    def test_frames_are_single_for_a_lossy_link(self) -> None:
        for found in tunnels(data(loss="1%")):
            assert (found.gso, found.joins) == (1514, False)
        for found in tunnels(data(wire={"loss": "1%"})):
            assert (found.gso, found.joins) == (1514, True)


@given(topologies())
def test_netem_is_never_on_a_device_that_shapes(topo: Topology) -> None:
    found = plan(topo).objects().values()
    shaped = {(o.namespace, o.device) for o in found if isinstance(o, Htb)}
    impaired = {(o.namespace, o.device) for o in found if isinstance(o, Netem)}
    assert not shaped & impaired


@given(topologies())
def test_frames_get_from_vif_to_vif_and_meet_netem_once(topo: Topology) -> None:
    """Follow the patches of every VL on one machine, both ways."""
    mapping = embed(topo)
    found = plan(topo).objects().values()
    patches = {o.source: o.target for o in found if isinstance(o, Patch)}
    netems = {o.device for o in found if isinstance(o, Netem)}
    ends: dict[str, str] = {}
    for o in found:
        if isinstance(o, Veth) and o.a.namespace == o.b.namespace:
            ends |= {o.a.device: o.b.device, o.b.device: o.a.device}
    for link in topo.links.values():
        if mapping.paths[link.path].links:
            continue
        vifs = topo.vifs[link.a, link.a_nic], topo.vifs[link.b, link.b_nic]
        for start, goal in (vifs, vifs[::-1]):
            sent = [patches[start]]
            while sent[-1] in ends:
                sent.append(patches[ends[sent[-1]]])
            assert sent[-1] == goal
            impaired = bool(link.quality(start == vifs[0]).impairment)
            assert sum(device in netems for device in sent) == impaired


def test_an_impairment_in_words() -> None:
    whole = Impairment(Duration(10 * MS), Duration(MS), Loss(Share(1000)))
    assert str(whole) == "delay 10ms, jitter 1ms, loss 0.1%"
    assert str(replace(whole, jitter=Duration(0))) == "delay 10ms, loss 0.1%"
    assert not Impairment()
    bursts = Loss(bursts=GilbertElliott(Share(10_000), Share(200_000)))
    more = Impairment(
        Duration(10 * MS),
        Duration(MS),
        bursts,
        "normal",
        Share(250_000),
        duplicate=Share(100),
        corrupt=Share(200),
        reorder=Share(300),
    )
    assert str(more) == (
        "delay 10ms, jitter 1ms (normal), delay correlation 25%, "
        "loss in bursts (p 1%, r 20%, bad 100%, good 0%), "
        "duplicate 0.01%, corrupt 0.02%, reorder 0.03%"
    )


class TestShown:
    def test_the_plan_shows_tunnels_and_quality(self) -> None:
        topo = from_data(data(wire={"delay": "2ms"}, delay="10ms", jitter="1ms", loss="0.1%"))
        text = explain(topo, embed(topo))
        assert "\n  shown as vxlan; tunnel: auto becomes gre on a kernel that has it\n" in text
        assert "\n  m1-m2            delay 2ms, physical link\n" in text
        assert "\n  a/core           delay 10ms, jitter 1ms, loss 0.1%\n" in text

    def test_a_plan_without_them_is_silent(self) -> None:
        topo = from_data({"underlay": {"machines": ["m1"]}, "networks": {"a": {"routers": ["r"]}}})
        text = explain(topo, embed(topo))
        assert "Tunnels" not in text
        assert "Delay" not in text

    def test_the_plan_as_data(self) -> None:
        topo = from_data(data("gre", {"delay": "2ms"}, loss="0.1%"))
        shown: Any = as_data(topo, embed(topo))
        none = {"delay": None, "jitter": None, "loss": None, "duplicate": None}
        assert shown["tunnel"] == "gre"
        assert shown["physical_links"]["m1-m2"].items() >= {**none, "delay": "2ms"}.items()
        assert shown["links"]["a/core"].items() >= {**none, "loss": "0.1%"}.items()

    def test_the_resolved_files_repeat_them(self, tmp_path: Path) -> None:
        quality = {"delay": "10ms", "jitter": "1ms", "loss": "0.1%"}
        topology = tmp_path / "t.yaml"
        topology.write_text(json.dumps(data(wire=quality, **quality)))
        experiment = tmp_path / "e.yaml"
        experiment.write_text("{topology: t.yaml, duration: 1s}")
        loaded = load_experiment(experiment)
        prepared = prepare(loaded)
        underlay = replace(prepared.topology.underlay, tunnel="gre")
        settled = replace(prepared, topology=replace(prepared.topology, underlay=underlay))
        text, _ = resolved_texts(loaded, settled)
        again = yaml.safe_load(text)
        assert again["underlay"]["tunnel"] == "gre"
        assert again["underlay"]["links"][0].items() >= quality.items()
        assert again["networks"]["a"]["links"][0].items() >= quality.items()
