"""Make the pictures of terminals in docs/images, from the real program in a real terminal.

What is typed is below. Each session is a picture of its last screen (``NAME.svg``) and a recording
that ``asciinema play`` shows (``NAME.cast``).
"""

from __future__ import annotations

import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

import pyte
from terminal_svg import picture

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
_KEY_S, _READ_S, _CALM_S, _PATIENCE_S = 0.04, 0.7, 0.3, 60.0
_LEAVING_S = 3.0
_BASH = "$"


@dataclass(frozen=True)
class Wait:
    """Something that happens by itself: for so long, in seconds."""

    seconds: float


@dataclass(frozen=True)
class Session:
    """What is typed on a terminal, a line each; between the lines, what a person waits for.

    Parameters:
        start: the first line, which makes the prompt.
        prompt: what is there when the next line can be typed.
        unseen: what else is typed before the recording begins.
        last: after this line, the picture is taken after so many seconds, without a prompt.
        afterwards: what is typed when it is taken.
    """

    name: str
    title: str
    start: str
    prompt: str
    typed: tuple[str | Wait, ...]
    unseen: tuple[str | Wait, ...] = ()
    last: tuple[str, float] | None = None
    afterwards: str = ""
    rows: int = 36
    columns: int = 96


SESSIONS = (
    Session(
        name="shell",
        title="vnemu up topologies/ring4-ospf.yaml --converge",
        start="vnemu up topologies/ring4-ospf.yaml --converge",
        prompt="ring4-ospf>",
        typed=(
            "nodes",
            "pingall",
            "r1 ip route get c3",
            "reshape r1-r2 limit 10mbit",
            "iperf c1 c3 1s",
            "c1 ping -i 0.01 -c 200 -q c3 > ping.txt &",
            "move r2 rm4",
            Wait(5),
            "sh tail -2 ping.txt",
            "link r1 r2 down",
            Wait(1),
            "r1 ip route get c3",
            "pingall",
        ),
    ),
    Session(
        name="watch",
        title="watch",
        start="vnemu up topologies/wowkivs2009.yaml",
        prompt="wowkivs2009>",
        typed=(
            "traffic start a/c1 a/c2",
            "traffic start b/c1 b/c2",
            "reshape a/core guarantee 30mbit",
        ),
        last=("watch", 6),
        rows=14,
    ),
    Session(
        name="lab-check",
        title="vnemu lab",
        start="vnemu lab start first-network",
        prompt=_BASH,
        afterwards="vnemu down first-network",
        typed=(
            "vnemu lab check first-network cut",
            "vnemu lab hint first-network cut",
            "vnemu cut first-network a/core",
            "vnemu lab check first-network cut",
        ),
    ),
)


@dataclass
class Recorder:
    """A terminal with a shell of this user in it, and what it shows."""

    session: Session
    folder: Path
    frames: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.screen = pyte.Screen(self.session.columns, self.session.rows)
        self._stream = pyte.Stream(self.screen)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._begun = time.monotonic()
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            self._become_a_shell()
        size = struct.pack("HHHH", self.session.rows, self.session.columns, 0, 0)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, size)

    def _become_a_shell(self) -> None:
        os.chdir(self.folder)
        private = dict.fromkeys(("XDG_STATE_HOME", "XDG_RUNTIME_DIR"), str(self.folder))
        own = {"PS1": f"{_BASH} ", "TERM": "xterm-256color", **private}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        argv = ["bash", "--norc", "--noprofile"]
        os.execvpe("bash", argv, {**os.environ, **own, "PATH": path})  # noqa: S606

    def run(self) -> None:
        """Type everything; what was not to be seen is not in the recording."""
        self._await(_BASH)
        for each in (self.session.start, *self.session.unseen):
            self._do(each)
        self.frames.clear()
        self._begun = time.monotonic()
        begin = f"\x1b[2J\x1b[H{self.session.prompt} "  # an empty screen, but for the prompt
        self._stream.feed(begin)
        self.frames.append((0.0, begin))
        for each in self.session.typed:
            self._do(each)
        if self.session.last is not None:
            line, seconds = self.session.last
            self._type(line)
            self._watch(seconds)

    def _do(self, each: str | Wait) -> None:
        if isinstance(each, Wait):
            self._watch(each.seconds)
            return
        self._type(each)
        self._await(self.session.prompt)

    def _type(self, line: str) -> None:
        for key in f"{line}\r":
            os.write(self._fd, key.encode())
            self._watch(_KEY_S)
        self._watch(_CALM_S)

    def _await(self, prompt: str) -> None:
        """Wait until the cursor is behind a prompt, and stays there."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            if not self._watch(_CALM_S) and self._line() == prompt:
                self._watch(_READ_S)
                return
        raise SystemExit(f"{self.session.name}: no '{prompt}' in {_PATIENCE_S:g} s")

    def _line(self) -> str:
        return self.screen.display[self.screen.cursor.y].rstrip()

    def _watch(self, seconds: float) -> bool:
        """Take in what is shown for a time; whether there was anything."""
        until, anything = time.monotonic() + seconds, False
        while (left := until - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                text = self._decoder.decode(os.read(self._fd, 65536))
                self._stream.feed(text)
                self.frames.append((time.monotonic() - self._begun, text))
                anything = True
        return anything

    def end(self) -> None:
        """Close the terminal: what runs in it ends with it."""
        self._type(self.session.afterwards)
        self._watch(_LEAVING_S)
        os.kill(self._pid, signal.SIGHUP)
        os.close(self._fd)
        os.waitpid(self._pid, 0)

    def recording(self) -> str:
        """The frames in the format of asciinema, version 2."""
        head = {
            "version": 2,
            "width": self.session.columns,
            "height": self.session.rows,
            "idle_time_limit": 1.5,
            "title": self.session.title,
        }
        frames = [[round(seconds, 3), "o", text] for seconds, text in self.frames]
        return "".join(f"{json.dumps(each)}\n" for each in [head, *frames])


def record(session: Session) -> None:
    """Make the files of a session."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for beside in ("topologies", "labs"):
            (folder / beside).symlink_to(ROOT / beside)
        recorder = Recorder(session, folder)
        try:
            recorder.run()
            drawn, recorded = picture(recorder.screen, session.title), recorder.recording()
        finally:
            recorder.end()
    IMAGES.joinpath(f"{session.name}.svg").write_text(drawn)
    IMAGES.joinpath(f"{session.name}.cast").write_text(recorded)


def main() -> None:
    """Make those that are named, or all."""
    wanted = re.compile("|".join(sys.argv[1:]))
    for session in SESSIONS:
        if wanted.fullmatch(session.name) or not sys.argv[1:]:
            record(session)


if __name__ == "__main__":
    main()
