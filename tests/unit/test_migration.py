"""Descriptions of existing networks, and the topology files that they become.

To accept new messages or files after reading them, run this file with VNEMU_GOLDEN=write.
"""

from __future__ import annotations

import json
import os
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from vnemu.cli.files import read_any
from vnemu.cli.main import app
from vnemu.embedding.strategies import embed
from vnemu.errors import InputError
from vnemu.model.resolve import resolve
from vnemu.routing import existing
from vnemu.routing.migration import Target, left_out, topology_data
from vnemu.schema.load import load_topology
from vnemu.schema.physical import load_physical

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "migration"
CAMPUS = ROOT / "topologies" / "campus" / "network.yaml"
MADE = ROOT / "topologies" / "campus.yaml"
TWO: dict[str, Any] = {
    "machines": ["rm1", "rm2"],
    "links": [{"endpoints": ["rm1", "rm2"], "rate": "1gbit"}],
}
R1 = "interface ens3\n ip address 10.0.0.1/30\n"
R2 = "interface ens4\n ip address 10.0.0.2/30\n"


def invoke(*argv: str) -> str:
    done = CliRunner().invoke(app, list(argv))
    assert done.exit_code == 0, done
    return done.stdout


def same(file: Path, text: str) -> None:
    if os.environ.get("VNEMU_GOLDEN") == "write":
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(f.name for f in (GOLDEN / "bad").glob("*.yaml")))
def test_messages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(GOLDEN / "bad")
    with pytest.raises(InputError) as caught:
        topology_data(load_physical(Path(name)), Target(Path()))
    same(Path(name).with_suffix(".txt"), f"{caught.value}\n")


def test_the_topology_that_it_becomes_on_two_machines() -> None:
    target = Target(ROOT, TWO, {"core1": "rm1", "edge": "rm2"})
    data = topology_data(load_physical(CAMPUS), target)
    same(GOLDEN / "on-two.yaml", yaml.safe_dump(data, sort_keys=False, default_flow_style=None))


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    argv = ["import", "topologies/campus/network.yaml"]
    assert invoke(*argv).startswith("# made by: vnemu import")
    assert invoke(*argv, "--out", str(tmp_path / "x.yaml")) == f"{tmp_path / 'x.yaml'}\n"
    made = yaml.safe_load((tmp_path / "x.yaml").read_text())
    assert made["underlay"] == yaml.safe_load(MADE.read_text())["underlay"]
    onto = invoke(*argv, "--underlay", "topologies/energy.yaml", "--on", "edge=rm3")
    assert "'on': rm3" in onto


