"""What the benchmarks share: quiet starts, statistics, the machine's description, tables."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.namespaces import NamespaceMaker
from vnemu.drivers.netlink import NetlinkSocket

_MAC_HERE, _MAC_THERE = bytes((2, 0, 0, 0, 0, 3)), bytes((2, 0, 0, 0, 0, 4))
_HERE_INDEX, _THERE_INDEX = 4001, 100
_GIVE_UP_S = 120.0


class Watch:
    """Tells when the kernel has removed all namespaces that were dropped before it.

    The kernel removes namespaces after their last user is gone, in one queue and
    in the order in which they were dropped. The watch holds a namespace with one
    end of a pair; drop it last, and when the end here vanishes, all before it
    have been taken down.
    """

    def __init__(self) -> None:
        maker = NamespaceMaker()
        self._there = maker.make("fabric")
        self._socket = NetlinkSocket()
        home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        near = rt.End(home, _HERE_INDEX, "watch", _MAC_HERE, 1500)
        far = rt.End(self._there.fd, _THERE_INDEX, "watched", _MAC_THERE, 1500)
        refusals = self._socket.send([rt.new_veth(near, far)])
        os.close(home)
        maker.close()
        if refusals:
            raise OSError(refusals[0].errno, "cannot make the watch's pair")

    def wait(self) -> None:
        """Drop the watched namespace and wait until the kernel has removed it.

        Raises:
            TimeoutError: if it is not gone after two minutes.
        """
        self._there.close()
        end = time.monotonic() + _GIVE_UP_S
        while Path("/proc/sys/net/ipv4/conf/watch").exists():
            if time.monotonic() > end:
                raise TimeoutError("the kernel does not remove its namespaces")
            time.sleep(0.0005)
        self._socket.close()


def settle() -> None:
    """Wait until the kernel has removed what earlier measurements left."""
    Watch().wait()


def median(values: Sequence[float]) -> float:
    """The median; NaN when there are no values."""
    return statistics.median(values) if values else float("nan")


def medians(samples: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each quantity over several samples."""
    return {name: median([sample[name] for sample in samples]) for name in samples[0]}


def conditions() -> dict[str, Any]:
    """What the numbers depend on: the machine, its kernel and the programs beside us."""
    return {
        "kernel": platform.release(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "iproute2": _first_line("ip", "-V"),
        "command": " ".join(("python", *sys.argv)),
    }


def _first_line(*argv: str) -> str:
    try:
        shown = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (shown.stdout or shown.stderr).partition("\n")[0].strip()


def write_json(path: Path, results: Mapping[str, Any]) -> None:
    """Write results with their conditions."""
    text = json.dumps({"conditions": conditions(), **results}, indent=2)
    path.write_text(text + "\n", encoding="utf-8")


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, name in enumerate(head):
        table.add_column(name, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
