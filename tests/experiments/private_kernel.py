"""Commands that run in a private kernel, seen from the host. Booting costs seconds."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vnemu.capsule import private

from .conftest import _MARK, AS_ORDINARY_USER, EXPERIMENTS, ROOT, Host

NEEDS = [
    pytest.mark.skipif(private.inside(), reason="a private kernel does not boot in another"),
    pytest.mark.skipif(not private.installed(), reason=f"no linux.uml: {private.INSTALL}"),
]

FIG6 = EXPERIMENTS / "fig6-guarantee.yaml"
QUICK = ("--time-scale", "0.03")
BEFORE = AS_ORDINARY_USER if os.geteuid() == 0 else ()
# The limit counts for what is made below this user namespace. The capabilities that
# setting it takes are then dropped.
WITHOUT_NAMESPACES = (
    *("unshare", "--user", "--map-user=1000", "--map-group=1000", "--keep-caps"),
    *("sh", "-c"),
    "echo 0 >/proc/sys/user/max_user_namespaces;"
    'exec setpriv --inh-caps=-all --ambient-caps=-all "$@"',
    "sh",
)
WAYS = {"as-called": (), "ordinary-user": BEFORE, "without-namespaces": WITHOUT_NAMESPACES}
PATIENCE_S = 40.0

IN_PRIVATE = """
import os, sys
from vnemu.capsule import native, private
from vnemu.cli.console import complain
from vnemu.errors import MissingCapability
if private.inside():
    os.execvp(sys.argv[1], sys.argv[1:])
try:
    native.enter()
except MissingCapability:
    pass
try:
    private.boot("a test", 1 << 29, enclosed=native.inside())
except BaseException as error:
    sys.exit(complain(error))
"""
# Python sleeps on when a signal comes right before it falls asleep.
WAIT = "print('ready', flush=True)\nimport time\nwhile True: time.sleep(0.05)\n"


class Inside:
    """Commands in a private kernel, and what they leave on the host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.script = host.folder / "in_private.py"
        self.script.write_text(IN_PRIVATE)
        own = {_MARK: host.mark, "PYTHONPATH": str(ROOT), "TMPDIR": str(host.scratch)}
        self.environment = {**os.environ, **own}

    def argv(self, *argv: str, before: tuple[str, ...] = ()) -> list[str]:
        return [*before, sys.executable, str(self.script), *argv]

    def python(
        self, text: str, *argv: str, before: tuple[str, ...] = (), **more: str
    ) -> subprocess.Popen[bytes]:
        """Start a program there."""
        return subprocess.Popen(
            self.argv(sys.executable, "-c", text, *argv, before=before),
            cwd=self.host.folder,
            env={**self.environment, **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def sleeper(self, before: tuple[str, ...]) -> subprocess.Popen[bytes]:
        """Start a program there, and wait until it runs."""
        process = self.python(WAIT, before=before)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n", process.communicate()
        return process

    def kernel(self) -> int:
        """The main process of the kernel, once it is there."""
        return wait_for(self._kernels, "linux.uml has not been started")[0]

    def _kernels(self) -> list[int]:
        return sorted(p for p in self.host.processes() if comm(p) == "linux.uml")

    def ours(self) -> list[int]:
        """The Python processes that stand between the test and the kernel."""
        return sorted(p for p in self.host.processes() if comm(p).startswith("python"))


def places() -> dict[Path, list[str]]:
    """Where user-mode Linux and what starts it could leave something."""
    folders = [Path(f).expanduser() for f in ("/run", "/dev/shm", "~/.uml", "/.uml")]
    return {f: sorted(path.name for path in f.iterdir()) for f in folders if f.is_dir()}


def kernels_of(host: Host) -> list[int]:
    """Processes that are part of a kernel and were started in the folder of `host`.

    Some have no environment that could be read; all have the folder.
    """
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.readlink() == host.folder and comm(int(path.parent.name)) == "linux.uml":
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def comm(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def wait_for(condition: Callable[[], Any], complaint: str) -> Any:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.02)
    pytest.fail(complaint)


# Who may be killed, outermost first; the last of `ours` is what boots.
VICTIMS: dict[str, Callable[[Inside], int]] = {
    "caller": lambda inside: inside.ours()[0],
    "keeper": lambda inside: inside.ours()[1],
    "supervisor": lambda inside: inside.ours()[2],
    "booter": lambda inside: inside.ours()[3],
    "kernel": Inside.kernel,
}
VICTIMS_WITHOUT: dict[str, Callable[[Inside], int]] = {
    "booter": lambda inside: inside.ours()[0],
    "watcher": lambda inside: inside.ours()[1],
    "kernel": Inside.kernel,
}