def test_the_topology_of_the_project_is_what_the_command_makes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(MADE.parent)
    made = invoke("import", "campus/network.yaml")
    lines = MADE.read_text(encoding="utf-8").splitlines()
    assert made.splitlines()[1:] == lines[1:]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--on", "edge=rm1"], "--underlay"),
        (["--underlay", "topologies/energy.yaml", "--on", "edge"], "like --on r1=rm1"),
    ],
)
def test_options_that_are_wrong(
    argv: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(InputError, match=message):
        app(["import", str(CAMPUS), *argv], standalone_mode=False)


def test_other_commands_say_what_to_do_with_a_description() -> None:
    with pytest.raises(InputError, match=r"vnemu import .*network.yaml"):
        read_any(CAMPUS, [])


@pytest.mark.parametrize("underlay", [None, TWO], ids=["as-it-is", "on-two"])
def test_it_is_a_sound_topology(underlay: dict[str, Any] | None, tmp_path: Path) -> None:
    file = tmp_path / "t.json"
    file.write_text(json.dumps(topology_data(load_physical(CAMPUS), Target(tmp_path, underlay))))
    topology = resolve(load_topology(file))
    embed(topology)
    lab = topology.nodes["campus/lab"]
    assert [nic.name for nic in lab.nics] == ["enp1s0", "enp2s0", "lan0"]
    assert lab.os.own is not None
    assert lab.os.own.text == (CAMPUS.parent / "lab.bird.conf").read_text()


def network(tmp_path: Path, links: str = "", r1: str = R1) -> Path:
    (tmp_path / "r1.conf").write_text(r1)
    (tmp_path / "r2.conf").write_text(R2)
    routers = "routers: {r1: {config: r1.conf}, r2: {config: r2.conf}}\n"
    link = "{endpoints: [r1:ens3, r2:ens4], rate: 10mbit" + links + "}"
    file = tmp_path / "network.yaml"
    file.write_text(f"{routers}links: [{link}]\n")
    return file


def test_quality_goes_with_a_link(tmp_path: Path) -> None:
    links = ", delay: 5ms, directions: {'r2>r1': {rate: 1mbit, loss: 1%}}, name: dsl"
    loaded = load_physical(network(tmp_path, links))
    there = topology_data(loaded, Target(tmp_path))["underlay"]["links"][0]
    assert there["rate"] == "10mbit"
    assert there["directions"] == {"r2>r1": {"rate": "1mbit", "loss": "1%"}}
    onto = topology_data(loaded, Target(tmp_path, TWO))["networks"]["network"]["links"][0]
    assert (onto["name"], onto["limit"], onto["delay"]) == ("dsl", "10mbit", "5ms")
    assert onto["directions"] == {"r2>r1": {"limit": "1mbit", "loss": "1%"}}


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    text = R1 + "interface mgmt0\n ip address 172.16.0.1/24\n"
    told = left_out(load_physical(network(tmp_path, r1=text)))
    assert len(told) == 1
    assert "mgmt0" in told[0]


def test_a_router_that_is_not_there_cannot_be_placed(tmp_path: Path) -> None:
    loaded = load_physical(network(tmp_path))
    with pytest.raises(InputError, match="no router 'r9'"):
        topology_data(loaded, Target(tmp_path, TWO, {"r9": "rm1"}))


def test_the_autonomous_system_has_to_be_known(tmp_path: Path) -> None:
    bird = "protocol bgp x { local as elsewhere; }"
    file = network(tmp_path, r1=bird)
    text = file.read_text().replace("r1.conf", "r1.conf, interfaces: {ens3: [10.0.0.1/30]}")
    file.write_text(text)
    with pytest.raises(InputError, match=r"network.yaml:1: r1 speaks BGP.* as: 65001"):
        topology_data(load_physical(file), Target(tmp_path))
    file.write_text(text.replace("interfaces", "as: 65009, interfaces", 1))
    data = topology_data(load_physical(file), Target(tmp_path))
    assert data["networks"]["network"]["routers"]["r1"]["routing"]["as"] == 65009


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "daemon", "protocols"),
        [
            ("protocol device { }\nprotocol ospf v3 o { }\n", "bird", ["ospf"]),
            ("template bgp x { }\nprotocol bgp a from x { }\n", "bird", ["bgp"]),
            ("# protocol bgp { }\nprotocol static { }\n", "bird", ["none"]),
            ("/* protocol rip { }\n*/ protocol babel { }", "bird", ["babel"]),
            ("router ospf6\n!\nrouter bgp 65001\n", "frr", ["ospf", "bgp"]),
            ("! router rip\nip route 10.0.0.0/8 10.1.1.1\n", "frr", ["none"]),
            ("router isis x\nrouter ripng\n", "frr", ["rip", "isis"]),
        ],
    )
    def test_daemon_and_protocols(self, text: str, daemon: str, protocols: list[str]) -> None:
        found = existing.daemon_of_text(text)
        assert found == daemon
        assert existing.protocols_of_text(found, text) == protocols

    @pytest.mark.parametrize(
        ("text", "asn"),
        [
            ("protocol bgp { local as 65001; }", 65001),
            ("protocol bgp {\n  local 10.0.0.1 as 65002;\n}", 65002),
            ("define MYAS = 65003;\nprotocol bgp {\n  local as MYAS;\n}", 65003),
            ("protocol bgp {\n  local as ELSEWHERE;\n}", None),
        ],
    )
    def test_the_autonomous_system_of_bird(self, text: str, asn: int | None) -> None:
        assert existing.as_of_text("bird", text) == asn

    def test_the_autonomous_system_of_frr(self) -> None:
        assert existing.as_of_text("frr", "!\nrouter bgp 65001 vrf x\n") == 65001

    @pytest.mark.parametrize(
        "text",
        [
            "ip router-id 10.0.0.1",
            "router bgp 1\n bgp router-id 10.0.0.1",
            " ospf router-id 10.0.0.1",
        ],
    )
    def test_the_id_of_frr(self, text: str) -> None:
        assert str(existing.id_of_text("frr", text)) == "10.0.0.1"

    def test_addresses_of_frr(self) -> None:
        block = "interface a\n ip address 10.0.0.1/30\n ipv6 address 2001:db8::1/64\n"
        block += " ip address dhcp\n"
        text = f"{block}router rip\n ip address 1.1.1.1/8\n"
        wanted = [ip_interface("10.0.0.1/30"), ip_interface("2001:db8::1/64")]
        assert existing.frr_addresses(text) == {"a": wanted}
