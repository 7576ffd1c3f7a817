"""Many labs side by side: what each costs, and whether they notice each other.

    python benchmarks/many_labs.py [--labs 50] [--at-once 2] [--json many.json]

So many labs of two routers are started, each by a `vnemu up --detach` of its own. Then one
is changed and one is killed (SIGKILL), and in each of the others one router asks the other
for an echo, which answers only if nothing of its lab was touched. In the end `vnemu down --all`
leaves nothing.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from measuring import print_table, write_json
from prompt import tree_of

import vnemu
from vnemu import RemoteLab

TOPOLOGY = """
name: pair
underlay: {machines: [rm1]}
networks:
  n:
    routers: [r0, r1]
    links: [{endpoints: [r0, r1], limit: 10mbit}]
"""
Found = dict[str, float]


def start(file: Path, name: str) -> RemoteLab:
    """A lab that goes on; its `vnemu up` has ended."""
    up = (sys.executable, "-m", "vnemu", "up", str(file), "--detach", "--name", name)
    subprocess.run(up, check=True, capture_output=True)
    return vnemu.connect(name)


def answers(lab: RemoteLab) -> bool:
    """Whether its first router reaches the second, whose address all labs have."""
    return lab.ping("n/r0", "n/r1", count=1).received == 1


def memory_mb(pids: Sequence[int]) -> float:
    """Memory of some processes; what several share counts a part for each (PSS), in MB."""
    total = 0
    for pid in pids:
        try:
            rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total * 1024 / 1e6


def measure(labs: int, at_once: int) -> Found:
    """Start them, disturb two of them, ask the others, and end them; means of each.

    Raises:
        RuntimeError: if one of the others does not answer, or something is left.
    """
    names = [f"many-{os.getpid()}-{number}" for number in range(labs)]
    try:
        began, before = time.monotonic(), os.times()
        running = started(names, at_once)
        up_s, after = time.monotonic() - began, os.times()
        pids = {about["name"]: about["pid"] for about in vnemu.labs()}
        memory = memory_mb([each for name in names for each in tree_of(pids[name])])
        answer_s = disturbed(running, pids)
    finally:
        ending = time.monotonic()
        ours = [about["name"] for about in vnemu.labs() if about["name"] in names]
        for name in ours:
            vnemu.connect(name).end()
        down_s = time.monotonic() - ending
    return {
        "up_ms": 1e3 * up_s / labs,
        "up_cpu_ms": 1e3 * (sum(after[2:4]) - sum(before[2:4])) / labs,
        "down_ms": 1e3 * down_s / labs,
        "answer_ms": 1e3 * answer_s,
        "memory_mb": memory / labs,
    }


def started(names: Sequence[str], at_once: int) -> list[RemoteLab]:
    """A lab for each name."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(at_once) as pool:
        file = Path(folder) / "topology.yaml"
        file.write_text(TOPOLOGY, encoding="utf-8")
        return list(pool.map(partial(start, file), names))


def disturbed(running: Sequence[RemoteLab], pids: Mapping[str, int]) -> float:
    """Change one, kill one, and ask the others; how long each took to answer, in seconds."""
    changed, killed, *others = running
    changed.do("reshape: n/r0-r1, limit: 5mbit", "pause: n/r1")
    os.kill(pids[killed.name], signal.SIGKILL)
    began = time.monotonic()
    silent = [lab.name for lab in others if not answers(lab)]
    took = time.monotonic() - began
    alive = {about["name"] for about in vnemu.labs()} & {lab.name for lab in running}
    if silent or alive != {lab.name for lab in (changed, *others)}:
        raise RuntimeError(f"no answer from {silent}; alive: {sorted(alive)}")
    return took / len(others)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labs", type=int, default=50)
    parser.add_argument("--at-once", type=int, default=2, help="labs that are started at once")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> int:
    """Measure, and print what a lab costs."""
    arguments = _arguments()
    found = measure(arguments.labs, arguments.at_once)
    print_table(
        f"{arguments.labs} labs of two routers, {arguments.at_once} started at once: of each lab",
        ["set up", "processor time", "taken down", "answer", "memory"],
        [
            [
                *(f"{value:.0f} ms" for value in list(found.values())[:4]),
                f"{found['memory_mb']:.1f} MB",
            ]
        ],
    )
    if arguments.json:
        write_json(arguments.json, {"labs": arguments.labs, **found})
    return 0


if __name__ == "__main__":
    sys.exit(main())
