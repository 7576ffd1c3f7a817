"""The verbs on the real kernel: what VRs see of them, and what they do not."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from tests.kernel import wires
from tests.kernel.carried import carried
from tests.kernel.features import need
from tests.kernel.reaching import reaches, silent
from tests.kernel.test_lab import address, lab_of, ping, wrong
from vnemu.drivers.netlink import NetlinkSocket, Refusal, Request
from vnemu.errors import InputError, KernelRefused
from vnemu.events import Note
from vnemu.lab import Lab
from vnemu.model.change import Change
from vnemu.schema.topology import VirtualLinkDoc
from vnemu.schema.violations import read
from vnemu.verbs.existence import Add, Remove
from vnemu.verbs.faults import Cut
from vnemu.verbs.paths import Move
from vnemu.verbs.quality import Reshape

RING = """
underlay:
  machines: [rm1, rm2, rm3, rm4]
  links:
    - {endpoints: [rm1, rm2], rate: 1gbit}
    - {endpoints: [rm2, rm3], rate: 1gbit}
    - {endpoints: [rm3, rm4], rate: 1gbit}
    - {endpoints: [rm4, rm1], rate: 100mbit}
networks:
  a:
    routers: {r1: {on: rm1, nics: 3}, r2: {on: rm3}, r3: {on: rm1}}
    hosts: {c1: {at: r1}, c2: {at: r2}}
    links:
      - {name: core, endpoints: [r1, r2], path: [rm1, rm2, rm3]%s}
      - {name: side, endpoints: [r1, r3]}
