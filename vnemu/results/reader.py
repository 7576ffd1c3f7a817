"""Read a run folder back, also one that was cut off in the middle of a line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from vnemu.errors import InputError
from vnemu.results.routes import RouteHistory, RouteRow, route_row
from vnemu.results.runinfo import (
    JOURNAL_ENTRY,
    AnyEntry,
    CaptureEntry,
    EndEntry,
    EventEntry,
    IdealEntry,
    PlacesEntry,
    ProofEntry,
    RunInfo,
    Status,
    UntouchedEntry,
)
from vnemu.results.writer import COLUMNS, JOURNAL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vnemu.results.streams import StreamSamples

    Array = NDArray[np.float64]

CUT_OFF = "the run was cut off"


@dataclass(frozen=True)
class FlowSamples:
    """Cumulative counters of a flow's receiver, in bytes of payload."""

    time_s: Array
    goodput_bytes: Array
    arrived_bytes: Array


@dataclass(frozen=True)
class LinkSamples:
    """Counters of one direction of a VL; `backlog_bytes` is momentary, the others cumulative."""

    time_s: Array
    bytes: Array
    packets: Array
    drops: Array
    backlog_bytes: Array


@dataclass(frozen=True)
class PathSamples:
    """A cumulative counter of what one direction of a VL has sent on one of its paths."""

    time_s: Array
    bytes: Array


@dataclass(frozen=True)
class ProbeSamples:
    """Pings by the time they were sent; `rtt_ms` is NaN for a lost one."""

    time_s: Array
    seq: Array
    rtt_ms: Array


@dataclass(frozen=True)
class ControlSamples:
    """Cumulative counters of a protocol's messages at one NIC in one direction."""

    time_s: Array
    messages: Array
    bytes: Array


