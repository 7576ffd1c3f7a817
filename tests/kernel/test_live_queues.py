"""What frames meet where they wait, and while that changes: none is lost that need not be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.kernel.conformance_cases import (
    PATCH,
    VIF,
    VIF2,
    VIFS,
    create,
)
from tests.kernel.features import need
from tests.kernel.wires import ETH_P_ALL, Wires, change, frame, number, settled
from vnemu.drivers.kernel import Kernel
from vnemu.plan.control import Discipline, Distribution
from vnemu.plan.objects import (
    FABRIC,
    Htb,
    Netem,
    Queue,
)

SLOW = Htb(FABRIC, "vif2", 4_000_000, 0, leaf=True)
LONG = (("target", 4_000_000_000), ("interval", 8_000_000_000), ("ecn", 0))


class TestQueues:
    @pytest.mark.parametrize("discipline", ["bfifo", "codel", "fq_codel", "cake"])
    def test_what_waits_survives_a_change(
        self, discipline: Discipline, kernel: Kernel, wires: Wires
    ) -> None:
        if discipline != "bfifo":
            need(discipline)
        queue = Queue(FABRIC, "vif2", 1, 1_000_000, discipline, LONG)
        kernel.apply(create(*VIFS, SLOW, queue, PATCH))
        wires.listen(VIF2.b)
        for n in range(200):
            wires.send(VIF.b, frame(n, 1000))
        assert kernel.waiting([queue])
        turned = tuple((name, value // 2) for name, value in LONG)
        change(kernel, queue, replace(queue, limit=2_000_000, options=turned))
        assert sorted(number(f) for f in wires.heard("eth1")) == list(range(200))
        assert kernel.waiting([queue]) == 0

    @pytest.mark.parametrize("discipline", ["codel", "fq_codel", "cake", "red"])
    def test_another_discipline_lets_frames_through_at_once(
        self, discipline: Discipline, kernel: Kernel, wires: Wires
    ) -> None:
        need(discipline)
        queue = Queue(FABRIC, "vif2", 1, 1_000_000)
        kernel.apply(create(*VIFS, SLOW, queue, PATCH))
        wires.listen(VIF2.b)
        for old, new in ((queue, replace(queue, discipline=discipline)),) * 2:
            change(kernel, old, new)
            change(kernel, new, old)
            change(kernel, old, new)
            for n in range(10):
                wires.send(VIF.b, frame(n))
            assert len(wires.heard("eth1")) == 10
            change(kernel, new, old)

    @pytest.mark.parametrize("discipline", ["bfifo", "codel", "fq_codel", "cake"])
    def test_about_as_many_full_frames_wait_as_its_limit_says(
        self, discipline: Discipline, kernel: Kernel, wires: Wires
    ) -> None:
        if discipline != "bfifo":
            need(discipline)
        queue = Queue(FABRIC, "vif2", 1, 60 * 1514, discipline, LONG)
        kernel.apply(create(*VIFS, replace(SLOW, rate=100_000), queue, PATCH))
        settled(kernel)
        for n in range(300):
            wires.send(VIF.b, frame(n, 1514))
        # One too many makes fq_codel drop up to half of the longest flow.
        least = 0.5 if discipline == "fq_codel" else 0.9
        assert least <= kernel.waiting([queue]) / (60 * 1514) <= 1.1


STILL = Netem(FABRIC, "vif2", 0, 0, 0.0, 10_000)
COUNT = 3000
TRIES = 4
"""What the processor does for others makes delays longer."""


def through(netem: Netem, kernel: Kernel, wires: Wires) -> list[bytes]:
    """The frames that arrive of `COUNT`, sent one after the other."""
    need("netem")
    kernel.apply(create(*VIFS, netem, PATCH))
    wires.listen(VIF2.b)
    for n in range(COUNT):
        wires.send(VIF.b, frame(n))
    return wires.heard("eth1")


class TestNetem:
    @pytest.mark.parametrize(
        "turned",
        [
            {"delay": 100_000_000, "limit": 5000},
            {"loss": 1.0},
            {"gilbert_elliott": (0.1, 0.1, 1.0, 0.0)},
            {"jitter": 20_000_000, "distribution": "pareto"},
            {"duplicate": 1.0, "corrupt": 1.0, "reorder": 1.0},
        ],
        ids="-".join,
    )
    def test_what_waits_survives_a_change(
        self, turned: dict[str, object], kernel: Kernel, wires: Wires
    ) -> None:
        need("netem")
        netem = replace(STILL, delay=200_000_000)
        kernel.apply(create(*VIFS, netem, PATCH))
        wires.listen(VIF2.b)
        for n in range(100):
            wires.send(VIF.b, frame(n))
        change(kernel, netem, replace(netem, **turned))  # type: ignore[arg-type]
        assert [number(f) for f in wires.heard("eth1")] == list(range(100))

    @pytest.mark.parametrize("follows", [0.0, 0.25, 0.75])
    def test_correlated_loss(self, follows: float, kernel: Kernel, wires: Wires) -> None:
        share = 0.2
        arrived = through(replace(STILL, loss=share, loss_correlation=follows), kernel, wires)
        lost = sorted(set(range(COUNT)) - {number(f) for f in arrived})
        # The variance of the mean of a chain with this correlation (Bartlett).
        deviation = (COUNT * share * (1 - share) * (1 + follows) / (1 - follows)) ** 0.5
        assert len(lost) == pytest.approx(COUNT * share, abs=4 * deviation)
        pairs = sum(n + 1 in set(lost) for n in lost) / len(lost)
        assert pairs == pytest.approx(share + follows * (1 - share), abs=0.12)

    def test_loss_in_bursts(self, kernel: Kernel, wires: Wires) -> None:
        chain = (0.05, 0.2, 0.9, 0.01)
        arrived = through(replace(STILL, gilbert_elliott=chain), kernel, wires)
        p, r, bad, good = chain
        mean = (p * bad + r * good) / (p + r)
        follows = 1 - p - r
        deviation = (COUNT * mean * (1 - mean) * (1 + follows) / (1 - follows)) ** 0.5
        assert COUNT - len(arrived) == pytest.approx(COUNT * mean, abs=4 * deviation)

    def test_duplicates(self, kernel: Kernel, wires: Wires) -> None:
        arrived = through(replace(STILL, duplicate=0.3), kernel, wires)
        assert {number(f) for f in arrived} == set(range(COUNT))
        assert len(arrived) - COUNT == pytest.approx(0.3 * COUNT, abs=4 * (COUNT * 0.21) ** 0.5)

    def test_corruption(self, kernel: Kernel, wires: Wires) -> None:
        need("netem")
        kernel.apply(create(*VIFS, replace(STILL, corrupt=0.3), PATCH))
        wires.listen(VIF2.b, protocol=ETH_P_ALL)
        sent = frame(7)
        for _ in range(COUNT):
            wires.send(VIF.b, sent)
        arrived = [f for f in wires.heard("eth1") if len(f) == len(sent)]
        wrong = sum(f != sent for f in arrived)
        assert wrong == pytest.approx(0.3 * COUNT, abs=4 * (COUNT * 0.21) ** 0.5 + 5)

    def test_reordering(self, kernel: Kernel, wires: Wires) -> None:
        late = replace(STILL, delay=200_000_000, reorder=0.3)
        arrived = [number(f) for f in through(late, kernel, wires)]
        assert sorted(arrived) == list(range(COUNT))
        oldest, jumped = COUNT, 0
        for n in reversed(arrived):
            jumped += n > oldest
            oldest = min(n, oldest)
        assert jumped == pytest.approx(0.3 * COUNT, abs=4 * (COUNT * 0.21) ** 0.5)

    @pytest.mark.parametrize(
        ("distribution", "share"), [("uniform", 0.5), ("normal", 0.383), ("pareto", 0.551)]
    )
    def test_the_shape_of_jitter(
        self, distribution: Distribution, share: float, kernel: Kernel, wires: Wires
    ) -> None:
        """As much of the delays as expected lies within half the jitter of the mean.

        Each frame is sent when the one before has arrived, so that none waits for it.
        """
        need("netem")
        netem = replace(STILL, delay=20_000_000, jitter=15_000_000)
        kernel.apply(create(*VIFS, replace(netem, distribution="normal"), PATCH))
        change(
            kernel, replace(netem, distribution="normal"), replace(netem, distribution=distribution)
        )
        wires.listen(VIF2.b)
        for _ in range(TRIES):
            delays = [wires.delay(VIF.b, "eth1", frame(n)) for n in range(200)]
            near = sum(0.0125 <= delay <= 0.0285 for delay in delays) / 200
            if near == pytest.approx(share, abs=0.13):
                break
        assert near == pytest.approx(share, abs=0.13)