"""


@pytest.fixture
def lab(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Lab]:
    with lab_of(RING % getattr(request, "param", ""), tmp_path) as found:
        yield found


def carrier(lab: Lab, node: str, nic: str) -> bool:
    shown = json.loads(lab[node].run("ip", "-json", "link", "show", nic).stdout)
    return "LOWER_UP" in shown[0]["flags"]


def settled(lab: Lab, node: str, nic: str, expected: bool) -> bool:
    """Whether a NIC comes to have, or not to have, carrier: the kernel takes up to a second."""
    deadline = time.monotonic() + 10
    while carrier(lab, node, nic) is not expected and time.monotonic() < deadline:
        time.sleep(0.02)
    return carrier(lab, node, nic) is expected


@contextlib.contextmanager
def link_events(lab: Lab, node: str, groups: int = 1) -> Iterator[list[bytes]]:
    """What the kernel tells a program in a VR about its NICs, while the context lasts.

    Parameters:
        groups: what it tells of; as it is, RTMGRP_LINK.
    """
    seen: list[bytes] = []
    wires.settled(lab.kernel)  # else the kernel tells later that the NICs run
    with lab[node].inside(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)) as ear:
        ear.bind((0, groups))
        ear.settimeout(0.2)
        yield seen
        with contextlib.suppress(TimeoutError):
            while True:
                seen.append(ear.recv(1 << 16))


def interfaces(lab: Lab, node: str) -> dict[str, str]:
    """The NICs of a node with their MAC addresses, as its Router OS sees them."""
    shown = json.loads(lab[node].run("ip", "-json", "link").stdout)
    return {nic["ifname"]: nic["address"] for nic in shown if nic["ifname"].startswith("eth")}


class TestFaults:
    def test_carrier_goes_and_comes(self, lab: Lab) -> None:
        before = lab["a/r1"].run("cat", "/proc/net/route").stdout
        nics = (("a/r1", "eth0"), ("a/r2", "eth0"))
        assert reaches(lab)
        lab.down("a/core")
        assert all(settled(lab, *nic, expected=False) for nic in nics)
        assert silent(lab)
        assert settled(lab, "a/r1", "eth1", expected=True)
        lab.up("a/core")
        assert all(settled(lab, *nic, expected=True) for nic in nics)
        assert reaches(lab)
        assert lab["a/r1"].run("cat", "/proc/net/route").stdout == before
        assert wrong(lab) == []

    @pytest.mark.parametrize("link", ["a/core", "rm1-rm2"])
    def test_a_cut_is_silent(self, lab: Lab, link: str) -> None:
        assert reaches(lab)
        with link_events(lab, "a/r1") as seen:
            lab.cut(link)
            assert silent(lab)
            assert carrier(lab, "a/r1", "eth0")
            lab.mend(link)
            assert reaches(lab)
        assert seen == []
        assert wrong(lab) == []

    @pytest.mark.parametrize(("direction", "there", "back"), [("r1>r2", 0, 1), ("r2>r1", 1, 0)])
    def test_a_cut_in_one_direction(
        self, lab: Lab, direction: str, there: bool, back: bool
    ) -> None:
        assert reaches(lab)  # and so all have each other's MAC addresses
        lab.cut("a/core", direction)
        assert arrives(lab, "a/c1", "a/c2") is bool(there)
        assert arrives(lab, "a/c2", "a/c1") is bool(back)
        lab.mend("a/core", direction)
        assert arrives(lab, "a/c1", "a/c2")
        assert arrives(lab, "a/c2", "a/c1")

    @pytest.mark.parametrize("name", ["rm2-rm3", "rm2", "rm1", "rm3"])
    def test_failure_and_repair(self, lab: Lab, name: str) -> None:
        assert reaches(lab)
        lab.fail(name)
        assert silent(lab)
        assert carrier(lab, "a/r1", "eth0")
        assert ping(lab, "a/r1", address(lab, "a/r3")) is (name != "rm1")
        lab.repair(name)
        assert reaches(lab)
        assert wrong(lab) == []

    @pytest.mark.parametrize("lab", [", on_failure: carrier"], indirect=True)
    @pytest.mark.parametrize("name", ["rm2-rm3", "rm2"])
    def test_a_failure_that_takes_the_carrier_away(self, lab: Lab, name: str) -> None:
        lab.fail(name)
        assert settled(lab, "a/r1", "eth0", expected=False)
        assert settled(lab, "a/r2", "eth0", expected=False)
        lab.repair(name)
        assert settled(lab, "a/r1", "eth0", expected=True)
        assert reaches(lab)

    @pytest.mark.parametrize("lab", [", on_failure: remap"], indirect=True)
    @pytest.mark.parametrize("name", ["rm2-rm3", "rm2"])
    def test_a_failure_that_is_left_at_once(self, lab: Lab, name: str) -> None:
        heard: list[object] = []
        lab._sink = heard.append
        with carried(lab, "a/c1", "a/c2", tcp_mbit=10) as traffic:
            time.sleep(0.2)
            assert lab.fail(name) == ["a/core"]
            time.sleep(0.3)
        assert len(traffic.lost) < 100
        assert traffic.arrived[-1] == traffic.sent - 1
        notes = [event.text for event in heard if isinstance(event, Note)]
        assert notes[0].startswith(f"{name} failed: a/core goes over rm1-rm4-rm3 now, within ")
        assert lab.repair(name) == []
        assert reaches(lab)


def arrives(lab: Lab, start: str, end: str) -> bool:
    """Whether a datagram from `start` comes to `end`."""
    with (
        lab[end].inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as ear,
        lab[start].inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as mouth,
    ):
        ear.bind(("0.0.0.0", 7000))
        ear.settimeout(0.5)
        mouth.sendto(b"there", (address(lab, end), 7000))
        try:
            return ear.recv(100) == b"there"
        except TimeoutError:
            return False


class TestMove:
    THERE, BACK = ("rm1", "rm4", "rm3"), ("rm1", "rm2", "rm3")

    def test_not_one_packet_is_lost(self, lab: Lab) -> None:
        lab.reshape("rm4-rm1", rate="200mbit")
        with link_events(lab, "a/r1") as seen, carried(lab, "a/c1", "a/c2", 100) as traffic:
            for _ in range(10):
                for path in (self.THERE, self.BACK):
                    time.sleep(0.1)
                    lab.move("a/core", path=path)
            time.sleep(0.3)
        assert traffic.sent > 500
        assert traffic.lost == []
        assert traffic.resent == 0
        assert seen == []
        assert lab.mapping.paths["a/core"].machines == self.BACK
        assert wrong(lab) == []

    def test_a_full_queue_is_emptied_before_its_path_goes(self, lab: Lab) -> None:
        """At 1 Mbit/s, 25 frames wait for 0.3 s; all of them come."""
        lab.reshape("rm1-rm2", rate="1mbit")
        lab.reshape("a/core", queue="100kb")
        count = 25
        with (
            lab["a/c2"].inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as ear,
            lab["a/c1"].inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as mouth,
        ):
            ear.bind(("0.0.0.0", 7000))
            ear.settimeout(1)
            reaches(lab)
            for number in range(count):
                mouth.sendto(bytes([number]) * 1400, (address(lab, "a/c2"), 7000))
            begun = time.monotonic()
            lab.move("a/core", path=self.THERE)
            taken = time.monotonic() - begun
            came = {ear.recv(2000)[0] for _ in range(count)}
        assert came == set(range(count))
        assert 0.1 < taken < 1

    def test_rates_go_with_it(self, lab: Lab) -> None:
        lab.reshape("a/core", guarantee="60mbit")
        lab.move("a/core", avoid=["rm1-rm2"])
        with pytest.raises(InputError, match="rm4-rm1 has 100mbit, but is to guarantee 110mbit"):
            lab.reshape("a/core", guarantee="110mbit")
        assert wrong(lab) == []

    def test_to_two_paths_and_back(self, lab: Lab) -> None:
        need("bpf")
        with carried(lab, "a/c1", "a/c2", 20) as traffic:
            time.sleep(0.2)
            lab.move("a/core", paths=[self.THERE, self.BACK])
            assert [w.machines for w in lab.mapping.paths["a/core"].ways] == [
                self.THERE,
                self.BACK,
            ]
            assert wrong(lab) == []
            time.sleep(0.2)
            lab.move("a/core", path=self.BACK)
            time.sleep(0.2)
        assert traffic.lost == []
        assert lab.mapping.paths["a/core"].beside == ()
        assert wrong(lab) == []

    def test_with_other_changes_in_one_batch(self, lab: Lab) -> None:
        lab.do(
            Reshape("rm4-rm1", Change.parse(rate="10mbit")),
            Move("a/core", self.THERE),
            Cut("a/side"),
        )
        assert reaches(lab)
        assert not ping(lab, "a/r1", address(lab, "a/r3"))
        assert wrong(lab) == []


class TestExistence:
    def test_a_link_appears_and_goes(self, lab: Lab) -> None:
        before = interfaces(lab, "a/r2"), interfaces(lab, "a/r3")
        plan = lab.plan.objects()
        with carried(lab, "a/c1", "a/c2", tcp_mbit=20) as traffic:
            lab.add("a/extra", ["r2", "r3"], limit="5mbit")
            assert ping(lab, "a/r2", nic_address(lab, "a/r3", "a/extra"))
            new = interfaces(lab, "a/r2")
            lab.remove("a/extra")
        assert traffic.lost == []
        assert new.keys() - before[0].keys() == {"eth2"}
        assert new.items() >= before[0].items()
        assert (interfaces(lab, "a/r2"), interfaces(lab, "a/r3")) == before
        assert lab.plan.objects() == plan
        assert wrong(lab) == []

    def test_a_nic_without_a_link_has_no_carrier(self, lab: Lab) -> None:
        assert list(interfaces(lab, "a/r1")) == ["eth0", "eth1", "eth2"]
        assert lab.add_nic("a/r3") == "eth1"
        assert not carrier(lab, "a/r3", "eth1")
        with link_events(lab, "a/r3") as seen:
            lab.add("a/extra", ["r2", "r3"])
            assert settled(lab, "a/r3", "eth1", expected=True)
        assert seen
        assert ping(lab, "a/r2", nic_address(lab, "a/r3", "a/extra"))
        assert sorted(interfaces(lab, "a/r3")) == ["eth0", "eth1"]
        assert wrong(lab) == []

    def test_what_the_router_did_to_its_nic_does_not_matter(self, lab: Lab) -> None:
        nic = lab.topology.links["a/core"].a_nic
        lab["a/r1"].run("sh", "-c", f"ip address flush dev {nic}; ip link set {nic} down")
        lab.remove("a/core")
        assert nic not in interfaces(lab, "a/r1")
        assert wrong(lab) == []

    def test_one_goes_and_another_of_its_name_comes_in_one_batch(self, lab: Lab) -> None:
        again = read(VirtualLinkDoc, {"endpoints": ["r1", "r2"], "ipv4": "10.0.0.0/30"})
        lab.do(Remove("a/core"), Add("a/core", again))
        assert wrong(lab) == []
        assert carrier(lab, "a/r1", lab.topology.links["a/core"].a_nic)
        assert ping(lab, "a/r1", str(lab.topology.nodes["a/r2"].nics[-1].addresses[0].ip))

    def test_a_link_comes_back_under_its_name(self, lab: Lab) -> None:
        assert reaches(lab)
        for _ in range(3):
            lab.remove("a/core")
            assert silent(lab)
            lab.add("a/core", ["r1", "r2"])
            assert ping(lab, "a/r1", nic_address(lab, "a/r2", "a/core"))
        assert wrong(lab) == []


def nic_address(lab: Lab, node: str, link: str) -> str:
    nic = next(nic for nic in lab.topology.nodes[node].nics if nic.link == link)
    found = nic.address(4)
    assert found is not None
    return str(found.ip)


class TestSpread:
    PATHS: ClassVar = [["rm1", "rm2", "rm3"], ["rm1", "rm4", "rm3"]]

    def octets(self, lab: Lab) -> list[int]:
        """What rm1 has sent on either path."""
        shown = lab.kernel.inside("rm:rm1", Path("/proc/thread-self/net/dev").read_text)
        lines = dict(line.strip().split(":", 1) for line in shown.splitlines()[2:])
        return [int(lines[port].split()[8]) for port in ("to-rm2", "to-rm4")]

    @pytest.fixture
    def lab(self, tmp_path: Path, spread: str) -> Iterator[Lab]:
        text = (RING % f", spread: {spread}").replace(
            "path: [rm1, rm2, rm3]", f"paths: {self.PATHS}"
        )
        need("bpf")
        with lab_of(text, tmp_path) as found:
            yield found

    @pytest.mark.parametrize("spread", ["packet"])
    def test_every_packet_takes_any_path(self, lab: Lab, spread: str) -> None:
        before = self.octets(lab)
        with carried(lab, "a/c1", "a/c2", tcp_mbit=20) as traffic:
            time.sleep(0.5)
        used = [now - then for now, then in zip(self.octets(lab), before, strict=True)]
        assert traffic.lost == []
        assert 0.3 < used[0] / sum(used) < 0.7

    def share_of_a_flow(self, lab: Lab) -> float:
        """The part of a flow that took the first path."""
        before = self.octets(lab)
        sent = send_flow(lab, "a/c1", "a/c2")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            used = [now - then for now, then in zip(self.octets(lab), before, strict=True)]
            if sum(used) >= sent:
                return used[0] / sum(used)
            time.sleep(0.01)
        raise AssertionError(f"of {sent} octets, {used} came to rm1's links")

    @pytest.mark.parametrize("spread", ["flow"])
    def test_a_flow_stays_on_its_path(self, lab: Lab, spread: str) -> None:
        assert ping(lab, "a/c1", address(lab, "a/c2"))
        shares = [self.share_of_a_flow(lab) for _ in range(8)]
        assert all(share < 0.05 or share > 0.95 for share in shares), shares
        assert len({round(share) for share in shares}) == 2


def send_flow(lab: Lab, start: str, end: str) -> int:
    """Send a flow; return its octets."""
    with lab[start].inside(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as mouth:
        for _ in range(100):
            mouth.sendto(bytes(1400), (address(lab, end), 9))
    return 100 * 1400


class TestRefusal:
    """The kernel refuses at any step; all is as before then."""

    VERBS: ClassVar[dict[str, Callable[[Lab], object]]] = {
        "move": lambda lab: lab.move("a/core", path=TestMove.THERE),
        "add": lambda lab: lab.add("a/extra", ["r2", "r3"], limit="5mbit"),
        "remove": lambda lab: lab.remove("a/core"),
        "fail": lambda lab: lab.fail("rm2"),
        "down": lambda lab: lab.down("a/core"),
    }

    @pytest.mark.parametrize("verb", VERBS)
    def test_all_is_as_before(self, lab: Lab, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
        lab.fail("rm2")  # what is probed for when it is first used is so already
        lab.repair("rm2")
        state, plan = lab.state, lab.plan.objects()
        steps = 0
        while True:
            with _refusing(steps, monkeypatch) as failed, contextlib.suppress(KernelRefused):
                self.VERBS[verb](lab)
            if not failed:
                break
            steps += 1
            assert lab.state is state
            assert lab.plan.objects() == plan
            assert wrong(lab) == []
            assert reaches(lab)
        assert steps >= 1
        assert wrong(lab) == []


@contextlib.contextmanager
def _refusing(number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Of the batches that are sent, the one with that number (from 0) fails at its end."""
    send, numbers = NetlinkSocket.send, itertools.count()
    failed: list[bool] = []

    def refusing(self: NetlinkSocket, requests: list[Request]) -> list[Refusal]:
        refusals = send(self, requests)
        if next(numbers) != number:
            return refusals
        failed.append(True)
        return [Refusal(len(requests) - 1, 12, "as the test asked")]

    with monkeypatch.context() as patch:
        patch.setattr(NetlinkSocket, "send", refusing)
        yield failed
