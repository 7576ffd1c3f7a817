"""How long labs of many Router OSs take to start and to converge, and their memory.

    python benchmarks/convergence.py --bird 100 --frr 40 --json convergence.json

Each lab is a ring of VRs with chords, IPv4 and IPv6, OSPF at hello 1 s, on one RM.
With --private-kernel all of it happens in the private kernel.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vnemu import capsule
from vnemu.capsule import private
from vnemu.events import ignore
from vnemu.lab import Lab

CONVERGED_S = {"bird": 30.0, "frr": 60.0}
JUDGED_AT = {"bird": 100, "frr": 40}
_MEMORY = 4 << 30
_CHORD = 10
_PROGRAMS = {"bird": ("bird",), "frr": ("zebra", "ospfd", "ospf6d")}


def _topology(daemon: str, routers: int) -> str:
    """A ring, in which each tenth VR has a chord to the one opposite."""
    pairs = [(n, (n + 1) % routers) for n in range(routers)]
    pairs += [(n, n + routers // 2) for n in range(0, routers // 2, _CHORD)]
    links = "".join(f"      - {{name: l{a}-{b}, endpoints: [r{a}, r{b}]}}\n" for a, b in pairs)
    names = ", ".join(f"r{n}" for n in range(routers))
    routing = f"{{protocol: ospf, daemon: {daemon}, hello: 1s, dead: 4s}}"
    return (
        "underlay: {machines: [rm1]}\nnetworks:\n  a:\n"
        f"    routing: {routing}\n    routers: [{names}]\n    links:\n{links}"
    )


def _measure(daemon: str, routers: int, timeout_s: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "convergence.yaml"
        file.write_text(_topology(daemon, routers))
        begun = time.monotonic()
        with Lab.from_file(file, sink=ignore) as lab:
            up = time.monotonic()
            lab.converge(timeout_s=timeout_s)
            ready = time.monotonic()
            daemons = _memory_mb(*_PROGRAMS[daemon])
            inits = _memory_mb("vr_init.py")
    return {
        "up_s": up - begun,
        "converge_s": ready - up,
        "all_s": ready - begun,
        "daemons_mb": daemons / routers,
        "inits_mb": inits / routers,
    }


def _memory_mb(*programs: str) -> float:
    """The memory of all processes of some programs; shared pages are divided (PSS)."""
    return sum(kib for name, kib in _processes() if name in programs) / 1024


def _processes() -> Iterator[tuple[str, float]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                argv = (entry / "cmdline").read_bytes().split(b"\0")
                rollup = (entry / "smaps_rollup").read_text().splitlines()
            except (OSError, ProcessLookupError):
                continue
            script = next((a for a in argv[:5] if a.endswith(b".py")), argv[0])
            kib = next((line.split()[1] for line in rollup if line.startswith("Pss:")), "0")
            yield script.decode(errors="replace").rpartition("/")[2], float(kib)


def _say(daemon: str, routers: int, found: dict[str, float]) -> None:
    if routers == JUDGED_AT[daemon]:
        met = "met" if found["all_s"] < CONVERGED_S[daemon] else "MISSED"
        print(
            f"{routers} {daemon} routers up and converged in {found['all_s']:.1f} s "
            f"(target: under {CONVERGED_S[daemon]:g} s): {met}",
            flush=True,
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--bird", type=int, default=100, help="BIRD routers; 0: none")
    parser.add_argument("--frr", type=int, default=40, help="FRR routers; 0: none")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds to converge in")
    parser.add_argument("--private-kernel", action="store_true")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    capsule.enter()
    if arguments.private_kernel and not private.inside():
        private.boot("the benchmark asked for it", _MEMORY, enclosed=True)
    from measuring import print_table, write_json

    results: dict[str, Any] = {}
    rows = []
    for daemon, routers in (("bird", arguments.bird), ("frr", arguments.frr)):
        if routers:
            found = _measure(daemon, routers, arguments.timeout)
            results[daemon] = {"routers": routers, **found}
            rows.append([f"{routers} {daemon}", *(f"{value:.2f}" for value in found.values())])
            _say(daemon, routers, found)
    head = ["", "up s", "converge s", "all s", "daemons MB each", "pid 1 MB each"]
    print_table("OSPF, IPv4 and IPv6, hello 1 s", head, rows)
    if arguments.json:
        write_json(arguments.json, results)


main()
