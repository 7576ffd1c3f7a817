"""Bandwidth traces: what a file says, as rates over time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vnemu.schema.traces import FRAME_BITS, Trace, format_of, read_trace
from vnemu.schema.wording import Mark
from vnemu.units import Duration, Rate

MS = 10**6


def read(path: Path, text: str, width: Duration | None = None) -> Trace:
    path.write_text(text)
    trace, findings = read_trace(path, Mark("x.yaml", 1, 1), width=width)
    assert findings == []
    assert trace is not None
    return trace


def test_csv_with_a_unit_for_each_rate(tmp_path: Path) -> None:
    trace = read(tmp_path / "t.csv", "time_s,rate\n0,10mbit\n# a remark\n\n0.5, 1.5 Gbit/s\n")
    assert trace.points == ((0, Rate.parse("10mbit")), (500 * MS, Rate.parse("1.5gbit")))
    assert trace.length == 1000 * MS, "the last rate holds as long as the one before"


@pytest.mark.parametrize("unit", ["kbit", "kbit/s", "KBIT"])
def test_csv_with_a_unit_in_the_header(tmp_path: Path, unit: str) -> None:
    trace = read(tmp_path / "t.csv", f"time_s,rate_{unit}\n1,64\n2,128.5\n")
    assert trace.points == ((1000 * MS, Rate(64_000)), (2000 * MS, Rate(128_500)))


def test_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    trace = read(tmp_path / "t.csv", "\ufefftime_s,rate_mbit\r\n0,1\r\n1,2\r\n")
    assert [rate.mbit for _, rate in trace.points] == [1, 2]


def test_a_rate_is_at_least_a_frame_in_the_time_that_it_holds(tmp_path: Path) -> None:
    trace = read(tmp_path / "t.csv", "time_s,rate_mbit\n0,0\n0.1,5\n0.2,0\n100.2,0\n")
    assert [rate.bps for _, rate in trace.points] == [FRAME_BITS * 10, 5_000_000, 1000, 1000]
    quick = read(tmp_path / "t.csv", "time_s,rate_mbit\n0,0\n0.001,5\n")
    assert [rate.bps for _, rate in quick.points] == [FRAME_BITS * 50, 5_000_000]


def test_mahimahi_counts_packets_in_bins(tmp_path: Path) -> None:
    steady = "".join(f"{ms}\n" for ms in range(1, 201))
    trace = read(tmp_path / "12mbps", steady)
    assert trace.points == ((0, Rate(FRAME_BITS * 1000)), (100 * MS, Rate(FRAME_BITS * 1000)))
    assert trace.length == 200 * MS


def test_a_mahimahi_trace_of_one_line_is_a_steady_link(tmp_path: Path) -> None:
    trace = read(tmp_path / "t", "1\n")
    assert trace.points == ((0, Rate(FRAME_BITS * 1000)),)
    assert trace.length == MS


def test_mahimahi_bins_that_do_not_fit_the_trace(tmp_path: Path) -> None:
    trace = read(tmp_path / "t", "0\n10\n10\n50\n75\n", width=Duration(50 * MS))
    packets = [
        rate.bps * span / FRAME_BITS
        for (_, rate), span in zip(trace.points, (0.05, 0.025), strict=True)
    ]
    assert packets == [4, 1]


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=300))
def test_mahimahi_keeps_the_packets_of_the_trace(
    tmp_path_factory: pytest.TempPathFactory, times: list[int]
) -> None:
    text = "".join(f"{ms}\n" for ms in sorted(times))
    trace = read(tmp_path_factory.getbasetemp() / "kept", text)
    ends = [*(at for at, _ in trace.points[1:]), trace.length]
    spans = [end - at for (at, _), end in zip(trace.points, ends, strict=True)]
    sent = [
        rate.bps * span / 1e9 / FRAME_BITS
        for (_, rate), span in zip(trace.points, spans, strict=True)
    ]
    # A bin without a packet has one all the same, or as much as the slowest link sends.
    empty = sum(count < 1.01 for count in sent)
    assert len(times) - 0.01 <= sum(sent) <= len(times) + empty + 0.01
    assert trace.length == max(times) * MS


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.csv", "csv"), ("A.CSV", "csv"), ("lte.up", "mahimahi"), ("x", "mahimahi")],
)
def test_the_name_tells_the_format(name: str, kind: str) -> None:
    assert format_of(name) == kind


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    trace, findings = read_trace(tmp_path / "pipe.csv", Mark("x.yaml", 7, 3))
    assert trace is None
    assert [str(f.problem) for f in findings] == [
        f"x.yaml:7: {tmp_path}/pipe.csv: is no regular file"
    ]


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"1\n" * (2**23 + 1))
    trace, findings = read_trace(tmp_path / "large", Mark("x.yaml", 7, 3))
    assert trace is None
    assert "but a file may have 16777216 (16 MiB)" in findings[0].message


def test_binary_data_is_no_trace(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(os.urandom(4096))
    trace, findings = read_trace(tmp_path / "t", Mark("x.yaml", 7, 3))
    assert trace is None
    assert len(findings) <= 20
