"""What runs in a VR: the programs of its Router OS and their configuration files, as text."""

from __future__ import annotations

from dataclasses import dataclass

from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Node, Topology
from vnemu.model.routing import Daemon
from vnemu.routing.bird import bird_files
from vnemu.routing.frr import frr_files, integrated_programs
from vnemu.routing.own import own_text
from vnemu.routing.view import View

INTEGRATED = "frr.conf"
"""FRR's one file for all of its programs, in which users write their own."""


@dataclass(frozen=True)
class Configuration:
    """What a Router OS is started with.

    Parameters:
        programs: in the order in which they start.
        files: their names, as in /etc/bird or /etc/frr, and texts: ``bird.conf``; one for
            each program of FRR (``ospfd.conf``), or its integrated ``frr.conf``.
    """

    daemon: Daemon
    programs: tuple[str, ...]
    files: dict[str, str]


def check_texts(topology: Topology, before: Topology | None = None) -> None:
    """See that the user's own templates can be rendered.

    Parameters:
        before: the VRs that were there are left out.

    Raises:
        InputError: with all that is wrong with them.
    """
    problems: dict[Problem, None] = {}
    there = before.nodes if before is not None else {}
    for path, node in topology.nodes.items():
        if node.os.own is not None and path not in there and not node.copied_from:
            try:
                configuration(topology, node)
            except InputError as error:
                problems |= dict.fromkeys(error.problems)
    if problems:
        raise InputError(problems)


def configuration(topology: Topology, node: Node) -> Configuration | None:
    """What the Router OS of a VR is started with; None: it runs nothing.

    Later changes of the network do not change it: it is that of the network when its VRs
    were started.

    Raises:
        InputError: if the user's own template cannot be rendered.
    """
    view = View(topology, node)
    os = view.os
    if os.daemon is None:
        return None
    if os.own is not None:
        text = own_text(view, os.own)
        if os.daemon == "bird":
            return Configuration("bird", ("bird",), {"bird.conf": text})
        return Configuration("frr", integrated_programs(text), {INTEGRATED: text})
    if os.daemon == "bird":
        return Configuration("bird", ("bird",), bird_files(view))
    files = frr_files(view)
    return Configuration("frr", tuple(name.removesuffix(".conf") for name in files), files)
