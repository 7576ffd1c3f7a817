"""The bytes of the requests for shapers, queues and netem, as pyroute2's decoders read them."""

from __future__ import annotations

import itertools
import statistics
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.tcmsg import tcmsg

from tests.netlink_decoding import EXCLUSIVE, REPLACING, ROOT, decoded, nested, options
from vnemu.drivers import netem, queues, red, tc
from vnemu.drivers.bucket import bucket, bucket_state
from vnemu.drivers.netlink import attributes, text
from vnemu.plan.control import DEFAULTS, Bucket, Discipline, Distribution, Netem, Queue
from vnemu.plan.facts import facts


class TestShaper:
    def test_root(self) -> None:
        request = tc.new_htb(101, 1, tc.size_table(50, 1448, 66))
        found = decoded(request, tcmsg)
        assert (request.kind, request.flags) == (36, EXCLUSIVE)
        assert (found["index"], found["handle"], found["parent"]) == (101, 0x10000, ROOT)
        assert found.get_attr("TCA_KIND") == "htb"
        init = nested(found, "TCA_OPTIONS", "TCA_HTB_INIT")
        assert (init["version"], init["rate2quantum"], init["defcls"]) == (3, 10, 1)

    @pytest.mark.parametrize(
        ("rate", "ceil"),
        [(125, 125_000), (4_000_000, 4_000_000), (2**32 - 1, 2**32), (12_500_000_000, 2**40)],
    )
    @pytest.mark.parametrize("parent", [0, 1])
    def test_class(self, rate: int, ceil: int, parent: int) -> None:
        request = tc.htb_class(101, 0x11, parent, rate, ceil)
        found = decoded(request, tcmsg)
        assert (request.kind, request.flags) == (40, EXCLUSIVE)
        assert (found["handle"], found["parent"]) == (0x10011, 0x10000 | parent)
        options = found.get_attr("TCA_OPTIONS")
        parms = options.get_attr("TCA_HTB_PARMS")
        most = 2**32 - 1
        assert (parms["rate"], parms["ceil"]) == (min(rate, most), min(ceil, most))
        assert options.get_attr("TCA_HTB_RATE64") == (rate if rate > most else None)
        assert options.get_attr("TCA_HTB_CEIL64") == (ceil if ceil > most else None)
        assert parms["quantum"] == 1514
        assert parms["rate_cell_log"] == parms["rate_overhead"] == 0

    @pytest.mark.parametrize("rate", [125, 125_000, 4_000_000, 12_500_000_000])
    def test_burst_in_ticks_of_64_ns(self, rate: int) -> None:
        parms = nested(
            decoded(tc.htb_class(1, 2, 1, rate, rate), tcmsg), "TCA_OPTIONS", "TCA_HTB_PARMS"
        )
        expected_ns = tc.burst(rate) / rate * 1e9
        assert parms["buffer"] == parms["cbuffer"] == int(min(expected_ns // 64, 2**32 - 1))
        assert tc.burst(rate) >= 2 * 1514

    def test_change_makes_no_new_class(self) -> None:
        assert tc.htb_class(101, 0x11, 1, 1, 1, new=False).flags == 0

    def test_delete_class(self) -> None:
        request = tc.delete_class(101, 0x11)
        assert request.kind == 41
        assert decoded(request, tcmsg)["handle"] == 0x10011

    @pytest.mark.parametrize("rates", [(125, 250), (2**31, 2**32), (2**40, 2**41)])
    def test_class_rates(self, rates: tuple[int, int]) -> None:
        assert tc.class_rates(tc.htb_class(1, 2, 1, *rates).body) == rates

    def test_counters_of_a_qdisc_without_statistics(self) -> None:
        assert tc.counters(tc.tc_body(1)) == tc.Counters(0, 0, 0, 0)

    def test_delete_root(self) -> None:
        request = tc.delete_root(101)
        assert request.kind == 37
        assert decoded(request, tcmsg)["parent"] == ROOT


class TestQueues:
    def test_byte_queue(self) -> None:
        request = queues.queue(101, 0x11, 30_280)
        found = decoded(request, tcmsg)
        assert request.flags == EXCLUSIVE
        assert (found["handle"], found["parent"]) == (0x120000, 0x10011)
        assert found.get_attr("TCA_KIND") == "bfifo"
        assert struct.unpack("=I", options(request)) == (30_280,)

    @pytest.mark.parametrize("minor", [1, 0x10, 0xFFFE])
    def test_queues_of_different_classes_have_different_handles(self, minor: int) -> None:
        handle = decoded(queues.queue(1, minor, 1), tcmsg)["handle"]
        assert handle & 0xFFFF == 0
        assert 0x20000 <= handle <= 0xFFFF0000

    def test_another_discipline_takes_the_place_of_what_is_there(self) -> None:
        request = of(Queue("", "", 0x11, 30_280, "codel"), new=False)
        found = decoded(request, tcmsg)
        assert request.flags == REPLACING
        assert (found["handle"], found["parent"]) == (0, 0x10011)

    def test_fq_codel(self) -> None:
        times = (("target", 3_000_000), ("interval", 50_000_000), ("ecn", 0))
        found = decoded(of(Queue("", "", 1, 1_514_000, "fq_codel", times)), tcmsg)
        assert found.get_attr("TCA_KIND") == "fq_codel"
        got = found.get_attr("TCA_OPTIONS")
        assert got.get_attr("TCA_FQ_CODEL_TARGET") == 3000
        assert got.get_attr("TCA_FQ_CODEL_INTERVAL") == 50_000
        assert got.get_attr("TCA_FQ_CODEL_ECN") == 0
        assert got.get_attr("TCA_FQ_CODEL_MEMORY_LIMIT") == 2_304_000  # 1000 full frames

    def test_codel(self) -> None:
        found = decoded(of(Queue("", "", 1, 30_280, "codel")), tcmsg)
        got = found.get_attr("TCA_OPTIONS")
        assert got.get_attr("TCA_CODEL_LIMIT") == 20
        assert got.get_attr("TCA_CODEL_TARGET") == 5000
        assert got.get_attr("TCA_CODEL_INTERVAL") == 100_000

    def test_cake(self) -> None:
        found = decoded(of(Queue("", "", 1, 1_514_000, "cake")), tcmsg)
        got = found.get_attr("TCA_OPTIONS")
        assert got.get_attr("TCA_CAKE_RTT") == 100_000
        assert got.get_attr("TCA_CAKE_TARGET") == 5000
        assert got.get_attr("TCA_CAKE_MEMORY") == 2_304_000

    def test_red(self) -> None:
        request = of(Queue("", "", 1, 120_000, "red", (("ecn", 1),)))
        assert decoded(request, tcmsg).get_attr("TCA_KIND") == "red"
        limit, low, high, *_, flags = struct.unpack("=IIIBBBB", attributes(options(request))[1])
        assert (limit, low, high, flags) == (120_000, 10_000, 30_000, 1)

    @pytest.mark.parametrize("discipline", DEFAULTS)
    @pytest.mark.parametrize("limit", [1, 1514, 30_281, 10**8])
    def test_what_is_asked_for_is_read_back(self, discipline: Discipline, limit: int) -> None:
        item = Queue("", "", 1, limit, discipline)
        (wanted,) = facts([item]).values()
        assert queues.queue_state(as_the_kernel_shows(item)) == wanted

    def test_none_of_ours_is_told_by_its_name(self) -> None:
        body = tc.tc_body(1) + text(tc.TCA_KIND, "pfifo")
        assert queues.queue_state(body) == ("pfifo",)


def of(item: Queue, new: bool = True) -> Any:
    return queues.queue(101, item.minor, item.limit, item.discipline, item.settings, new)


def as_the_kernel_shows(item: Queue) -> bytes:
    """codel and fq_codel keep times in units of 1024 ns and show them in µs, rounded down."""
    shown = dict(item.settings)
    if "codel" in item.discipline:
        for name in ("target", "interval"):
            shown[name] = (shown[name] >> 10 << 10) // 1000 * 1000
    return bytes(queues.queue(1, 1, item.limit, item.discipline, shown).body)


class TestRed:
    """net/sched/sch_red.c and include/net/red.h: what the kernel takes, and how it uses it."""

    @pytest.mark.parametrize("limit", [1, 3000, 30_280, 400_000, 10**7, 10**9])
    @pytest.mark.parametrize("rate", [10**6, 10**9])
    def test_the_kernel_takes_it(self, limit: int, rate: int) -> None:
        low, high, weight, fraction, cell, table = parms(limit, rate)
        assert 0 < low < high
        assert high.bit_length() + weight < 32
        assert 0 < fraction < 32
        assert cell < 32
        assert len(table) == 256
        assert max(table) < 32

    def test_the_average_forgets_as_if_packets_had_come(self) -> None:
        rate = 10**7
        _, _, weight, _, cell, table = parms(400_000, rate)
        for entry in (20, 100):
            packets = (entry << cell) * 1e-6 * rate / 8000
            assert 2.0 ** -table[entry] == pytest.approx((1 - 2.0**-weight) ** packets, rel=0.45)

    def test_a_usual_burst_does_not_reach_the_lower_threshold(self) -> None:
        low, high, weight, *_ = parms(400_000, 10**7)
        average, burst = 0.0, (2 * low + high) // 3 // 1000
        for waiting in range(burst):
            average += (waiting * 1000 - average) * 2.0**-weight
        assert average < low


def parms(limit: int, rate: int) -> tuple[int, int, int, int, int, bytes]:
    found = attributes(red.red(limit, False, rate))
    numbers: tuple[int, ...] = red.PARMS.unpack(found[1])
    _, low, high, weight, fraction, cell, _ = numbers
    return low, high, weight, fraction, cell, found[2]


PLAIN = Netem("", "", 0, 0, 0.0, 1000)


class TestNetem:
    def test_delay_and_loss(self) -> None:
        request = netem.netem(101, replace(PLAIN, delay=5 * 10**9, loss=0.25, limit=1234))
        found = decoded(request, tcmsg)
        assert request.flags == EXCLUSIVE
        assert (found["parent"], found.get_attr("TCA_KIND")) == (ROOT, "netem")
        assert struct.unpack_from("=IIIIII", options(request)) == (0, 1234, 2**30, 0, 0, 0)
        parts = parts_of(replace(PLAIN, delay=5 * 10**9))
        assert parts[10] == struct.pack("=q", 5 * 10**9)
        assert parts[11] == bytes(8)
        assert parts[6][:4] == bytes(4)  # no rate, also if there was one before

    def test_a_change_replaces(self) -> None:
        assert netem.netem(101, replace(PLAIN, delay=1), PLAIN).flags == REPLACING

    def test_order_is_kept_under_jitter(self) -> None:
        parts = parts_of(replace(PLAIN, delay=10**7, jitter=4 * 10**9))
        assert parts[11] == struct.pack("=q", 4 * 10**9)
        assert struct.unpack("=IiIi", parts[6]) == (2**32 - 1, 0, 0, 0)
        (octets_a_second,) = struct.unpack("=Q", parts[8])
        assert 1514 * 10**9 // octets_a_second <= 1  # ns for a full frame

    @pytest.mark.parametrize(("loss", "shown"), [(0.0, 0), (1.0, 2**32 - 1), (0.001, 4294967)])
    def test_loss(self, loss: float, shown: int) -> None:
        content = options(netem.netem(1, replace(PLAIN, loss=loss)))
        assert struct.unpack_from("=IIIIII", content)[2] == shown

    def test_what_befalls_single_frames(self) -> None:
        item = replace(PLAIN, duplicate=0.25, corrupt=0.5, reorder=0.75, delay_correlation=0.125)
        head = struct.unpack_from("=IIIIII", options(netem.netem(1, item)))
        assert head[3:5] == (1, 2**30)  # gap, duplicate
        parts = parts_of(item)
        assert struct.unpack("=III", parts[1]) == (2**29, 0, 0)
        assert struct.unpack("=II", parts[3]) == (round(0.75 * (2**32 - 1)), 0)
        assert struct.unpack("=II", parts[4]) == (2**31, 0)

    def test_what_is_taken_away_is_set_to_nothing(self) -> None:
        """The kernel keeps what is left out."""
        before = replace(PLAIN, corrupt=0.5, reorder=0.5, delay_correlation=0.5)
        parts = attributes(options(netem.netem(1, PLAIN, before)), 24)
        assert (parts[1], parts[3], parts[4]) == (bytes(12), bytes(8), bytes(8))
        assert 5 not in parts  # without a model of loss, each frame's is its own again

    def test_gilbert_elliott(self) -> None:
        parts = parts_of(replace(PLAIN, gilbert_elliott=(0.25, 0.5, 1.0, 0.0)))
        model = attributes(parts[5])[2]
        assert struct.unpack("=IIII", model) == (2**30, 2**31, 0, 0)  # p, r, h, k1

    @given(st.floats(0.001, 0.9), st.floats(0.001, 0.999))
    def test_correlated_loss_is_as_much_as_asked(self, loss: float, follows: float) -> None:
        chain = replace(PLAIN, loss=loss, loss_correlation=follows).chain
        assert chain is not None
        p, r, bad, good = chain
        assert (bad, good) == (1.0, 0.0)
        assert p / (p + r) == pytest.approx(loss)
        assert 1 - p - r == pytest.approx(follows)  # the chain's own correlation

    def test_a_new_one_is_even_without_a_table(self) -> None:
        assert 2 not in parts_of(replace(PLAIN, jitter=1))

    @pytest.mark.parametrize(
        ("before", "after", "sent"),
        [
            ("uniform", "normal", True),
            ("normal", "normal", False),
            ("normal", "uniform", True),
            ("pareto", "normal", True),
            ("uniform", "uniform", False),
        ],
    )
    def test_a_table_is_sent_when_the_distribution_changes(
        self, before: Distribution, after: Distribution, sent: bool
    ) -> None:
        old, new = (replace(PLAIN, jitter=1, distribution=name) for name in (before, after))
        content = attributes(options(netem.netem(1, new, old)), 24)
        assert (content.get(2) == netem.table(after)) is sent

    @pytest.mark.parametrize("ppm", [0, 1, 1000, 333_333, 10**6])
    def test_all_is_read_back(self, ppm: int) -> None:
        share = ppm / 1e6
        item = replace(PLAIN, delay=10**10, jitter=10**9, loss=share, delay_correlation=share)
        item = replace(item, duplicate=share, corrupt=share, reorder=share)
        (wanted,) = facts([item]).values()
        assert netem.netem_state(netem.netem(1, item).body) == wanted

    @pytest.mark.parametrize("ppm", [1, 1000, 333_333, 10**6])
    def test_a_model_of_loss_is_read_back(self, ppm: int) -> None:
        item = replace(PLAIN, gilbert_elliott=(ppm / 1e6, 0.25, ppm / 1e6, 0.125))
        (wanted,) = facts([item]).values()
        assert netem.netem_state(netem.netem(1, item).body) == wanted

    def test_it_is_not_there(self) -> None:
        assert netem.netem_state(tc.new_htb(1, 0).body) is None


def parts_of(item: Netem) -> dict[int, bytes]:
    return attributes(options(netem.netem(1, item)), 24)


class TestDistributions:
    @pytest.mark.parametrize(
        ("name", "mean", "deviation", "bounds"),
        [
            ("uniform", 0.0, 3**-0.5, (-1.0, 1.0)),
            ("normal", 0.0, 1.0, (-4.0, 4.0)),
            # 16 bits cut the long tail off, of which much of the deviation comes.
            ("pareto", -0.02, 0.8, (-2 / 3, 4.0)),
            ("paretonormal", -0.02, 0.83, (-2.0, 4.0)),
        ],
    )
    def test_shape(
        self, name: Distribution, mean: float, deviation: float, bounds: tuple[float, float]
    ) -> None:
        found = [value / 8192 for (value,) in struct.iter_unpack("=h", netem.table(name))]
        assert statistics.fmean(found) == pytest.approx(mean, abs=0.02)
        assert statistics.pstdev(found) == pytest.approx(deviation, rel=0.05)
        assert bounds[0] <= min(found)
        assert max(found) <= bounds[1]
        assert all(a <= b for a, b in itertools.pairwise(found))


def charged(overhead: int, length: int, least: int = 0) -> int:
    """What the kernel makes of a packet of `length` bytes (__qdisc_calculate_pkt_len)."""
    table = attributes(attributes(tc.size_table(overhead, 1448, 66, least))[8])
    cell_log, size_log, _, shift, _, _, _, slots = struct.unpack("=BBhiIIII", table[1])
    data = struct.unpack(f"={slots}H", table[2])
    slot = max(length + shift, 0) >> cell_log
    if slot < slots:
        return int(data[slot] << size_log)
    return int(data[-1] * (slot // slots) + data[slot % slots])


class TestSizeTable:
    @pytest.mark.parametrize("overhead", [0, 50])
    def test_a_full_frame_is_charged_as_it_is(self, overhead: int) -> None:
        assert charged(overhead, 1514 + overhead) == 1514

    @pytest.mark.parametrize("overhead", [0, 50])
    @given(segments=st.integers(2, 44))
    def test_full_segments_are_charged_frame_by_frame(self, overhead: int, segments: int) -> None:
        packet = 66 + segments * 1448 + overhead
        assert charged(overhead, packet) == pytest.approx(segments * 1514, rel=0.01)

    @pytest.mark.parametrize("overhead", [0, 50])
    @given(length=st.integers(60, 1513))
    def test_small_frames_are_charged_within_8_bytes(self, overhead: int, length: int) -> None:
        # The entries of bare acknowledgements and of full frames are exact for these.
        usual = {66 // 16: 66, 1514 // 16: 1514}.get(length // 16)
        charge = charged(overhead, length + overhead)
        assert charge == usual if usual else abs(charge - length) <= 8

    @given(st.integers(60, 65_600), st.integers(1, 1000))
    def test_a_longer_packet_is_not_cheaper(self, length: int, more: int) -> None:
        longer = min(length + more, 65_600)
        assert charged(50, longer + 50) >= charged(50, length + 50) - 8

    def test_the_largest_packet_has_an_entry(self) -> None:
        assert charged(50, 65_536 + 14 + 50) > 65_536

    @given(length=st.integers(14, 1514), least=st.integers(1, 1514))
    def test_a_frame_is_charged_the_least_at_least(self, length: int, least: int) -> None:
        charge = charged(0, length, least)
        assert charge >= least
        assert charge <= max(length + 9, least + 1)

    @given(segments=st.integers(1, 45))
    def test_segments_count_as_the_frames_that_they_are(self, segments: int) -> None:
        counted = charged(0, 66 + segments * 1448, 1514) / 1514
        assert counted == pytest.approx(segments, abs=0.01)


BUCKET = Bucket("", "", 32_000_000, 30_280)


class TestBucket:
    @pytest.mark.parametrize("rate", [1000, 32_000_000, 2**35 - 8, 2**43])
    @pytest.mark.parametrize("least", [0, 64, 1514])
    @pytest.mark.parametrize("cut", [0, 1514])
    def test_it_is_read_back(self, rate: int, least: int, cut: int) -> None:
        item = replace(BUCKET, rate=rate, least=least, cut=cut)
        (wanted,) = facts([item]).values()
        assert bucket_state(bucket(item, 101).body) == wanted

    def test_what_the_kernel_is_told(self) -> None:
        request = bucket(BUCKET, 101)
        found = decoded(request, tcmsg)
        assert (request.kind, request.flags) == (36, EXCLUSIVE)
        assert (found["handle"], found["parent"]) == (0x10000, ROOT)
        assert found.get_attr("TCA_KIND") == "tbf"
        assert found.get_attr("TCA_STAB") is None
        content = attributes(options(request))
        assert len(content[1]) == 36  # struct tc_tbf_qopt
        assert struct.unpack_from("=8xI8xII", content[1]) == (4_000_000, 0, 30_280)
        assert content[6] == struct.pack("=I", tc.burst(4_000_000))
        assert set(content) == {1, 6}

    def test_what_is_cut_is_told_by_a_peak_rate_that_holds_nothing_up(self) -> None:
        content = attributes(options(bucket(replace(BUCKET, cut=1514), 101)))
        assert content[7] == struct.pack("=I", 1514)
        (peak,) = struct.unpack("=Q", content[5])
        assert 65_536 * 10**9 / peak < 1  # ns that the largest packet takes

    def test_a_change_keeps_what_waits(self) -> None:
        request = bucket(BUCKET, 101, new=False)
        assert (request.flags, decoded(request, tcmsg)["handle"]) == (REPLACING, 0x10000)

    def test_it_is_not_there(self) -> None:
        assert bucket_state(tc.new_htb(1, 0).body) is None
