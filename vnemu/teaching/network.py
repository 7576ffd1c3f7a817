"""A running lab as checks see it: who has which address, who is next, what has happened."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Mapping
from typing import Any, Literal

from vnemu.drivers.programs import program
from vnemu.errors import InputError, Problem
from vnemu.schema.wording import instead_of
from vnemu.sessions.client import ask, asked
from vnemu.teaching.visits import Finished, Visit, run

_MOST_HOPS = 32


class Network:
    """The network of a running lab.

    Parameters:
        lab: its name.

    Raises:
        InputError: if it does not run.
    """

    def __init__(self, lab: str) -> None:
        self.lab = lab
        self.state: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.look()

    def look(self) -> None:
        """See it as it is now."""
        self.state = ask(self.lab, "inspect")
        self.events = [m["event"] for m in asked(self.lab, "events") if "event" in m]

    @property
    def quiet_s(self) -> float:
        """For how many seconds nothing has been changed."""
        times = [e["time"] for e in self.events if e["kind"] in ("state", "change")]
        return time.time() - max(times, default=0.0)

    def do(self, *texts: str) -> None:
        """Change the lab, as one change.

        Raises:
            InputError: if it is refused.
        """
        ask(self.lab, "do", texts=list(texts), folder="/", source="")

    def node(self, path: str) -> Mapping[str, Any]:
        """What is known of a node.

        Raises:
            InputError: if there is none of that name.
        """
        nodes: Mapping[str, Mapping[str, Any]] = self.state["nodes"]
        if path not in nodes:
            hint = instead_of(path, sorted(nodes))
            raise InputError([Problem("", f"there is no node '{path}' in the lab", hint)])
        return nodes[path]

    def nodes_of(self, network: str) -> list[str]:
        """The nodes of a network.

        Raises:
            InputError: if there is none of that name.
        """
        found = [path for path in self.state["nodes"] if path.startswith(f"{network}/")]
        if not found:
            hint = f"there are: {', '.join(self.state['networks']) or 'none'}"
            raise InputError([Problem("", f"there is no network '{network}' in the lab", hint)])
        return found

    def address(self, path: str, version: Literal[4, 6] | None) -> str:
        """An address of a node: of its loopback, or else of its first NIC that has one.

        Parameters:
            version: of IP; None: 4 if it has such.

        Raises:
            InputError: if it has none.
        """
        node = self.node(path)
        every = [
            *node["loopbacks"],
            *(a for nic in node["nics"].values() for a in nic["addresses"]),
        ]
        found = [ipaddress.ip_interface(text).ip for text in every]
        for wanted in (4, 6) if version is None else (version,):
            for address in found:
                if address.version == wanted:
                    return str(address)
        raise InputError(f"{path} has no {f'IPv{version} ' if version else ''}address")

    def next_hop(self, path: str, address: str) -> str:
        """The node that another gives a packet for an address to; itself if it has the address.

        Raises:
            InputError: if it has no route.
        """
        done = run(self.lab, path, program("ip"), "-j", "route", "get", address)
        if done.status:
            reason = done.output.strip().splitlines()[-1:] or ["no route"]
            raise InputError(f"{path} has no route to {address} ({reason[0]})")
        nic = json.loads(done.output)[0]["dev"]
        nics = self.node(path)["nics"]
        return path if nic not in nics else self._other_end(path, str(nics[nic]["link"]))

    def _other_end(self, path: str, link: str) -> str:
        for other, node in self.state["nodes"].items():
            if other != path and any(nic["link"] == link for nic in node["nics"].values()):
                return str(other)
        raise InputError(f"{link} of {path} leads nowhere")

    def path(self, source: str, target: str, version: Literal[4, 6] | None) -> list[str]:
        """The nodes from one to another, both included, by the routing tables of all of them.

        Raises:
            InputError: if the way ends, or goes round in a circle.
        """
        address = self.address(target, version)
        found = [source]
        while found[-1] != target:
            following = self.next_hop(found[-1], address)
            if following in found or len(found) > _MOST_HOPS:
                raise InputError(f"{' - '.join([*found, following])} goes round in a circle")
            found.append(following)
        return found

    def run(self, node: str, *argv: str, timeout_s: float = 20.0) -> Finished:
        """Run a program in a node; as `vnemu.teaching.visits.run`."""
        self.node(node)
        return run(self.lab, node, *argv, timeout_s=timeout_s)

    def visit(self, node: str, *argv: str) -> Visit:
        """Start a program in a node."""
        self.node(node)
        return Visit(self.lab, node, argv)
