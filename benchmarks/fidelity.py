"""How true a lab is on this machine: what was asked for beside what was measured.

    python benchmarks/fidelity.py [--kernels native,private] [--seconds 5] [--json FILE]

Rates are TCP payload over one VL on one physical link, as a part of the ideal that the
model computes; delays are the median and 99th percentile of idle pings, less what they
take without any delay; ceilings are TCP with a physical link of 40 Gbit/s, and with both
routers on one machine. Each figure is one run of the vnemu command, on each kernel that
can do it.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

RATES = ("1mbit", "10mbit", "100mbit", "1gbit")
DELAYS_MS = (0, 1, 10, 50)
MISSING = 3  # exit status: this machine lacks something

CLOCK = """
import sys, time
from vnemu.cli.kernel import enter_capsule
from vnemu.model.overlay import Topology
from vnemu.model.underlay import Underlay
enter_capsule(sys.argv[1], Topology("clock", Underlay((), {}), {}, {}, {}), 512 << 20)
late = []
for _ in range(200):
    start = time.monotonic()
    time.sleep(0.01)
    late.append((time.monotonic() - start - 0.01) * 1e3)
late.sort()
print(late[100], late[197], flush=True)
start = time.monotonic()
print("begin", flush=True)
time.sleep(4)
print(time.monotonic() - start, flush=True)
"""


@dataclass
class Column:
    """What was measured on one kernel; a text says why something was not."""

    kernel: str
    rates: dict[str, float | str] = field(default_factory=dict)
    delays: dict[int, tuple[float, float] | str] = field(default_factory=dict)
    ceilings: dict[str, float | str] = field(default_factory=dict)
    clock: dict[str, float] = field(default_factory=dict)


def main() -> None:
    """Measure, print a table and write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kernels", default="native,private")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    columns = [measure(kernel, options.seconds) for kernel in options.kernels.split(",")]
    show(columns)
    if options.json:
        options.json.write_text(json.dumps([column.__dict__ for column in columns], indent=2))


def measure(kernel: str, seconds: float) -> Column:
    """All figures of one kernel."""
    column = Column(kernel)
    for rate in RATES:
        found = run(kernel, topology(rate), flow(), seconds)
        column.rates[rate] = found if isinstance(found, str) else ratio(found)
    for delay in DELAYS_MS:
        found = run(kernel, topology("1gbit", delay), pings(), seconds)
        column.delays[delay] = found if isinstance(found, str) else round_trips(found)
    places = {"one link": ("rm1", "rm2"), "one machine": ("rm1", "rm1")}
    for name, (one, other) in places.items():
        found = run(kernel, topology("40gbit", on=(one, other)), flow(), seconds)
        column.ceilings[name] = found if isinstance(found, str) else goodput(found) / 1000
    column.clock = clock(kernel)
    return column


def topology(rate: str, delay_ms: int = 0, on: tuple[str, str] = ("rm1", "rm2")) -> dict[str, Any]:
    """Two hosts behind two routers, on two machines with one physical link."""
    link: dict[str, Any] = {"endpoints": ["rm1", "rm2"], "rate": rate}
    if delay_ms:
        link["delay"] = f"{delay_ms}ms"
    network = {
        "routers": {"r1": {"on": on[0]}, "r2": {"on": on[1]}},
        "hosts": {"c1": {"at": "r1"}, "c2": {"at": "r2"}},
        "links": [{"endpoints": ["r1", "r2"]}],
    }
    underlay = {"machines": ["rm1", "rm2"], "links": [link]}
    return {"name": "fidelity", "underlay": underlay, "networks": {"a": network}}


def flow() -> dict[str, Any]:
    """One greedy flow."""
    return {"traffic": [{"name": "f", "from": "a/c1", "to": "a/c2", "tcp": {}}]}


def pings() -> dict[str, Any]:
    """Idle pings."""
    return {"probes": [{"name": "p", "from": "a/c1", "to": "a/c2", "interval": "20ms"}]}


