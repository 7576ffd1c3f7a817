"""A session as an experiment file: what a lab's journal tells, in an experiment's words; pure."""

from __future__ import annotations

import os.path
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vnemu.units import Duration

Data = dict[str, Any]
_MS = 1_000_000
_SOON_MS = 2_000
"""So long after a change, the end of a flow is taken for its consequence."""


@dataclass(frozen=True)
class Remark:
    """What a file cannot repeat.

    Parameters:
        time: seconds since 1970, as the lab tells it.
    """

    time: float
    text: str


@dataclass(frozen=True)
class Session:
    """What was recorded of a lab.

    Parameters:
        data: the lab as ``inspect`` showed it at the beginning.
        records: of its journal, oldest first, those from before the beginning too.
        remarks: what else was done.
        until: its end, in seconds since 1970.
        folder: that the file is to be in.
    """

    data: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    remarks: Sequence[Remark]
    until: float
    folder: Path

    def ms(self, time: float) -> int:
        """Milliseconds from the beginning to a time; 0 for what was before."""
        begun: float = self.data["journal"]["time"]
        return max(0, round((time - begun) * 1e3))

    @property
    def fresh(self) -> list[Mapping[str, Any]]:
        """The records from the beginning on."""
        return [each for each in self.records if each["number"] > self.data["journal"]["last"]]


@dataclass(frozen=True)
class _Flow:
    """A flow with its times in milliseconds; it has no end, or has ended at `stop`."""

    entry: Mapping[str, Any]
    start: int
    stop: int | None = None


def repeating(session: Session) -> str:
    """All of an experiment file but its topology, as text."""
    changes = [*((0, entry) for entry in state_entries(session.data)), *_changes(session)]
    flows = list(_flows(session, [at for at, _ in changes]))
    there = session.data["nodes"]
    kept = [f for f in flows if {f.entry["from"], f.entry["to"]} <= there.keys()]
    last = max([0, *(at for at, _ in changes), *(flow.start for flow in kept)])
    end = max(session.ms(session.until), last + 1)
    lines = [(at, f"- {in_flow({'at': _time(at), **entry})}") for at, entry in changes]
    remarks = [*_remarks(session), *(_left_out(flow) for flow in flows if flow not in kept)]
    lines += [(at, f"# {_time(at)}, not repeated: {text}") for at, text in remarks]
    text = _section("traffic", map(_written, _named(kept, end)))
    text += _section("timeline", [line for _, line in sorted(lines, key=lambda each: each[0])])
    return f"{text}duration: {_time(end)}\n"


def in_flow(data: Mapping[str, Any]) -> str:
    """Plain data as YAML on one line."""
    import yaml

    return yaml.safe_dump(
        dict(data), default_flow_style=True, sort_keys=False, allow_unicode=True, width=float("inf")
    ).strip()


def _section(key: str, lines: Iterable[str]) -> str:
    """A list under its key, which is left out if there are no more than remarks."""
    found = list(lines)
    head = [f"{key}:"] if any(line.startswith("-") for line in found) else []
    return "".join(f"{line}\n" for line in [*head, *found])


def _time(ms: int) -> str:
    return str(Duration(ms * _MS)) if ms else "0s"


def state_entries(data: Mapping[str, Any]) -> Iterator[Data]:
    """What makes a lab, just set up, as one that was changed: the states a topology cannot say.

    Parameters:
        data: the lab as ``inspect`` shows it.
    """
    for name in (*data["failed"]["machines"], *data["failed"]["links"]):
        yield {"fail": name}
    paused = [name for name, network in data["networks"].items() if network["state"] == "paused"]
    for path, link in data["links"].items():
        if not link["carrier"]:
            yield {"down": path}
        ways = link["cut"]
        if len(ways) == 1:
            yield {"cut": path, "direction": ways[0]}
        elif ways:
            yield {"cut": path}
    yield from ({"pause": name} for name in paused)
    for path, node in data["nodes"].items():
        verb = {"paused": "pause", "stopped": "stop"}.get(node["state"])
        if verb is not None and path.partition("/")[0] not in paused:
            yield {verb: path}


