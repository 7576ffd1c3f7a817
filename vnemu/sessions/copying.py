"""Copying files and folders into the nodes of a running lab, out of them, and between them.

tar packs on one side and unpacks on the other, in a new folder beside the place where the
files are to be. They get their names when all of them are there: what breaks on the way
leaves nothing under these names.
"""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from vnemu.errors import ExperimentFailed, InputError, Problem, VnemuError
from vnemu.sessions.client import opened
from vnemu.sessions.protocol import Connection
from vnemu.sessions.remote_nodes import RemoteNode
from vnemu.sessions.visit import status_of

STREAM = "-"
_CHANGED = 1
"""What tar ends with when a file grew while it was read: what it had then is packed."""
_NO_PROGRAM, _NO_READER = 127, 141
_PATIENCE_S = 5.0


def copy(lab: str, source: str, target: str) -> None:
    """Copy a file or a folder; one of the two is in a node of the lab, or both are.

    Parameters:
        source, target: ``network/name:path`` in a node, else a path here; ``-`` is standard
            input or output, for a file. As with cp, a target that is a folder gets the
            source into it, and a source that ends in ``/.`` is what is in that folder.

    Raises:
        InputError: if there is no such file, folder, node or lab, or a node is paused.
        ExperimentFailed: if it breaks; the target is as it was then.
    """
    start, end = _place(lab, source), _place(lab, target)
    if not (start.is_inside or end.is_inside):
        hint = "such as a/r1:/etc/hosts; a file here that has ':' in its name: ./NAME"
        raise InputError([Problem("", "neither of the two is NODE:PATH", hint)])
    if target == STREAM:
        _show(start)
    elif source == STREAM:
        _keep_input(end)
    else:
        _copy(start, end)


def parts(word: str) -> tuple[str, str]:
    """The node and the path in it that a word names; of a path here, the node is empty."""
    node, colon, path = word.partition(":")
    return (node, path) if colon and not word.startswith(("/", ".")) else ("", word)


class _Running(ABC):
    """A program that has been started."""

    @abstractmethod
    def wait(self) -> int:
        """Wait for its end; its exit status."""

    @abstractmethod
    def stop(self) -> None:
        """End it, if it has not ended."""


class _Side(ABC):
    """Where programs run that read and write files: here, or in a node."""

    name = ""

    @abstractmethod
    def start(self, argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> _Running:
        """Start a program with these descriptors."""

    @abstractmethod
    def output(self, argv: Sequence[str]) -> tuple[int, str]:
        """Run a program that reads nothing; its exit status, and all that it printed."""


@dataclass
class _ProgramHere(_Running):
    process: subprocess.Popen[bytes]

    def wait(self) -> int:
        code = self.process.wait()
        return code if code >= 0 else 128 - code

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class _Here(_Side):
    def start(self, argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> _Running:
        return _ProgramHere(subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr))

    def output(self, argv: Sequence[str]) -> tuple[int, str]:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return done.returncode, done.stdout.decode(errors="replace")


@dataclass
class _ProgramInside(_Running):
    lab: str
    connection: Connection

    def wait(self) -> int:
        with self.connection.socket:
            return status_of(self.lab, self.connection)

    def stop(self) -> None:
        with suppress(OSError, VnemuError):
            self.connection.socket.settimeout(_PATIENCE_S)
            self.connection.socket.shutdown(socket.SHUT_WR)  # it gets SIGHUP
            self.wait()


@dataclass
class _Inside(_Side):
    lab: str
    name: str

    def start(self, argv: Sequence[str], stdin: int, stdout: int, stderr: int) -> _Running:
        request = {"ask": "exec", "node": self.name, "argv": list(argv)}
        return _ProgramInside(self.lab, opened(self.lab, request, (stdin, stdout, stderr)))

    def output(self, argv: Sequence[str]) -> tuple[int, str]:
        done = RemoteNode(self.lab, self.name).run(*argv)
        return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True)
class _Place:
    """A path on a side, as it was written."""

    side: _Side
    path: str

    def __str__(self) -> str:
        return f"{self.side.name}:{self.path}" if self.is_inside else self.path

    @property
    def is_inside(self) -> bool:
        return bool(self.side.name)

    def at(self, path: str) -> _Place:
        return _Place(self.side, path)

    def must(self, *argv: str) -> str:
        """What a program prints.

        Raises:
            ExperimentFailed: if it fails, with the reason that it gives.
        """
        status, text = self.side.output(argv)
        if status:
            raise self.failed(status, text)
        return text

    def failed(self, status: int, text: str) -> ExperimentFailed:
        said = text.strip().splitlines() or [f"it ended with status {status}"]
        return ExperimentFailed(f"{self}: {said[0] if status == _NO_PROGRAM else _reason(said[0])}")

    def is_folder(self) -> bool:
        status, text = self.side.output(("stat", "-L", "-c", "%f", "--", self.path))
        return status == 0 and stat.S_ISDIR(int(text, 16))

    def resolved(self) -> _Place:
        """Where it leads, if it is a symbolic link.

        Raises:
            InputError: if nothing is there.
        """
        status, text = self.side.output(("readlink", "-e", "--", self.path))
        if status == _NO_PROGRAM:
            raise self.failed(status, text)
        if status:
            raise InputError(f"{self}: there is no such file or folder")
        return self.at(text.removesuffix("\n"))


