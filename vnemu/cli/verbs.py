"""The verbs on running labs: each command says one entry of a timeline, and the lab does it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from vnemu.cli import completing
from vnemu.cli.options import AsJson, LabName, NodePath
from vnemu.schema.said import entry_text, listed

LinkPath = Annotated[
    str,
    typer.Argument(
        metavar="LINK",
        help="A virtual link: network/link, such as a/core.",
        autocompletion=completing.links,
    ),
]
AnyLink = Annotated[
    str,
    typer.Argument(
        metavar="LINK",
        help="A virtual link (a/core), or a physical one.",
        autocompletion=completing.all_links,
    ),
]
NodeOrNetwork = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A router or host (a/r1), or a whole network (a).",
        autocompletion=completing.nodes_or_networks,
    ),
]
Physical = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="A physical link or a machine of the underlay.",
        autocompletion=completing.physical,
    ),
]
Direction = Annotated[
    str | None, typer.Option(metavar="END>END", help="Only this way, such as 'r1>r2'.")
]
Machine = Annotated[
    str | None,
    typer.Option(metavar="RM", help="The machine for it.", autocompletion=completing.machines),
]
Names = Annotated[str | None, typer.Option(metavar="NAME,NAME", help="Such as rm1,rm3.")]
Limit = Annotated[
    str | None,
    typer.Option(metavar="RATE", help="It carries no more than that; none: as much as there is."),
]
Guarantee = Annotated[
    str | None, typer.Option(metavar="RATE", help="It gets that at least; none: its fair part.")
]
Capacity = Annotated[
    str | None, typer.Option(metavar="RATE", help="The capacity of a physical link.")
]
Delay = Annotated[str | None, typer.Option(metavar="TIME", help="Of each frame; none: none added.")]
Jitter = Annotated[
    str | None, typer.Option(metavar="TIME", help="How much the delay varies; none: not at all.")
]
Loss = Annotated[str | None, typer.Option(metavar="SHARE", help="Of the frames, such as 0.1%.")]
Duplicate = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Of the frames that come twice; none: none.")
]
Corrupt = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Of the frames with a wrong bit; none: none.")
]
Reorder = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Of the frames that overtake; none: none.")
]
Queue = Annotated[
    str | None,
    typer.Option(metavar="VALUE", help="Where its frames wait: a time (25ms) or a size."),
]
Cpu = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Of a processor's time, such as 50%; none: all.")
]
Cpus = Annotated[
    str | None,
    typer.Option(metavar="N", help="How many processors its programs run on; none: all."),
]
Ram = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Of its programs, such as 64mb; none: no limit.")
]
Disk = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE", help="All files of its own together, such as 1gb; none: no limit."
    ),
]
Forwarding = Annotated[
    str | None,
    typer.Option(
        metavar="VALUE", help="What comes in to it: 100mbit, 10kpps, or both; none: no limit."
    ),
]


def do(
    lab: LabName,
    texts: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT...", help="An entry of a timeline without at:, or - for standard input."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Change a running lab in the words of a timeline; several texts are one change.

    All of it happens, or nothing. The other verbs are short forms of this one.
    """
    source = "<stdin>" if texts == ["-"] else ""
    _tell(lab, [sys.stdin.read()] if source else texts, as_json, source)


def pause(lab: LabName, name: NodeOrNetwork) -> None:
    """Let a router, a host or a network rest: nothing of it runs, its state stays."""
    _do(lab, pause=name)


def resume(lab: LabName, name: NodeOrNetwork) -> None:
    """Let go on what is paused."""
    _do(lab, resume=name)


def stop(lab: LabName, node: NodePath) -> None:
    """Switch a router or host off: its programs end, its peers see no carrier."""
    _do(lab, stop=node)


def start(lab: LabName, node: NodePath) -> None:
    """Switch a stopped router or host on."""
    _do(lab, start=node)


def create(lab: LabName, node: NodePath, on: Machine = None) -> None:
    """Add a router, which vnemu add can join to others then."""
    _do(lab, create=node, on=on)


def destroy(lab: LabName, node: NodePath) -> None:
    """Take a router or host away for good, and its links."""
    _do(lab, destroy=node)


def copy(
    lab: LabName,
    node: NodePath,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The copy: network/name.")],
    on: Machine = None,
) -> None:
    """Make a second router like one that is there; its NICs are unplugged until vnemu add."""
    _do(lab, copy=node, **{"as": new}, on=on)


def move(
    lab: LabName,
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A router (a/r1) or a virtual link (a/core).",
            autocompletion=completing.nodes_or_links,
        ),
    ],
    to: Machine = None,
    path: Names = None,
    avoid: Names = None,
) -> None:
    """Let a router live on another machine, or a link take another path; no frame is lost.

    Without an option the best place is chosen.
    """
    _do(lab, move=name, to=to, path=listed(path), avoid=listed(avoid))


