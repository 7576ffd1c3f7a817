"""What a sweep folder records: sweep.json, and a run folder for each run in runs/.

```
sweep.json                     what is to be run, in which order (`SweepInfo`)
runs/001-bfd=off/              an ordinary run folder (`vnemu.results.record`)
runs/001-bfd=off.aside-1/      one that did not come to its end, kept and never counted
summary.csv summary.json summary.html summary.parquet plots/   made from the above
```
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from vnemu.errors import InputError
from vnemu.results.runinfo import JOURNAL_ENTRY, EndEntry, Record, Status
from vnemu.results.writer import JOURNAL

SWEEP = "sweep.json"


class SweptSetting(Record):
    """A setting: its name, and by key the value as text."""

    label: str
    values: dict[str, str] = Field(default={})


class SweptRun(Record):
    """A run of a sweep, in the order in which they are carried out.

    ``setting`` is an index, from 0; ``repeat`` counts from 1; ``folder`` is below the sweep's.
    """

    folder: str
    setting: int
    repeat: int
    seed: int


class SweepInfo(Record):
    """sweep.json: all that is known when a sweep begins, and what it needs to go on.

    ``overrides`` is what was given to ``--set``, ``swept`` to ``--sweep``; ``digest`` tells
    whether the files still mean the same.
    """

    version: Literal[1] = 1
    experiment: str
    file: str
    started: str
    command: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    time_scale: float = 1.0
    kernel: str = "auto"
    seed: int = 1
    repeat: int = 1
    digest: str = ""
    settings: tuple[SweptSetting, ...]
    runs: tuple[SweptRun, ...]


def is_sweep(folder: Path) -> bool:
    """Whether `folder` is that of a sweep."""
    return (folder / SWEEP).is_file()


def read_sweep(folder: Path) -> SweepInfo:
    """Read sweep.json of a folder.

    Raises:
        InputError: if it is none, or cannot be read.
    """
    path = folder / SWEEP
    try:
        return SweepInfo.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InputError(f"{folder} is no sweep folder: {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InputError(f"{path} cannot be read ({where}: {first['msg']})") from None


def ended(folder: Path) -> Status | None:
    """How the run in a run folder ended; None if it did not, or never began."""
    ends = list(_ends(folder / JOURNAL))
    return ends[-1].status if ends else None


def _ends(journal: Path) -> Iterator[EndEntry]:
    try:
        lines = journal.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        if b'"end"' in line:
            try:
                entry = JOURNAL_ENTRY.validate_json(line)
            except ValidationError:
                continue
            if isinstance(entry, EndEntry):
                yield entry
