"""Labs on the real kernel: what the paper's model promises, seen from inside the VRs."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from vnemu.drivers.kernel import Kernel
from vnemu.drivers.netlink import NetlinkSocket, Refusal, Request
from vnemu.errors import InputError, InternalError, KernelRefused, MissingCapability
from vnemu.lab import Lab
from vnemu.model.change import Change
from vnemu.plan.facts import differences, facts

PAPER = Path(__file__).parents[2] / "topologies" / "wowkivs2009.yaml"

MULTI_HOP = """
underlay:
  machines: [rm1, rm2, rm3, rm4]
  links:
    - {endpoints: [rm1, rm2], rate: 100mbit}
    - {endpoints: [rm2, rm3], rate: 100mbit}
    - {endpoints: [rm3, rm4], rate: 100mbit}
networks:
  a:
    routers: {r1: {on: rm1}, r2: {on: rm4}}
    hosts: {c1: {at: r1}, c2: {at: r2}}
    links: [{name: core, endpoints: [r1, r2]}]
"""

ONE_MACHINE = """
underlay: {machines: [rm1]}
networks:
  a:
    routers: [r1, r2]
    links: [{name: core, endpoints: [r1, r2], limit: 10mbit}]
"""

PARALLEL = """
underlay:
  machines: [rm1, rm2]
  links:
    - {name: first, endpoints: [rm1, rm2], rate: 10mbit}
    - {name: second, endpoints: [rm2, rm1], rate: 10mbit}
networks:
  a:
    routers: {r1: {on: rm1}, r2: {on: rm2}}
    links:
      - {name: one, endpoints: [r1, r2], guarantee: 6mbit}
      - {name: two, endpoints: [r1, r2], guarantee: 6mbit}
