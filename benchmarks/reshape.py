"""Changing virtual links at run time, beside `tc`, pyroute2 and Mininet.

    python benchmarks/reshape.py --repeat 200 --json reshape.json

docs/benchmarks.md says what is compared with what. Everything happens inside a capsule.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from measuring import median, print_table, settle, write_json

from vnemu import capsule
from vnemu.drivers.programs import program
from vnemu.lab import Lab
from vnemu.model.change import Change as LinkChange
from vnemu.plan.objects import HtbClass
from vnemu.plan.tunnels import vl_class

PAPER = "lab.reshape, the paper's VL"
OF_100 = "lab.reshape, one of 100 VLs on a physical link"
OF_1000 = "lab.reshape, one of 1000 VLs on a physical link"
TOGETHER = "lab.reshape_all, 1000 VLs in one call"
TARGETS_S = {PAPER: 1e-3, OF_100: 1e-3, TOGETHER: 50e-3}
_MININET_PYTHON = "/usr/bin/python3"
_HERE = Path(__file__).resolve().parent
_PAPER = _HERE.parent / "topologies" / "wowkivs2009.yaml"
_FORKED, _ALL_AT_ONCE = 50, 20

Change = Callable[[int], None]


def star_text(links: int) -> str:
    """A topology file: a VR with `links` VLs, all over one physical link of 10 Gbit/s."""
    routers = ["hub: {on: rm1}", *(f"r{number}: {{on: rm2}}" for number in range(links))]
    vls = [f"{{endpoints: [hub, r{number}], limit: 5mbit}}" for number in range(links)]
    return (
        "name: star\n"
        "underlay: {machines: [rm1, rm2], links: [{endpoints: [rm1, rm2], rate: 10gbit}]}\n"
        f"networks: {{n: {{routing: none, routers: {{{', '.join(routers)}}}, "
        f"links: [{', '.join(vls)}]}}}}\n"
    )


def _star(links: int) -> Lab:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "star.yaml"
        path.write_text(star_text(links), encoding="utf-8")
        return Lab.from_file(path)


def _timed(change: Change, repeat: int) -> list[float]:
    """Seconds that `change(number)` takes, each time another number; the first is not counted."""
    change(0)
    taken = []
    for number in range(1, repeat + 1):
        start = time.perf_counter()
        change(number)
        taken.append(time.perf_counter() - start)
    return taken


# -- vnemu ---------------------------------------------------------------------------------


def _guarantee(lab: Lab, link: str, number: int) -> None:
    lab.reshape(link, guarantee=f"{20 + number % 2}mbit")


def _limit(lab: Lab, link: str, number: int) -> None:
    lab.reshape(link, limit=f"{20 + number % 2}mbit")


def _all_limits(lab: Lab, number: int) -> None:
    change = LinkChange.parse(limit=f"{6 + number % 2}mbit")
    lab.reshape_all(dict.fromkeys(lab.topology.links, change))


def _measure_paper(repeat: int) -> dict[str, list[float]]:
    """The paper's VL, and the same two classes set by other means."""
    with Lab.from_file(_PAPER) as lab:
        found = {PAPER: _timed(lambda n: _guarantee(lab, "a/core", n), repeat)}
        classes = _classes(lab, "a/core")
        found["pyroute2, the same classes"] = _timed(_with_pyroute2(lab, classes), repeat)
        found["tc, forked for each class"] = _timed(_with_tc(lab, classes), min(repeat, _FORKED))
    return found


def _measure_stars(repeat: int) -> dict[str, list[float]]:
    found = {}
    with _star(100) as lab:
        found[OF_100] = _timed(lambda n: _limit(lab, "n/hub-r50", n), repeat)
    settle()
    with _star(1000) as lab:
        found[OF_1000] = _timed(lambda n: _limit(lab, "n/hub-r500", n), repeat)
        found[TOGETHER] = _timed(lambda n: _all_limits(lab, n), min(repeat, _ALL_AT_ONCE))
    settle()
    return found


