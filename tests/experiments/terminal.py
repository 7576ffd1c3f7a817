"""A terminal that commands are given, and what is typed and shown there."""

from __future__ import annotations

import fcntl
import os
import re
import select
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from .private_kernel import PATIENCE_S


class Terminal:
    """A terminal of 30 rows and 100 columns, and a command that has it."""

    def __init__(self, folder: Path, environment: dict[str, str], argv: list[str]) -> None:
        self.fd, self._slave = os.openpty()
        self.resize(30, 100)
        self.settings = self.get_settings()
        self.seen = b""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv],
            cwd=folder,
            env={**environment, "TERM": "xterm"},
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
