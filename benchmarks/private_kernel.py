"""The private kernel beside the running one: how soon it runs Python, and how fast a lab is set up.

    python benchmarks/private_kernel.py [--routers 100] [--repeat 5]

The boot is from the start of the command to the first line of its program inside. The set-up
is that of `setup.py`, of routers in a row, in each kernel.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

_AGAIN = """
import sys
from vnemu import capsule
from vnemu.capsule import private
capsule.enter()
if sys.argv[1] == "private" and not private.inside():
    private.boot("a benchmark", 1 << 30, enclosed=True)
"""
_BOOT = _AGAIN + "print('first line', flush=True)\n"
_SET_UP = (
    _AGAIN
    + """
import time
import linear
from vnemu.embedding.strategies import embed
from vnemu.lab import Lab
from vnemu.model.resolve import resolve
topology = resolve(linear.load(int(sys.argv[2])))
for _ in range(int(sys.argv[3])):
    start = time.perf_counter()
    with Lab(topology, embed(topology)):
        print(time.perf_counter() - start, flush=True)
    time.sleep(0.3)
"""
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--routers", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    boots = [boot() for _ in range(options.repeat)]
    print(f"boot to the first line of Python: {spread(boots)}")
    medians = {}
    for kernel in ("native", "private"):
        times = set_up(kernel, options.routers, options.repeat)
        medians[kernel] = statistics.median(times)
        print(f"set-up of {options.routers} routers, {kernel}: {spread(times)}")
    print(f"private / native: {medians['private'] / medians['native']:.1f}")


def boot() -> float:
    """Seconds from the start of a command to its first line inside."""
    start = time.perf_counter()
    argv = [sys.executable, "-c", _BOOT, "private"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - start


def set_up(kernel: str, routers: int, repeat: int) -> list[float]:
    """Seconds of each set-up in a kernel."""
    argv = [sys.executable, "-c", _SET_UP, kernel, str(routers), str(repeat)]
    here = __file__.rpartition("/")[0] or "."
    done = subprocess.run(argv, cwd=here, capture_output=True, text=True, check=True, timeout=300)
    return [float(line) for line in done.stdout.split()]


def spread(times: list[float]) -> str:
    """Median, least and most."""
    return f"{statistics.median(times):.2f} s ({min(times):.2f} to {max(times):.2f})"


if __name__ == "__main__":
    main()
