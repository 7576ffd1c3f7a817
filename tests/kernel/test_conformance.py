"""The fake and the real kernel agree: one list of cases, both drivers."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

import pytest

from vnemu.drivers.fake import FakeKernel
from vnemu.drivers.kernel import Kernel
from vnemu.drivers.probe import probe
from vnemu.drivers.protocol import Driver
from vnemu.errors import KernelRefused
from vnemu.plan.diff import Action
from vnemu.plan.facts import differences, facts
from vnemu.plan.objects import (
    FABRIC,
    Address,
    Classifier,
    Htb,
    HtbClass,
    Ifb,
    Namespace,
    Neighbour,
    Netem,
    Object,
    Patch,
    Port,
    Queue,
    Route,
    Tunnel,
    Veth,
)
from vnemu.plan.places import needs, provides

REASON = ("test", "")
RM, RM2 = "rm:1", "rm:2"


def mac(number: int) -> bytes:
    return bytes((2, 0, 0, 0, 1, number))


NAMESPACES = [Namespace(FABRIC, "fabric"), Namespace(RM, "machine"), Namespace(RM2, "machine")]
ROUTER = Namespace("vr:a/r1", "router")
WIRE = Veth(Port(RM, "wire", mac(1)), Port(RM2, "wire", mac(2)), 9216)
VIF = Veth(Port(FABRIC, "vif", mac(3)), Port(ROUTER.name, "eth0", mac(4)), 1500)
VIF2 = Veth(Port(FABRIC, "vif2", mac(5)), Port(ROUTER.name, "eth1", mac(6)), 1500)
WIRED = [*NAMESPACES, WIRE]
VIFS = [*NAMESPACES, ROUTER, VIF, VIF2]
LOCAL, REMOTE = IPv4Address("100.96.0.2"), IPv4Address("100.96.0.3")
TUNNEL = Tunnel("t1a", RM, "vxlan", 1, LOCAL, REMOTE, mac(7), 1500, 1514)
GRE = replace(TUNNEL, kind="gretap")
OTHER_GRE = replace(GRE, device="t2a", number=2, local=REMOTE, remote=LOCAL)
ON_WIRE = Address(RM, "wire", IPv4Interface("100.64.0.0/31"))
ON_VIF_4 = Address(ROUTER.name, "eth0", IPv4Interface("10.0.0.1/30"))
ON_VIF_6 = Address(ROUTER.name, "eth0", IPv6Interface("fd00::1/64"))
SHAPER = Htb(RM, "wire", 32_000_000, 50, leaf=False)
LEAF_SHAPER = Htb(FABRIC, "vif", 8_000_000, 0, leaf=True)
CLASS = HtbClass(RM, "wire", 0x11, 16_000_000, 32_000_000)
FAST_CLASS = replace(CLASS, rate=80_000_000_000, ceil=100_000_000_000)
QUEUE = Queue(RM, "wire", 0x11, 30_280)
CLASSIFIER = Classifier(RM, "wire", REMOTE, 0x11)
ROUTE_4 = Route(ROUTER.name, IPv4Network("10.9.0.0/16"), IPv4Address("10.0.0.2"), "eth0")
ROUTE_6 = Route(ROUTER.name, IPv6Network("fd00:9::/48"), IPv6Address("fd00::2"), "eth0")
DEFAULT_4 = replace(ROUTE_4, destination=IPv4Network("0.0.0.0/0"))
DEFAULT_6 = replace(ROUTE_6, destination=IPv6Network("::/0"))
NEIGHBOUR = Neighbour(RM, "wire", IPv4Address("100.64.0.1"), mac(2))
IFB = Ifb(RM, "ifb0", mac(8), 9216)
NETEM = Netem(RM, "ifb0", 10_000_000, 0, 0.01, 1000)
QUALITY = Netem(FABRIC, "vif", 3 * 10**9, 10**9, 0.5, 123_456)


@dataclass(frozen=True)
class Case:
    """An object, what it needs, and what it can become in place."""

    name: str
    item: Object
    base: list[Object]
    changed: Object | None = None
    feature: str = ""


CASES = [
    Case("namespace-machine", Namespace("rm:3", "machine"), []),
    Case("namespace-router", ROUTER, []),
    Case("namespace-host", Namespace("vr:a/c1", "host"), []),
    Case(
        "veth-same-namespace",
        Veth(Port(FABRIC, "c1a", mac(1)), Port(FABRIC, "c1b", mac(2)), 1500),
        NAMESPACES,
    ),
    Case("veth-wire", WIRE, NAMESPACES),
    Case("veth-vif", VIF, [*NAMESPACES, ROUTER], replace(VIF, gso=1514)),
    Case("tunnel", TUNNEL, WIRED, replace(TUNNEL, gso=9000, joins=False)),
    Case("tunnel-frame-by-frame", replace(TUNNEL, joins=False), WIRED, TUNNEL),
    Case("gre", GRE, WIRED, replace(GRE, gso=9000, joins=False), feature="gre"),
    Case("gre-large-key", replace(GRE, number=0xFFFFFF), WIRED, feature="gre"),
    Case("gre-second", GRE, [*WIRED, OTHER_GRE], feature="gre"),
    Case("tunnel-large-key", replace(TUNNEL, number=0xFFFFFF), WIRED),
    Case("address-4", ON_VIF_4, VIFS),
    Case("address-6", ON_VIF_6, VIFS),
    Case("address-31", ON_WIRE, WIRED),
    Case("address-loopback", Address(RM, "lo", IPv4Interface("100.96.0.2/32")), WIRED),
    Case("address-loopback-6", Address(ROUTER.name, "lo", IPv6Interface("fd00::9/128")), VIFS),
    Case("neighbour", NEIGHBOUR, [*WIRED, ON_WIRE], replace(NEIGHBOUR, mac=mac(9))),
    Case("route-4", ROUTE_4, [*VIFS, ON_VIF_4]),
    Case("route-6", ROUTE_6, [*VIFS, ON_VIF_6]),
    Case("route-default-4", DEFAULT_4, [*VIFS, ON_VIF_4]),
    Case("route-default-6", DEFAULT_6, [*VIFS, ON_VIF_6]),
    Case("htb", SHAPER, WIRED, replace(SHAPER, rate=320_000_000)),
    Case("htb-leaf", LEAF_SHAPER, VIFS, replace(LEAF_SHAPER, rate=80_000_000)),
    Case("htb-fast", replace(SHAPER, rate=100_000_000_000), WIRED, SHAPER),
    Case("class", CLASS, [*WIRED, SHAPER], replace(CLASS, rate=30_000_000)),
    Case("class-64-bit", FAST_CLASS, [*WIRED, SHAPER], CLASS),
    Case("class-least", replace(CLASS, rate=1000), [*WIRED, SHAPER], CLASS),
    Case("queue", QUEUE, [*WIRED, SHAPER, CLASS], replace(QUEUE, limit=100_000)),
    Case(
        "queue-leaf",
        Queue(FABRIC, "vif", 1, 30_280),
        [*VIFS, LEAF_SHAPER],
        Queue(FABRIC, "vif", 1, 60_000),
    ),
    Case("classifier", CLASSIFIER, [*WIRED, SHAPER, CLASS]),
    Case("patch", Patch(FABRIC, "vif", "vif2"), VIFS, Patch(FABRIC, "vif", "vif")),
    Case("ifb", IFB, WIRED, feature="ifb"),
    Case("netem", NETEM, [*WIRED, IFB], replace(NETEM, delay=20_000_000), feature="netem"),
    Case("netem-jitter", QUALITY, VIFS, replace(QUALITY, jitter=0), feature="netem"),
    Case("netem-loss", replace(QUALITY, loss=1.0), VIFS, QUALITY, feature="netem"),
    Case("netem-room", QUALITY, VIFS, replace(QUALITY, limit=2**31 - 1), feature="netem"),
]
# Their namespaces and devices are all there is to miss.
STANDS_ON = [case for case in CASES if case.base]
NOT_ALONE = {"queue", "queue-leaf"}
"""What goes with its class."""
NOT_THERE = {errno.ENODEV, errno.ENOENT, errno.EINVAL, errno.ENETUNREACH}


@pytest.fixture(params=["fake", "real"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    driver: Driver = FakeKernel() if request.param == "fake" else Kernel()
    try:
        yield driver
    finally:
        driver.close()


@pytest.fixture(scope="module")
def missing() -> dict[str, str]:
    return {name: why for name, why in probe().items() if why}


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, missing: dict[str, str]) -> Case:
    return available(request.param, missing)


@pytest.fixture(params=STANDS_ON, ids=lambda case: case.name)
def standing(request: pytest.FixtureRequest, missing: dict[str, str]) -> Case:
    return available(request.param, missing)


@pytest.fixture(params=[c for c in CASES if c.changed], ids=lambda case: case.name)
def changing(request: pytest.FixtureRequest, missing: dict[str, str]) -> Case:
    return available(request.param, missing)


def cases(chosen: Iterable[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.name, indirect=True)


def available(case: Case, missing: dict[str, str]) -> Case:
    if case.feature in missing:
        pytest.skip(f"this kernel has no {case.feature}: {missing[case.feature]}")
    return case


def create(*items: Object) -> list[Action]:
    return [Action(REASON, None, item) for item in items]


def remove(*items: Object) -> list[Action]:
    return [Action(REASON, item, None) for item in reversed(items)]


def missing_of(driver: Driver, *items: Object) -> list[str]:
    return differences(facts(items), driver.observe(items))


def seen_of(driver: Driver, *items: Object) -> set[object]:
    return set(driver.observe(items)) & set(facts(items))


def refusal(driver: Driver, actions: list[Action]) -> KernelRefused:
    with pytest.raises(KernelRefused) as caught:
        driver.apply(actions)
    return caught.value


def test_what_was_created_is_seen(driver: Driver, case: Case) -> None:
    driver.apply(create(*case.base, case.item))
    assert missing_of(driver, *case.base, case.item) == []


def test_what_was_not_created_is_not_seen(driver: Driver, case: Case) -> None:
    driver.apply(create(*case.base))
    assert missing_of(driver, case.item)


@cases(c for c in CASES if c.name not in NOT_ALONE)
def test_what_was_removed_is_not_seen(driver: Driver, case: Case) -> None:
    driver.apply(create(*case.base, case.item))
    driver.apply(remove(case.item))
    assert len(missing_of(driver, case.item)) == len(facts([case.item]))
    assert missing_of(driver, *case.base) == []


def test_all_can_be_removed_one_by_one_and_made_again(driver: Driver, case: Case) -> None:
    items = [*case.base, case.item]
    for _ in range(2):
        driver.apply(create(*items))
        assert missing_of(driver, *items) == []
        driver.apply(remove(*items))
        assert not seen_of(driver, *items)


@cases(c for c in CASES if not isinstance(c.item, Neighbour))  # one replaces what was learned
def test_a_second_creation_is_refused(driver: Driver, case: Case) -> None:
    driver.apply(create(*case.base, case.item))
    assert refusal(driver, create(case.item)).errno == errno.EEXIST


def test_a_change_is_seen(driver: Driver, changing: Case) -> None:
    assert changing.changed is not None
    driver.apply(create(*changing.base, changing.item))
    driver.apply([Action(REASON, changing.item, changing.changed)])
    assert missing_of(driver, *changing.base, changing.changed) == []


def test_a_change_is_reverted(driver: Driver, changing: Case) -> None:
    driver.apply(create(*changing.base, changing.item))
    actions = [Action(REASON, changing.item, changing.changed)]
    driver.apply(actions)
    driver.revert(actions)
    assert missing_of(driver, *changing.base, changing.item) == []


def test_what_it_stands_on_must_be_there(driver: Driver, standing: Case) -> None:
    driver.apply(create(*standing.base))
    support = [b for b in standing.base if set(provides(b)) & set(needs(standing.item))]
    driver.apply(remove(support[-1]))
    error = refusal(driver, create(standing.item))
    assert error.errno in NOT_THERE
    assert str(standing.item) in str(error)


def test_nothing_can_be_made_in_no_namespace(driver: Driver, standing: Case) -> None:
    assert refusal(driver, create(standing.item)).errno == errno.ENODEV


@cases(c for c in CASES if c.name not in NOT_ALONE)
def test_a_failure_in_the_middle_is_taken_back(driver: Driver, case: Case) -> None:
    driver.apply(create(*case.base))
    lost = Patch(FABRIC, "nothing", "nowhere")
    other = Namespace("vr:z/other", "host")
    actions = create(other, case.item, lost, Namespace("vr:z/more", "host"))
    assert refusal(driver, actions).errno == errno.ENODEV
    driver.revert(actions)
    assert missing_of(driver, *case.base) == []
    assert not seen_of(driver, case.item, other, Namespace("vr:z/more", "host"))


def test_a_removal_is_taken_back(driver: Driver, case: Case) -> None:
    items = [*case.base, case.item]
    driver.apply(create(*items))
    actions = remove(*items)
    driver.apply(actions)
    driver.revert(actions)
    assert missing_of(driver, *items) == []


def test_taking_back_what_was_never_done_changes_nothing(driver: Driver, standing: Case) -> None:
    driver.apply(create(*standing.base))
    driver.revert(create(standing.item))
    assert missing_of(driver, *standing.base) == []
    assert not seen_of(driver, standing.item)


def test_close_drops_all(driver: Driver, case: Case) -> None:
    driver.apply(create(*case.base, case.item))
    driver.close()
    assert not seen_of(driver, *case.base, case.item)
    driver.close()  # a second time does nothing


class TestWhatGoesAlong:
    """When an object goes, the kernel takes along what stands on it."""

    def test_a_class_with_a_classifier_is_busy(self, driver: Driver) -> None:
        driver.apply(create(*WIRED, SHAPER, CLASS, CLASSIFIER))
        assert refusal(driver, remove(CLASS)).errno == errno.EBUSY

    def test_classes_go_with_their_shaper(self, driver: Driver) -> None:
        driver.apply(create(*WIRED, SHAPER, CLASS, QUEUE, CLASSIFIER))
        driver.apply(remove(SHAPER))
        assert not seen_of(driver, SHAPER, CLASS, QUEUE, CLASSIFIER)

    def test_all_of_a_device_goes_with_it(self, driver: Driver) -> None:
        driver.apply(create(*WIRED, ON_WIRE, NEIGHBOUR, SHAPER, CLASS))
        driver.apply(remove(WIRE))
        assert not seen_of(driver, WIRE, ON_WIRE, NEIGHBOUR, SHAPER, CLASS)

    def test_a_device_of_any_kind_holds_its_name(self, driver: Driver) -> None:
        driver.apply(create(*WIRED, TUNNEL))
        pair = Veth(Port(FABRIC, "other", mac(1)), Port(FABRIC, TUNNEL.device, mac(2)), 1500)
        assert refusal(driver, create(pair)).errno == errno.EEXIST

    def test_a_leaf_shaper_has_no_classifiers(self, driver: Driver) -> None:
        driver.apply(create(*VIFS, LEAF_SHAPER))
        refusal(driver, create(Classifier(FABRIC, "vif", REMOTE, 1)))


def test_the_real_kernel_is_observed_not_remembered() -> None:
    """What somebody else took away is missed."""
    kernel = Kernel()
    try:
        kernel.apply(create(*VIFS, ON_VIF_4))
        from vnemu.drivers import rtnetlink as rt

        namespace = kernel.namespaces[FABRIC]
        namespace.socket.send([rt.delete_link(namespace.indices["vif"])])
        wrong = missing_of(kernel, *VIFS, ON_VIF_4)
    finally:
        kernel.close()
    assert any("device fabric vif is missing" in line for line in wrong)
    assert any(line.startswith("address vr:a/r1 eth0") for line in wrong)
