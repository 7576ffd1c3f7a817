"""Medians and their intervals, against the tables and by trial."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnemu.results.statistics import FEWEST, spread


# Le Boudec (2010), table A.1: n, and the ranks (from 1) between which the median lies at 95%.
@pytest.mark.parametrize(
    ("n", "j", "k"),
    [(6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (12, 3, 10), (15, 4, 12), (20, 6, 15),
     (30, 10, 21), (50, 18, 33), (70, 27, 44)],
)  # fmt: skip
def test_ranks_of_the_table(n: int, j: int, k: int) -> None:
    found = spread(range(1, n + 1))
    assert (found.low, found.high) == (j, k)


def test_fewer_values_have_no_interval() -> None:
    assert spread(range(FEWEST)).low is not None
    found = spread(range(FEWEST - 1))
    assert (found.low, found.high) == (None, None)


def test_quartiles_are_tukeys_hinges() -> None:
    found = spread([9, 1, 5, 3, 7])
    assert (found.min, found.lower, found.median, found.upper, found.max) == (1, 3, 5, 7, 9)
    assert spread([4.0]).lower == spread([4.0]).upper == 4.0


def test_what_never_was_counts_as_later_than_all_that_was() -> None:
    found = spread([1.0, 2.0, math.inf])
    assert found.median == 2.0
    assert found.max == math.inf
    assert spread([1.0, math.inf]).median == math.inf
    assert spread([math.inf] * 7).low == math.inf


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    chance = random.Random(1)
    samples = ([chance.expovariate(1) for _ in range(10)] for _ in range(2000))
    covered = 0
    for values in samples:
        found = spread(values)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= math.log(2) <= found.high
    assert 0.96 < covered / 2000 < 0.995  # 0.979 by the binomial distribution


@given(st.lists(st.floats(allow_nan=False), min_size=1, max_size=40))
def test_all_that_describes_is_in_order(values: list[float]) -> None:
    found = spread(values)
    inner = [found.low, found.median, found.high] if found.low is not None else [found.median]
    for ordered in ([found.lower, found.median, found.upper], inner):
        chain = [found.min, *ordered, found.max]
        assert chain == sorted(chain)  # type: ignore[type-var]