# -- others --------------------------------------------------------------------------------


def _classes(lab: Lab, link: str) -> list[HtbClass]:
    minor = vl_class(lab.mapping.paths[link].number)
    objects = lab.plan.objects().values()
    return [o for o in objects if isinstance(o, HtbClass) and o.minor == minor]


def _with_tc(lab: Lab, classes: list[HtbClass]) -> Change:
    """One `tc` process for each class, as shell scripts do it."""
    tc = program("tc")

    def change(number: int) -> None:
        for item in classes:
            place = ["dev", item.device, "parent", "1:1", "classid", f"1:{item.minor:x}"]
            rates = ["rate", f"{20 + number % 2}mbit", "ceil", "32mbit", "quantum", "1514"]
            run = partial(
                subprocess.run, [tc, "class", "change", *place, "htb", *rates], check=True
            )
            lab.kernel.inside(item.namespace, run)

    return change


def _with_pyroute2(lab: Lab, classes: list[HtbClass]) -> Change:
    """pyroute2 with its sockets open, one request for each class."""
    from pyroute2 import IPRoute

    routes = {item.namespace: lab.kernel.inside(item.namespace, IPRoute) for item in classes}

    def change(number: int) -> None:
        for item in classes:
            routes[item.namespace].tc(
                "change-class",
                kind="htb",
                index=lab.kernel.namespaces[item.namespace].indices[item.device],
                handle=0x10000 | item.minor,
                parent=0x10001,
                rate=f"{20 + number % 2}mbit",
                ceil="32mbit",
                quantum=1514,
            )

    return change


def _measure_mininet(repeat: int) -> float | str:
    """The median, or why there is none."""
    try:
        argv = [_MININET_PYTHON, "-c", "import mininet.net"]
        subprocess.run(argv, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return "it is not installed: sudo apt-get install mininet"
    argv = [_MININET_PYTHON, str(_HERE / "mininet_reshape.py"), str(min(repeat, _FORKED))]
    shown = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return float(json.loads(shown)["median_s"])


# -- results -------------------------------------------------------------------------------


def _describe(taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        "median_s": median(taken),
        "best_s": ordered[0],
        "p99_s": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "times": len(taken),
    }


def _show(found: dict[str, dict[str, float]]) -> None:
    def milliseconds(value: float | None) -> str:
        return "" if value is None else f"{value * 1e3:.3f}"

    columns = ("median_s", "best_s", "p99_s")
    rows = [
        [
            what,
            *(milliseconds(numbers.get(name)) for name in columns),
            f"{int(numbers['times'])}" if "times" in numbers else "",
        ]
        for what, numbers in found.items()
    ]
    head = ["", "median ms", "best ms", "p99 ms", "times"]
    print_table("One change of a virtual link", head, rows)


def _judge(found: dict[str, dict[str, float]]) -> None:
    for what, target in TARGETS_S.items():
        value = found[what]["median_s"]
        met = "met" if value < target else "MISSED"
        print(f"{what}: {value * 1e3:.3f} ms (target: under {target * 1e3:g} ms): {met}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=200, help="changes of each kind")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    arguments = parser.parse_args()
    capsule.enter()
    taken = _measure_paper(arguments.repeat)
    settle()
    taken |= _measure_stars(arguments.repeat)
    found = {what: _describe(seconds) for what, seconds in taken.items()}
    mininet = _measure_mininet(arguments.repeat)
    if isinstance(mininet, float):
        found["Mininet, config(bw=…) of both ends"] = {"median_s": mininet}
    else:
        print(f"Mininet is skipped: {mininet}")
    _show(found)
    _judge(found)
    if arguments.json:
        results: dict[str, Any] = {"changes": found}
        write_json(arguments.json, results)


if __name__ == "__main__":
    main()
