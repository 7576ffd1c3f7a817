"""Write a run folder while the experiment runs."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Self, TextIO

from vnemu.errors import InputError
from vnemu.results.files import write_atomic
from vnemu.results.runinfo import (
    CaptureEntry,
    Difference,
    EndEntry,
    EventEntry,
    FrameCounts,
    IdealEntry,
    NodePlace,
    PlacesEntry,
    ProofEntry,
    Record,
    RunInfo,
    Status,
    UntouchedEntry,
)

COLUMNS = {
    "flows.csv": "time_s,flow,goodput_bytes,arrived_bytes",
    "links.csv": "time_s,link,direction,bytes,packets,drops,backlog_bytes",
    "paths.csv": "time_s,link,direction,path,bytes",
    "probes.csv": "time_s,probe,seq,rtt_ms",
    "routes.csv": "time_s,node,action,prefix,nexthops,protocol,metric",
    "control.csv": "time_s,node,nic,direction,protocol,messages,bytes",
}
JOURNAL = "journal.jsonl"
STREAMS = "streams.bin"
CAPTURES = "captures"
_SAMPLED = {"flows.csv", "links.csv", "paths.csv"}
"""A line at a time, these would be most of the system calls of a run."""
_MUCH = 1 << 20


def claim_folder(folder: Path) -> None:
    """Create `folder` (mode 0755) for a run.

    Raises:
        InputError: if it is there and not empty, or cannot be created.
    """
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        occupied = next(folder.iterdir(), None)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be the run folder ({error.strerror}): name another with --out"
        ) from None
    if occupied is not None:
        raise InputError(
            f"{folder} is not empty (it has {occupied.name}): name a new or empty folder with --out"
        )


class RunWriter:
    """The record of one run.

    Every line is with the kernel when the call returns, those of a sample when it is complete.

    All times are seconds since the start of the experiment (t0). Calls may come from
    several threads.

    Parameters:
        folder: the run folder; `begin` creates it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, TextIO] = {}
        self._lock = threading.Lock()

    def begin(
        self,
        info: RunInfo,
        topology: str,
        experiment: str,
        plan: str,
        traces: Mapping[str, bytes] | None = None,
    ) -> None:
        """Create the folder and write what is known before the run.

        Parameters:
            info: run.json.
            topology: the resolved topology, as YAML text.
            experiment: the resolved experiment, as YAML text.
            plan: the plan, as text.
            traces: the files that timeline and topology name, by their paths in the folder.

        Raises:
            InputError: if the folder is not new or empty.
        """
        claim_folder(self.folder)
        (self.folder / "logs").mkdir(mode=0o755)
        write_atomic(self.folder / "topology.yaml", topology)
        write_atomic(self.folder / "experiment.yaml", experiment)
        write_atomic(self.folder / "plan.txt", plan)
        for name, raw in (traces or {}).items():
            (self.folder / name).parent.mkdir(mode=0o755, exist_ok=True)
            (self.folder / name).write_bytes(raw)
        for name in (JOURNAL, *COLUMNS):
            # By the line: a killed process loses at most what it was writing.
            buffering = _MUCH if name in _SAMPLED else 1
            file = (self.folder / name).open("w", buffering=buffering, encoding="utf-8")
            self._files[name] = file
        for name, columns in COLUMNS.items():
            self._line(name, columns)
        self.sampled()
        text = info.model_dump_json(by_alias=True, indent=2)
        write_atomic(self.folder / "run.json", text + "\n")

    def ideal(self, at_s: float, flows: Mapping[str, float]) -> None:
        """From `at_s` on, `flows` are the ideal goodputs in Mbit/s."""
        self._journal(IdealEntry(at_s=at_s, flows=dict(flows)))

    def event(
        self,
        planned_s: float,
        actual_s: float,
        done_s: float,
        what: str,
        events: tuple[int, ...] = (),
    ) -> None:
        """Something was begun at `actual_s` and done at `done_s`, for the events so numbered."""
        self._journal(
            EventEntry(
                planned_s=planned_s, actual_s=actual_s, done_s=done_s, what=what, events=events
            )
        )

    def proof(
        self,
        from_: str,
        to: str,
        sent: Mapping[str, int],
        seen_in_own: Mapping[str, int],
        leaked: int,
    ) -> None:
        """A proof of isolation from network `from_` to `to`: frames by kind, and leaked ones."""
        self._journal(
            ProofEntry(
                from_=from_, to=to, sent=dict(sent), seen_in_own=dict(seen_in_own), leaked=leaked
            )
        )

    def capture_path(self, name: str) -> Path:
        """Return where the frames of the capture called `name` belong."""
        (self.folder / CAPTURES).mkdir(mode=0o755, exist_ok=True)
        return self.folder / CAPTURES / f"{name}.pcapng"

    def captured(
        self, event: int, what: str, file: Path, frames: Mapping[str, tuple[int, int]]
    ) -> None:
        """The capture that an event began is over.

        Parameters:
            file: of `capture_path`.
            frames: of each interface, how many were written, and dropped by the kernel.
        """
        counts = {name: FrameCounts(packets=p, dropped=d) for name, (p, d) in frames.items()}
        place = file.relative_to(self.folder).as_posix()
        self._journal(CaptureEntry(event=event, what=what, file=place, interfaces=counts))

    def flow(self, time_s: float, name: str, goodput_bytes: int, arrived_bytes: int) -> None:
        """Counters of a flow's receiver: payload given to the application, and arrived."""
        self._line("flows.csv", f"{time_s:.6f},{name},{goodput_bytes},{arrived_bytes}")

    def link(  # noqa: PLR0917 - one row of the file
        self,
        time_s: float,
        link: str,
        direction: str,
        bytes_: int,
        packets: int,
        drops: int,
        backlog_bytes: int,
    ) -> None:
        """Counters of one direction (``r1>r2``) of a VL (``network/link``)."""
        counters = f"{bytes_},{packets},{drops},{backlog_bytes}"
        self._line("links.csv", f"{time_s:.6f},{link},{direction},{counters}")

    def path(self, time_s: float, link: str, direction: str, path: str, bytes_: int) -> None:
        """What a VL over several paths has sent in one direction on one of them."""
        self._line("paths.csv", f"{time_s:.6f},{link},{direction},{path},{bytes_}")

    def sampled(self) -> None:
        """A sample of flows, links and paths is complete: it reaches its files, in one piece."""
        with self._lock:
            for name in _SAMPLED & self._files.keys():
                self._files[name].flush()

    def probe(self, time_s: float, probe: str, seq: int, rtt_ms: float | None) -> None:
        """A ping sent at `time_s`; `rtt_ms` is None when it is known to be lost."""
        rtt = "" if rtt_ms is None else f"{rtt_ms:.4f}"
        self._line("probes.csv", f"{time_s:.6f},{probe},{seq},{rtt}")

    def route(  # noqa: PLR0917 - one row of the file
        self,
        time_s: float,
        node: str,
        action: str,
        prefix: str,
        next_hops: Iterable[str],
        protocol: str,
        metric: int,
    ) -> None:
        """A route of a node is ``there`` at the start, was ``set`` or is ``gone``."""
        route = f"{prefix},{'|'.join(next_hops)},{protocol},{metric}"
        self._line("routes.csv", f"{time_s:.6f},{node},{action},{route}")

    def control(
        self, time_s: float, counters: Iterable[tuple[str, str, str, str, int, int]]
    ) -> None:
        """Routing messages counted up to now.

        Parameters:
            counters: of each node, NIC, direction (``in`` or ``out`` of the node) and
                protocol, the messages and bytes of frames since the start.
        """
        rows = [
            f"{time_s:.6f},{node},{nic},{direction},{protocol},{messages},{octets}"
            for node, nic, direction, protocol, messages, octets in counters
        ]
        if rows:
            self._line("control.csv", "\n".join(rows))

    def places(self, at_s: float, nodes: Mapping[str, NodePlace]) -> None:
        """From `at_s` on, `nodes` have these addresses and peers; all of them the first time."""
        self._journal(PlacesEntry(at_s=at_s, nodes=dict(nodes)))

    def untouched(
        self,
        from_s: float,
        to_s: float,
        events: tuple[int, ...],
        nodes: int,
        differences: Iterable[tuple[str, str]],
    ) -> None:
        """So many VRs were looked at after `events`, with these differences (node, what)."""
        found = tuple(Difference(node=node, what=what) for node, what in differences)
        self._journal(
            UntouchedEntry(from_s=from_s, to_s=to_s, events=events, nodes=nodes, differences=found)
        )

    def stream_path(self) -> Path:
        """Return where the record of the UDP probes belongs."""
        return self.folder / STREAMS

    def end(self, at_s: float, status: Status, reason: str = "") -> None:
        """The run is over: complete, interrupted or failed, and why."""
        self._journal(EndEntry(at_s=at_s, status=status, reason=reason))

    def log_path(self, name: str) -> Path:
        """Return where a log called `name` belongs; slashes in it become ``-``."""
        return self.folder / "logs" / name.replace("/", "-")

    def close(self) -> None:
        """Close all files; may be called twice."""
        with self._lock:
            while self._files:
                self._files.popitem()[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _journal(self, entry: Record) -> None:
        self._line(JOURNAL, entry.model_dump_json(by_alias=True))

    def _line(self, name: str, text: str) -> None:
        with self._lock:
            self._files[name].write(text + "\n")