"""


@contextlib.contextmanager
def lab_of(text: str, folder: Path) -> Iterator[Lab]:
    file = folder / "t.yaml"
    file.write_text(text)
    with Lab.from_file(file) as lab:
        yield lab


def address(lab: Lab, path: str, version: int = 4, nic: int = 0) -> str:
    found = lab.topology.nodes[path].nics[nic].address(version)
    assert found is not None
    return str(found.ip)


def ping(lab: Lab, start: str, target: str, *options: str) -> bool:
    # The kernel may take up to a second to tell IPv6 that a new link has carrier.
    first = ("-c1", "-i0.5", "-w2")
    return lab[start].run("ping", *first, *options, target, timeout=8).returncode == 0


def wrong(lab: Lab) -> list[str]:
    objects = list(lab.plan.objects().values())
    return differences(facts(objects), lab.kernel.observe(facts(objects)))


class TestPaper:
    def test_all_is_as_planned(self) -> None:
        with Lab.from_file(PAPER) as lab:
            assert wrong(lab) == []

    @pytest.mark.parametrize("version", [4, 6])
    @pytest.mark.parametrize("network", ["a", "b"])
    def test_the_clients_reach_each_other(self, network: str, version: int) -> None:
        with Lab.from_file(PAPER) as lab:
            for start, end in (("c1", "c2"), ("c2", "c1"), ("c1", "r2"), ("r1", "c2")):
                assert ping(lab, f"{network}/{start}", address(lab, f"{network}/{end}", version))

    def test_both_networks_have_the_same_addresses(self) -> None:
        with Lab.from_file(PAPER) as lab:
            assert address(lab, "a/c2") == address(lab, "b/c2")

    def test_frames_of_one_network_do_not_reach_the_other(self) -> None:
        """Both have the same addresses, so who answered is seen by what arrived."""
        with Lab.from_file(PAPER) as lab, contextlib.ExitStack() as stack:
            ears = {
                path: stack.enter_context(lab[path].inside(lambda: _listen(9)))
                for path in ("a/c2", "b/c2")
            }
            voice = stack.enter_context(
                lab["a/c1"].inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            )
            voice.sendto(b"from a", (address(lab, "a/c2"), 9))
            assert ears["a/c2"].recv(100) == b"from a"
            ears["b/c2"].settimeout(0.3)
            with pytest.raises(TimeoutError):
                ears["b/c2"].recv(100)

    def test_a_router_sees_only_its_nics(self) -> None:
        with Lab.from_file(PAPER) as lab:
            names = lab["a/r1"].inside(lambda: {name for _, name in socket.if_nameindex()})
            assert {
                n for n in names if not n.startswith(("sit", "gre", "erspan", "ip", "tun"))
            } == {
                "lo",
                "eth0",
                "eth1",
            }


def _listen(port: int) -> socket.socket:
    ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind(("0.0.0.0", port))
    ear.settimeout(2)
    return ear


class TestLinks:
    @pytest.mark.parametrize("version", [4, 6])
    def test_a_link_over_four_machines_is_one_hop(self, tmp_path: Path, version: int) -> None:
        with lab_of(MULTI_HOP, tmp_path) as lab:
            assert lab.mapping.paths["a/core"].machines == ("rm1", "rm2", "rm3", "rm4")
            assert ping(lab, "a/r1", address(lab, "a/r2", version), "-t", "1")
            client = address(lab, "a/c2", version)
            assert ping(lab, "a/c1", client, "-t", "3")
            assert not ping(lab, "a/c1", client, "-t", "2")

    @pytest.mark.parametrize("text", [MULTI_HOP, ONE_MACHINE], ids=["tunnel", "patch"])
    @pytest.mark.parametrize(("version", "headers"), [(4, 28), (6, 48)])
    def test_1500_bytes_pass_whole_and_no_more(
        self, tmp_path: Path, text: str, version: int, headers: int
    ) -> None:
        with lab_of(text, tmp_path) as lab:
            target = address(lab, "a/r2", version)
            whole = ("-M", "do", "-s", str(1500 - headers))
            assert ping(lab, "a/r1", target, *whole)
            more = ("-M", "do", "-s", str(1501 - headers))
            assert not ping(lab, "a/r1", target, *more)

    def test_jumbo_packets_are_cut_by_the_router_only(self, tmp_path: Path) -> None:
        with lab_of(MULTI_HOP, tmp_path) as lab:
            assert ping(lab, "a/r1", address(lab, "a/r2"), "-s", "4000", "-M", "dont")

    def test_guarantees_spread_over_parallel_physical_links(self, tmp_path: Path) -> None:
        with lab_of(PARALLEL, tmp_path) as lab:
            used = {lab.mapping.paths[f"a/{name}"].links for name in ("one", "two")}
            assert used == {("first",), ("second",)}
            for nic in (0, 1):
                assert ping(lab, "a/r1", address(lab, "a/r2", nic=nic))
            assert wrong(lab) == []

    def test_a_path_goes_where_the_file_says(self, tmp_path: Path) -> None:
        text = """
underlay:
  machines: [m1, m2, m3]
  links:
    - {endpoints: [m1, m2], rate: 10mbit}
    - {endpoints: [m2, m3], rate: 10mbit}
    - {endpoints: [m3, m1], rate: 10mbit}
networks:
  a:
    routers: {r1: {on: m1}, r2: {on: m2}}
    links: [{name: long, endpoints: [r1, r2], path: [m1, m3, m2]}]
"""
        with lab_of(text, tmp_path) as lab:
            for _ in range(3):
                assert ping(lab, "a/r1", address(lab, "a/r2"))
            assert lab.mapping.paths["a/long"].links == ("m3-m1", "m2-m3")


Parms = dict[str, int]


def classes(kernel: Kernel, namespace: str, device: str) -> dict[int, tuple[int, int]]:
    """Rate and ceiling in bit/s by minor number, read with pyroute2's decoder."""
    held = kernel.namespaces[namespace]
    header = tcmsg()
    header["index"] = held.indices[device]
    found = {}
    for body in held.socket.dump(42, _tc_header(held.indices[device])):
        message = tcmsg(_message(body))
        message.decode()
        parms = message.get_attr("TCA_OPTIONS").get_attr("TCA_HTB_PARMS")
        found[message["handle"] & 0xFFFF] = (parms["rate"] * 8, parms["ceil"] * 8)
    return found


