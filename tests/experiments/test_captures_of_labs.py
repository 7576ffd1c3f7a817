"""vnemu capture on running labs, natively and from outside of a private kernel, and in runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vnemu
from vnemu.drivers.pcapng import FRAME, INTERFACE, blocks
from vnemu.drivers.programs import find

from .conftest import TOPOLOGIES, Host, result_of
from .private_kernel import NEEDS

PATIENCE_S = 20.0
PING = ("ping", "-n", "-c", "5", "-i", "0.05", "-W5", "10.0.0.9")
END_TO_END = ["a/r1:eth0", "a/r2:eth0"]


class Captures:
    """`vnemu capture` on a lab of the paper's topology, of which c1 pings c2."""

    def __init__(self, host: Host, kernel: str) -> None:
        self.host = host
        done = host.run(
            *("up", TOPOLOGIES / "wowkivs2009.yaml", "--detach", "--name", "captured"),
            *("--kernel", kernel),
        )
        assert done.status == 0, done.err

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Start it, and return when it has begun."""
        process = self.host.start("capture", "captured", *words)
        assert process.stderr is not None
        assert "capturing at" in process.stderr.readline()
        return process

    def ping(self) -> None:
        done = self.host.run("exec", "captured", "a/c1", "--", *PING)
        assert done.status == 0, done.out

    def programs(self) -> list[int]:
        """The processes that capture, as the host sees them."""
        found = []
        for pid in self.host.processes():
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if b"vnemu.drivers.capture_program" in words:
                found.append(pid)
        return found


@pytest.fixture
def captures(host: Host) -> Iterator[Captures]:
    yield Captures(host, "native")
    host.run("down", "--all")


def interrupted(process: subprocess.Popen[str]) -> tuple[str, str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    return out, err


def seen(file: Path) -> list[str]:
    """The interface of each frame of a file."""
    with file.open("rb") as stream:
        found = list(blocks(stream))
    names = [block.interface_name for block in found if block.kind == INTERFACE]
    return [names[block.interface] for block in found if block.kind == FRAME]


def test_into_a_file_until_ctrl_c(captures: Captures) -> None:
    file = captures.host.folder / "x.pcapng"
    process = captures.start("a/core", "-w", file, "--filter", "icmp")
    captures.ping()
    _, err = interrupted(process)
    assert all(f"{name}: 10 packets, 0 dropped by the kernel" in err for name in END_TO_END)
    assert sorted(seen(file)) == sorted(END_TO_END * 10)


@pytest.mark.skipif(find("tcpdump") is None, reason="no tcpdump")
def test_lines_to_read(captures: Captures) -> None:
    expression = "udp port 4789 or ip proto 47"
    process = captures.start("rm1-rm2:rm1", "--filter", expression, "--for", "1.5s")
    captures.ping()
    out, err = process.communicate(timeout=PATIENCE_S)
    lines = out.splitlines()
    assert all(line.startswith(("rm1:to-rm2 out ", "rm1:to-rm2 in  ", "  ")) for line in lines)
    assert sum("ICMP echo" in line for line in lines) == 10
    assert ", 0 dropped by the kernel" in err


@pytest.mark.skipif(find("tcpdump") is None, reason="no tcpdump")
def test_lines_that_nobody_reads_any_more(captures: Captures) -> None:
    process = captures.start("a/core")
    assert process.stdout is not None
    captures.ping()
    assert process.stdout.readline().startswith("a/r")
    process.stdout.close()
    captures.ping()
    assert process.wait(PATIENCE_S) == 0
    assert process.stderr is not None
    assert "Error" not in process.stderr.read()
    process.stderr.close()


def test_live_into_a_pipe_whose_reader_leaves(captures: Captures) -> None:
    process = captures.start("a/core", "-w", "-")
    assert process.stdout is not None
    found = blocks(process.stdout.buffer)  # type: ignore[attr-defined]
    captures.ping()
    while next(found).kind != FRAME:
        pass
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 0
    assert captures.programs() == []


def test_it_ends_with_its_caller(captures: Captures) -> None:
    process = captures.start("a/core", "-w", captures.host.folder / "x.pcapng")
    assert len(captures.programs()) == 1
    process.kill()
    process.communicate()
    deadline = time.monotonic() + PATIENCE_S
    while captures.programs() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert captures.programs() == []


def test_it_ends_with_the_lab(captures: Captures) -> None:
    process = captures.start("a/core", "-w", captures.host.folder / "x.pcapng")
    assert captures.host.run("down", "captured").status == 0
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "a/r1:eth0: " in err


REFUSED = [
    (("a/none",), "there is no link, node or machine 'a/none'"),
    (("a/core", "--filter", "imcp"), "filter 'imcp': "),
    (("a/core", "--for", "5"), "--for: "),
]


def test_what_is_refused_leaves_the_file(captures: Captures) -> None:
    file = captures.host.folder / "kept"
    file.write_text("something")
    for words, said in REFUSED:
        done = captures.host.run("capture", "captured", *words, "-w", file)
        assert (done.status, said in done.err) == (2, True), done.err
        assert file.read_text() == "something"


def test_from_python(captures: Captures) -> None:
    lab = vnemu.connect("captured")
    file = captures.host.folder / "x.pcapng"
    with lab.capture("a/core:r1", file, filter="icmp") as capture:
        captures.ping()
    assert capture.counts is not None
    assert capture.counts["a/r1:eth0"].packets == len(seen(file)) == 10
    assert len(lab.capture("a/core", file, seconds=0.1).wait()) == 2


def test_in_the_shell(captures: Captures) -> None:
    script = captures.host.folder / "x.vn"
    script.write_text(
        "vn a\ncapture core:r1 -w x.pcapng for 0.2s count 9\ncapture r1:eth9 for 1s\n"
    )
    with script.open() as lines:
        done = subprocess.run(
            [sys.executable, "-m", "vnemu", "attach", "captured"],
            stdin=lines,
            cwd=captures.host.folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert "capturing at a/r1:eth0" in done.stderr
    assert "a/r1 has no end or NIC 'eth9'" in done.stderr
    assert (captures.host.folder / "x.pcapng").exists()


class TestPrivate:
    pytestmark = NEEDS

    def test_the_streams_cross(self, host: Host) -> None:
        captures = Captures(host, "private")
        file = host.folder / "x.pcapng"
        process = captures.start("rm1-rm2", "-w", file, "--filter", "ip proto 47")
        captures.ping()
        interrupted(process)
        assert set(seen(file)) == {"rm1:to-rm2", "rm2:to-rm1"}
        assert len(seen(file)) >= 20
        assert host.run("down", "--all").status == 0


RUN = """
topology: {topology}
timeline:
  - {{at: 0.2s, capture: a/core, for: 0.6s, filter: icmp}}
  - {{name: wire, at: 0.3s, capture: rm1-rm2, count: 5}}
  - {{at: 0.5s, reshape: a/core, limit: 10mbit}}
probes: [{{name: p, from: a/c1, to: a/c2}}]
duration: 1.2s
"""


def test_a_run_keeps_what_its_timeline_captures(host: Host) -> None:
    (host.folder / "e.yaml").write_text(RUN.format(topology=TOPOLOGIES / "wowkivs2009.yaml"))
    done = host.run("run", "e.yaml", "--out", "run")
    assert done.status == 0, done.err
    assert "captures/wire.pcapng: 5 frames, capture rm1-rm2" in done.out
    folder = host.folder / "run"
    result: dict[str, Any] = result_of(folder)
    assert len(result["phases"]) == 2
    one, other = result["captures"]
    assert (one["event"], one["file"], other["file"]) == (
        1,
        "captures/1.pcapng",
        "captures/wire.pcapng",
    )
    for capture in (one, other):
        counts = capture["interfaces"]
        frames = seen(folder / capture["file"])
        assert {name: frames.count(name) for name in counts} == {
            name: found["packets"] for name, found in counts.items()
        }
    assert len(seen(folder / other["file"])) == 5
    assert 'href="captures/wire.pcapng"' in (folder / "report.html").read_text()
