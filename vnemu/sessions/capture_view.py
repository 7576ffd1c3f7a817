"""A capture as `vnemu capture` and the shell have it: into a file, a pipe, or lines to read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import IO

from vnemu.drivers.capture import Counts
from vnemu.drivers.pcapng import FRAME, INTERFACE, Block, blocks
from vnemu.drivers.programs import INSTALL, find
from vnemu.errors import InputError, MissingCapability
from vnemu.sessions.captures import RemoteCapture, Wish, opened

STDOUT = "-"
_A_FRAME = re.compile(rb"\d\d:\d\d:\d\d\.")
"""How tcpdump begins the line of a frame; what is in it may take more lines."""


def show(wish: Wish, write: str | None) -> Counts:
    """Capture until it is over or Ctrl-C ends it, and say on stderr what came of it.

    Parameters:
        write: a file, or ``-``: standard output; None: a line to read for each frame.

    Raises:
        InputError: if the file cannot be written, or standard output is a terminal.
        MissingCapability: if there is no tcpdump to make lines.
        ExperimentFailed: if it could not go on.
    """
    if write is None:
        return _in_lines(wish)
    if write == STDOUT and os.isatty(1):
        raise InputError("pcapng is not for a terminal: pipe it on, or leave -w out")
    sys.stdout.flush()
    output = os.dup(1) if write == STDOUT else opened(write)
    try:
        capture = wish.into(output)
    finally:
        os.close(output)
    return _told(wish, capture)


def _told(wish: Wish, capture: RemoteCapture) -> Counts:
    _say(f"capturing at {', '.join(wish.interfaces)}; Ctrl-C ends it")
    try:
        counts = capture.wait()
    except KeyboardInterrupt:
        counts = capture.stop()
    for name, found in counts.items():
        _say(f"{name}: {found.packets} packets, {found.dropped} dropped by the kernel")
    return counts


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _in_lines(wish: Wish) -> Counts:
    tcpdump = find("tcpdump")
    if tcpdump is None:
        hint = f"run: {INSTALL['tcpdump']}, or write a file for Wireshark: -w FILE"
        raise MissingCapability("tcpdump, which makes frames readable, is not installed", hint)
    source, output = os.pipe()
    with os.fdopen(source, "rb") as stream:
        try:
            capture = wish.into(output)
        finally:
            os.close(output)
        reader = _Reader(tcpdump, stream)
        reader.start()
        try:
            return _told(wish, capture)
        finally:
            reader.join()


class _Reader(threading.Thread):
    """Prints a capture as tcpdump reads it, each frame with its interface and direction."""

    def __init__(self, tcpdump: str, stream: IO[bytes]) -> None:
        super().__init__(daemon=True)
        self._stream = stream
        self._places: deque[bytes] = deque()
        self._names: list[str] = []
        # A session of its own: Ctrl-C ends the capture, and tcpdump with it.
        self._tcpdump = subprocess.Popen(
            [tcpdump, "-n", "-l", "-r", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self) -> None:
        """Pass the capture on to tcpdump, until it ends."""
        printer = threading.Thread(target=self._print, daemon=True)
        printer.start()
        assert self._tcpdump.stdin is not None, "it is a pipe"
        with suppress(BrokenPipeError), self._tcpdump.stdin as target:
            for block in blocks(self._stream):
                self._note(block)
                target.write(block.data)
                target.flush()
        self._stream.close()  # should tcpdump have ended, the capture ends as well
        printer.join()
        self._tcpdump.wait()

    def _note(self, block: Block) -> None:
        """Remember of which interface a frame is, for its line."""
        if block.kind == INTERFACE:
            self._names.append(block.interface_name)
        elif block.kind == FRAME:
            way = "out" if block.outward else "in"
            self._places.append(f"{self._names[block.interface]} {way:3} ".encode())

    def _print(self) -> None:
        assert self._tcpdump.stdout is not None, "it is a pipe"
        try:
            for line in self._tcpdump.stdout:
                place = self._places.popleft() if _A_FRAME.match(line) else b"  "
                sys.stdout.buffer.write(place + line)
                sys.stdout.buffer.flush()
        except BrokenPipeError:  # nobody reads it any more
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            self._tcpdump.kill()