def _changes(session: Session) -> Iterator[tuple[int, Data]]:
    """Changes and when they began, each at a time of its own: those of one time are one change."""
    before = 0
    for record in session.fresh:
        if record["kind"] != "change":
            continue
        before = begun = max(before + 1, session.ms(record["time"] - record["took_ms"] / 1e3))
        folder = Path(record["folder"])
        entries = [_seen_from(entry, folder, session.folder) for entry in record["entries"]]
        yield begun, entries[0] if len(entries) == 1 else {"batch": list(_parts(entries))}


def _parts(entries: Iterable[Data]) -> Iterator[Data]:
    for entry in entries:
        yield from entry.get("batch", [entry])


def _seen_from(entry: Mapping[str, Any], folder: Path, place: Path) -> Data:
    """An entry whose files, named as seen from `folder`, are named as seen from `place`."""

    def moved(name: str) -> str:
        return os.path.relpath(folder / name, place)

    found = dict(entry)
    if "batch" in found:
        found["batch"] = [_seen_from(part, folder, place) for part in found["batch"]]
    if "create_network" in found:
        found["file"] = moved(found["file"])
    routing = found.get("routing")
    if isinstance(routing, Mapping):
        own = {key: moved(routing[key]) for key in ("config", "template") if key in routing}
        found["routing"] = {**routing, **own}
    return found


def _flows(session: Session, changed: Sequence[int]) -> Iterator[_Flow]:
    """The flows of a session, in the order of their start.

    Parameters:
        changed: when there were changes.
    """
    found: list[_Flow] = []
    running: dict[str, int] = {}
    for record in session.records:
        at = session.ms(record["time"])
        if "start" in record:
            running[record["start"]["name"]] = len(found)
            found.append(_Flow(record["start"], at))
        elif record["kind"] == "traffic":
            ended = "end" in record
            place = running.pop(record["end"] if ended else record["stop"], None)
            if place is not None:
                stop = _before_change(at, changed) if ended else at
                found[place] = _Flow(found[place].entry, found[place].start, stop)
    return (flow for flow in found if flow.stop is None or flow.stop > flow.start)


def _before_change(at: int, changed: Sequence[int]) -> int:
    """When a flow that ended at `at` is to stop, so that no change ends it."""
    causes = [when for when in changed if at - _SOON_MS <= when <= at]
    return max(causes) - 1 if causes else at


def _named(flows: Iterable[_Flow], end: int) -> Iterator[Data]:
    """Flows as entries, each with a name of its own and its times."""
    names: set[str] = set()
    for flow in flows:
        name = flow.entry["name"]
        number = 1
        while name in names:
            number += 1
            name = f"{flow.entry['name']}-{number}"
        names.add(name)
        times = {"start": flow.start, "stop": flow.stop}
        when = {key: _time(at) for key, at in times.items() if at and at < end}
        asked = {key: value for key, value in flow.entry.items() if key != "stop"}
        yield {**asked, "name": name, **when}


def _written(flow: Data) -> str:
    return f"- {in_flow(flow)}"


def _remarks(session: Session) -> Iterator[tuple[int, str]]:
    """What is not repeated, and when it was."""
    for remark in session.remarks:
        yield session.ms(remark.time), " ".join(remark.text.split())
    for record in session.fresh:
        said = " ".join(record["text"].split())
        if record["kind"] in ("refused", "ended"):
            yield session.ms(record["time"]), f"{record['kind']}: {said}"
        elif "end" in record:
            yield session.ms(record["time"]), said


def _left_out(flow: _Flow) -> tuple[int, str]:
    ends = f"{flow.entry['from']} -> {flow.entry['to']}"
    return flow.start, f"flow {flow.entry['name']}: {ends}, which are not there at the start"