@dataclass(frozen=True)
class Run:
    """A run folder as read.

    ``flows`` and ``probes`` go by name, ``links`` by (link, direction), ``paths`` (of VLs
    over several) by (link, direction, path), ``control`` by (node, NIC, direction, protocol).
    ``streams`` go by name and direction (``NAME>``, ``NAME<``), ``overflowed`` counts the
    datagrams of theirs that the observer itself dropped, ``bad_lines`` the lines that could
    not be read.
    """

    folder: Path
    info: RunInfo
    ideals: tuple[IdealEntry, ...] = ()
    firings: tuple[EventEntry, ...] = ()
    proofs: tuple[ProofEntry, ...] = ()
    captures: tuple[CaptureEntry, ...] = ()
    end: EndEntry | None = None
    flows: dict[str, FlowSamples] = field(default_factory=dict)
    links: dict[tuple[str, str], LinkSamples] = field(default_factory=dict)
    paths: dict[tuple[str, str, str], PathSamples] = field(default_factory=dict)
    probes: dict[str, ProbeSamples] = field(default_factory=dict)
    control: dict[tuple[str, str, str, str], ControlSamples] = field(default_factory=dict)
    routes: RouteHistory = field(default_factory=lambda: RouteHistory(()))
    untouched: tuple[UntouchedEntry, ...] = ()
    streams: dict[str, StreamSamples] = field(default_factory=dict)
    overflowed: int = 0
    bad_lines: int = 0

    @property
    def status(self) -> Status:
        """How the run ended; a run without an end was killed."""
        return self.end.status if self.end else "interrupted"

    @property
    def reason(self) -> str:
        """Why the run is not complete; empty when it is."""
        if self.end is None:
            return CUT_OFF
        return self.end.reason or ("" if self.end.status == "complete" else CUT_OFF)


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        InputError: if `folder` is not a run folder; the message says what is missing.
    """
    info = _read_info(folder)
    bad = _Bad()
    journal = [
        entry
        for line in _whole_lines(folder / JOURNAL, bad)
        if (entry := _entry(line, bad)) is not None
    ]
    flows = _table(folder, "flows.csv", 1, bad)
    links = _table(folder, "links.csv", 2, bad)
    paths = _table(folder, "paths.csv", 3, bad)
    probes = _table(folder, "probes.csv", 1, bad)
    control = _table(folder, "control.csv", 4, bad)
    places = tuple(entry for entry in journal if isinstance(entry, PlacesEntry))
    streams, overflowed = _streams(folder, info)
    ends = [entry for entry in journal if isinstance(entry, EndEntry)]
    return Run(
        folder=folder,
        info=info,
        # They are worked out when there is time, and so not always in order.
        ideals=tuple(sorted((e for e in journal if isinstance(e, IdealEntry)), key=_begin)),
        firings=_numbered([entry for entry in journal if isinstance(entry, EventEntry)]),
        proofs=tuple(entry for entry in journal if isinstance(entry, ProofEntry)),
        captures=tuple(entry for entry in journal if isinstance(entry, CaptureEntry)),
        end=ends[-1] if ends else None,
        flows={key[0]: FlowSamples(*columns) for key, columns in flows.items()},
        links={(key[0], key[1]): LinkSamples(*columns) for key, columns in links.items()},
        paths={(key[0], key[1], key[2]): PathSamples(*columns) for key, columns in paths.items()},
        probes={key[0]: ProbeSamples(*columns) for key, columns in probes.items()},
        control={
            (key[0], key[1], key[2], key[3]): ControlSamples(*columns)
            for key, columns in control.items()
        },
        routes=RouteHistory(_routes(folder, bad), places),
        untouched=tuple(entry for entry in journal if isinstance(entry, UntouchedEntry)),
        streams=streams,
        overflowed=overflowed,
        bad_lines=bad.count,
    )


def _numbered(firings: list[EventEntry]) -> tuple[EventEntry, ...]:
    """Number the events of records that do not; there each firing was one."""
    return tuple(
        firing if firing.events else firing.model_copy(update={"events": (number,)})
        for number, firing in enumerate(firings, 1)
    )


def _begin(entry: IdealEntry) -> float:
    return entry.at_s


@dataclass
class _Bad:
    count: int = 0


def _read_info(folder: Path) -> RunInfo:
    path = folder / "run.json"
    try:
        return RunInfo.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        missing = "it has no run.json" if folder.is_dir() else "there is no such folder"
        raise InputError(
            f"{folder} is no run folder: {missing}; give the folder that vnemu run wrote"
        ) from None
    except OSError as error:
        raise InputError(f"{folder} is no run folder: {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(
            f"{folder} is no run folder: its run.json cannot be read ({where}: {first['msg']})"
        ) from None


def _whole_lines(path: Path, bad: _Bad) -> Iterator[str]:
    try:
        text = path.read_bytes().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return
    *lines, rest = text.split("\n")
    # Without its newline a line may lack digits and still look right.
    bad.count += bool(rest)
    yield from lines


def _entry(line: str, bad: _Bad) -> AnyEntry | None:
    try:
        return JOURNAL_ENTRY.validate_json(line)
    except ValidationError:
        bad.count += 1
        return None


def _streams(folder: Path, info: RunInfo) -> tuple[dict[str, StreamSamples], int]:
    from vnemu.results.streams import read_streams  # numpy, as below

    return read_streams(folder, info.streams) if info.streams else ({}, 0)


def _routes(folder: Path, bad: _Bad) -> list[RouteRow]:
    found = []
    lines = _whole_lines(folder / "routes.csv", bad)
    next(lines, None)
    for line in lines:
        try:
            found.append(route_row(line.split(",")))
        except ValueError:
            bad.count += 1
    return found


def _table(
    folder: Path, name: str, keys: int, bad: _Bad
) -> dict[tuple[str, ...], tuple[Array, ...]]:
    """Read a CSV as columns of numbers for each key (the `keys` columns after the time)."""
    import numpy as np  # the runner imports this package, and has no use for it

    width = COLUMNS[name].count(",") + 1
    rows: dict[tuple[str, ...], list[list[float]]] = {}
    lines = _whole_lines(folder / name, bad)
    next(lines, None)
    for line in lines:
        cells = line.split(",")
        numbers = _numbers([cells[0], *cells[keys + 1 :]]) if len(cells) == width else None
        if numbers is None:
            bad.count += 1
        else:
            rows.setdefault(tuple(cells[1 : keys + 1]), []).append(numbers)
    return {key: tuple(np.array(values, dtype=float).T) for key, values in rows.items()}


def _numbers(cells: Sequence[str]) -> list[float] | None:
    try:
        return [float(cell) if cell else float("nan") for cell in cells]
    except ValueError:
        return None
