"""The life of VRs and VNs beside traffic: what it costs, and what others notice of it.

    python benchmarks/life.py [--moves 20] [--rounds 5] [--json life.json]

Each part is an experiment as `vnemu run` runs it. A VR with four VLs, under OSPF where BIRD
is installed, is moved round a ring of four RMs, and is paused and resumed, while a stream of
probes crosses it, 1000 a second each way. A VN of twenty VRs is created, paused, resumed and
destroyed while another one fills a physical link of 100 Mbit/s and probes cross it beside.
With --private-kernel all of it happens in the private kernel, which has one processor: the
link has 20 Mbit/s there.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import median, print_table, write_json

from vnemu import capsule
from vnemu.capsule import private
from vnemu.drivers.programs import find
from vnemu.experiments.prepare import prepare
from vnemu.experiments.runner import run
from vnemu.results.analysis import analyse
from vnemu.results.reader import FlowSamples, read_run
from vnemu.results.record import RunWriter
from vnemu.results.schema import EventResult
from vnemu.schema.load import load_experiment

MOVE_MS, PAUSE_MS, GOODPUT = 50.0, 20.0, 0.03
_MEMORY = 4 << 30
_MOVE_EVERY_S = 5.0  # 10 000 probes, of both directions
_OTHERS_EVERY_S = 2.0
_FIRST_S = 12.0
"""Events begin here; the first two seconds are TCP's start, the others count as quiet."""
_TCP_STARTS_S = 2.0
_MACHINES = [f"rm{n}" for n in range(1, 5)]
_RING20 = Path(__file__).resolve().parents[1] / "topologies" / "ring20.yaml"
_PROBE = {"name": "p", "interval": "1ms", "udp": {}}
_VERBS = ("create_network", "pause", "resume", "destroy_network")

Document = dict[str, Any]


def _underlay(rate: str) -> Document:
    ring = zip(_MACHINES, [*_MACHINES[1:], _MACHINES[0]], strict=True)
    links = [{"endpoints": ends, "rate": rate} for ends in ring]
    return {"machines": _MACHINES, "links": links}


def star() -> Document:
    """A VR with four VLs; all from c1 to c2 crosses it."""
    routing = {"protocol": "ospf", "daemon": "bird", "hello": "1s", "dead": "4s"}
    on = {"r1": "rm1", "r2": "rm3", "r3": "rm1", "r4": "rm2", "r5": "rm4"}
    network = {
        "routing": routing if find("bird") else "static",
        "routers": {name: {"on": machine} for name, machine in on.items()},
        "hosts": {"c1": {"at": "r2"}, "c2": {"at": "r4"}},
        "links": [{"endpoints": ["r1", f"r{n}"]} for n in range(2, 6)],
    }
    return {"name": "star", "underlay": _underlay("1gbit"), "networks": {"a": network}}


def moves(count: int) -> Document:
    """The star's middle moves, again and again."""
    machines = itertools.islice(itertools.cycle([*_MACHINES[1:], _MACHINES[0]]), count)
    events = [
        {"at": f"{1 + number * _MOVE_EVERY_S:g}s", "move": "a/r1", "to": machine}
        for number, machine in enumerate(machines)
    ]
    duration = f"{1 + count * _MOVE_EVERY_S:g}s"
    probes = [{**_PROBE, "from": "a/c1", "to": "a/c2"}]
    return {"topology": star(), "probes": probes, "timeline": events, "duration": duration}


def pauses(count: int) -> Document:
    """The star's middle is paused and resumed, again and again."""
    verbs = itertools.islice(itertools.cycle(["pause", "resume"]), 2 * count)
    events = [{"at": f"{1 + n * 0.5:g}s", verb: "a/r1"} for n, verb in enumerate(verbs)]
    return {"topology": star(), "timeline": events, "duration": f"{2 + count}s"}


def beside(rounds: int, rate: str) -> Document:
    """A ring of twenty VRs comes, rests, goes on and goes, beside a VN that is at work."""
    loaded = {
        "routers": {"r1": {"on": "rm1"}, "r2": {"on": "rm2"}},
        "hosts": {"c1": {"at": "r1"}, "c2": {"at": "r2"}},
        "links": [{"endpoints": ["r1", "r2"], "path": ["rm1", "rm2"]}],
    }
    probed = {**loaded, "links": [{**loaded["links"][0], "guarantee": "5mbit"}]}
    verbs = itertools.islice(itertools.cycle(_VERBS), len(_VERBS) * rounds)
    events = []
    for number, verb in enumerate(verbs):
        file = {"file": str(_RING20)} if verb == "create_network" else {}
        at = f"{_FIRST_S + number * _OTHERS_EVERY_S:g}s"
        events.append({"at": at, verb: "ring", **file})
    return {
        "topology": {
            "name": "beside",
            "underlay": _underlay(rate),
            "networks": {"loaded": loaded, "probed": probed},
        },
        "traffic": [{"name": "tcp", "from": "loaded/c1", "to": "loaded/c2", "tcp": {}}],
        "probes": [{**_PROBE, "from": "probed/c1", "to": "probed/c2"}],
        "timeline": events,
        "duration": f"{_FIRST_S + len(events) * _OTHERS_EVERY_S:g}s",
    }


