"""Quantities: read, written, refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnemu.units import Duration, Quantity, Rate, Share, Size

KINDS = [Rate, Duration, Size, Share]
TOP: dict[type[Quantity], int] = {Share: 10**6}


@st.composite
def quantities(draw: st.DrawFn) -> Quantity:
    kind = draw(st.sampled_from(KINDS))
    return kind(draw(st.integers(0, TOP.get(kind, 2**63 - 1))))


@given(quantities())
def test_text_and_quantity_are_the_same(quantity: Quantity) -> None:
    assert type(quantity).parse(str(quantity)) == quantity


@given(quantities(), quantities())
def test_order_is_that_of_amounts(one: Quantity, other: Quantity) -> None:
    if type(one) is type(other):
        assert (one < other) == (one.amount < other.amount)
        assert (one <= other) == (one.amount <= other.amount)
    else:
        assert one != other


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    for kind in KINDS:
        with contextlib.suppress(ValueError):
            assert kind.parse(text).amount >= 0


@pytest.mark.parametrize(
    ("kind", "text", "amount"),
    [
        (Rate, "32mbit", 32_000_000),
        (Rate, " 3.2 Gbit ", 3_200_000_000),
        (Rate, "10mbit/s", 10_000_000),
        (Rate, "1kibit", 1024),
        (Rate, "1e3kbit", 1_000_000),
        (Rate, "0bit", 0),
        (Duration, "10ms", 10_000_000),
        (Duration, ".5s", 500_000_000),
        (Duration, "2min", 120 * 10**9),
        (Size, "1500b", 1500),
        (Size, "4KiB", 4096),
        (Share, "0.1%", 1000),
        (Share, "1ppm", 1),
        (Share, "100%", 10**6),
    ],
)
def test_reads(kind: type[Quantity], text: str, amount: int) -> None:
    assert kind.parse(text) == kind(amount)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (Rate, "32", "'32' has no unit: write it like 32mbit"),
        (Rate, 32, "a rate needs a unit: write it like 32mbit"),
        (Rate, 0, "a rate needs a unit: write it like 32mbit"),
        (Rate, -3, "a rate needs a unit: write it like 32mbit"),
        (Rate, True, "a rate is written like 32mbit"),
        (Rate, None, "a rate is written like 32mbit"),
        (Rate, "", "'' is not a rate: write it like 32mbit"),
        (Rate, "mbit", "'mbit' is not a rate: write it like 32mbit"),
        (Rate, "-1mbit", "'-1mbit' is negative: a rate is not"),
        (Rate, "9e18gbit", "'9e18gbit' is out of range for a rate"),
        (Rate, "9223372036854775807.9bit", "'9223372036854775807.9bit' is out of range for a rate"),
        (
            Rate,
            "4mbps",
            "'4mbps' is ambiguous (tc reads mbps as bytes a second): "
            "write 4mbit for bits or 32mbit for bytes",
        ),
        (
            Rate,
            "1.5bps",
            "'1.5bps' is ambiguous (tc reads bps as bytes a second): "
            "write 1.5bit for bits or 12bit for bytes",
        ),
        (
            Rate,
            "4miles",
            "'4miles' has the unknown unit 'miles': "
            "a rate is written with one of tbit, gbit, mbit, kbit, bit",
        ),
        (Rate, "1" * 41, f"'{'1' * 37}...' is not a rate: write it like 32mbit"),
        (Duration, 5, "a duration needs a unit: write it like 5s"),
        (Size, 5, "a size needs a unit: write it like 5b"),
        (Share, "101%", "'101%' is more than 100%"),
        (Share, 2, "a percentage needs a unit: write it like 2%"),
        (
            Share,
            0.02,
            "a percentage needs a unit: write it like 2% (or 0.02%, if that is meant)",
        ),
    ],
)
def test_refuses(kind: type[Quantity], value: object, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below
        kind.parse(value)
    assert str(caught.value) == message


def test_readings() -> None:
    assert Rate.parse("32mbit").mbit == 32
    assert Rate.parse("32mbit").bps == 32_000_000
    assert Duration.parse("20ms").seconds == 0.02
    assert Size.parse("1kb").bytes == 1000
    assert Share.parse("2%").fraction == 0.02
