"""The commands on the traffic of running labs."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from vnemu.cli.options import AsJson, LabName, group
from vnemu.errors import InputError

From = Annotated[
    str, typer.Argument(metavar="FROM", help="The router or host that sends, such as a/c1.")
]
To = Annotated[str, typer.Argument(metavar="TO", help="The one that receives, such as a/c2.")]

app = group("traffic", "Flows in running labs: they go on until they are stopped.")


@app.command()
def start(
    lab: LabName,
    one: From,
    other: To,
    name: Annotated[str | None, typer.Option(help="What to call it. [dim]default: flow-1 …[/]")] = (
        None
    ),
    udp: Annotated[
        str | None, typer.Option(metavar="RATE", help="UDP at this rate. [dim]default: TCP[/]")
    ] = None,
    length: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Payload of a datagram, such as 200b.")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option(metavar="N", help="Connections of TCP. [dim]default: 1[/]")
    ] = None,
    congestion: Annotated[
        str | None, typer.Option(metavar="NAME", help="Congestion control of TCP, such as bbr.")
    ] = None,
    ip: Annotated[
        int | None,
        typer.Option(metavar="4|6", help="Version of IP. [dim]default: 4 if there is[/]"),
    ] = None,
    lasting: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="How long, such as 10s.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start an iperf3 flow from one node to another; it goes on until it is stopped."""
    from vnemu.sessions.remote import RemoteLab
    from vnemu.sessions.remote_flows import kind_of

    kind = kind_of(udp, length, parallel, congestion)
    flow = RemoteLab(lab).start_traffic(one, other, name=name, ip=ip, lasting=lasting, **kind)
    print(json.dumps(flow) if as_json else flow["name"])


@app.command()
def stop(
    lab: LabName,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="Flows to stop.", show_default=False),
    ] = (None),
    everything: Annotated[bool, typer.Option("--all", help="Stop all flows of the lab.")] = False,
) -> None:
    """Stop flows, or forget those that have ended."""
    from vnemu.sessions.remote import RemoteLab

    if everything == bool(names):
        raise InputError("name the flows to stop, or give --all")
    running = RemoteLab(lab)
    if everything:
        running.stop_traffic()
    for name in names or ():
        running.stop_traffic(name)


@app.command("list")
def list_flows(lab: LabName, as_json: AsJson = False) -> None:
    """List the flows of a lab: from, to, kind, since when, goodput of the last second."""
    from vnemu.sessions import pages
    from vnemu.sessions.remote import RemoteLab

    found = RemoteLab(lab).traffic()
    print(json.dumps(found, indent=2) if as_json else "\n".join(pages.flows(found)))