def limit(
    lab: LabName,
    node: NodePath,
    cpu: Cpu = None,
    cpus: Cpus = None,
    memory: Ram = None,
    disk: Disk = None,
    forwarding: Forwarding = None,
) -> None:
    """Change what a router or host may use of its machine, and what a router can forward."""
    limits = {"cpu": cpu, "cpus": cpus, "memory": memory, "disk": disk, "forwarding": forwarding}
    _do(lab, limit=node, **limits)


def reshape(
    lab: LabName,
    link: AnyLink,
    direction: Direction = None,
    limit: Limit = None,
    guarantee: Guarantee = None,
    rate: Capacity = None,
    delay: Delay = None,
    jitter: Jitter = None,
    loss: Loss = None,
    duplicate: Duplicate = None,
    corrupt: Corrupt = None,
    reorder: Reorder = None,
    queue: Queue = None,
) -> None:
    """Change the quality of a link; what is not named keeps its value."""
    values = {key: value for key, value in locals().items() if key not in ("lab", "link")}
    _do(lab, reshape=link, **values)


def cut(lab: LabName, link: AnyLink, direction: Direction = None) -> None:
    """Let nothing pass a link, and tell nobody: its carrier stays."""
    _do(lab, cut=link, direction=direction)


def mend(lab: LabName, link: AnyLink, direction: Direction = None) -> None:
    """Let frames pass a link again that was cut."""
    _do(lab, mend=link, direction=direction)


def unplug(lab: LabName, link: LinkPath) -> None:
    """Take a virtual link's carrier away at both ends (the timeline's down:)."""
    _do(lab, down=link)


def plug(lab: LabName, link: LinkPath) -> None:
    """Give a virtual link its carrier back (the timeline's up:)."""
    _do(lab, up=link)


def fail(lab: LabName, name: Physical, direction: Direction = None) -> None:
    """Let a physical link or a machine fail."""
    _do(lab, fail=name, direction=direction)


def repair(lab: LabName, name: Physical, direction: Direction = None) -> None:
    """Repair a physical link or a machine."""
    _do(lab, repair=name, direction=direction)


def add(
    lab: LabName,
    link: LinkPath,
    one: Annotated[str, typer.Argument(metavar="ROUTER", help="Without its network.")],
    other: Annotated[str, typer.Argument(metavar="ROUTER", help="Without its network.")],
    limit: Limit = None,
    guarantee: Guarantee = None,
    delay: Delay = None,
    loss: Loss = None,
    path: Names = None,
) -> None:
    """Join two routers of a network by a new virtual link."""
    ends = listed(f"{one},{other}")
    values = {"limit": limit, "guarantee": guarantee, "delay": delay, "loss": loss}
    _do(lab, add=link, endpoints=ends, **values, path=listed(path))


def remove(lab: LabName, link: LinkPath) -> None:
    """Take a virtual link away, and the NICs at its ends."""
    _do(lab, remove=link)


def create_network(
    lab: LabName,
    name: Annotated[str, typer.Argument(metavar="NETWORK", help="The name that it gets.")],
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A topology, or a file of a network alone.",
            autocompletion=completing.files,
        ),
    ],
    network: Annotated[
        str | None,
        typer.Option(help="Which of the file's. [dim]default: of its name, or the only one[/]"),
    ] = None,
) -> None:
    """Add a network from a file while the others run."""
    _do(lab, create_network=name, file=file, network=network)


def destroy_network(
    lab: LabName,
    name: Annotated[
        str, typer.Argument(metavar="NETWORK", help="Its name.", autocompletion=completing.networks)
    ],
) -> None:
    """Take a network away, with all that is in it."""
    _do(lab, destroy_network=name)


def _do(lab: str, **entry: str | None) -> None:
    _tell(lab, [entry_text(entry)])


def _tell(lab: str, texts: list[str], as_json: bool = False, source: str = "") -> None:
    from vnemu.sessions import pages
    from vnemu.sessions.client import ask

    found: dict[str, Any] = ask(lab, "do", texts=texts, folder=str(Path.cwd()), source=source)
    print(json.dumps(found) if as_json else "\n".join(pages.done(found)))


def register(app: typer.Typer) -> None:
    """Make these functions commands."""
    functions = (
        *(do, pause, resume, stop, start, create, destroy, copy, move, limit, reshape),
        *(cut, mend, unplug, plug, fail, repair, add, remove, create_network, destroy_network),
    )
    for function in functions:
        app.command()(function)