def _tc_header(index: int) -> bytes:
    import struct

    return struct.pack("=BxHiIII", 0, 0, index, 0, 0, 0)


def _message(body: bytes) -> bytes:
    import struct

    return struct.pack("=IHHII", 16 + len(body), 40, 0, 0, 0) + body


M = 10**6


class TestReshape:
    def test_exactly_the_classes_of_the_shared_link_change(self) -> None:
        with Lab.from_file(PAPER) as lab:
            ports = [("rm:rm1", "to-rm2"), ("rm:rm2", "to-rm1")]
            for port in ports:
                assert classes(lab.kernel, *port) == {
                    1: (32 * M, 32 * M),
                    0x11: (16 * M, 32 * M),
                    0x14: (16 * M, 32 * M),
                }
            lab.reshape("a/core", guarantee="30mbit")
            for port in ports:
                assert classes(lab.kernel, *port) == {
                    1: (32 * M, 32 * M),
                    0x11: (30 * M, 32 * M),
                    0x14: (2 * M, 32 * M),
                }
            lab.reshape("a/core", guarantee="none", limit="4mbit")
            for port in ports:
                assert classes(lab.kernel, *port) == {
                    1: (32 * M, 32 * M),
                    0x11: (4 * M, 4 * M),
                    0x14: (28 * M, 32 * M),
                }
            assert wrong(lab) == []

    def test_it_lasts_and_is_taken_away_again(self) -> None:
        with Lab.from_file(PAPER) as lab:
            before = lab.plan.objects()
            lab.reshape("a/core", guarantee="30mbit")
            assert lab.plan.objects() != before
            assert str(lab.topology.links["a/core"].forward.guarantee) == "30mbit"
            lab.reshape("a/core", guarantee=None)
            assert lab.plan.objects() == before
            assert wrong(lab) == []

    @pytest.mark.parametrize(
        ("link", "change", "words"),
        [
            ("a/core", {"guarantee": "33mbit"}, "physical link rm1-rm2 has 32mbit"),
            ("a/core", {"guarantee": "5mbit", "limit": "4mbit"}, "is more than the limit"),
            ("a/kore", {"limit": "4mbit"}, "there is no virtual link 'a/kore'"),
            ("a/core", {"limit": "4"}, "4mbit"),
            ("a/core", {"limit": "0mbit"}, "out of range"),
        ],
    )
    def test_a_refusal_changes_nothing(self, link: str, change: dict[str, str], words: str) -> None:
        with Lab.from_file(PAPER) as lab:
            before, topology = lab.plan.objects(), lab.topology
            with pytest.raises(InputError, match=words):
                lab.reshape(link, **change)
            assert lab.plan.objects() == before
            assert lab.topology == topology
            assert wrong(lab) == []

    def test_of_several_all_or_none_happens(self) -> None:
        with Lab.from_file(PAPER) as lab:
            before = lab.plan.objects()
            wish = Change.parse(guarantee="20mbit")
            with pytest.raises(InputError, match=r"20mbit \(a/core\) \+ 20mbit \(b/core\)"):
                lab.reshape_all({"a/core": wish, "b/core": wish})
            assert lab.plan.objects() == before

    @pytest.mark.parametrize("limit", ["5mbit", "20mbit", "1gbit", "none"])
    def test_a_link_on_one_machine_keeps_working(self, tmp_path: Path, limit: str) -> None:
        with lab_of(ONE_MACHINE, tmp_path) as lab:
            lab.reshape("a/core", limit=limit)
            assert ping(lab, "a/r1", address(lab, "a/r2"))
            assert wrong(lab) == []
            lab.reshape("a/core", limit="10mbit")
            assert ping(lab, "a/r1", address(lab, "a/r2"))
            assert wrong(lab) == []

    def test_a_change_that_the_kernel_refuses_is_taken_back(self) -> None:
        with Lab.from_file(PAPER) as lab:
            before = lab.plan.objects()
            with _failing(lab.kernel, "rm:rm2"), pytest.raises(KernelRefused):
                lab.reshape("a/core", guarantee="30mbit")
            assert lab.plan.objects() == before
            assert wrong(lab) == []


