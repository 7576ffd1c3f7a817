"""The fake and the real kernel agree: one list of cases, both drivers."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from tests.kernel.conformance_cases import (
    CASES,
    CLASS,
    CLASSIFIER,
    LEAF_SHAPER,
    NEIGHBOUR,
    ON_VIF_4,
    ON_WIRE,
    QUEUE,
    REASON,
    REMOTE,
    SHAPER,
    TUNNEL,
    VIFS,
    WIRE,
    WIRED,
    Case,
    create,
    mac,
)
from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.fake import FakeKernel
from vnemu.drivers.kernel import Kernel
from vnemu.drivers.probe import probe
from vnemu.drivers.protocol import Driver
from vnemu.errors import KernelRefused
from vnemu.plan.diff import Action
from vnemu.plan.facts import differences, facts
from vnemu.plan.objects import (
    FABRIC,
    Classifier,
    Namespace,
    Neighbour,
    Object,
    Patch,
    Port,
    Queue,
    Veth,
)
from vnemu.plan.places import needs, provides

# Their namespaces and devices are all there is to miss.
STANDS_ON = [case for case in CASES if case.base]
NOT_ALONE = {case.name for case in CASES if isinstance(case.item, Queue)}
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


def cases(chosen: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", chosen, ids=lambda case: case.name, indirect=True)


def available(case: Case, missing: dict[str, str]) -> Case:
    if case.feature in missing:
        pytest.skip(f"this kernel has no {case.feature}: {missing[case.feature]}")
    return case


def remove(*items: Object) -> list[Action]:
    return [Action(REASON, item, None) for item in reversed(items)]


def missing_of(driver: Driver, *items: Object) -> list[str]:
    return differences(facts(items), driver.observe(facts(items)))


def seen_of(driver: Driver, *items: Object) -> set[object]:
    return set(driver.observe(facts(items))) & set(facts(items))


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


@cases([c for c in CASES if c.name not in NOT_ALONE])
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


@cases([c for c in CASES if not isinstance(c.item, Neighbour)])  # one replaces what was learned
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


@cases([c for c in CASES if c.name not in NOT_ALONE])
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
        namespace = kernel.namespaces[FABRIC]
        namespace.socket.send([rt.delete_link(namespace.indices["vif"])])
        wrong = missing_of(kernel, *VIFS, ON_VIF_4)
    finally:
        kernel.close()
    assert any("device fabric vif is missing" in line for line in wrong)
    assert any(line.startswith("address vr:a/r1 eth0") for line in wrong)
