"""The texts of Router OSs: golden files, BIRD's own opinion of them, and users' own texts.

To accept new texts after reading them, run this file with VNEMU_GOLDEN=write.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vnemu.errors import InputError
from vnemu.experiments.router_texts import with_own_texts
from vnemu.model.existence import added
from vnemu.model.overlay import Topology
from vnemu.model.resolve import resolve
from vnemu.routing.configuration import Configuration, check_texts, configuration
from vnemu.schema.load import load_experiment, load_topology
from vnemu.schema.topology import VirtualLinkDoc

GOLDEN = Path(__file__).parents[1] / "golden" / "routers"
NAMES = sorted(file.stem for file in GOLDEN.glob("*.yaml"))


def _topology(name: str) -> Topology:
    return resolve(load_topology(GOLDEN / f"{name}.yaml"))


def _texts(topology: Topology) -> str:
    found = ""
    for node in topology.nodes.values():
        own = configuration(topology, node)
        if own is None:
            found += f"##### {node.path}: nothing\n"
        else:
            for name, text in own.files.items():
                found += f"##### {node.path}: {own.daemon}: {name}\n{text}"
    return found


def _of(tmp_path: Path, text: str) -> Topology:
    file = tmp_path / "t.yaml"
    file.write_text(f"underlay: {{machines: [m]}}\nnetworks:\n{text}", encoding="utf-8")
    return resolve(load_topology(file))


def _configured(topology: Topology, path: str) -> Configuration:
    found = configuration(topology, topology.nodes[path])
    assert found is not None
    return found


@pytest.mark.parametrize("name", NAMES)
def test_texts(name: str) -> None:
    found = _texts(_topology(name))
    expected = GOLDEN / f"{name}.txt"
    if os.environ.get("VNEMU_GOLDEN") == "write":
        expected.write_text(found, encoding="utf-8")
    assert found == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_bird_takes_them(name: str, tmp_path: Path) -> None:
    bird = shutil.which("bird", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if bird is None:
        pytest.skip("bird is not installed")
    topology = _topology(name)
    for node in topology.nodes.values():
        own = configuration(topology, node)
        if own is not None and own.daemon == "bird":
            file = tmp_path / "bird.conf"
            file.write_text(own.files["bird.conf"], encoding="utf-8")
            done = subprocess.run(
                [bird, "-p", "-c", file], capture_output=True, text=True, timeout=20, check=False
            )
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), node.path


@pytest.mark.parametrize(
    ("routing", "programs"),
    [
        ("ospf", ("bird",)),
        ("{protocol: ospf, daemon: frr}", ("zebra", "ospfd", "ospf6d")),
        ("{protocol: ospf, daemon: frr, bfd: true}", ("zebra", "bfdd", "ospfd", "ospf6d")),
        ("{protocol: rip, daemon: frr}", ("zebra", "ripd", "ripngd")),
        ("isis", ("zebra", "isisd")),
        ("{protocol: [ospf, bgp], daemon: frr}", ("zebra", "ospfd", "ospf6d", "bgpd")),
    ],
)
def test_programs(routing: str, programs: tuple[str, ...], tmp_path: Path) -> None:
    topology = _of(tmp_path, f"  a: {{routers: [r1], routing: {routing}}}\n")
    assert _configured(topology, "a/r1").programs == programs


def test_only_the_versions_of_the_network(tmp_path: Path) -> None:
    topology = _of(
        tmp_path, "  a: {ipv4: false, routers: [r1], routing: {protocol: ospf, daemon: frr}}\n"
    )
    assert _configured(topology, "a/r1").programs == ("zebra", "ospf6d")


def test_hosts_and_static_routers_run_nothing(tmp_path: Path) -> None:
    topology = _of(tmp_path, "  a: {routers: [r1], hosts: {h: {at: r1}}, routing: static}\n")
    assert [configuration(topology, node) for node in topology.nodes.values()] == [None, None]


def test_a_change_at_run_time_does_not_reach_the_router() -> None:
    topology = _topology("areas")
    before = _texts(topology)
    doc = VirtualLinkDoc.model_validate({"endpoints": ["r1", "r3"]})
    assert _texts(added(topology, "a/new", doc)) == before


def test_peers_of_other_protocols_are_announced_not_spoken_to() -> None:
    topology = _topology("areas")
    text = _configured(topology, "a/r3").files["bird.conf"]
    assert 'interface "eth1" { stub yes;' in text
    assert text.count('interface "eth0" {\n            type ptp;') == 2


def test_within_an_as_all_meet_over_loopbacks_where_an_igp_runs() -> None:
    topology = _topology("internet")
    inner = _configured(topology, "a/r1").files["bird.conf"]
    assert "neighbor 10.0.128.2 as 65001;\n    multihop;" in inner
    direct = _configured(topology, "a/r3").files["bird.conf"]
    assert "neighbor 10.0.0.10 as 65002;\n    direct;" in direct
    assert "rr client;" in direct


def test_an_as_announces_what_is_inside_of_it() -> None:
    text = _configured(_topology("internet"), "a/r1").files["bird.conf"]
    own = next(line for line in text.splitlines() if line.startswith("define OWN_IPV4"))
    assert "10.0.128.6/32+" in own, "r6 speaks no BGP, but is behind r1"
    assert "10.0.128.3" not in own


def test_own_file(tmp_path: Path) -> None:
    (tmp_path / "mine.conf").write_text("router id 1.1.1.1;\n", encoding="utf-8")
    topology = _of(
        tmp_path, "  a: {routers: {r1: {routing: {protocol: ospf, config: mine.conf}}}}\n"
    )
    assert _configured(topology, "a/r1").files == {"bird.conf": "router id 1.1.1.1;\n"}


def test_own_integrated_file(tmp_path: Path) -> None:
    (tmp_path / "frr.conf").write_text("router ospf6\n exit\nip route 1.0.0.0/8 lo\n", "utf-8")
    topology = _of(tmp_path, "  a: {routers: {r1: {routing: {daemon: frr, config: frr.conf}}}}\n")
    found = _configured(topology, "a/r1")
    assert list(found.files) == ["frr.conf"]
    assert found.programs == ("zebra", "staticd", "ospf6d")


TEMPLATE = """\
router id {{ node.id }};
{% for link in links %}
# {{ link.nic }} to {{ link.peer }} ({{ link.peer_kind }}) {{ link.addresses[0] }}
{% endfor %}
# hello {{ timers.ospf.hello }} of {{ network.name }}
"""


def test_own_template(tmp_path: Path) -> None:
    (tmp_path / "t.j2").write_text(TEMPLATE, encoding="utf-8")
    topology = _of(
        tmp_path,
        "  a: {routers: {r1: {routing: {template: t.j2}}, r2: {}},\n"
        "      links: [{endpoints: [r1, r2]}], routing: {protocol: ospf, hello: 2s}}\n",
    )
    check_texts(topology)
    assert _configured(topology, "a/r1").files["bird.conf"] == (
        "router id 10.0.128.1;\n# eth0 to r2 (router) 10.0.0.1/30\n# hello 2.0 of a\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n{{ nodes.id }}", "t.j2:2: cannot be rendered: 'nodes' is undefined"),
        ("{% for x in %}", "t.j2:1: cannot be rendered"),
        ("{{ node.__class__.__mro__ }}", "t.j2:1: cannot be rendered: access to attribute"),
        ("\n\n{{ 1 / 0 }}", "t.j2:3: cannot be rendered: division by zero"),
    ],
)
def test_wrong_templates(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.j2").write_text(text, encoding="utf-8")
    topology = _of(tmp_path, "  a: {routers: {r1: {routing: {protocol: ospf, template: t.j2}}}}\n")
    with pytest.raises(InputError) as caught:
        check_texts(topology)
    assert message in str(caught.value)


def test_missing_file_is_told_at_its_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"t\.yaml:4: .*none\.conf: no such file"):
        _of(tmp_path, "  a:\n    routers: {r1: {routing: {protocol: ospf, config: none.conf}}}\n")


def test_own_texts_are_kept_in_the_run_folder(tmp_path: Path) -> None:
    (tmp_path / "mine.j2").write_text("router id {{ node.id }};\n", encoding="utf-8")
    file = tmp_path / "e.yaml"
    file.write_text(
        "topology:\n  underlay: {machines: [m]}\n  networks:\n"
        "    a: {routers: {r1: {routing: {protocol: ospf, template: mine.j2}}}}\nduration: 1s\n",
        encoding="utf-8",
    )
    own, files = with_own_texts(load_experiment(file))
    assert files == {"routers/a.r1.j2": b"router id {{ node.id }};\n"}
    routing = own.topology.doc.networks["a"].routers["r1"].routing
    assert routing is not None
    assert (routing.protocol, routing.template) == ("ospf", "routers/a.r1.j2")
