"""Files go into the nodes of a running lab, out of them and between them, whole or not at all."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vnemu.sessions.copying import parts

from .conftest import Host
from .private_kernel import BEFORE, NEEDS, wait_for
from .test_running_labs import Labs

WAYS = {"as-called": (), "ordinary-user": BEFORE}


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def lab(host: Host, request: pytest.FixtureRequest) -> Iterator[Labs]:
    own = Labs(host, request.param)
    own.up("one")
    yield own
    own.fine("down", "one")


@pytest.fixture
def labs(host: Host) -> Iterator[Labs]:
    own = Labs(host)
    own.up("one")
    yield own
    own.call("down", "one")


def read(lab: Labs, node: str, *argv: str) -> str:
    return lab.exec("one", node, *argv).stdout.decode()


def copy(lab: Labs, source: str, target: str, data: bytes = b"") -> bytes:
    """`vnemu cp` with something to read, which Host.run does not give."""
    whole = [*lab.before, sys.executable, "-m", "vnemu", "cp", "one", source, target]
    done = subprocess.run(
        whole,
        cwd=lab.host.folder,
        env=lab.environment,
        input=data,
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def tree(folder: Path) -> Path:
    (folder / "conf/more").mkdir(parents=True)
    (folder / "conf/more/x").write_text("x")
    (folder / "conf/tool").write_bytes(b"\0\1")
    (folder / "conf/tool").chmod(0o750)
    (folder / "conf/link").symlink_to("more/x")
    return folder / "conf"


def test_files_and_folders(lab: Labs) -> None:
    folder = lab.host.folder
    tree(folder)
    assert copy(lab, "conf/tool", "a/r1:/run/renamed") == b""
    copy(lab, "conf/tool", "a/r1:/run")
    copy(lab, "conf", "a/r1:/run/fresh")
    copy(lab, "conf", "a/r1:/run/fresh")  # it is there now: into it
    copy(lab, "conf/more/.", "a/r1:/run/fresh")
    modes = read(lab, "a/r1", "sh", "-c", "cd /run; stat -c '%a %n' renamed tool fresh/tool")
    assert modes == "750 renamed\n750 tool\n750 fresh/tool\n"
    found = read(lab, "a/r1", "sh", "-c", "cd /run/fresh; find . | sort; readlink link; ls -A ..")
    assert found.split() == [
        *(".", "./conf", "./conf/link", "./conf/more", "./conf/more/x", "./conf/tool"),
        *("./link", "./more", "./more/x", "./tool", "./x", "more/x"),
        *("fresh", "renamed", "tool"),
    ]
    copy(lab, "a/r1:/run/fresh", "back")
    assert (folder / "back/tool").read_bytes() == b"\0\1"
    assert stat.S_IMODE((folder / "back/tool").stat().st_mode) == 0o750
    copy(lab, "a/r1:/run/fresh/link", ".")  # what it leads to
    assert (folder / "link").read_text() == "x"
    copy(lab, "a/r1:/run/tool", "a/r2:/run")
    assert copy(lab, "a/r2:/run/tool", "-") == b"\0\1"
    copy(lab, "-", "a/c1:/run/typed", b"from\0here")
    assert copy(lab, "a/c1:/run/typed", "-") == b"from\0here"


REFUSED = {
    ("a/r1:/nope", "."): "a/r1:/nope: there is no such file or folder",
    ("nope", "a/r1:/run"): "nope: there is no such file or folder",
    ("own", "a/r1:/no/such"): "a/r1:/no: there is no such folder",
    ("own", "a/r1:/run/new/"): "a/r1:/run/new/: there is no such folder",
    ("own", "a/r9:/run"): "there is no node 'a/r9'",
    ("own", "a/r1:"): "there is no path behind the node",
    ("own", "other"): "neither of the two is NODE:PATH",
    ("a/r1:/run", "-"): "a/r1:/run is a folder",
    ("own", "b/r1:/run"): "b/r1 is paused",
    ("b/r1:/run", "."): "b/r1 is paused",
}


def test_what_cannot_be(labs: Labs) -> None:
    (labs.host.folder / "own").write_text("mine")
    labs.fine("pause", "one", "b/r1")
    for (source, target), message in REFUSED.items():
        done = labs.call("cp", "one", source, target)
        assert (done.status, message in done.err) == (2, True), done.err
    done = labs.call("cp", "one", "own", "a/r1:/proc/own")
    assert (done.status, "a/r1:/proc/own: No such file or directory" in done.err) == (1, True)
    labs.fine("down", "one")
    assert labs.call("cp", "one", "own", "a/r1:/run").status == 2


def begin(labs: Labs) -> subprocess.Popen[bytes]:
    """A copy of what does not come to its end; something of it is there already."""
    process = subprocess.Popen(
        [sys.executable, "-m", "vnemu", "cp", "one", "-", "a/r1:/run/own/file"],
        env=labs.environment,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(b"new")
    process.stdin.flush()
    wait_for(
        lambda: read(labs, "a/r1", "sh", "-c", "cat /run/own/.vnemu-cp.*/*") == "new", "no part"
    )
    return process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL, "down"])
def test_one_that_breaks_leaves_nothing(labs: Labs, how: int | str) -> None:
    read(labs, "a/r1", "sh", "-c", "mkdir /run/own; echo kept > /run/own/file")
    process = begin(labs)
    if how == "down":
        labs.fine("down", "one")
        process.communicate(timeout=20)
        assert process.returncode == 1
        return
    os.killpg(process.pid, int(how))
    assert process.wait(20) != 0
    process.communicate()
    assert read(labs, "a/r1", "cat", "/run/own/file") == "kept\n"
    if how != signal.SIGKILL:  # nobody is there to remove the part
        assert read(labs, "a/r1", "ls", "-A", "/run/own") == "file\n"


def test_a_full_disk(labs: Labs) -> None:
    tree(labs.host.folder)
    (labs.host.folder / "conf/tool").write_bytes(bytes(1 << 20))
    small = "mkdir /run/own; mount -t tmpfs -o size=100k own /run/own"
    read(labs, "a/r1", "sh", "-c", small)
    for source in ("conf", "conf/tool"):
        done = labs.call("cp", "one", source, "a/r1:/run/own/new")
        assert done.status == 1
        assert re.search("a/r1:/run/own/new: (No space left|Wrote only)", done.err), done.err
    assert read(labs, "a/r1", "ls", "-A", "/run/own") == ""


def test_in_the_shell(labs: Labs) -> None:
    """Names of nodes may be short there."""
    tree(labs.host.folder)
    script = "vn a\ncp conf r1:/run\ncp r1:/run/conf/tool a/r2:/run\ncp r2:run/tool own\ncp own x\n"
    done = subprocess.run(
        [sys.executable, "-m", "vnemu", "attach", "one"],
        cwd=labs.host.folder,
        env=labs.environment,
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (labs.host.folder / "own").read_bytes() == b"\0\1"
    assert (done.returncode, "<stdin>:5: neither of the two is NODE:PATH" in done.stderr) == (
        2,
        True,
    )


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("a/r1:/etc/x", ("a/r1", "/etc/x")),
        ("r1:x:y", ("r1", "x:y")),
        ("./a:b", ("", "./a:b")),
        ("/a:b", ("", "/a:b")),
        ("a/b", ("", "a/b")),
        ("-", ("", "-")),
    ],
)
def test_where_a_path_is(word: str, found: tuple[str, str]) -> None:
    assert parts(word) == found


@pytest.mark.parametrize("kernel", [pytest.param("private", marks=NEEDS)])
def test_in_a_private_kernel(host: Host, kernel: str) -> None:
    labs = Labs(host)
    tree(host.folder)
    data = os.urandom(1 << 20)
    (host.folder / "conf/tool").write_bytes(data)
    labs.up("one", "--kernel", kernel)
    labs.fine("cp", "one", "conf", "a/r1:/run/conf")
    labs.fine("cp", "one", "a/r1:/run/conf", "back")
    assert (host.folder / "back/tool").read_bytes() == data
    labs.fine("down", "one")