def _reason(line: str) -> str:
    return line.rpartition(": ")[2]


def _place(lab: str, word: str) -> _Place:
    node, path = parts(word)
    if not node:
        return _Place(_Here(), path)
    if not path:
        raise InputError(f"{word}: there is no path behind the node")
    # Like docker: the programs of a node start anywhere.
    return _Place(_Inside(lab, node), f"/{path}" if path[0] != "/" else path)


def _show(start: _Place) -> None:
    start.resolved()
    _no_folder(start)
    with _errors() as errors:
        running = start.side.start(("cat", "--", start.path), 0, 1, errors.fileno())
        status = _ended(running)
        if status not in (0, _NO_READER):
            raise start.failed(status, _text(errors))


def _keep_input(end: _Place) -> None:
    _no_folder(end)
    with _beside(end, end.path) as part, _errors() as errors:
        file = f"{part}/{STREAM}"
        running = end.side.start(
            ("dd", f"of={file}", "bs=65536", "status=none"), 0, 1, errors.fileno()
        )
        if status := _ended(running):
            raise end.failed(status, _text(errors))
        end.must("mv", "-fT", "--", file, end.path)


def _no_folder(place: _Place) -> None:
    if place.path.endswith("/") or place.is_folder():
        raise InputError(f"{place} is a folder: with '{STREAM}' name a file")


def _ended(running: _Running) -> int:
    try:
        return running.wait()
    except BaseException:
        running.stop()
        raise


def _copy(start: _Place, end: _Place) -> None:
    source = start.resolved()
    if source.is_folder():
        _copy_folder(start, source, end)
    else:
        _copy_file(start, source, end)


def _copy_file(start: _Place, source: _Place, end: _Place) -> None:
    final = _inside(end, start.path) if end.is_folder() else end.path
    if final.endswith("/"):
        raise InputError(f"{end}: there is no such folder")
    folder, name = os.path.split(source.path)
    with _beside(end, final) as part:
        _pack(source, (folder, name), end, part)
        end.must("mv", "-fT", "--", f"{part}/{name}", final)


def _copy_folder(start: _Place, source: _Place, end: _Place) -> None:
    whole = not start.path.endswith("/.") and start.path != "."
    own = start.path if PurePosixPath(start.path).name not in ("", "..") else source.path
    final = _inside(end, own) if whole and end.is_folder() else end.path
    there = end.at(final).is_folder()
    with _beside(end, f"{final}/." if there else final.rstrip("/")) as part:
        _pack(source, (source.path, "."), end, part)
        # A hard link appears as a whole, beside or in place of what is there.
        merge = ("cp", "-alfT") if there else ("mv", "-T")
        end.must(*merge, "--", part, final)


def _inside(end: _Place, path: str) -> str:
    return f"{end.path.rstrip('/')}/{PurePosixPath(path).name}"


@contextmanager
def _beside(end: _Place, final: str) -> Iterator[str]:
    """A folder of its own in the folder of `final`, which goes if it is still there."""
    folder = os.path.dirname(final) or "."  # noqa: PTH120  # of another machine
    if not end.at(folder).is_folder():
        raise InputError(f"{end.at(folder)}: there is no such folder")
    template = f"{folder}/.vnemu-cp.XXXXXX"
    part = end.must("mktemp", "-d", "--", template).removesuffix("\n")
    try:
        yield part
    finally:
        with suppress(VnemuError):  # the lab has ended
            end.side.output(("rm", "-rf", "--", part))


def _pack(source: _Place, what: tuple[str, str], end: _Place, part: str) -> None:
    """Pack a file of a folder, and unpack it in `part` on the other side.

    Raises:
        ExperimentFailed: if one of them fails.
    """
    folder, name = what
    unpack = ("tar", "-C", part, "--no-same-owner", "-xpf", "-")
    with ExitStack() as stack:
        said, complained = (stack.enter_context(_errors()) for _ in range(2))
        read, write = os.pipe()
        nothing = os.open(os.devnull, os.O_RDWR)
        try:
            receiver = end.side.start(unpack, read, nothing, complained.fileno())
            stack.callback(receiver.stop)
            pack = ("tar", "-C", folder, "-cf", "-", "--", name)
            sender = source.side.start(pack, nothing, write, said.fileno())
            stack.callback(sender.stop)
        finally:
            for fd in (read, write, nothing):
                os.close(fd)
        sent, received = sender.wait(), receiver.wait()
        if not _is_whole(sent, _text(said)):
            raise source.failed(sent, _text(said))
        if received:
            raise end.failed(received, _text(complained))


def _is_whole(status: int, said: str) -> bool:
    """Whether tar has packed all; if nobody has read that, the other side says why."""
    return status in (0, _NO_READER) or (status == _CHANGED and said.startswith("tar: "))


def _errors() -> BinaryIO:
    return os.fdopen(os.memfd_create("errors"), "rb")


def _text(file: BinaryIO) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")
