"""Runs of the real command, watched from outside for what they leave."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from vnemu.__main__ import main

if TYPE_CHECKING:
    from .private_kernel import Inside

ROOT = Path(__file__).parents[2]
EXPERIMENTS = ROOT / "experiments"
TOPOLOGIES = ROOT / "topologies"
_MARK = "VNEMU_TEST_MARK"
# Seen by its files, root in a user namespace that maps it to another id is an
# ordinary user: no capability is left after the exec.
AS_ORDINARY_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass
class Host:
    """What the commands of a test run on; `mark` is in the environment of all their processes."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    patience_s: float = 100.0

    @property
    def scratch(self) -> Path:
        """Where the commands have their temporary files: others use /tmp as well."""
        path = self.folder / ".scratch"
        path.mkdir(exist_ok=True)
        return path

    def start(self, *argv: str | Path, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        """Start ``vnemu ARGV`` in a session of its own."""
        return subprocess.Popen(
            [*before, sys.executable, "-m", "vnemu", *map(str, argv)],
            cwd=self.folder,
            env={**os.environ, _MARK: self.mark, "TMPDIR": str(self.scratch)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *argv: str | Path, before: tuple[str, ...] = ()) -> Done:
        """Run ``vnemu ARGV`` to its end."""
        process = self.start(*argv, before=before)
        out, err = process.communicate(timeout=self.patience_s)
        return Done(process.returncode, out, err)

    def here(self, *argv: str | Path) -> Done:
        """Do what ``vnemu ARGV`` does in this process, which is quicker.

        For commands that enter no capsule and start nothing.
        """
        out, err = io.StringIO(), io.StringIO()
        words = patch.object(sys, "argv", ["vnemu", *map(str, argv)])
        with chdir(self.folder), words, redirect_stdout(out), redirect_stderr(err):
            status = main()
        return Done(status, out.getvalue(), err.getvalue())

    def processes(self) -> list[int]:
        """The processes that carry the mark."""
        wanted = f"{_MARK}={self.mark}".encode()
        return [
            int(path.parent.name)
            for path in Path("/proc").glob("[0-9]*/environ")
            if wanted in _read(path)
        ]

    def namespaces(self) -> set[str]:
        """The network namespaces of all processes that can be seen."""
        found = set()
        for path in Path("/proc").glob("[0-9]*/ns/net"):
            try:
                found.add(str(path.readlink()))
            except OSError:
                continue
        return found

    def traces(self) -> dict[str, object]:
        """What a lab could leave on the host."""
        return {
            "interfaces": sorted(path.name for path in Path("/sys/class/net").iterdir()),
            "namespaces": self.namespaces(),
            "mounts": Path("/proc/self/mounts").read_text(),
            "shm": sorted(path.name for path in Path("/dev/shm").iterdir()),
            "scratch": sorted(path.name for path in self.scratch.iterdir()),
        }

    def wait_until_gone(self) -> None:
        """Wait until no process carries the mark."""
        until = time.monotonic() + 10
        while self.processes() and time.monotonic() < until:
            time.sleep(0.02)
        assert self.processes() == []


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.fixture(scope="session", autouse=True)
def own_run_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Labs of these tests are not among those of the user, and of tests that run beside."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))
        yield


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    """A folder to run commands in; afterwards the host is as it was."""
    own = Host(tmp_path)
    before = own.traces()
    yield own
    own.wait_until_gone()
    assert own.traces() == before


@pytest.fixture
def inside(host: Host) -> Iterator[Inside]:
    """A host that boots private kernels; nothing of them stays."""
    from . import private_kernel

    own = private_kernel.Inside(host)
    before = private_kernel.places()
    yield own
    host.wait_until_gone()
    assert private_kernel.kernels_of(host) == []
    assert private_kernel.places() == before


def result_of(folder: Path) -> dict[str, Any]:
    """The result.json of a run folder."""
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found
