"""The consoles of a private kernel, seen from outside, and its life from boot to end.

    con0        the kernel's log, a file
    con1, con2  standard input and output, standard error
    con3        the control line: READY from inside; signals, SIZE, CLOSE to it
    con4        a further line, for whoever boots to talk with the command

Where standard input is no terminal, it is data: `uml_init` takes it as it comes, and
ESCAPE announces that something other than data follows.
"""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tty import setraw

from vnemu import linux
from vnemu.capsule import orphans, uml_watch

MEMORY_FOLDER = "/dev/shm"  # noqa: S108 - the kernel's memory is a file there, unlinked at once
ESCAPE, END = b"\x10", b"\x04"

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST_WORDS_SECONDS = 1.0
_LOOK_SECONDS = 0.05
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_NONE = -1
_PIECE = 1 << 14


class Console:
    """One boot: the kernel's consoles, its end, and what it leaves.

    Parameters:
        folder: what the kernel needs while it boots; removed once it has.

    Attributes:
        tty: which of the three standard descriptors are a terminal inside too.
        raw: whether the terminal hands on every key as it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.tty = [os.isatty(fd) for fd in (_STDIN, _STDOUT, _STDERR)]
        self._copy_input = _type if self.tty[_STDIN] else _feed
        if self.tty[_STDIN] and not _foreground():
            self.tty[_STDIN] = False
            self._copy_input = _end
        # With its output elsewhere (in a pipe to a pager, say), the terminal is
        # not this command's alone.
        self.raw = self.tty[_STDIN] and self.tty[_STDOUT]
        self._ready = False
        self._control_out, self._control_in = os.pipe()

    def window(self) -> tuple[int, int]:
        """The terminal's rows and columns."""
        for fd in (_STDOUT, _STDERR, _STDIN):
            with suppress(OSError):
                columns, rows = os.get_terminal_size(fd)
                return rows, columns
        return 24, 80

    def run(
        self,
        kernel: list[str],
        log: int,
        *,
        enclosed: bool,
        line: Callable[[int, int], None] | None = None,
    ) -> int:
        """Boot, wait for the end, and return the kernel's own exit status.

        Parameters:
            kernel: its command line, but for the consoles.
            log: where it writes what it says.
            enclosed: whether a capsule ends all of it when this process ends.
            line: is told the descriptors from which con4 is read and to which it is written.

        Raises:
            KeyboardInterrupt: if a signal came while it booted.
        """
        # The kernel gets pipes of its own and never the caller's descriptors: it makes
        # those it is given non-blocking, for everyone who shares them, and its
        # console stands still on a plain file.
        typed, self._to_kernel = os.pipe()
        printed, complained, report = os.pipe(), os.pipe(), os.pipe()
        heard, said = os.pipe(), os.pipe()
        control, more = (self._control_out, report[1]), (heard[0], said[1])
        inside = (typed, printed[1], complained[1], *control, *more, log)
        consoles = _consoles(typed, printed[1], complained[1], control, more, log)
        handlers = _handlers(self._on_signal, self._on_resize)
        with _terminal_kept(self.raw), handlers, _wakened() as self._woken:
            process = self._start([kernel[0], *consoles, *kernel[1:]], inside, enclosed)
            for fd in inside[:-1]:
                os.close(fd)
            if line is not None:
                line(said[0], heard[1])
            try:
                self._pumps = [
                    _Pump(printed[0], _STDOUT, self._tell),
                    _Pump(complained[0], _STDERR, self._tell),
                ]
                self._follow(process, report[0])
            finally:
                process.kill()
                code = process.wait()
                if not enclosed:
                    orphans.end_children()
        return code if code >= 0 else 128 - code

    def _start(
        self, argv: list[str], inside: tuple[int, ...], enclosed: bool
    ) -> subprocess.Popen[bytes]:
        passed = inside
        if not enclosed:
            lifeline, self._life = os.pipe()
            watch = [sys.executable, "-I", "-S", uml_watch.__file__]
            argv = [*watch, str(lifeline), str(self._folder), *argv]
            passed = (*inside, lifeline)
            linux.adopt_orphans()
        # In TMPDIR it makes the file that is its memory, and in HOME its own settings.
        environment = {**os.environ, "TMPDIR": MEMORY_FOLDER, "HOME": str(self._folder)}
        with _on_one_processor():
            return subprocess.Popen(
                argv, pass_fds=passed, stdin=subprocess.DEVNULL, env=environment
            )

    def _follow(self, process: subprocess.Popen[bytes], report: int) -> None:
        """Wait for the end; meanwhile, take what is said on the control line."""
        ended, end = os.pipe()
        threading.Thread(target=_close_when_over, args=(process, end), daemon=True).start()
        while True:
            events = dict(self._poll(report, ended, self._woken))
            if self._woken in events:
                os.read(self._woken, _PIECE)
            if events.get(report, 0) & select.POLLIN and b"READY" in os.read(report, _PIECE):
                self._begin()
            elif ended in events:
                break
            elif report in events:
                report = _NONE  # it has ended, and soon the rest will have
        for pump in self._pumps:
            pump.join(_LAST_WORDS_SECONDS)

    def _poll(self, *fds: int) -> list[tuple[int, int]]:
        poll = select.poll()
        for fd in fds:
            if fd != _NONE:
                poll.register(fd, select.POLLIN)
        return poll.poll()

    def _begin(self) -> None:
        """The command is about to start: nothing of the folder is needed any more."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._ready = True
        self._on_resize()
        if self.raw:
            # What has been typed by now is not thrown away.
            setraw(_STDIN, termios.TCSADRAIN)
        threading.Thread(target=self._copy_input, args=(self._to_kernel,), daemon=True).start()

    def _on_signal(self, number: int, _: object) -> None:
        if not self._ready:
            raise KeyboardInterrupt
        self._tell(signal.Signals(number).name)

    def _on_resize(self, *_: object) -> None:
        if self._ready:
            self._tell("SIZE {} {}".format(*self.window()))

    def _tell(self, line: str) -> None:
        with suppress(OSError):  # it has just ended
            os.write(self._control_in, line.encode() + b"\n")


def _consoles(
    typed: int,
    printed: int,
    complained: int,
    control: tuple[int, int],
    line: tuple[int, int],
    log: int,
) -> list[str]:
    return [
        f"con0=null,fd:{log}",
        f"con1=fd:{typed},fd:{printed}",
        f"con2=null,fd:{complained}",
        *(f"con{n}=fd:{i},fd:{o}" for n, (i, o) in enumerate((control, line), 3)),
    ]


@contextmanager
def _on_one_processor() -> Iterator[None]:
    """What is started meanwhile stays on the processor that is least busy now.

    The kernel has only one anyway. Between its processes it switches at each system call
    and page fault, and a switch from one processor to another takes three times as long.
    """
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {_least_busy(own)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def _least_busy(processors: set[int]) -> int:
    before = _idle_ticks()
    time.sleep(_LOOK_SECONDS)
    after = _idle_ticks()
    most = max(after[p] - before[p] for p in processors)
    return random.choice([p for p in processors if after[p] - before[p] == most])


def _idle_ticks() -> dict[int, int]:
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    return {int(f[0][3:]): int(f[4]) for f in lines if f[0][:3] == "cpu" and f[0] != "cpu"}


def _close_when_over(process: subprocess.Popen[bytes], fd: int) -> None:
    process.wait()
    os.close(fd)


class _Pump(threading.Thread):
    """Copies what the kernel prints until all of its processes are gone."""

    def __init__(self, source: int, target: int, tell: Callable[[str], None]) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._target = target
        self._tell = tell
        self.start()

    def run(self) -> None:
        """Copy; if the reader goes away, the writer inside shall notice."""
        while data := os.read(self._source, 1 << 16):
            try:
                while data:
                    data = data[os.write(self._target, data) :]
            except OSError:
                self._tell(f"CLOSE {self._target}")


def _type(into: int) -> None:
    """Copy the keys that are typed, as they are."""
    with suppress(OSError):
        while data := os.read(_STDIN, _PIECE):
            os.write(into, data)
        os.write(into, END)


def _feed(into: int) -> None:
    """Copy standard input, and tell where it ends."""
    with suppress(OSError):
        while data := os.read(_STDIN, _PIECE):
            _write(into, data.replace(ESCAPE, ESCAPE * 2))
    _end(into)


def _end(into: int) -> None:
    with suppress(OSError):
        _write(into, ESCAPE + END)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _foreground() -> bool:
    """Whether this process may read the terminal at standard input.

    Process groups cannot be compared here: the terminal's is of another pid namespace.
    """
    before = signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    try:
        os.read(_STDIN, 0)
    except OSError:
        return False
    finally:
        signal.signal(signal.SIGTTIN, before)
    return True


@contextmanager
def _terminal_kept(raw: bool) -> Iterator[None]:
    """The terminal is afterwards as it was."""
    if not raw:
        yield
        return
    saved = termios.tcgetattr(_STDIN)
    try:
        yield
    finally:
        termios.tcsetattr(_STDIN, termios.TCSADRAIN, saved)


@contextmanager
def _wakened() -> Iterator[int]:
    """A descriptor to poll: one that waits for it does not miss a signal on the brink of it."""
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    before = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        yield woken
    finally:
        signal.set_wakeup_fd(before)


@contextmanager
def _handlers(
    on_signal: Callable[[int, object], None], on_resize: Callable[[int, object], None]
) -> Iterator[None]:
    """Signal handlers that are in place while the context lasts."""
    wanted = {**dict.fromkeys(_SIGNALS, on_signal), signal.SIGWINCH: on_resize}
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
