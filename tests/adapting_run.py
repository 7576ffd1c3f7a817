"""A run folder of four routers in a ring that adapt to events, written by hand.

From c1 to c3 the way is r1-r2-r3, or r1-r4-r3 while r1-r2 is down. Events come every ten
seconds: down, up, and then a fall of the rate, which no router notices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vnemu.results.record import (
    Drawing,
    DrawnNetwork,
    DrawnVirtualLink,
    NodePlace,
    PlannedEvent,
    ProbeInfo,
    RunInfo,
    RunWriter,
    StreamInfo,
)
from vnemu.results.stream_record import ARRIVED, END, MAGIC, RECORD, SENT

RING = ("r1", "r2", "r3", "r4")
EVENTS = (("down a/r1-r2", "off"), ("up a/r1-r2", "on"), ("reshape a/r1-r2 limit 8mbit", ""))
OUTAGE_MS = 700
EVERY_S = 10.0
_MS = 1_000_000
_DOWN, _FALL = 0, 2


def write_adapting_run(
    folder: Path,
    *,
    ip: int = 4,
    rounds: int = 1,
    differences: Sequence[tuple[str, str]] = (),
    streams: bool = True,
    routed: bool = True,
    end: bool = True,
) -> Path:
    """Write a run of so many rounds of the three events; `differences` come with the last."""
    info = _info(ip, rounds, streams)
    with RunWriter(folder) as writer:
        writer.begin(info, "", "", "")
        writer.places(0.0, _places())
        _first_routes(writer, routed)
        for number, event in enumerate(info.events, 1):
            writer.event(event.at_s, event.at_s, event.at_s + 0.001, event.what, (number,))
            if routed:
                _moves(writer, (number - 1) % 3, event.at_s)
            found = differences if number == len(info.events) else ()
            writer.untouched(event.at_s - 1, event.at_s + 1, (number,), 4, found)
        _samples(writer, info.duration_s, routed)
        if streams:
            writer.stream_path().write_bytes(_stream(info))
        if end:
            writer.end(info.duration_s, "complete")
    return folder


def _info(ip: int, rounds: int, streams: bool) -> RunInfo:
    return RunInfo(
        experiment="ring",
        started="2026-01-01T00:00:00+00:00",
        duration_s=EVERY_S * (3 * rounds + 1),
        probes=(ProbeInfo(name="ping", from_="a/c1", to="a/c3", interval_s=0.1, ip=ip),),
        streams=(StreamInfo(name="s", from_="a/c1", to="a/c3", interval_s=0.01, ip=ip),)
        if streams
        else (),
        events=tuple(
            PlannedEvent(at_s=EVERY_S * (index + 1), what=what, name=name)
            for index, (what, name) in enumerate(EVENTS * rounds)
        ),
        drawing=Drawing(
            networks=(
                DrawnNetwork(
                    name="a",
                    routers=dict.fromkeys(RING, "rm1"),
                    hosts={"c1": "r1", "c3": "r3"},
                    links=tuple(
                        DrawnVirtualLink(name=f"{x}-{y}", a=x, b=y)
                        for x, y in zip(RING, (*RING[1:], RING[0]), strict=True)
                    ),
                ),
            )
        ),
    )


def _places() -> dict[str, NodePlace]:
    """Each router's eth1 leads to the next one, its eth2 to the one before."""
    places = {}
    for index, name in enumerate(RING):
        peers = {"eth1": f"a/{RING[index - 3]}", "eth2": f"a/{RING[index - 1]}"}
        host = {"r1": "a/c1", "r3": "a/c3"}.get(name)
        peers |= {"eth0": host} if host else {}
        places[f"a/{name}"] = NodePlace(peers=peers)
    for number in (1, 3):
        own = (f"10.{number}.0.2", f"fd0{number}::2")
        places[f"a/c{number}"] = NodePlace(addresses=own, peers={"eth0": f"a/r{number}"})
    return places


def _prefixes(number: int) -> tuple[str, str]:
    return f"10.{number}.0.0/24", f"fd0{number}::/64"


def _first_routes(writer: RunWriter, routed: bool) -> None:
    for number in (1, 3):
        for default in ("0.0.0.0/0", "::/0"):
            writer.route(-0.1, f"a/c{number}", "there", default, ["x@eth0"], "static", 0)
        for prefix in _prefixes(number):
            writer.route(-0.1, f"a/r{number}", "there", prefix, ["@eth0"], "kernel", 0)
    protocol = "bird" if routed else "static"
    hops = {"r1": (3, "eth1"), "r2": (3, "eth1"), "r3": (1, "eth2"), "r4": (3, "eth2")}
    for node, (number, nic) in hops.items():
        for prefix in _prefixes(number):
            writer.route(-0.1, f"a/{node}", "there", prefix, [f"x@{nic}"], protocol, 32)
    for node, nic in (("r2", "eth2"), ("r4", "eth1")):
        for prefix in _prefixes(1):
            writer.route(-0.1, f"a/{node}", "there", prefix, [f"x@{nic}"], protocol, 32)


def _moves(writer: RunWriter, kind: int, at_s: float) -> None:
    if kind == _FALL:
        return
    out, back = ("eth2", "eth1") if kind == _DOWN else ("eth1", "eth2")
    for prefix in _prefixes(3):
        writer.route(at_s + 0.5, "a/r1", "set", prefix, [f"x@{out}"], "bird", 32)
    for prefix in _prefixes(1):
        writer.route(at_s + 0.6, "a/r3", "gone", prefix, [f"x@{out}"], "bird", 32)
        writer.route(at_s + 0.7, "a/r3", "set", prefix, [f"x@{back}"], "bird", 32)


def _lost(at_s: float) -> bool:
    """Whether what is sent at a time is lost: after each event that downs the link."""
    number, since = divmod(at_s, EVERY_S)
    return number >= 1 and (number - 1) % 3 == _DOWN and since < OUTAGE_MS / 1e3 - 1e-9


def _samples(writer: RunWriter, duration_s: float, routed: bool) -> None:
    for second in range(int(duration_s) + 1):
        writer.link(float(second), "a/r1-r2", "r1>r2", 1000 * second, second, 0, 0)
        if routed:
            counted = ("a/r1", "eth1", "out", "ospf", 4 * second, 320 * second)
            writer.control(float(second), [counted])
    for tenth in range(int(duration_s * 10)):
        rtt = None if _lost(tenth / 10) else 1.0
        writer.probe(tenth / 10, "ping", tenth + 1, rtt)


def _stream(info: RunInfo) -> bytes:
    rows = []
    for seq in range(int(info.duration_s * 100)):
        sent = seq * 10 * _MS
        rows.append((SENT, 0, seq, sent, 0))
        if not _lost(seq / 100):
            rows += [(ARRIVED, way, seq, sent, sent + _MS) for way in (0, 1)]
    rows.append((END, 0, 0, 0, 0))
    return MAGIC + np.array(rows, RECORD).tobytes()
