"""The state of a network as the report of a failed test tells it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vnemu.errors import VnemuError
from vnemu.sessions import pages
from vnemu.sessions.remote import RemoteLab
from vnemu.sessions.remote_nodes import RemoteNode

_MOST_NODES = 8
_MOST_EVENTS = 20
_LOG_LINES = 20
_PATIENCE_S = 5.0
_ASK: Mapping[str, Sequence[tuple[str, ...]]] = {
    "bird": [("birdc", "show", "protocols"), ("birdc", "show", "ospf", "neighbors")],
    "ospfd": [("vtysh", "-c", "show ip ospf neighbor")],
    "ospf6d": [("vtysh", "-c", "show ipv6 ospf6 neighbor")],
    "bgpd": [("vtysh", "-c", "show bgp summary")],
    "isisd": [("vtysh", "-c", "show isis neighbor")],
    "ripd": [("vtysh", "-c", "show ip rip status")],
    "babeld": [("vtysh", "-c", "show babel neighbor")],
}
"""How programs of Router OSs are asked for their neighbours."""


def network_state(lab: RemoteLab, used: Sequence[str]) -> Iterator[str]:
    """Nodes, links, events, ended programs, and routes and neighbours of some nodes.

    Parameters:
        used: the nodes that the test worked with; none: the first routers.

    Raises:
        VnemuError: if the lab does not answer.
    """
    data = lab.inspect()
    events = lab.events()
    yield from pages.inspected(data)
    yield from _section("What happened", map(pages.event, events[-_MOST_EVENTS:]))
    logs = lab.logs()
    for ended in {event["node"] for event in events if event["kind"] == "ended"}:
        for program, text in logs.get(ended, {}).items():
            yield from _section(f"Log of {program} in {ended}", text.splitlines()[-_LOG_LINES:])
    routers = [path for path, node in data["nodes"].items() if node["at"] is None]
    asked = [path for path in used if path in data["nodes"]] or routers
    for path in asked[:_MOST_NODES]:
        node = RemoteNode(lab.name, path)
        yield from _of_node(node, data["nodes"][path], logs.get(path, {}))


def _of_node(node: RemoteNode, data: Mapping[str, Any], logs: Mapping[str, str]) -> Iterator[str]:
    if data["state"] != "running":
        return
    neighbours = [command for program in logs for command in _ASK.get(program, [])]
    for command in [("ip", "route"), ("ip", "-6", "route"), *neighbours]:
        yield from _section(f"{node.path}: {' '.join(command)}", _said(node, command))


def _said(node: RemoteNode, command: Sequence[str]) -> list[str]:
    try:
        done = node.run(*command, timeout=_PATIENCE_S)
    except (VnemuError, subprocess.TimeoutExpired) as error:
        return [str(error)]
    return (done.stdout + done.stderr).splitlines()


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    """A title and lines below it; nothing if there are none."""
    found = [f"  {line}".rstrip() for line in lines if line.strip()]
    if found:
        yield from ("", title, *found)
