"""Set-up and tear-down of linear topologies, beside Mininet, `ip -batch` and a lower bound.

    python benchmarks/setup.py --sizes 10,100,1000 --repeat 3 --json setup.json

docs/benchmarks.md says what is compared with what. Everything happens inside a capsule.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import linear

from vnemu import capsule

FASTER_THAN_MININET, OVER_LOWER_BOUND, JUDGED_AT = 15.0, 3.0, 100
_MININET_PYTHON = "/usr/bin/python3"
_MININET_MOST = 100
_HERE = Path(__file__).resolve().parent

Sample = dict[str, float]


# -- in a child process: one subject, measured once ----------------------------------------


def _measure_vnemu(routers: int) -> Sample:
    """From the file as read to a lab that was observed and found as planned, and away again."""
    import vnemu.lab
    from vnemu.drivers import transaction
    from vnemu.drivers.kernel import Kernel
    from vnemu.embedding.strategies import embed
    from vnemu.model.resolve import resolve

    start = time.perf_counter()
    loaded = linear.load(routers)
    spent: Counter[str] = Counter(load_s=time.perf_counter() - start)  # type: ignore[call-overload]
    _clock(vnemu.lab, "build", "pure_s", spent)
    _clock(vnemu.lab, "diff", "pure_s", spent)
    _clock(Kernel, "apply", "apply_s", spent)
    _clock(transaction, "_verify", "verify_s", spent)
    start = time.perf_counter()
    topology = resolve(loaded)
    lab = vnemu.lab.Lab(topology, embed(topology))
    spent["pure_s"] += time.perf_counter() - start  # type: ignore[assignment]
    lab.__enter__()
    up = time.perf_counter()
    lab.__exit__(None, None, None)
    return {"up_s": up - start, "down_s": time.perf_counter() - up, **spent}


def _clock(owner: Any, name: str, label: str, spent: Counter[str]) -> None:
    """Let `owner.name` add its time to `spent`."""
    function: Callable[..., Any] = getattr(owner, name)

    def clocked(*args: Any, **keywords: Any) -> Any:
        start = time.perf_counter()
        try:
            return function(*args, **keywords)
        finally:
            spent[label] += time.perf_counter() - start  # type: ignore[assignment]

    setattr(owner, name, clocked)


def _measure_ip_batch(routers: int) -> Sample:
    from commands import Commands, run

    commands = Commands(action.target for action in _plan(routers))
    create, remove = list(commands.create()), list(commands.remove())
    start = time.perf_counter()
    run(create)
    up = time.perf_counter()
    run(remove)
    return {"up_s": up - start, "down_s": time.perf_counter() - up}


def _plan(routers: int) -> list[Any]:
    from vnemu.embedding.strategies import embed
    from vnemu.model.resolve import resolve
    from vnemu.plan.build import build
    from vnemu.plan.diff import diff

    topology = resolve(linear.load(routers))
    return diff(build(topology, embed(topology)).fragments, {})


def _child(subject: str, routers: int) -> None:
    capsule.enter()
    measure = {"vnemu": _measure_vnemu, "ip-batch": _measure_ip_batch}[subject]
    print(json.dumps(measure(routers)), flush=True)


# -- the parent: subjects by turns, each in a process of its own ---------------------------


class Subjects:
    """The commands that measure each subject, or why one is skipped."""

    def __init__(self, folder: Path) -> None:
        from recording import compile_replay

        self._folder = folder
        self._replay = compile_replay(folder)
        self._recordings: dict[int, Path] = {}
        self.missing: dict[str, str] = {}
        if self._replay is None:
            self.missing["lower bound"] = "there is no C compiler"
        self._look_for_mininet()

    def _look_for_mininet(self) -> None:
        try:
            argv = [_MININET_PYTHON, "-c", "import mininet.net"]
            subprocess.run(argv, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            self.missing["Mininet"] = "it is not installed: sudo apt-get install mininet"

    def commands(self, routers: int) -> dict[str, list[str]]:
        """The command of each subject that can build so many routers."""
        own = [sys.executable, str(_HERE / "setup.py"), "--routers", str(routers), "--child"]
        found = {"vnemu": [*own, "vnemu"], "ip -batch": [*own, "ip-batch"]}
        if self._replay is not None:
            found["lower bound"] = [str(self._replay), str(self._recording(routers))]
        if "Mininet" not in self.missing and routers <= _MININET_MOST:
            script = str(_HERE / "mininet_linear.py")
            found["Mininet"] = [_MININET_PYTHON, script, str(routers), str(linear.LIMIT_MBIT)]
        return found

    def _recording(self, routers: int) -> Path:
        from recording import record

        if routers not in self._recordings:
            path = self._folder / f"{routers}.recording"
            record(_plan(routers)).save(path)
            self._recordings[routers] = path
        return self._recordings[routers]


def _measure(argv: list[str]) -> Sample:
    """Run a subject once, from a quiet kernel until all it made is gone from the kernel."""
    from measuring import Watch, settle

    settle()
    watch = Watch()
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None, "it is a pipe"
        line = process.stdout.readline()
        done = time.perf_counter()
        watch.wait()
        gone = time.perf_counter() - done
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} failed with status {process.returncode}")
    sample: Sample = json.loads(line)
    return {**sample, "gone_s": sample["down_s"] + gone}


def _compare(subjects: Subjects, routers: int, repeat: int) -> dict[str, Sample]:
    """The medians of every subject; they take turns, so that drift meets all alike."""
    from measuring import medians

    commands = subjects.commands(routers)
    samples: dict[str, list[Sample]] = {subject: [] for subject in commands}
    for _ in range(repeat):
        for subject, argv in commands.items():
            samples[subject].append(_measure(argv))
    return {subject: medians(taken) for subject, taken in samples.items()}


def _show(routers: int, found: Mapping[str, Sample]) -> None:
    from measuring import print_table

    def per_router(sample: Sample, name: str) -> str:
        return f"{sample[name] / routers * 1e3:.3f}" if name in sample else ""

    columns = ("up_s", "pure_s", "apply_s", "verify_s", "down_s", "gone_s")
    rows = [
        [
            subject,
            *(per_router(sample, name) for name in columns),
            f"{sample['up_s'] / found['vnemu']['up_s']:.2f}",
        ]
        for subject, sample in found.items()
    ]
    head = ["", "up", "pure", "apply", "verify", "down", "gone", "up / vnemu's"]
    print_table(f"{routers} routers in a row: ms a router (medians)", head, rows)


def _judge(found: Mapping[str, Sample]) -> dict[str, float]:
    """The two ratios that have targets, said and returned."""
    ratios = {}
    own = found["vnemu"]["up_s"]
    if "Mininet" in found:
        ratios["faster_than_mininet"] = ratio = found["Mininet"]["up_s"] / own
        _say(f"{ratio:.1f} times faster than Mininet", FASTER_THAN_MININET, ratio, at_least=True)
    if "lower bound" in found:
        ratios["over_lower_bound"] = ratio = own / found["lower bound"]["up_s"]
        _say(f"{ratio:.2f} times the lower bound", OVER_LOWER_BOUND, ratio, at_least=False)
    return ratios


def _say(text: str, target: float, value: float, *, at_least: bool) -> None:
    met = value >= target if at_least else value <= target
    bound = "at least" if at_least else "at most"
    print(f"{text} (target: {bound} {target:g}): {'met' if met else 'MISSED'}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sizes", default="10,100,1000", help="numbers of routers")
    parser.add_argument("--repeat", type=int, default=3, help="samples of each subject")
    parser.add_argument("--json", type=Path, help="write the results to this file too")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--routers", type=int, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    if arguments.child:
        _child(arguments.child, arguments.routers)
        return
    sizes = [int(size) for size in arguments.sizes.split(",")]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    capsule.enter()
    from measuring import write_json

    results: dict[str, Any] = {"routers": {}, "ratios": {}}
    with tempfile.TemporaryDirectory() as folder:
        subjects = Subjects(Path(folder))
        for what, why in subjects.missing.items():
            print(f"{what} is skipped: {why}", flush=True)
        for routers in sizes:
            found = _compare(subjects, routers, arguments.repeat)
            _show(routers, found)
            results["routers"][routers] = found
            if routers == JUDGED_AT:
                results["ratios"] = _judge(found)
    if arguments.json:
        write_json(arguments.json, {**results, "skipped": subjects.missing})


main()
