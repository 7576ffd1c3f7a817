"""The private kernel: inside is as outside, results stay, and nothing else does.

Booting costs seconds, so that each boot here answers many questions.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from vnemu.capsule import private

from .conftest import _MARK, EXPERIMENTS, ROOT, Host, result_of
from .test_endings import wait_for_samples
from .test_experiments import AS_ORDINARY_USER

pytestmark = [
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
        self.environment = {**os.environ, _MARK: host.mark, "PYTHONPATH": str(ROOT)}

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


@pytest.fixture
def inside(host: Host) -> Iterator[Inside]:
    """A host that boots; its files of all kinds are the same afterwards."""
    own = Inside(host)
    before = places()
    yield own
    host.wait_until_gone()
    assert kernels_of(host) == []
    assert places() == before


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


# --- inside is as outside -------------------------------------------------------------

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
    if os.geteuid() != 0:
        pytest.skip("only root may make a folder in /run")
    folder = Path("/run/vnemu-test")
    folder.mkdir()
    try:
        host.folder = folder
        done = host.run("run", FIG6, "--kernel", "private", "--out", "x")
    finally:
        folder.rmdir()
    assert done.status == 3
    assert "does not see /run/vnemu-test" in done.err


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


# --- how it ends ----------------------------------------------------------------------


def start_run(host: Host, **more: tuple[str, ...]) -> tuple[subprocess.Popen[str], Path]:
    folder = host.folder / "run"
    process = host.start("run", FIG6, "--kernel", "private", "--out", folder, **more)
    return process, folder


def interrupt(process: subprocess.Popen[str], number: signal.Signals) -> None:
    # Ctrl-C goes to all of the terminal's processes, the others to the one that was started.
    send = os.killpg if number == signal.SIGINT else os.kill
    send(process.pid, number)


@pytest.mark.parametrize(
    ("number", "way"),
    [
        (signal.SIGTERM, "as-called"),
        (signal.SIGINT, "ordinary-user"),
        (signal.SIGHUP, "without-namespaces"),
    ],
)
def test_a_signal_interrupts(inside: Inside, number: signal.Signals, way: str) -> None:
    process, folder = start_run(inside.host, before=WAYS[way])
    wait_for_samples(inside.host, folder, process)
    interrupt(process, number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, err
    assert result_of(folder)["status"] == "interrupted"
    assert (folder / "report.html").exists()


@pytest.mark.parametrize("way", ["as-called", "without-namespaces"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_boots(inside: Inside, number: signal.Signals, way: str) -> None:
    process, folder = start_run(inside.host, before=WAYS[way])
    inside.kernel()
    time.sleep(0.2)
    interrupt(process, number)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert not folder.exists()


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
EVERY_VICTIM = [
    *(("as-called", victim, VICTIMS[victim]) for victim in VICTIMS),
    *(("without-namespaces", victim, VICTIMS_WITHOUT[victim]) for victim in VICTIMS_WITHOUT),
]
EVERY = pytest.mark.parametrize(
    ("way", "victim"),
    [pytest.param(way, find, id=f"{way}-{name}") for way, name, find in EVERY_VICTIM],
)


@EVERY
def test_kill_while_it_boots(inside: Inside, way: str, victim: Callable[[Inside], int]) -> None:
    process = inside.python(WAIT, before=WAYS[way])
    inside.kernel()
    time.sleep(0.3)
    os.kill(victim(inside), signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0


@EVERY
def test_kill_while_it_runs(inside: Inside, way: str, victim: Callable[[Inside], int]) -> None:
    process = inside.sleeper(WAYS[way])
    os.kill(victim(inside), signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode != 0


def set_up(inside: Inside, process: subprocess.Popen[str], folder: Path) -> None:
    wait_for(folder.exists, "no run folder")


def traffic(inside: Inside, process: subprocess.Popen[str], folder: Path) -> None:
    wait_for_samples(inside.host, folder, process)


def tear_down(inside: Inside, process: subprocess.Popen[str], folder: Path) -> None:
    assert process.stdout is not None
    assert process.stdout.readline()


@pytest.mark.parametrize(
    ("stage", "victim"), [(set_up, "caller"), (traffic, "kernel"), (tear_down, "caller")]
)
def test_kill_of_a_run_leaves_its_folder_readable(
    inside: Inside, victim: str, stage: Callable[..., None]
) -> None:
    folder = inside.host.folder / "run"
    options = ("--time-scale", "0.1", "--kernel", "private", "--out", folder)
    process = inside.host.start("run", FIG6, *options)
    stage(inside, process, folder)
    os.kill(VICTIMS[victim](inside), signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)
    inside.host.wait_until_gone()
    if (folder / "run.json").exists():
        done = inside.host.run("report", folder)
        assert done.status in (0, 1), done.err
        if stage is not tear_down:
            assert result_of(folder)["status"] == "interrupted"


# --- on a terminal --------------------------------------------------------------------


class Terminal:
    """A terminal of 30 rows and 100 columns, and a command that has it."""

    def __init__(self, host: Host, argv: list[str]) -> None:
        self.fd, self._slave = os.openpty()
        self.resize(30, 100)
        self.settings = self.get_settings()
        self.seen = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            cwd=host.folder,
            env={**os.environ, _MARK: host.mark, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
        )

    def get_settings(self) -> list[object]:
        return termios.tcgetattr(self._slave)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def expect(self, pattern: str) -> str:
        """Wait until `pattern` has been shown, and forget everything up to it."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if found := re.search(pattern.encode(), self.seen):
                self.seen = self.seen[found.end() :]
                return found.group().decode()
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536)
        pytest.fail(f"{pattern!r} is not in {self.seen!r}")

    def end(self) -> int:
        """Read on until the command ends, and return its exit status."""
        until = time.monotonic() + PATIENCE_S
        while self.process.poll() is None and time.monotonic() < until:
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536)
        return self.process.wait(1)

    def close(self) -> None:
        os.close(self.fd)
        os.close(self._slave)


