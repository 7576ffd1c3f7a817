"""Runs linux.uml where no pid namespace encloses it, and leaves nothing of it behind.

    python -I -S uml_watch.py LIFELINE FOLDER COMMAND...

LIFELINE is the read end of a pipe of which the process that boots has the other: when
it ends, however that happens, so does the command. When this process is killed, the
command is too (PR_SET_PDEATHSIG), and the one that boots ends the rest.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from vnemu import linux
from vnemu.capsule import orphans


def main() -> None:
    """Run the command, end all that it leaves, and exit as it did."""
    lifeline, folder = int(sys.argv[1]), sys.argv[2]
    caller, watcher = os.getppid(), os.getpid()
    os.setsid()  # out of reach of what is sent to the caller's process group
    linux.adopt_orphans()
    command = os.fork()
    if not command:
        _become(sys.argv[3:], watcher)
    threading.Thread(target=_end_with_caller, args=(lifeline, command), daemon=True).start()
    _, status = os.waitpid(command, 0)
    orphans.end_children()
    if os.getppid() != caller:
        shutil.rmtree(folder, ignore_errors=True)
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _become(argv: list[str], parent: int) -> NoReturn:
    linux.die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    os.execv(argv[0], argv)  # noqa: S606 - no shell on purpose


def _end_with_caller(lifeline: int, command: int) -> None:
    os.read(lifeline, 1)
    with suppress(ProcessLookupError):
        os.kill(command, signal.SIGKILL)


if __name__ == "__main__":
    main()