def run(
    kernel: str, where: dict[str, Any], what: dict[str, Any], seconds: float
) -> tuple[dict[str, Any], Path] | str:
    """Run one experiment; its result and folder, or why it cannot be run there."""
    folder = Path(tempfile.mkdtemp(prefix="vnemu-fidelity-"))
    document = {"name": "fidelity", "topology": where, "duration": f"{seconds + 1:g}s", **what}
    (folder / "x.yaml").write_text(yaml.safe_dump(document))
    argv = [sys.executable, "-m", "vnemu", "run", str(folder / "x.yaml")]
    argv += ["--kernel", kernel, "--out", str(folder / "run")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode == MISSING:
        return done.stderr.strip().rpartition(": this kernel has ")[2].partition(" (")[0]
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads((folder / "run" / "result.json").read_text()), folder / "run"


def ratio(found: tuple[dict[str, Any], Path]) -> float:
    """Payload that arrived, from the second second on, as a part of the ideal.

    Goodput in order would jump when what was lost at the start has been repaired: at
    1 Mbit/s that takes seconds.
    """
    lines = (found[1] / "flows.csv").read_text().splitlines()[1:]
    samples = [(float(row[0]), int(row[3])) for row in (line.split(",") for line in lines)]
    settled = [sample for sample in samples if sample[0] >= 2.0]
    (start, before), (end, after) = settled[0], settled[-1]
    ideal = found[0]["phases"][0]["flows"]["f"]["ideal_mbit"]
    return float((after - before) * 8e-6 / (end - start) / ideal)


def goodput(found: tuple[dict[str, Any], Path]) -> float:
    """Goodput in Mbit/s."""
    return float(found[0]["phases"][0]["flows"]["f"]["goodput_mbit"])


def round_trips(found: tuple[dict[str, Any], Path]) -> tuple[float, float]:
    """Median and 99th percentile of the round trips in ms, without the first (it resolves)."""
    lines = (found[1] / "probes.csv").read_text().splitlines()[2:]
    times = sorted(float(line.split(",")[3]) for line in lines if line.split(",")[3])
    return statistics.median(times), times[int(len(times) * 0.99)]


def clock(kernel: str) -> dict[str, float]:
    """How late 10 ms sleeps end, and how far the clock drifts from the host's in 4 s."""
    argv = [sys.executable, "-c", CLOCK, kernel]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        late = [float(word) for word in process.stdout.readline().split()]
        process.stdout.readline()
        start = time.monotonic()
        inside = float(process.stdout.readline())
        outside = time.monotonic() - start
    return {"late_ms": late[0], "late_p99_ms": late[1], "drift_ms": (inside - outside) * 1e3}


def show(columns: list[Column]) -> None:
    """Print the figures side by side."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"fidelity on kernel {platform.release()}", title_justify="left")
    for name in ("what", *(column.kernel for column in columns)):
        table.add_column(name)
    for rate in RATES:
        table.add_row(
            f"{rate}: payload / ideal", *(_text(c.rates[rate], "{:.3f}") for c in columns)
        )
    for delay in DELAYS_MS:
        table.add_row(f"delay {delay} ms: ping, median / p99", *(_delay(c, delay) for c in columns))
    for name in ("one link", "one machine"):
        cells = (_text(c.ceilings[name], "{:.1f} Gbit/s") for c in columns)
        table.add_row(f"ceiling, TCP over {name}", *cells)
    for key, name in (("late_ms", "sleep of 10 ms: late, median"), ("late_p99_ms", "… p99")):
        table.add_row(name, *(f"{c.clock[key]:.2f} ms" for c in columns))
    table.add_row(
        "clock against the host's in 4 s", *(f"{c.clock['drift_ms']:+.1f} ms" for c in columns)
    )
    Console().print(table)


def _text(value: float | str, form: str) -> str:
    return value if isinstance(value, str) else form.format(value)


def _delay(column: Column, delay: int) -> str:
    value = column.delays[delay]
    return value if isinstance(value, str) else f"{value[0]:.3f} / {value[1]:.3f} ms"


if __name__ == "__main__":
    main()
