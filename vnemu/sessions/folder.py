"""The private run folder of a user: one socket for each lab that runs, and nothing else.

A lab is alive while somebody listens on its socket: the kernel knows that, and no file
has to say it. What nobody listens on is what a killed lab left, and is removed by
whoever comes across it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from vnemu.errors import ExperimentFailed, InputError, MissingCapability, Problem

_SUFFIX = ".sock"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_BACKLOG = 128


class Claim:
    """A name that is this process's: it listens on the socket of that name.

    Parameters:
        folder: a descriptor of the run folder; it leads there from within a capsule too.
    """

    def __init__(self, name: str, listener: socket.socket, folder: int, path: Path) -> None:
        self.name = name
        self.listener = listener
        self._folder = folder
        self._path = path

    def take_over(self) -> None:
        """From now on, this process is the one that the kernel calls the lab's."""
        self.listener.listen(_BACKLOG)

    def leave(self) -> None:
        """Let another process have it, which has taken it over; a second call does nothing."""
        if self._folder < 0:
            return
        self.listener.close()
        os.close(self._folder)
        self._folder = -1

    def release(self) -> None:
        """Give the name back; a second call does nothing."""
        if self._folder < 0:
            return
        self.listener.close()
        fcntl.flock(self._folder, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            os.unlink(self.name + _SUFFIX, dir_fd=self._folder)
        _remove_if_empty(self._folder, self._path)
        os.close(self._folder)
        self._folder = -1


def where() -> Path:
    """The run folder: in ``$XDG_RUNTIME_DIR``, of root in /run, else among temporary files."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    if given and _is_ours(Path(given)):
        return Path(given) / "vnemu"
    if os.geteuid() == 0 and os.access("/run", os.W_OK):
        return Path("/run/vnemu")
    import tempfile  # it takes as long as all else that a client does

    return Path(tempfile.gettempdir()) / f"vnemu-{os.geteuid()}"


def claim(name: str) -> Claim:
    """Make the name of a lab this process's.

    Raises:
        InputError: if it is no name, or the lab of another process has it.
        MissingCapability: if the run folder is not private.
    """
    if not _NAME.fullmatch(name):
        hint = "letters, digits, '-', '_' and '.', at most 64"
        raise InputError([Problem("--name", f"'{name}' is no name for a lab", hint)])
    path = where()
    with _locked(path) as folder:
        if _is_alive(folder, name):
            hint = f"end it (vnemu down {name}), or give another name: --name"
            raise InputError([Problem("", f"a lab '{name}' runs already", hint)])
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(_address(folder, name))
        listener.listen(_BACKLOG)
        # A duplicate would hold the lock.
        return Claim(name, listener, _opened(path), path)


def labs() -> list[str]:
    """The names of all labs that are alive; what dead ones left is removed."""
    path = where()
    if not path.is_dir():
        return []
    with _locked(path) as folder:
        sockets = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIX))  # noqa: PTH208
        names = [name.removesuffix(_SUFFIX) for name in sockets]
        alive = [name for name in names if _is_alive(folder, name)]
        _remove_if_empty(folder, path)
    return alive


def _remove_if_empty(folder: int, path: Path) -> None:
    """Remove the run folder, whose lock the caller holds: nobody is about to use it then."""
    if os.fstat(folder).st_nlink:  # else what is there now is another one, not locked by us
        with suppress(OSError):
            path.rmdir()


def connect(name: str) -> socket.socket:
    """Connect to a running lab.

    Raises:
        InputError: if there is none of that name.
        ExperimentFailed: if too many are in line before.
    """
    if _NAME.fullmatch(name):
        try:
            return _connected(name)
        except (ConnectionError, FileNotFoundError):
            pass
        except BlockingIOError:
            raise ExperimentFailed(f"lab '{name}' does not answer") from None
    raise InputError([Problem("", f"no lab '{name}' runs", _instead(name))])


def _connected(name: str) -> socket.socket:
    folder = _opened(where())  # which goes with the last lab at any moment
    try:
        return _connect(folder, name)
    finally:
        os.close(folder)


def _instead(name: str) -> str:
    names = labs()
    if not names:
        return "vnemu up FILE starts one"
    from vnemu.schema.wording import instead_of

    return instead_of(name, names)


def _is_alive(folder: int, name: str) -> bool:
    """Whether somebody listens; if not, the socket is removed."""
    try:
        _connect(folder, name).close()
    except (ConnectionError, FileNotFoundError):
        with suppress(FileNotFoundError):
            os.unlink(name + _SUFFIX, dir_fd=folder)
        return False
    except BlockingIOError:
        pass  # many are in line already
    return True


def _connect(folder: int, name: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.setblocking(False)
    try:
        connection.connect(_address(folder, name))
        connection.setblocking(True)
    except BaseException:
        connection.close()
        raise
    return connection


def _address(folder: int, name: str) -> str:
    # An address has room for 108 bytes, and the folder may be anywhere.
    return f"/proc/self/fd/{folder}/{name}{_SUFFIX}"


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """A descriptor of the run folder; nobody else claims or removes meanwhile."""
    while True:
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        try:
            folder = _opened(path)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            if os.fstat(folder).st_nlink:  # else the last lab has just taken it away
                yield folder
                return
        finally:
            os.close(folder)


def _opened(path: Path) -> int:
    """A descriptor of a run folder that is nobody's but ours.

    Raises:
        MissingCapability: if it is not.
    """
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise
        raise _not_private(path) from None
    found = os.fstat(folder)
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        os.close(folder)
        raise _not_private(path)
    return folder


def _not_private(path: Path) -> MissingCapability:
    return MissingCapability(
        f"{path} is not a folder that only you can open", "remove it, or set XDG_RUNTIME_DIR"
    )


def _is_ours(path: Path) -> bool:
    try:
        return path.stat().st_uid == os.geteuid() and os.access(path, os.W_OK)
    except OSError:
        return False