@pytest.fixture
def on_terminal(inside: Inside) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def start(*argv: str) -> Terminal:
        opened.append(Terminal(inside.host, list(argv)))
        return opened[-1]

    yield start
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize("way", ["as-called", "without-namespaces"])
def test_an_interactive_program(
    inside: Inside, on_terminal: Callable[..., Terminal], way: str
) -> None:
    """Line editing, the window's size and its changes, Ctrl-C, and everything as before."""
    argv = inside.argv(sys.executable, "-q", before=WAYS[way])
    terminal = on_terminal(*argv)
    terminal.expect(">>> ")
    terminal.type("12*12)\x01print(\r")
    terminal.expect(r"\n144\r\n")
    terminal.type("import os, time; os.get_terminal_size()\r")
    terminal.expect(r"columns=100, lines=30")
    # Readline sets the size that it has just asked for, when it begins with a line.
    time.sleep(0.5)
    terminal.resize(40, 120)
    time.sleep(0.5)
    terminal.type("os.get_terminal_size()\r")
    terminal.expect(r"columns=120, lines=40")
    # One long sleep could be slept through: see WAIT.
    terminal.type("print('sleeping'); [time.sleep(0.05) for _ in iter(int, 1)]\r")
    terminal.expect(r"\nsleeping\r\n")
    terminal.type("\x03")
    terminal.expect("KeyboardInterrupt")
    terminal.type("exit(5)\r")
    assert terminal.end() == 5
    assert terminal.get_settings() == terminal.settings


@pytest.mark.parametrize("victim", ["booter", "kernel"])
def test_the_terminal_is_as_before_after_a_kill(
    inside: Inside, on_terminal: Callable[..., Terminal], victim: str
) -> None:
    terminal = on_terminal(*inside.argv(sys.executable, "-q"))
    terminal.expect(">>> ")
    assert terminal.get_settings() != terminal.settings
    os.kill(VICTIMS[victim](inside), signal.SIGKILL)
    assert terminal.end() != 0
    assert terminal.get_settings() == terminal.settings


def test_a_run_on_a_terminal(inside: Inside, on_terminal: Callable[..., Terminal]) -> None:
    """Colours and a bar; Ctrl-C gives the run time to finish its folder."""
    folder = inside.host.folder / "run"
    options = ("--kernel", "private", "--out", str(folder))
    terminal = on_terminal(sys.executable, "-m", "vnemu", "run", str(FIG6), *options)
    terminal.expect("running")
    terminal.expect(r"\x1b\[[0-9;]*m")
    terminal.expect(r"Mbit/s")
    terminal.type("\x03")
    assert terminal.end() == 1
    assert result_of(folder)["status"] == "interrupted"
    assert terminal.get_settings() == terminal.settings


def test_the_tools_are_there() -> None:
    """Without them, tests above would pass for the wrong reason."""
    assert shutil.which("setpriv")
    assert shutil.which("setsid")
    assert shutil.which("unshare")
