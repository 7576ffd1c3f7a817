"""Commands that show the lab as it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from vnemu.errors import InputError, Problem
from vnemu.schema.wording import instead_of
from vnemu.sessions import pages
from vnemu.shell.lines import Line, between
from vnemu.shell.registry import COMMANDS, LOOK

if TYPE_CHECKING:
    from vnemu.shell.session import Shell


def table(rows: Iterable[list[str]]) -> None:
    """Print rows in columns."""
    found = list(rows)
    if found:
        print("\n".join(pages.aligned(found)))


@COMMANDS.command("nodes", LOOK)
def _nodes(shell: Shell, _: Line) -> int:
    """Routers and hosts, where they are and how they do."""
    found = shell.names().data["nodes"]
    table([path, node["kind"], node["machine"], node["state"]] for path, node in found.items())
    return 0


@COMMANDS.command("net", LOOK)
def _net(shell: Shell, _: Line) -> int:
    """Who is joined to whom: each node with its NICs and what is at their other ends."""
    data = shell.names().data
    for path, node in data["nodes"].items():
        nics = (f"{name}:{_peer(data, path, nic['link'])}" for name, nic in node["nics"].items())
        print(path, *nics)
    return 0


def _peer(data: Any, path: str, link: str) -> str:
    if link not in data["links"]:
        return "-"
    one, other = data["links"][link]["ends"]
    peer = str(other if one == path else one)
    return f"{peer}-{_nic(data, peer, link)}"


def _nic(data: Any, path: str, link: str) -> str:
    nics = data["nodes"][path]["nics"]
    return next(str(name) for name, nic in nics.items() if nic["link"] == link)


@COMMANDS.command("links", LOOK)
def _links(shell: Shell, _: Line) -> int:
    """Virtual links: their ends, whether they are up, and their quality."""
    data = shell.names().data
    table(
        [path, *_ends(data, path), pages.link_state(link), pages.quality(link)]
        for path, link in data["links"].items()
    )
    return 0


def _ends(data: Any, path: str) -> list[str]:
    return [f"{end}-{_nic(data, end, path)}" for end in data["links"][path]["ends"]]


@COMMANDS.command("intfs", LOOK)
def _intfs(shell: Shell, _: Line) -> int:
    """The NICs of each node and their addresses."""
    for path, node in shell.names().data["nodes"].items():
        nics = {"lo": node["loopbacks"]} if node["loopbacks"] else {}
        nics |= {name: nic["addresses"] for name, nic in node["nics"].items()}
        table([path, name, " ".join(addresses)] for name, addresses in nics.items())
    return 0


@COMMANDS.command("dump", LOOK)
def _dump(shell: Shell, _: Line) -> int:
    """All that the lab is, as vnemu inspect."""
    print("\n".join(pages.inspected(shell.names().data)))
    return 0


@COMMANDS.command("vn [NETWORK|-]", LOOK, "network")
def _vn(shell: Shell, line: Line) -> int:
    """The virtual networks; with a name: names are of this one first, from now on (-: of none)."""
    networks = shell.names().data["networks"]
    words = between(line.words, 0, 1)
    if not words:
        table([name, vn["state"], ", ".join(vn["routers"])] for name, vn in networks.items())
        return 0
    if words[0] not in (*networks, "-"):
        hint = instead_of(words[0], list(networks))
        raise InputError([Problem("", f"there is no network '{words[0]}'", hint)])
    shell.network = None if words[0] == "-" else words[0]
    return 0


@COMMANDS.command("path LINK [RM,RM|best]", LOOK, "link,machines")
def _path(shell: Shell, line: Line) -> int:
    """Over which machines a virtual link goes; with machines: from now on (best: chosen)."""
    words = between(line.words, 1, 2)
    names = shell.names()
    link = names.link(words[0])
    if len(words) == 1:
        print(" - ".join(names.data["links"][link]["machines"]))
        return 0
    from vnemu.schema.said import listed

    return shell.do_entries(
        {"move": link, "path": None if words[1] == "best" else listed(words[1])}
    )
