"""Calibrations in words, in their folder, and in the reports of runs."""

import json
from pathlib import Path
from typing import Any

import pytest

from vnemu.cli.calibration import fidelity_table
from vnemu.errors import InputError
from vnemu.results import calibration_store as store
from vnemu.results.calibration import (
    Calibration,
    CalibrationRow,
    Declared,
    cells,
    markdown_table,
    relevant,
    text_lines,
)
from vnemu.results.record import RunInfo, RunWriter
from vnemu.results.report import build_report
from vnemu.results.runinfo import Machine
from vnemu.results.trust import declared

ROWS = (
    CalibrationRow(what="ceiling", case="over one physical link", unit="Mbit/s", measured=8600),
    *(
        CalibrationRow(
            what="rate",
            case=f"{mbit:g}mbit",
            unit="Mbit/s",
            requested=mbit,
            measured=0.99 * mbit,
            rate_mbit=mbit,
        )
        for mbit in (1.0, 10.0, 100.0, 1000.0)
    ),
    CalibrationRow(what="guarantee", unit="Mbit/s", requested=8, measured=8, rate_mbit=32),
    CalibrationRow(what="delay", case="10ms", unit="ms", requested=10, measured=10.1, p99=10.25),
    CalibrationRow(what="jitter", unit="ms", requested=2, note="no netem in this kernel"),
    CalibrationRow(
        what="loss", case="1%", unit="%", requested=1, measured=1.5, interval=(0.5, 3.1), note="n"
    ),
    CalibrationRow(
        what="clock", case="sleep of 10 ms", unit="ms", requested=10, measured=10.06, p99=11
    ),
)


def calibration(
    kernel: str = "6.1", capsule: str = "root", cpus: int = 2, day: int = 1, **more: Any
) -> Calibration:
    return Calibration(
        measured_at=f"2026-01-{day:02}T10:20:30+00:00",
        kernel=kernel,
        machine=Machine(cpus=cpus, capsule=capsule, load=0.5),
        rows=ROWS,
        **more,
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vnemu"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ceiling over one physical link", ("", "8.600 Gbit/s", "")),
        ("rate 10mbit", ("10.00 Mbit/s", "9.90 Mbit/s", "-1.0%")),
        ("delay 10ms", ("10 ms", "10.1 ms (99%: 10.25 ms)", "+0.100 ms")),
        ("jitter", ("2 ms", "-", "no netem in this kernel")),
        ("loss 1%", ("1 %", "1.5 %", "within chance (0.5 to 3.1 %), n")),
    ],
)
def test_rows_in_words(name: str, shown: tuple[str, str, str]) -> None:
    row = next(row for row in ROWS if row.name == name)
    assert cells(row) == (name, *shown)


def test_more_than_chance() -> None:
    row = CalibrationRow(what="loss", unit="%", requested=1, measured=4, interval=(3.0, 5.0))
    assert cells(row)[3] == "more than chance (3 to 5 %)"


def test_plain_text() -> None:
    title, headings, first, *_ = text_lines(calibration(quick=True))
    assert title == "quick calibration of kernel 6.1 (root), 2026-01-01 10:20 UTC"
    assert headings.split("  ")[0] == "what"
    assert first.endswith("8.600 Gbit/s")


def test_markdown_puts_kernels_side_by_side() -> None:
    shorter = calibration().model_copy(update={"rows": ROWS[:2]})
    lines = markdown_table({"native": shorter, "private": calibration()}).splitlines()
    assert lines[0] == "| what | asked for | native | private |"
    assert lines[3] == "| rate 1mbit | 1.00 Mbit/s | 0.99 Mbit/s; -1.0% | 0.99 Mbit/s; -1.0% |"
    assert lines[4] == "| rate 10mbit | 10.00 Mbit/s |  | 9.90 Mbit/s; -1.0% |"
    assert len(lines) == 2 + len(ROWS)


def names(**asked: Any) -> list[str]:
    return [row.name for row in relevant(calibration(), Declared(**asked))]


ALWAYS = ["ceiling over one physical link", "clock sleep of 10 ms"]


@pytest.mark.parametrize(
    ("rates", "near"),
    [
        ((), []),
        ((32.0,), ["rate 100mbit"]),  # closer than 10, as ratios are
        ((0.064, 12.0), ["rate 1mbit", "rate 10mbit"]),
        ((40_000.0, 0.0), ["rate 1000mbit"]),
    ],
)
def test_rates_near_those_of_the_links(rates: tuple[float, ...], near: list[str]) -> None:
    assert names(rates_mbit=rates) == [ALWAYS[0], *near, ALWAYS[1]]


@pytest.mark.parametrize("key", ["guarantee", "delay", "jitter", "loss"])
def test_qualities_that_a_run_has(key: str) -> None:
    found = names(keys=frozenset({key, "duplicate"}))
    assert [name for name in found if name not in ALWAYS] == [
        row.name for row in ROWS if row.what == key
    ]


