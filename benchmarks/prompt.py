"""How long people wait: for the prompt of a lab of ten routers, and for short commands.

    python benchmarks/prompt.py [--repeat 5] [--routers 10] [--json prompt.json]

Everything is compiled before, as in a package that is installed. Times are from the start of
the command until its prompt is shown on a pseudo-terminal, or until it has ended. Beside each
is the processor time that the command and all that it has started took until then: on a busy
machine that is the steadier number.
"""

from __future__ import annotations

import argparse
import compileall
import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from linear import topology_text
from measuring import medians, print_table, write_json

import vnemu

TARGETS_S = {"up": 1.0, "exec": 0.15, "--version": 0.15}
_VNEMU = (sys.executable, "-m", "vnemu")
_LAB = "prompt-benchmark"
_GIVE_UP_S = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")

Sample = dict[str, float]


class Terminal:
    """A command on a pseudo-terminal of its own."""

    def __init__(self, argv: tuple[str, ...], folder: Path) -> None:
        self.began = time.monotonic()
        self._own, self._theirs = os.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        state = {"TERM": "xterm", "XDG_STATE_HOME": str(folder)}
        self._process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            env={**os.environ, **state},
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
        )

    def until(self, pattern: bytes) -> Sample:
        """Wait until something is shown.

        Raises:
            TimeoutError: if it is not, with what is.
        """
        shown = b""
        while not re.search(pattern, shown):
            if not select.select([self._own], [], [], _GIVE_UP_S)[0]:
                raise TimeoutError(f"{pattern!r} is not in {shown!r}")
            shown += os.read(self._own, 1 << 16)
        took = time.monotonic() - self.began
        return {"s": took, "cpu_s": processor_s(self._process.pid)}

    def leave(self) -> None:
        """Type Ctrl-D, and wait for the end."""
        os.write(self._own, b"\x04")
        while self._process.poll() is None:
            if select.select([self._own], [], [], 0.05)[0]:
                os.read(self._own, 1 << 16)
        os.close(self._own)
        os.close(self._theirs)  # until now, so that what is shown last can be read


def processor_s(pid: int) -> float:
    """Processor time of a process and of all that descends from it, in seconds."""
    stats = _stats()
    spent = (sum(map(int, stats[each][11:15])) for each in _below(pid, stats))
    return sum(spent) / _TICKS


def tree_of(pid: int) -> list[int]:
    """A process and all that descend from it."""
    return sorted(_below(pid, _stats()))


def _stats() -> dict[int, list[str]]:
    """Of each process, what follows its name in /proc/PID/stat: state, parent and so on."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            found[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
    return found


def _below(pid: int, stats: Mapping[int, Sequence[str]]) -> set[int]:
    tree = {pid}
    while more := {child for child, row in stats.items() if int(row[1]) in tree} - tree:
        tree |= more
    return tree & stats.keys()


def prompt(argv: tuple[str, ...], folder: Path) -> Sample:
    """Until a command shows the prompt of the lab, on which a line can be typed."""
    terminal = Terminal((*_VNEMU, *argv), folder)
    try:
        return terminal.until(rb"\?2004h[^\n]*" + _LAB.encode() + b">")
    finally:
        terminal.leave()


def ended(*argv: str) -> Sample:
    """Until a command has ended."""
    before = os.times()
    began = time.monotonic()
    subprocess.run([*_VNEMU, *argv], check=True, capture_output=True)
    took, after = time.monotonic() - began, os.times()
    spent = after.children_user - before.children_user
    return {"s": took, "cpu_s": spent + after.children_system - before.children_system}


@contextmanager
def lab(file: Path) -> Iterator[None]:
    """A lab that runs meanwhile."""
    ended("up", str(file), "--detach", "--name", _LAB)
    try:
        yield
    finally:
        ended("down", _LAB)


def measure(routers: int, repeat: int) -> dict[str, Sample]:
    """The medians of each."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "topology.yaml"
        file.write_text(topology_text(routers), encoding="utf-8")
        up = ("up", str(file), "--name", _LAB)
        samples = {"up": [prompt(up, folder) for _ in range(repeat)]}
        with lab(file):
            samples["attach"] = [prompt(("attach", _LAB), folder) for _ in range(repeat)]
            for argv in (("exec", _LAB, "n/r0", "true"), ("ps",), ("--version",)):
                samples[argv[0]] = [ended(*argv) for _ in range(repeat)]
    return {name: medians(found) for name, found in samples.items()}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--routers", type=int, default=10)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> int:
    """Measure, print, and judge by the targets."""
    arguments = _arguments()
    compileall.compile_dir(Path(vnemu.__file__).parent, quiet=2)
    found = measure(arguments.routers, arguments.repeat)
    print_table(
        f"until the prompt, or the end; a lab of {arguments.routers} routers",
        ["vnemu", "time", "processor time", "target"],
        [
            [name, f"{row['s']:.3f} s", f"{row['cpu_s']:.2f} s", _target(name)]
            for name, row in found.items()
        ],
    )
    if arguments.json:
        write_json(arguments.json, {"waits": found})
    return int(any(found[name]["s"] > most for name, most in TARGETS_S.items()))


def _target(name: str) -> str:
    return f"{TARGETS_S[name]:g} s" if name in TARGETS_S else ""


if __name__ == "__main__":
    sys.exit(main())