@contextlib.contextmanager
def _failing(kernel: Kernel, namespace: str) -> Iterator[None]:
    """Once, the namespace's socket says that its last request was refused."""
    sock = kernel.namespaces[namespace].socket
    send = sock.send
    failures = iter([True])

    def broken(requests: list[Request]) -> list[Refusal]:
        refusals = send(requests)
        return (
            [Refusal(len(requests) - 1, 12, "as the test asked")]
            if next(failures, False)
            else refusals
        )

    sock.send = broken  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        sock.send = send  # type: ignore[method-assign]


class TestSetUp:
    """That nothing is left is checked around every test (conftest.py)."""

    @pytest.mark.parametrize("part", [0.0, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 1.0])
    def test_a_batch_that_fails_leaves_nothing(
        self, part: float, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        send, numbers = NetlinkSocket.send, itertools.count()

        def counting(self: NetlinkSocket, requests: list[Request]) -> list[Refusal]:
            next(numbers)
            return send(self, requests)

        def failing(self: NetlinkSocket, requests: list[Request]) -> list[Refusal]:
            refusals = send(self, requests)
            failed = next(numbers) == wanted
            return [Refusal(0, 12, "as the test asked")] if failed else refusals

        lab = Lab.from_file(PAPER)
        monkeypatch.setattr("vnemu.lab.require", lambda topology: None)
        monkeypatch.setattr("vnemu.lab.settle", lambda topology: (topology, ""))
        monkeypatch.setattr(NetlinkSocket, "send", counting)
        with lab:
            total = next(numbers)
        wanted, numbers = round(part * (total - 1)), itertools.count()
        monkeypatch.setattr(NetlinkSocket, "send", failing)
        with pytest.raises(KernelRefused, match="as the test asked"), lab:
            pass
        with pytest.raises(InternalError, match="not up"):
            _ = lab.kernel

    def test_what_the_kernel_does_not_hold_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Kernel, "observe", lambda self, objects: {})
        with (
            pytest.raises(InternalError, match="does not hold what was planned"),
            Lab.from_file(PAPER),
        ):
            pass

    def test_again_after_an_end(self) -> None:
        lab = Lab.from_file(PAPER)
        for _ in range(2):
            with lab:
                assert ping(lab, "a/c1", address(lab, "a/c2"))

    def test_an_error_in_the_body_passes_through(self) -> None:
        with pytest.raises(ZeroDivisionError), Lab.from_file(PAPER):
            raise ZeroDivisionError

    def test_names_of_63_characters(self, tmp_path: Path) -> None:
        long = {
            k: (k + "-very-long-name" * 5)[:63] for k in ("m1", "m2", "n", "r1", "r2", "h", "l")
        }
        text = json.dumps(
            {
                "underlay": {
                    "machines": [long["m1"], long["m2"]],
                    "links": [{"endpoints": [long["m1"], long["m2"]], "rate": "10mbit"}],
                },
                "networks": {
                    long["n"]: {
                        "routers": {long["r1"]: {"on": long["m1"]}, long["r2"]: {"on": long["m2"]}},
                        "hosts": {long["h"]: {"at": long["r1"]}},
                        "links": [{"name": long["l"], "endpoints": [long["r1"], long["r2"]]}],
                    }
                },
            }
        )
        with lab_of(text, tmp_path) as lab:
            start, end = f"{long['n']}/{long['h']}", f"{long['n']}/{long['r2']}"
            assert ping(lab, start, address(lab, end))
            assert lab[end].run("hostname").stdout == long["r2"] + "\n"

    def test_60_routers_in_a_row(self, tmp_path: Path) -> None:
        names = [f"r{n}" for n in range(60)]
        links = [{"endpoints": [a, b]} for a, b in itertools.pairwise(names)]
        placed = {name: {"on": f"m{n % 4}"} for n, name in enumerate(names)}
        rows = [f"m{n}" for n in range(4)]
        wires = [{"endpoints": [rows[n], rows[n - 1]], "rate": "1gbit"} for n in range(4)]
        text = json.dumps(
            {
                "underlay": {"machines": rows, "links": wires},
                "networks": {"a": {"routers": placed, "links": links}},
            }
        )
        with lab_of(text, tmp_path) as lab:
            assert ping(lab, "a/r0", str(lab.topology.nodes["a/r59"].loopbacks[0].ip), "-w5")
            assert ping(lab, "a/r59", str(lab.topology.nodes["a/r0"].loopbacks[1].ip), "-w5")
            assert wrong(lab) == []

    def test_delay_needs_netem_and_says_so(
        self, lacking: Callable[[str], None], tmp_path: Path
    ) -> None:
        lacking("netem")
        text = MULTI_HOP.replace(
            "[rm2, rm3], rate: 100mbit", "[rm2, rm3], rate: 100mbit, delay: 10ms"
        )
        with (
            pytest.raises(MissingCapability, match=r"t.yaml:6: .* has delay 10ms.*no netem"),
            lab_of(text, tmp_path),
        ):
            pass


