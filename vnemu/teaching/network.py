"""A running lab as checks see it: as it was when it was last looked at, and what has happened."""

from __future__ import annotations

import time
from typing import Any, Literal

from vnemu.errors import InputError, Problem
from vnemu.sessions.remote import RemoteLab

Version = Literal[4, 6] | None


class Network:
    """The network of a running lab.

    Parameters:
        name: the lab's.

    Raises:
        InputError: if it does not run.
    """

    def __init__(self, name: str) -> None:
        self.lab = RemoteLab(name)
        self.state: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.look()

    def look(self) -> None:
        """See it as it is now."""
        self.state = self.lab.inspect()
        self.events = self.lab.events()

    @property
    def quiet_s(self) -> float:
        """For how many seconds nothing has been changed."""
        times = [e["time"] for e in self.events if e["kind"] in ("state", "change")]
        return time.time() - max(times, default=0.0)

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

    def next_hop(self, node: str, to: str, version: Version) -> str:
        """The node that another gives packets to a third one to; itself if they stay.

        Raises:
            InputError: if it has no route.
        """
        route = self.lab.route(node, to, version)
        if route is None:
            raise InputError(f"{node} has no route to {to}")
        return route.next or node
