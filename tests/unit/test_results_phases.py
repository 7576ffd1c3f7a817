"""Phases, means and settling on series with known answers."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnemu.results.phases import (
    Firing,
    Phase,
    cut_phases,
    measured_span,
    step_mean,
)
from vnemu.results.series import Array, mean_rate, window_rates
from vnemu.results.settling import settle

FRAME = 1448


def counter(rates_mbit: Array, step_s: float = 0.1) -> tuple[Array, Array]:
    """Samples of a counter that rises at one rate after the other, for `step_s` each."""
    time_s = step_s * np.arange(len(rates_mbit) + 1)
    return time_s, np.concatenate([[0.0], np.cumsum(rates_mbit) * step_s * 1e6 / 8])


def spans(phases: list[Phase]) -> list[tuple[float, float]]:
    return [(phase.start_s, phase.end_s) for phase in phases]


def test_phases_are_cut_at_the_actual_times() -> None:
    phases = cut_phases([Firing(20, 20.002), Firing(30, 30.01)], 40.0)
    assert spans(phases) == [(0, 20.002), (20.002, 30.01), (30.01, 40)]
    assert [phase.number for phase in phases] == [1, 2, 3]


def test_events_that_belong_together_make_one_boundary() -> None:
    together = [Firing(20, 20.001), Firing(20, 20.9), Firing(20.04, 20.95)]
    assert spans(cut_phases(together, 40.0)) == [(0, 20.001), (20.001, 40)]


def test_late_events_do_not_change_the_numbers_of_the_phases() -> None:
    late = [Firing(10, 12.0), Firing(11, 12.01)]
    assert spans(cut_phases(late, 20.0)) == [(0, 12.0), (12.0, 12.01), (12.01, 20)]


def test_an_event_at_the_edge_of_the_run_makes_no_phase() -> None:
    assert spans(cut_phases([Firing(0, 0.01), Firing(40, 40.01)], 40.0)) == [(0, 40)]
    assert cut_phases([], 0.0) == []


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 3)), max_size=6),
    st.floats(0.1, 40),
)
def test_phases_cover_the_run(events: list[tuple[float, float]], end_s: float) -> None:
    phases = cut_phases([Firing(at, at + late) for at, late in events], end_s)
    assert phases[0].start_s == 0
    assert phases[-1].end_s == end_s
    for one, two in itertools.pairwise(phases):
        assert one.end_s == two.start_s
        assert one.start_s <= one.end_s


@pytest.mark.parametrize(
    ("phase", "active", "span"),
    [
        ((0, 20), (), (1, 20)),
        ((20, 21), (), (20.5, 21)),
        ((0, 20), (5.0, 15.0), (6, 15)),
        ((10, 20), (5.0, 11.0), (10.5, 11)),
        ((10, 20), (20.0, 30.0), None),
        ((10, 20), (0.0, 9.0), None),
    ],
)
def test_the_first_second_does_not_count(
    phase: tuple[float, float], active: tuple[float, ...], span: tuple[float, float] | None
) -> None:
    assert measured_span(Phase(1, *phase), *active) == span


def test_a_mean_is_interpolated_between_samples() -> None:
    time_s, bytes_ = counter(np.repeat([8.0, 16.0], 10))
    assert mean_rate(time_s, bytes_, 0, 2) == pytest.approx(12)
    assert mean_rate(time_s, bytes_, 0.955, 1.055) == pytest.approx((0.045 * 8 + 0.055 * 16) / 0.1)
    with pytest.raises(ValueError, match="samples"):
        mean_rate(time_s[:0], bytes_[:0], 0, 1)


def test_a_counter_stands_still_where_there_are_no_samples() -> None:
    time_s, bytes_ = counter(np.repeat(8.0, 10))
    assert mean_rate(time_s, bytes_, 0, 2) == pytest.approx(4)


def test_windows_begin_where_they_are_asked_to() -> None:
    time_s, bytes_ = counter(np.repeat([8.0, 16.0], 10))
    starts, rates = window_rates(time_s, bytes_, 0.95, 1.25)
    assert starts == pytest.approx([0.95, 1.05, 1.15])
    assert rates == pytest.approx([12, 16, 16])


def test_the_mean_of_ideals_is_weighted_by_time() -> None:
    assert step_mean([0, 10], [10.0, 30.0], 5, 25) == pytest.approx(25)
    assert step_mean([10], [30.0], 0, 20) == 30
    assert step_mean([10], [30.0], 0, 9) is None
    assert step_mean([], [], 0, 9) is None


def settled(rates: Array, mean: float, at_s: float = 0.0) -> tuple[float | None, int]:
    time_s, bytes_ = counter(rates)
    found = settle(
        time_s, bytes_, at_s=at_s, end_s=float(time_s[-1]), level_mbit=mean, frame_bytes=FRAME
    )
    after_s = found.settle_s
    return None if after_s is None else round(after_s, 9), found.strays


def test_a_flow_that_changes_at_once_settles_at_once() -> None:
    rates = np.concatenate([np.repeat(15.3, 200), np.repeat(28.7, 200)])
    assert settled(rates, 28.7, 20.0) == (0.0, 0)


def test_windows_are_laid_from_the_event_not_from_the_samples() -> None:
    rates = np.concatenate([np.repeat(15.3, 200), np.repeat(28.7, 200)])
    # 60 ms of the first window are old: 20.7 Mbit/s.
    assert settled(rates, 28.7, 19.94) == (0.1, 0)


def test_a_slow_change_settles_when_it_is_within_five_percent() -> None:
    rates = np.concatenate([[16.0, 24.0, 27.0, 27.5], np.repeat(28.7, 196)])
    assert settled(rates, 28.7) == (0.3, 0)


def test_one_frame_more_or_less_is_no_deviation() -> None:
    frames = np.where(np.arange(200) % 3 == 0, 15.5, 17.3)
    rates = frames * FRAME * 8 / 0.1 / 1e6
    mean = float(rates.mean())
    assert abs(rates / mean - 1).max() > 0.05
    assert settled(rates, mean) == (0.0, 0)


def test_a_restless_level_is_reached_when_it_is_as_restless_as_later() -> None:
    noise = np.where(np.arange(200) % 4 == 0, 1.12, 0.96)
    rates = 30 * noise
    rates[:10] = 15.0
    assert settled(rates, 30.0) == (1.0, 0)
    time_s, bytes_ = counter(rates)
    found = settle(time_s, bytes_, at_s=0, end_s=20, level_mbit=30.0, frame_bytes=0)
    assert found.band == pytest.approx(0.12)


def test_few_strays_later_are_counted_not_judged() -> None:
    rates = np.repeat(28.7, 200)
    rates[[50, 120, 180]] = 20.0
    assert settled(rates, 28.7) == (0.0, 3)


def test_more_than_two_percent_of_strays_put_it_off() -> None:
    rates = np.repeat(28.7, 200)
    rates[40:50] = 20.0
    assert settled(rates, 28.7) == (5.0, 0)


def test_a_transient_cannot_pass_for_strays() -> None:
    rates = np.repeat(28.7, 200)
    rates[1:4] = 35.0
    assert settled(rates, 28.7) == (0.4, 0)


def test_a_flow_that_never_gets_there_has_not_settled() -> None:
    assert settled(np.where(np.arange(200) % 20 < 10, 20.0, 40.0), 30.0) == (None, 0)
    assert settled(np.array([]), 30.0) == (None, 0)


def test_the_very_end_of_a_phase_is_too_short_to_settle_in() -> None:
    rates = np.repeat(20.0, 200)
    rates[-5:] = 28.7
    assert settled(rates, 28.7) == (None, 0)
