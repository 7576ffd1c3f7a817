"""The command that makes a VN of an existing network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vnemu.errors import InputError

if TYPE_CHECKING:
    from vnemu.routing.migration import Target


def import_network(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A description of an existing network (YAML).")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The topology file. [dim]default: printed[/]")
    ] = None,
    underlay: Annotated[
        Path | None,
        typer.Option(metavar="TOPOLOGY", help="Onto the underlay of this topology file."),
    ] = None,
    on: Annotated[
        list[str] | None,
        typer.Option(metavar="ROUTER=RM", help="Which machine hosts a router. Repeatable."),
    ] = None,
) -> None:
    """Make a virtual network of an existing one: its routers run what they run.

    They keep their configurations, the names of their interfaces and their addresses.
    Without --underlay each router has a machine of its own, as it is.
    """
    from vnemu.routing.migration import Target, left_out, topology_data
    from vnemu.schema.physical import load_physical

    loaded = load_physical(file)
    target = Target(out.parent if out else Path(), _underlay(underlay), _places(on or [], underlay))
    data = topology_data(loaded, target)
    for note in left_out(loaded):
        print(f"vnemu: {note}", file=sys.stderr)
    text = f"# made by: vnemu {' '.join(_words(file, target, underlay))}\n{_text(data)}"
    if out is None:
        sys.stdout.write(text)
        return
    out.write_text(text, encoding="utf-8")
    print(out)


def _words(file: Path, target: Target, underlay: Path | None) -> list[str]:
    onto = ["--underlay", str(underlay)] if underlay else []
    places = [word for name, rm in target.on.items() for word in ("--on", f"{name}={rm}")]
    return ["import", str(file), *onto, *places]


def _text(data: dict[str, Any]) -> str:
    import yaml

    return yaml.safe_dump(
        data, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None
    )


def _underlay(path: Path | None) -> dict[str, Any] | None:
    from vnemu.schema.load import load_topology

    if path is None:
        return None
    found: Any = load_topology(path).document.data["underlay"]
    assert isinstance(found, dict), "it was checked"
    return found


def _places(pairs: list[str], underlay: Path | None) -> dict[str, str]:
    if pairs and underlay is None:
        raise InputError("--on places a router on a machine of --underlay: name that, too")
    places = {}
    for pair in pairs:
        router, equals, machine = pair.partition("=")
        if not (router and equals and machine):
            raise InputError(f"--on {pair}: write it like --on r1=rm1")
        places[router] = machine
    return places