def _ran(document: Document) -> tuple[tuple[EventResult, ...], dict[str, FlowSamples]]:
    """Run an experiment; its events, and what arrived of its flows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "life.yaml").write_text(json.dumps(document), encoding="utf-8")
        loaded = load_experiment(folder / "life.yaml")
        run(prepare(loaded), RunWriter(folder / "run"), loaded)
        recorded = read_run(folder / "run")
        return analyse(recorded).events, recorded.flows


def goodput(flow: FlowSamples, begin_s: float, end_s: float) -> float:
    """The mean goodput of a flow in a window, in Mbit/s."""
    import numpy as np

    first, last = np.interp([begin_s, end_s], flow.time_s, flow.goodput_bytes)
    return float(last - first) * 8e-6 / (end_s - begin_s)


def summary(events: list[EventResult]) -> dict[str, float]:
    """How long events took, what they and the time up to the next cost probes."""
    took = [event.took_ms or 0.0 for event in events]
    ways = [way for event in events for way in event.streams.values()]
    without = [e for e in events if not any(way.lost for way in e.streams.values())]
    return {
        "events": len(events),
        "median_ms": median(took),
        "longest_ms": max(took),
        "probes": sum(way.sent for way in ways),
        "lost": sum(way.lost for way in ways),
        "without_loss": len(without),
    }


def measure(move_count: int, rounds: int, rate: str) -> dict[str, dict[str, float]]:
    """All parts, by what was done."""
    found = {}
    if move_count:
        found["move"] = summary(list(_ran(moves(move_count))[0]))
        events = _ran(pauses(move_count))[0]
        found["pause"], found["resume"] = summary(list(events[::2])), summary(list(events[1::2]))
    if rounds:
        events, flows = _ran(beside(rounds, rate))
        for number, verb in enumerate(_VERBS):
            name = f"{verb.removesuffix('_network')} a VN"
            found[name] = summary(list(events[number :: len(_VERBS)]))
            windows = [e.planned_s for e in events[number :: len(_VERBS)]]
            with_it = median([goodput(flows["tcp"], s, s + _OTHERS_EVERY_S) for s in windows])
            found[name]["goodput"] = with_it / goodput(flows["tcp"], _TCP_STARTS_S, _FIRST_S)
    return found


def _judge(found: dict[str, dict[str, float]]) -> list[str]:
    """What missed its target."""
    limits = {"move": MOVE_MS, "pause": PAUSE_MS, "resume": PAUSE_MS}
    missed = [
        f"{name}: {found[name]['longest_ms']:.1f} ms at most (target: {limit:g})"
        for name, limit in limits.items()
        if name in found and found[name]["longest_ms"] >= limit
    ]
    missed += [f"{name}: {row['lost']:g} probes lost" for name, row in found.items() if row["lost"]]
    return missed + [
        f"{name}: goodput {row['goodput']:.3f} of that without"
        for name, row in found.items()
        if abs(row.get("goodput", 1.0) - 1) > GOODPUT
    ]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--moves", type=int, default=20, help="of a VR, and its pauses; 0: none")
    parser.add_argument("--rounds", type=int, default=5, help="in the life of a VN; 0: none")
    parser.add_argument("--rate", help="of the physical link that is filled")
    parser.add_argument("--private-kernel", action="store_true")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    return parser.parse_args()


def main() -> int:
    """Measure, print, and judge by the targets."""
    arguments = _arguments()
    capsule.enter()
    if arguments.private_kernel and not private.inside():
        private.boot("the benchmark asked for it", _MEMORY, enclosed=True)
    rate = arguments.rate or ("20mbit" if private.inside() else "100mbit")
    found = measure(arguments.moves, arguments.rounds, rate)
    print_table(
        f"the life of VRs and VNs beside probes at 1 kHz, kernel {os.uname().release}",
        ["", "times", "took, median", "longest", "probes", "lost", "without loss", "goodput"],
        [
            [
                name,
                f"{row['events']:g}",
                f"{row['median_ms']:.1f} ms",
                f"{row['longest_ms']:.1f} ms",
                f"{row['probes']:g}",
                f"{row['lost']:g}",
                f"{row['without_loss']:g}",
                f"{row['goodput']:.3f}" if "goodput" in row else "",
            ]
            for name, row in found.items()
        ],
    )
    missed = _judge(found)
    print("\n".join(missed) or "all targets met")
    if arguments.json:
        write_json(arguments.json, {"life": found, "missed": missed})
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