class TestProcesses:
    def test_a_host_name_and_process_ids_of_its_own(self) -> None:
        with Lab.from_file(PAPER) as lab:
            assert lab["a/r1"].run("hostname").stdout == "r1\n"
            listed = lab["a/r1"].run("ls", "/proc").stdout.split()
            assert sorted(int(p) for p in listed if p.isdigit())[0] == 1
            assert len([p for p in listed if p.isdigit()]) <= 3

    def test_a_run_folder_of_its_own(self) -> None:
        with Lab.from_file(PAPER) as lab:
            lab["a/r1"].run("touch", "/run/here")
            assert "here" in lab["a/r1"].run("ls", "/run").stdout
            assert "here" not in lab["b/r1"].run("ls", "/run").stdout
            assert not Path("/run/here").exists()

    def test_its_own_network(self) -> None:
        with Lab.from_file(PAPER) as lab:
            shown = lab["a/c1"].run("cat", "/proc/net/route").stdout
            assert "eth0" in shown

    def test_output_and_status(self) -> None:
        with Lab.from_file(PAPER) as lab:
            done = lab["a/c1"].run("sh", "-c", "echo out; echo err >&2; exit 3")
            assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)

    def test_a_timeout_ends_it(self) -> None:
        with Lab.from_file(PAPER) as lab:
            start = time.monotonic()
            with pytest.raises(subprocess.TimeoutExpired):
                lab["a/c1"].run("sh", "-c", "sleep 71 & sleep 72", timeout=0.3)
            assert time.monotonic() - start < 3
            listed = lab["a/c1"].run("cat", "/proc/net/dev", "/proc/self/status")
            assert listed.returncode == 0

    def test_processes_end_with_the_lab(self) -> None:
        with Lab.from_file(PAPER) as lab:
            process = lab["a/c1"].popen("sleep", "73")
            daemon = lab["b/c1"].run("sh", "-c", "setsid sleep 74 >/dev/null 2>&1 </dev/null &")
            assert daemon.returncode == 0
        assert process.wait(3) != 0

    def test_a_program_that_is_not_there(self) -> None:
        with Lab.from_file(PAPER) as lab:
            done = lab["a/c1"].run("no-such-program")
            # 126 when a folder of PATH is closed to this user.
            assert done.returncode in {126, 127}
            assert "no-such-program" in done.stderr

    def test_a_node_that_is_not_there(self) -> None:
        with (
            Lab.from_file(PAPER) as lab,
            pytest.raises(InputError, match="there is no node 'a/r9'; there are: a/r1, a/r2"),
        ):
            _ = lab["a/r9"]