def test_declared_in_the_files_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "topology.yaml").write_text(
        "underlay: {machines: [m], links: [{endpoints: [m, n], rate: 32mbit, loss: none}]}\n"
        "networks: {a: {links: [{limit: 5mbit, directions: {r1>r2: {jitter: 1ms}}}]}}\n"
    )
    (tmp_path / "experiment.yaml").write_text(
        "traffic: [{udp: {rate: 77mbit}}]\n"
        "timeline: [{at: 1s, reshape: a/x, guarantee: {from: 1mbit, to: 2mbit}, limit: none}]\n"
    )
    found = declared(tmp_path)
    assert found.rates_mbit == (1.0, 2.0, 5.0, 32.0)
    assert found.keys == {"guarantee", "jitter"}


@pytest.mark.parametrize("text", ["", "- 1", "{", "rate: [1, {rate: x}]", None])
def test_files_that_say_nothing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "topology.yaml").write_text(text)
    assert declared(tmp_path) == Declared()


def test_kept_for_each_kernel_and_capsule(cache: Path) -> None:
    kinds = [("6.1", "root"), ("6.1", "user namespace"), ("6.2/x", "root"), ("6.1", "root")]
    for day, (kernel, capsule) in enumerate(kinds, 1):
        store.save(calibration(kernel, capsule, day=day))
    assert sorted(path.name for path in cache.iterdir()) == [
        "calibration-6.1-root.json",
        "calibration-6.1-user-namespace.json",
        "calibration-6.2-x-root.json",
    ]
    assert [each.measured_at[8:10] for each in store.stored()] == ["04", "03", "02"]


def test_what_was_kept_is_read_back(cache: Path) -> None:
    path = store.save(calibration())
    assert store.stored() == [calibration()]
    assert json.loads(path.read_text())["version"] == 1


@pytest.mark.parametrize("text", ["", "{}", "[]", "\x00", '{"version": 2}'])
def test_what_cannot_be_read_is_as_good_as_nothing(cache: Path, text: str) -> None:
    store.save(calibration())
    (cache / "calibration-x.json").write_text(text)
    assert store.stored() == [calibration()]


@pytest.mark.parametrize(
    ("asked", "day"),
    [
        (("6.1", "root", 2), "01"),
        (("6.1", "user namespace", 2), "02"),
        (("6.1", "other", 2), "02"),  # another capsule of the same kernel: the newest
        (("6.1", "root", 4), None),
        (("6.9", "root", 2), None),
    ],
)
def test_the_newest_of_a_kernel(cache: Path, asked: tuple[str, str, int], day: str | None) -> None:
    store.save(calibration("6.1", "root", day=1))
    store.save(calibration("6.1", "user namespace", day=2))
    found = store.newest(*asked)
    assert (found and found.measured_at[8:10]) == day


@pytest.mark.parametrize("value", ["", "relative/path"])
def test_without_a_cache_folder_it_is_that_of_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    assert store.store_folder() == tmp_path / ".cache" / "vnemu"
    assert store.stored() == []


def test_a_folder_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match="cannot be written"):
        store.save(calibration())


def test_the_table_of_the_page(cache: Path) -> None:
    with pytest.raises(InputError, match="vnemu calibrate --kernel native"):
        fidelity_table()
    store.save(calibration(day=1))
    store.save(calibration("6.2", day=3))
    store.save(calibration("6.1uml", "private kernel", cpus=1, day=2))
    text = fidelity_table()
    assert text.splitlines()[0] == "| what | asked for | native | private kernel |"
    assert "- native: calibration of kernel 6.2 (root), 2026-01-03 10:20 UTC" in text


def report_of(folder: Path, capsule: str, **changes: Any) -> str:
    info = RunInfo(
        experiment="x",
        started="2026-01-01T00:00:00+00:00",
        duration_s=1.0,
        machine=Machine(cpus=2, capsule=capsule),
        **changes,
    )
    topology = "underlay: {links: [{rate: 10mbit, delay: 5ms}]}"
    with RunWriter(folder) as writer:
        writer.begin(info, topology, "timeline: []", "")
        writer.end(1.0, "complete")
    build_report(folder)
    return (folder / "report.html").read_text()


def test_a_report_shows_the_rows_that_concern_it(tmp_path: Path) -> None:
    page = report_of(tmp_path, "root", calibration=calibration().model_dump(mode="json"))
    assert "calibration of kernel 6.1 (root), 2026-01-01 10:20 UTC" in page
    assert "<td>rate 10mbit</td>" in page
    assert "<td>delay 10ms</td>" in page
    assert "<td>rate 1000mbit</td>" not in page
    assert "<td>loss 1%</td>" not in page


@pytest.mark.parametrize(
    ("capsule", "kernel"), [("root", "native"), ("private kernel", "private"), ("", "native")]
)
def test_a_report_without_one_names_the_command(tmp_path: Path, capsule: str, kernel: str) -> None:
    page = report_of(tmp_path, capsule)
    assert "There was no calibration of this kernel" in page
    assert f"vnemu calibrate --kernel {kernel}" in page


def test_a_calibration_that_cannot_be_read_is_none(tmp_path: Path) -> None:
    assert "There was no calibration" in report_of(tmp_path, "root", calibration={"version": 9})
