"""What the names of a command line mean in a running lab."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from vnemu.errors import InputError, Problem
from vnemu.schema.wording import instead_of
from vnemu.sessions import lookup

_WORD = re.compile(r"[^\s;|&<>()'\"`$]+")


@dataclass(frozen=True)
class Names:
    """The names of a lab, of which the network may be left out where that is unique.

    Parameters:
        data: the lab as ``inspect`` shows it.
        network: whose names come first; None: of none.
    """

    data: Mapping[str, Any]
    network: str | None = None

    @property
    def nodes(self) -> list[str]:
        """The paths of all routers and hosts."""
        return list(self.data["nodes"])

    @property
    def links(self) -> list[str]:
        """The paths of all virtual links."""
        return list(self.data["links"])

    @property
    def networks(self) -> list[str]:
        """The names of all networks."""
        return list(self.data["networks"])

    @property
    def physical_links(self) -> list[str]:
        """The names of all physical links."""
        return list(self.data["physical_links"])

    @property
    def machines(self) -> list[str]:
        """The names of all machines that a node is on or a physical link leads to."""
        used = [node["machine"] for node in self.data["nodes"].values()]
        ends = [end for link in self.data["physical_links"].values() for end in link["ends"]]
        return sorted({*used, *ends})

    def is_node(self, word: str) -> bool:
        """Whether a word is the name of a node, or of several."""
        return bool(_matching(word, self.nodes))

    def node(self, word: str, beside: str | None = None) -> str:
        """The path of a router or host.

        Parameters:
            beside: a path; names of its network come first.

        Raises:
            InputError: if there is none of that name, or several.
        """
        return self._one(word, self.nodes, "router or host", beside)

    def link(self, word: str) -> str:
        """The path of a virtual link.

        Raises:
            InputError: if there is none of that name, or several.
        """
        return self._one(word, self.links, "virtual link")

    def any_link(self, word: str) -> str:
        """The path of a virtual link, or the name of a physical one.

        Raises:
            InputError: if there is none of that name, or several.
        """
        if word in self.physical_links:
            return word
        return self._one(word, [*self.links, *self.physical_links], "link")

    def node_or(self, word: str, others: Iterable[str], what: str) -> str:
        """One of `others`, or the path of a node.

        Raises:
            InputError: if there is none of that name, or several.
        """
        known = list(others)
        return word if word in known else self._one(word, [*self.nodes, *known], what)

    def new(self, word: str, beside: str | None = None) -> str:
        """The path of something that is still to be: its network may be left out.

        Raises:
            InputError: if it is not clear which network is meant.
        """
        if "/" in word:
            return word
        network = beside.partition("/")[0] if beside else self.network
        if network is None and len(self.networks) == 1:
            network = self.networks[0]
        if network is None:
            hint = " or ".join(f"{name}/{word}" for name in self.networks)
            raise InputError([Problem("", f"'{word}': in which network?", hint)])
        return f"{network}/{word}"

    def between(self, one: str, other: str) -> list[str]:
        """The virtual links between two nodes, or the physical ones between two machines."""
        wanted = {one, other}
        return [
            name
            for kind in ("links", "physical_links")
            for name, link in self.data[kind].items()
            if set(link["ends"]) == wanted
        ]

    def address(self, path: str) -> str:
        """Where a node is reached: its loopback if it has one, else its first NIC; IPv4 first.

        Raises:
            InputError: if it has no address.
        """
        return lookup.address(self.data, path)

    def with_addresses(self, text: str, asking: str) -> str:
        """A command with addresses in place of the names of nodes, but for its first word.

        Parameters:
            asking: the node it runs in; names of its network come first.
        """
        first, space, rest = text.partition(" ")
        return first + space + _WORD.sub(lambda match: self._in_place(match[0], asking), rest)

    def _in_place(self, word: str, asking: str) -> str:
        found = self._found(word, self.nodes, asking)
        return self.address(found[0]) if len(found) == 1 else word

    def _found(self, word: str, paths: list[str], beside: str | None) -> list[str]:
        network = beside.partition("/")[0] if beside else self.network
        own = f"{network}/{word}"
        return [own] if own in paths else _matching(word, paths)

    def _one(self, word: str, paths: list[str], what: str, beside: str | None = None) -> str:
        found = self._found(word, paths, beside)
        if len(found) == 1:
            return found[0]
        if found:
            hint = f"write {' or '.join(found)}"
            raise InputError([Problem("", f"'{word}' is in several networks", hint)])
        raise InputError([Problem("", f"there is no {what} '{word}'", instead_of(word, paths))])


def short(path: str, paths: Iterable[str]) -> str:
    """The shortest name by which a path is found among others."""
    own = path.rpartition("/")[2]
    return own if len(_matching(own, list(paths))) == 1 else path


def _matching(word: str, paths: list[str]) -> list[str]:
    if word in paths:
        return [word]
    return [path for path in paths if path.rpartition("/")[2] == word]
