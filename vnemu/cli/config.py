"""`vnemu config`: what the Router OS of a VR is started with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Node, Topology
from vnemu.routing.configuration import Configuration, configuration
from vnemu.schema.wording import instead_of


def shown(file: Path, path: str, overrides: Sequence[str], as_json: bool) -> str:
    """The configuration of the VR `path`, as text for the terminal.

    Raises:
        InputError: if the file is wrong, or there is no such VR.
    """
    from vnemu.cli.files import read_any

    topology = read_any(file, overrides).topology
    node = _router(topology, path)
    found = configuration(topology, node)
    if as_json:
        return json.dumps(_as_data(node, found), indent=2) + "\n"
    if found is None:
        return f"# {path} runs no Router OS: its routing is {node.os.protocols[0]}\n"
    return _as_text(found)


def _router(topology: Topology, path: str) -> Node:
    node = topology.nodes.get(path)
    routers = [other.path for other in topology.nodes.values() if other.kind == "router"]
    if node is None:
        raise InputError([Problem("", f"there is no router '{path}'", instead_of(path, routers))])
    if node.kind != "router":
        raise InputError([Problem("", f"{path} is a host: it runs no Router OS")])
    return node


def _as_text(found: Configuration) -> str:
    """The one file, or all of them, each under its place."""
    if len(found.files) == 1:
        return next(iter(found.files.values()))
    return "\n".join(
        f"==> /etc/{found.daemon}/{name} <==\n{text}" for name, text in found.files.items()
    )


def _as_data(node: Node, found: Configuration | None) -> dict[str, object]:
    return {
        "node": node.path,
        "protocols": list(node.os.protocols),
        "daemon": found.daemon if found else None,
        "programs": list(found.programs) if found else [],
        "files": found.files if found else {},
    }
