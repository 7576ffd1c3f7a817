"""A program of its own: makes the mount, host name and pid namespaces of VRs.

It is started once a lab, stays small (no site packages), and forks a pid 1 for
each VR in which processes are to run. A request is one datagram on the socket
whose descriptor is argument 1: the VR's host name, with its network namespace
attached; the answer is the pid 1's process id, or "-" and a reason.

    python -I -S vr_init.py FD
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from vnemu import linux

_SECURE = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC


def main() -> None:
    """Serve requests until the lab closes its end."""
    linux.die_with_parent(signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests = socket.socket(fileno=int(sys.argv[1]))
    while True:
        name, fds, _, _ = socket.recv_fds(requests, 256, 1)
        if not name:
            return
        requests.send(_start(name.decode(), fds[0]).encode())
        os.close(fds[0])


def _start(name: str, network: int) -> str:
    """Fork twice: the first child makes the namespaces, the second is pid 1 in them."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        try:
            linux.setns(network, linux.CLONE_NEWNET)
            linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWPID)
            pid = os.fork()
            if not pid:
                _be_pid_1(name, writer)
            os._exit(0)
        except OSError as error:
            os.write(writer, f"- {error}".encode())
            os._exit(1)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader) as answers:
        return answers.read() or "- it died"


def _be_pid_1(name: str, writer: int) -> None:
    try:
        socket.sethostname(name)
        linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
        # What it shows of itself in /proc before that is mounted anew is its id
        # in the capsule, which is the one the lab needs.
        own = Path("/proc/self").readlink().name
        linux.mount("proc", "/proc", "proc", _SECURE)
        linux.mount("tmpfs", "/run", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755")
        os.write(writer, own.encode())
    except OSError as error:
        os.write(writer, f"- {error}".encode())
        os._exit(1)
    os.closerange(3, 4096)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps orphans itself
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
