"""What a calibration tries, and what it reads from the runs."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vnemu.calibrate import clock, readings, session, trials
from vnemu.calibrate.trials import FULL, QUICK, Pace, Trial
from vnemu.results.calibration import CalibrationRow
from vnemu.results.reader import FlowSamples, LinkSamples, ProbeSamples, Run
from vnemu.results.runinfo import FlowInfo, IdealEntry, RunInfo

RATE = CalibrationRow(what="rate", case="x", unit="Mbit/s")
IDEAL = 9.5


def every_trial(pace: Pace) -> list[Trial]:
    makers = (
        trials.ceilings,
        trials.guarantees,
        trials.no_delay,
        trials.delays,
        trials.chances,
        trials.mischief,
    )
    return [trials.rates(pace, math.inf)[0], *(make(pace) for make in makers)]


@pytest.mark.parametrize("pace", [QUICK, FULL], ids=["quick", "full"])
@pytest.mark.parametrize("number", range(len(every_trial(QUICK))))
def test_a_trial_is_an_experiment_with_all_that_is_read(
    number: int, pace: Pace, tmp_path: Path
) -> None:
    trial = every_trial(pace)[number]
    experiment = session._prepared(trial.document, tmp_path)[1]
    there = {each.name for each in (*experiment.flows, *experiment.probes, *experiment.streams)}
    assert {case.source for case in trial.cases} <= there
    assert experiment.duration == pytest.approx(trial.seconds)


def test_rows_have_names_of_their_own() -> None:
    names = [case.row.name for trial in every_trial(QUICK) for case in trial.cases]
    assert len(set(names)) == len(names)


def test_flows_of_different_sizes_do_not_meet(tmp_path: Path) -> None:
    flows = session._prepared(trials.rates(FULL, math.inf)[0].document, tmp_path)[1].flows
    for one in flows:
        met = {f.target for f in flows if f.start < one.stop and one.start < f.stop}
        assert met in ({"1mbit/c2", "10mbit/c2"}, {"100mbit/c2"}, {"1000mbit/c2"})


def test_rates_beyond_the_machine_are_rows_that_say_so() -> None:
    trial, beyond = trials.rates(QUICK, 500.0)
    assert [row.name for row in beyond] == ["rate 1000mbit, TCP", "rate 1000mbit, UDP"]
    assert all("500.00 Mbit/s" in row.note and row.measured is None for row in beyond)
    assert not any("1000mbit" in case.row.case for case in trial.cases)
    assert trial.seconds < trials.rates(QUICK, math.inf)[0].seconds


def test_no_rate_at_all() -> None:
    trial, beyond = trials.rates(QUICK, 0.0)
    assert (len(trial.cases), len(beyond)) == (0, 8)


def a_run(
    arrived_mbit: float = IDEAL,
    *,
    protocol: str = "tcp",
    given_mbit: float = 10.0,
    begins_s: float = 0.0,
    ideals: bool = True,
) -> Run:
    """A flow of 4 s over a link of 10 Mbit/s of frames; nothing arrives before `begins_s`."""
    flow: dict[str, Any] = {"name": "f", "from": "a/c1", "to": "a/c2", "protocol": protocol}
    link = ("a/c1-r1", "a/core")
    info = FlowInfo(**flow, ip=4, stop_s=4.0, links=link, frame_payload=(1472, 1514))
    times = np.arange(0.0, 4.05, 0.1)
    arrived = np.maximum(times - begins_s, 0) * arrived_mbit * 125_000
    given = times * given_mbit * 125_000
    sent = np.minimum(given, times * 10 * 125_000)
    drops = (given - sent) / 1514
    samples = LinkSamples(times, sent, sent / 1514, drops, np.zeros_like(times))
    return Run(
        Path(),
        RunInfo(experiment="x", started="", duration_s=4.0, flows=(info,)),
        ideals=(IdealEntry(at_s=0.1, flows={"f": IDEAL} if ideals else {}),),
        flows={"f": FlowSamples(times, arrived, arrived)},
        links={("a/core", "r1>r2"): samples},
    )


def test_goodput() -> None:
    assert readings.goodput(RATE, a_run(), "f").measured == pytest.approx(IDEAL)


def test_a_rate_is_beside_its_ideal() -> None:
    row = readings.part_of_ideal(RATE, a_run(9.405), "f")
    assert (row.requested, row.off, row.note) == (IDEAL, pytest.approx(-1.0), "")


@pytest.mark.parametrize("given_mbit", [10.0, 12.0])
def test_a_sender_of_datagrams_that_fills_the_link(given_mbit: float) -> None:
    row = readings.part_of_ideal(RATE, a_run(protocol="udp", given_mbit=given_mbit), "f")
    assert (row.requested, row.note) == (IDEAL, "")


def test_a_sender_of_datagrams_that_is_too_slow() -> None:
    payload = 5 * 1472 / 1514
    row = readings.part_of_ideal(RATE, a_run(payload, protocol="udp", given_mbit=5.0), "f")
    assert row.requested == pytest.approx(payload)
    assert row.off == pytest.approx(0.0, abs=1e-3)
    assert row.note == "the sender came to 4.86 Mbit/s only"


def test_only_the_second_half_counts_beside_others() -> None:
    assert readings.at_last(RATE, a_run(begins_s=1.5), "f").off == pytest.approx(0.0)
    assert readings.part_of_ideal(RATE, a_run(begins_s=1.5), "f").off != pytest.approx(0.0, abs=5)


@pytest.mark.parametrize("run", [a_run(begins_s=3.0), a_run(ideals=False)], ids=["late", "never"])
def test_a_machine_that_starts_flows_too_late(run: Run) -> None:
    row = readings.at_last(RATE, run, "f")
    assert row.measured is None
    assert "too slow" in row.note


def pings(times_ms: Any) -> Run:
    times = np.asarray(times_ms, dtype=float)
    info = RunInfo(experiment="x", started="", duration_s=1.0)
    order = np.arange(len(times))
    return Run(Path(), info, probes={"p": ProbeSamples(order * 0.01, order, times)})


DELAY = CalibrationRow(what="delay", unit="ms", requested=10.0)


def test_delay_is_half_a_round_trip_without_the_first() -> None:
    row = readings.one_way(DELAY, pings([90, *[20.2] * 98, math.nan, 30]), "p")
    assert row.measured == pytest.approx(10.1)
    assert row.p99 == pytest.approx(10.2, abs=0.2)
    assert row.off == pytest.approx(0.1)


@pytest.mark.parametrize("read", [readings.one_way, readings.jitter])
def test_no_ping_came_back(read: trials.Reading) -> None:
    row = read(DELAY, pings([math.nan] * 5), "p")
    assert (row.measured, row.note) == (None, "no ping came back")


@pytest.mark.parametrize("seed", range(5))
def test_jitter_is_found_in_round_trips(seed: int) -> None:
    random = np.random.default_rng(seed)
    times = 20 + random.uniform(-2, 2, 20_000) + random.uniform(-2, 2, 20_000)
    asked = CalibrationRow(what="jitter", unit="ms", requested=2.0)
    row = readings.jitter(asked, pings(times), "p")
    assert row.measured == pytest.approx(2.0, rel=0.03)
    assert row.by_chance


def test_the_interval_of_jitter_holds_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    asked = CalibrationRow(what="jitter", unit="ms", requested=2.0)
    times = random.uniform(-2, 2, (1000, 300)) + random.uniform(-2, 2, (1000, 300))
    held = sum(readings.jitter(asked, pings(20 + each), "p").by_chance is True for each in times)
    assert 975 <= held <= 1000


def test_loss_of_one_way() -> None:
    asked = CalibrationRow(what="loss", unit="%", requested=10.0)
    row = readings.loss(asked, pings([math.nan] * 19 + [1.0] * 81), "p")
    assert row.measured == pytest.approx(10.0)  # 1 - 0.9^2 = 0.19
    assert row.by_chance
    assert not readings.loss(asked, pings([math.nan] * 60 + [1.0] * 40), "p").by_chance


@pytest.mark.parametrize(("hits", "tries"), [(0, 50), (1, 50), (25, 50), (50, 50), (10, 1000)])
def test_binomial_interval(hits: int, tries: int) -> None:
    from scipy.stats import binomtest

    exact = binomtest(hits, tries).proportion_ci(0.99, "exact")
    assert readings.binomial_interval(hits, tries) == pytest.approx((exact.low, exact.high))


def test_sleeps() -> None:
    row = clock.sleeps(5)
    assert row.measured is not None
    assert row.p99 is not None
    assert 10 <= row.measured <= row.p99


def test_seconds_of_the_host(tmp_path: Path) -> None:
    one, other = clock.moment(tmp_path), clock.moment(tmp_path)
    assert other.host_s - one.host_s == 1
    assert other.here_s - one.here_s == pytest.approx(1, abs=0.3)
    assert list(tmp_path.iterdir()) == []


def test_drift() -> None:
    row = clock.drift(clock.Moment(100, 5.0), clock.Moment(160, 65.02))
    assert (row.measured, row.note) == (20.0, "in 60 s, to 10 ms")


@pytest.mark.parametrize("kind", ["root", "private kernel"])
def test_what_the_kernel_lacks_is_said_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(session, "probe", lambda names: dict.fromkeys(names, "ENOENT"))
    monkeypatch.setattr(session.capsule, "kind", lambda: kind)
    rows = list(session._Session(QUICK, lambda event: None, "")._tried(trials.delays(QUICK)))
    assert [row.requested for row in rows] == [1.0, 10.0, 50.0]
    assert all(row.measured is None for row in rows)
    assert all("sudo modprobe -a sch_netem" in row.note for row in rows)
    assert all(("--kernel private" in row.note) == (kind == "root") for row in rows)
