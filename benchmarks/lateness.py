"""How late the events of a timeline are: a trace replayed in steps of 10 ms under load.

    python benchmarks/lateness.py --seconds 10 --json lateness.json

The topology is that of the paper's Fig. 5, with a greedy TCP flow and a probe in each of
its networks. docs/benchmarks.md says what the numbers mean.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from measuring import print_table, write_json

from vnemu import capsule
from vnemu.experiments.prepare import prepare
from vnemu.experiments.runner import run
from vnemu.results.analysis import analyse
from vnemu.results.reader import read_run
from vnemu.results.record import RunWriter
from vnemu.schema.load import load_experiment

TARGET_MS = 5.0
_PAPER = Path(__file__).resolve().parent.parent / "topologies" / "wowkivs2009.yaml"


def experiment_text(seconds: int, step_ms: int, flows: bool) -> str:
    """An experiment file that replays trace.csv on one of the paper's VLs."""
    ends = {name: f"from: {name}/c1, to: {name}/c2" for name in "ab"}
    document = {
        "topology": str(_PAPER),
        "traffic": [f"{{name: {n}, {e}, tcp: {{}}}}" for n, e in ends.items() if flows],
        "probes": [f"{{name: p{n}, {e}}}" for n, e in ends.items() if flows],
        "timeline": ["{name: trace, at: 1s, replay: a/core, trace: trace.csv}"],
        "duration": f"{seconds + 2}s",
    }
    return "".join(
        f"{key}: [{', '.join(value)}]\n" if isinstance(value, list) else f"{key}: {value}\n"
        for key, value in document.items()
    )


def trace_text(seconds: int, step_ms: int) -> str:
    """A trace that goes up and down between 5 and 15 Mbit/s."""
    rates = [5 + abs(number % 200 - 100) / 10 for number in range(seconds * 1000 // step_ms)]
    rows = [f"{number * step_ms / 1000:.3f},{rate}\n" for number, rate in enumerate(rates)]
    return "".join(["time_s,rate_mbit\n", *rows])


def measure(seconds: int, step_ms: int, flows: bool) -> dict[str, Any]:
    """Run the experiment and tell how late its events were, in milliseconds."""
    import numpy as np

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "trace.csv").write_text(trace_text(seconds, step_ms), encoding="utf-8")
        file = folder / "lateness.yaml"
        file.write_text(experiment_text(seconds, step_ms, flows), encoding="utf-8")
        loaded = load_experiment(file)
        run(prepare(loaded), RunWriter(folder / "run"), loaded)
        recorded = read_run(folder / "run")
        status = analyse(recorded).status
    late = [(firing.actual_s - firing.planned_s) * 1e3 for firing in recorded.firings]
    took = [((f.done_s or f.actual_s) - f.actual_s) * 1e3 for f in recorded.firings]
    shown = {f"late_p{q}_ms": float(np.percentile(late, q)) for q in (50, 99, 100)}
    shown |= {f"took_p{q}_ms": float(np.percentile(took, q)) for q in (50, 99, 100)}
    return {"events": len(late), "status": status, **shown}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--step", type=int, default=10, help="milliseconds between two events")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> int:
    """Measure with traffic and without, print, and judge by the target."""
    arguments = _arguments()
    capsule.enter()
    found = {
        name: measure(arguments.seconds, arguments.step, flows)
        for name, flows in (("without traffic", False), ("two TCP flows", True))
    }
    print_table(
        f"lateness of events every {arguments.step} ms",
        ["", "events", "late p50", "late p99", "longest", "took p50", "took p99", "longest"],
        [
            [name, str(row["events"]), *(f"{value:.2f} ms" for value in list(row.values())[2:])]
            for name, row in found.items()
        ],
    )
    if arguments.json:
        write_json(arguments.json, {"lateness": json.loads(json.dumps(found))})
    worst = max(row["late_p99_ms"] for row in found.values())
    return int(worst > TARGET_MS)


if __name__ == "__main__":
    sys.exit(main())
