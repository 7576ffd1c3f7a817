"""Router OSs: where their programs are, and how a VR is told to run them.

Nothing of it is on the host's disk: a VR has its own /etc/bird or /etc/frr, /run, and
(for FRR, which wants users of its own) /etc/passwd and /etc/group.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path

from vnemu.drivers.programs import find, program
from vnemu.drivers.vr_init import Order, Program, plain
from vnemu.errors import MissingCapability
from vnemu.model.overlay import Node, Topology
from vnemu.model.routing import Daemon
from vnemu.routing.configuration import INTEGRATED, Configuration, configuration

DAEMONS: dict[Daemon, str] = {"bird": "bird", "frr": "zebra"}
"""The Router OSs, each with the program that all of its VRs run."""
_RUN = {"bird": "/run/bird", "frr": "/run/frr"}
_PRIVATE = {
    "bird": ("/etc/bird",),
    "frr": ("/etc/frr", "/var/tmp", "/var/lib/frr", "/var/log/frr"),  # noqa: S108
}
_FIRST = ("mgmtd", "zebra")
"""FRR's programs that the others wait for; the first is there from FRR 9.1 on."""


def orders(topology: Topology) -> dict[str, Order]:
    """What each VR with a Router OS shall run, by path.

    Raises:
        MissingCapability: naming a VR and the command that installs what is missing.
    """
    found = {path: order_of(topology, node) for path, node in topology.nodes.items()}
    return {path: order for path, order in found.items() if order is not None}


def require_later(topologies: Iterable[Topology]) -> None:
    """See that the programs are there which VRs run that come later.

    Parameters:
        topologies: the first, and what it becomes.

    Raises:
        MissingCapability: as `orders`.
    """
    for before, after in pairwise(topologies):
        for path, node in after.nodes.items():
            if path not in before.nodes and not node.copied_from:
                order_of(after, node)


def order_of(topology: Topology, node: Node) -> Order | None:
    """What the VR `node` shall run; None: it has no Router OS.

    Raises:
        MissingCapability: as `orders`.
    """
    wanted = configuration(topology, node)
    return order(node, wanted) if wanted is not None else None


def order(node: Node, wanted: Configuration) -> Order:
    """What the VR `node` shall run.

    Raises:
        MissingCapability: as `orders`.
    """
    try:
        return _bird(node, wanted) if wanted.daemon == "bird" else _frr(node, wanted)
    except MissingCapability as missing:
        at = f"{node.written_at}: " if node.written_at else ""
        what = f"{at}the router {node.path} runs {wanted.daemon}: {missing.message}"
        raise MissingCapability(what, missing.hint) from None


def configuration_folder(daemon: Daemon) -> str:
    """Where a VR has the daemon's configuration: its own /etc/bird or /etc/frr.

    On a machine that has no such folder to mount one over, it is below /run.
    """
    usual = f"/etc/{daemon}"
    return usual if Path(usual).is_dir() else f"/run{usual}"


def _order(node: Node, wanted: Configuration, stages: list[list[Program]]) -> Order:
    folder = configuration_folder(wanted.daemon)
    order = plain(node.name)
    order["private"] = [f for f in _PRIVATE[wanted.daemon] if Path(f).is_dir()]
    order["files"] = {f"{folder}/{name}": text for name, text in wanted.files.items()}
    order["files"][f"{_RUN[wanted.daemon]}/.keep"] = ""
    order["stages"] = stages
    return order


def _bird(node: Node, wanted: Configuration) -> Order:
    configured = f"{configuration_folder('bird')}/bird.conf"
    run = _RUN["bird"]
    argv = [program("bird"), "-f", "-c", configured, "-s", f"{run}/bird.ctl"]
    # It opens its socket before it reads its configuration, and writes its pid after that.
    argv += ["-P", f"{run}/bird.pid"]
    bird = Program(name="bird", argv=argv, ready=f"{run}/bird.pid")
    return _order(node, wanted, [[bird]])


def _frr(node: Node, wanted: Configuration) -> Order:
    names = list(dict.fromkeys(wanted.programs))
    if find("mgmtd") is not None and "mgmtd" not in names:
        names.insert(0, "mgmtd")
    stages = [[_frr_program(name)] for name in _FIRST if name in names]
    stages.append([_frr_program(name) for name in names if name not in _FIRST])
    if INTEGRATED in wanted.files:
        stages.append([_vtysh()])
    order = _order(node, wanted, [stage for stage in stages if stage])
    order["files"].setdefault(f"{configuration_folder('frr')}/vtysh.conf", "")
    for name, text in _accounts().items():
        order["files"][f"/run/etc/{name}"] = text
        order["over"][f"/etc/{name}"] = f"/run/etc/{name}"
    return order


def _frr_program(name: str) -> Program:
    run = _RUN["frr"]
    argv = [program(name), "-u", "root", "-g", "root", "--log", "stdout"]
    argv += ["-i", f"{run}/{name}.pid"]
    if name != "mgmtd":  # which reads the files of others in /etc/frr
        argv += ["-f", f"{configuration_folder('frr')}/{name}.conf"]
    argv += ["-z", f"{run}/zserv.api", "--vty_socket", run, "-A", "127.0.0.1", "-P", "0"]
    if name == "bfdd":
        argv += ["--bfdctl", f"{run}/bfdd.sock"]
    return Program(name=name, argv=argv, ready=f"{run}/{name}.vty")


def _vtysh() -> Program:
    """Gives the parts of an integrated configuration to the programs."""
    folder = configuration_folder("frr")
    argv = [program("vtysh"), "-b", "--config_dir", folder, "--vty_socket", _RUN["frr"]]
    return Program(name="vtysh", argv=argv, ready="")


@cache
def _accounts() -> dict[str, str]:
    """The machine's accounts, with those that FRR looks for as other names of root's.

    It runs as root of the VR, in whose user namespace there may be no other user.
    """
    own = {
        "passwd": ["frr:x:0:0:FRR:/run/frr:/bin/false"],
        "group": ["frr:x:0:", "frrvty:x:0:root"],
    }
    return {name: "\n".join([*_others(name), *lines, ""]) for name, lines in own.items()}


def _others(name: str) -> Iterable[str]:
    lines = Path(f"/etc/{name}").read_text(errors="replace").splitlines()
    return [line for line in lines if not line.startswith(("frr:", "frrvty:"))]


def version(daemon: Daemon) -> str | None:
    """The version of the daemon that is installed; None: there is none, or it cannot be told."""
    try:
        asked = [program(DAEMONS[daemon]), "--version"]
        said = subprocess.run(asked, capture_output=True, text=True, timeout=10, check=False)
    except (MissingCapability, OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"version v?(\d[\w.+~-]*)", said.stdout + said.stderr)
    return match[1] if match else None


def versions(topology: Topology) -> dict[str, str | None]:
    """The versions of the daemons that the VRs of a topology run."""
    used = {node.os.daemon for node in topology.nodes.values() if node.os.daemon}
    return {daemon: version(daemon) for daemon in sorted(used)}
