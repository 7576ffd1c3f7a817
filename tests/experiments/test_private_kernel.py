"""In the private kernel a command is as outside, and a run is as natively.

Booting costs seconds, so that each boot here answers many questions.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from vnemu.capsule import private

from .conftest import Host, result_of
from .private_kernel import FIG6, NEEDS, PATIENCE_S, QUICK, WAYS, WITHOUT_NAMESPACES, Inside

pytestmark = NEEDS

TELL = """
import hashlib, json, os, sys, time
data = sys.stdin.buffer.read()
facts = {
    "argv": sys.argv[1:], "cwd": os.getcwd(), "text": os.environ["TEXT"], "umask": os.umask(0),
    "digest": hashlib.sha256(data).hexdigest(), "size": len(data),
    "tty": [os.isatty(fd) for fd in range(3)], "kernel": os.uname().release,
}
os.umask(0o027)
open("facts.json", "w").write(json.dumps(facts))
os.makedirs("a/b")
print("said on stdout", end="", flush=True)
print("said on stderr", end="", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.parametrize("way", WAYS)
def test_a_command_is_as_outside(inside: Inside, way: str) -> None:
    """Arguments, folder, environment, umask, binary input, outputs, exit status, files."""
    argv = ["", "a b", "ünïcode", "$(false)", '"quoted"\n', "--", "-x"]
    data = bytes(range(256)) * 800 + b"\x10\x10\x04\x10"
    os.umask(umask := os.umask(0))
    process = inside.python(TELL, *argv, before=WAYS[way], TEXT="two\nlines, ü")
    out, err = process.communicate(data, timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (3, b"said on stdout", b"said on stderr")
    path = inside.host.folder / "facts.json"
    facts = json.loads(path.read_text())
    assert facts["argv"] == argv
    assert facts["cwd"] == str(inside.host.folder)
    assert facts["text"] == "two\nlines, ü"
    assert facts["umask"] == umask
    assert (facts["size"], facts["digest"]) == (len(data), hashlib.sha256(data).hexdigest())
    assert facts["tty"] == [False] * 3
    assert facts["kernel"] != os.uname().release
    for made in (path, path.parent / "a", path.parent / "a" / "b"):
        assert made.stat().st_uid == os.geteuid()
        assert made.stat().st_gid == os.getegid()
    assert path.stat().st_mode & 0o777 == 0o640


ANSWER = """
import sys, time
for line in sys.stdin:
    print("heard", line, end="", flush=True)
print("error", file=sys.stderr, flush=True)
for _ in range(5):
    sys.stdout.buffer.write(bytes(range(250)) * 4000)
"""


def test_output_comes_at_once_and_whole(inside: Inside) -> None:
    process = inside.python(ANSWER)
    assert process.stdin is not None
    assert process.stdout is not None
    for line in (b"one\n", b"two\n"):
        process.stdin.write(line)
        process.stdin.flush()
        assert process.stdout.readline() == b"heard " + line
    begun = time.monotonic()
    out, err = process.communicate(timeout=PATIENCE_S)
    assert out == bytes(range(250)) * 20000
    assert err == b"error\n"
    assert time.monotonic() - begun < 10
    assert process.returncode == 0


def test_a_reader_may_go(inside: Inside) -> None:
    """As ``| head -1`` does; the program inside is told when it writes on."""
    text = "import sys\ntry:\n while True: print('x' * 99)\nexcept BrokenPipeError: sys.exit(7)"
    process = inside.python(text.replace("sys.exit", "__import__('os')._exit"))
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 7
    assert process.stderr is not None
    process.stderr.close()
    process.stdin.close()  # type: ignore[union-attr]


def test_a_command_that_dies_of_a_signal(inside: Inside) -> None:
    process = inside.python("import os; os.kill(os.getpid(), 9)")
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 137, err


# --- runs -----------------------------------------------------------------------------


@pytest.fixture
def far_folder() -> Iterator[Path]:
    """A folder that is neither below the working directory nor a temporary one."""
    with TemporaryDirectory(prefix="test-of-private-kernel-", dir=Path.home()) as name:
        yield Path(name)


@pytest.mark.parametrize("way", ["ordinary-user", "without-namespaces"])
def test_a_run(inside: Inside, far_folder: Path, way: str) -> None:
    """Its folder is complete and the user's; without namespaces it is the automatic choice."""
    host, folder = inside.host, far_folder / "run"
    asked = () if way == "without-namespaces" else ("--kernel", "private")
    done = host.run("run", FIG6, *QUICK, *asked, "--out", folder, before=WAYS[way])
    assert done.status in (0, 1), done.err
    assert result_of(folder)["status"] == "complete"
    names = {path.name for path in folder.iterdir()}
    assert {"run.json", "report.html", "goodput.png", "flows.csv", "journal.jsonl"} <= names
    for path in (folder, *folder.rglob("*")):
        assert path.stat().st_uid == os.geteuid(), path
    machine = json.loads((folder / "run.json").read_text())["machine"]
    assert machine["capsule"] == "private kernel"
    assert ("asked for" if asked else "cannot make the namespaces") in machine["why"]


WRITE = """
import errno, os, sys
os.mkdir("/run/mnt")
assert os.system("mount -t hostfs none /run/mnt -o /") == 0
for folder in (sys.argv[1], "/run/mnt" + sys.argv[1], "/etc", "/run/mnt/proc/sys/kernel"):
    try:
        open(folder + "/hostname", "a")
    except OSError as error:
        assert error.errno == errno.EROFS, error
    else:
        raise AssertionError(folder)
assert "eth0" not in os.listdir("/sys/class/net")
"""


def test_what_it_cannot_touch(inside: Inside, far_folder: Path) -> None:
    """Other files than those of the command are read-only, by other ways to them too."""
    process = inside.python(WRITE, str(far_folder))
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err


def test_auto_takes_what_has_the_feature(inside: Inside) -> None:
    """Native for what it can do; here, delay is not, unless this kernel has netem."""
    host = inside.host
    native = host.run("run", FIG6, *QUICK, "--kernel", "auto", "--out", "plain")
    assert native.status in (0, 1), native.err
    plain = json.loads((host.folder / "plain" / "run.json").read_text())["machine"]
    assert plain["capsule"] == ("root" if os.geteuid() == 0 else "user namespace")
    assert plain["why"] == "it has all that the files ask for"
    delay = ("--set", "underlay.links.0.delay=5ms")
    done = host.run("run", FIG6, *QUICK, *delay, "--out", "delayed")
    assert done.status in (0, 1), done.err
    delayed = json.loads((host.folder / "delayed" / "run.json").read_text())["machine"]
    if delayed["capsule"] == "private kernel":
        assert "has delay 5ms: this kernel has no netem" in delayed["why"]
    else:
        assert delayed["why"] == "it has all that the files ask for"


def test_without_the_private_kernel(
    host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is asked for, what it lacks and what to install are in one message."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for folder in os.environ["PATH"].split(":"):
        for path in Path(folder).glob("*"):
            if path.name != "linux.uml" and not (programs / path.name).exists():
                (programs / path.name).symlink_to(path)
    monkeypatch.setenv("PATH", str(programs))
    done = host.run("run", FIG6, *QUICK, "--kernel", "private", "--out", "x")
    assert done.status == 3
    assert private.INSTALL in done.err
    delay = ("--set", "underlay.links.0.delay=5ms")
    done = host.run("run", FIG6, *QUICK, *delay, "--out", "y")
    if done.status == 3:  # this kernel has no netem
        assert "link rm1-rm2 has delay 5ms: this kernel has no netem" in done.err
        assert private.INSTALL in done.err
    assert not (host.folder / "x").exists()


@pytest.mark.parametrize(
    ("memory", "before", "status", "words"),
    [
        ("64mb", (), 2, "too little to boot in: give it 256mb or more"),
        ("much", (), 2, "--memory"),
        ("100000000mb", (), 3, "but this machine has"),
        ("100000000mb", WITHOUT_NAMESPACES, 3, "but /dev/shm has room for"),
    ],
)
def test_memory(host: Host, memory: str, before: tuple[str, ...], status: int, words: str) -> None:
    options = ("--kernel", "private", "--memory", memory)
    done = host.run("run", FIG6, *options, "--out", "x", before=before)
    assert done.status == status
    assert words in done.err
    assert "bug" not in done.err


def test_a_folder_that_is_not_the_same_inside(host: Host) -> None:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        done = Host(folder, host.mark).run("run", FIG6, "--kernel", "private", "--out", "x")
    finally:
        shutil.rmtree(folder)
    assert done.status == 3
    assert f"does not see {folder}" in done.err


def test_two_at_once_and_one_in_another(inside: Inside) -> None:
    """Two labs in two kernels, each started from inside of a private kernel's program."""
    host = inside.host
    run = [sys.executable, "-m", "vnemu", "run", str(FIG6), *QUICK, "--kernel", "private"]
    both = [
        subprocess.Popen(
            inside.argv(*run, "--out", name),
            cwd=host.folder,
            env=inside.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in ("one", "two")
    ]
    for process, name in zip(both, ("one", "two"), strict=True):
        _, err = process.communicate(timeout=PATIENCE_S)
        assert process.returncode in (0, 1), err
        assert result_of(host.folder / name)["status"] == "complete"


def test_the_tools_are_there() -> None:
    """Without them, tests above would pass for the wrong reason."""
    assert shutil.which("setpriv")
    assert shutil.which("setsid")
    assert shutil.which("unshare")
