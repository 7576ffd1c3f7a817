"""What the Tab key completes on the command line: labs that run, what is in them, files."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import typer

from vnemu.errors import VnemuError

_PATIENCE_S = 1.0
_SUFFIXES = (".yaml", ".yml")


def labs(incomplete: str) -> list[str]:
    """The labs of this user that run."""
    from vnemu.sessions.folder import labs as running

    with suppress(VnemuError):
        return _beginning(incomplete, running())
    return []


def nodes(ctx: typer.Context, incomplete: str) -> list[str]:
    """The routers and hosts of the lab that is named before."""
    return _beginning(incomplete, _known(ctx, "nodes"))


def nodes_or_networks(ctx: typer.Context, incomplete: str) -> list[str]:
    """Routers, hosts and networks of that lab."""
    return _beginning(incomplete, _known(ctx, "nodes", "networks"))


def nodes_or_links(ctx: typer.Context, incomplete: str) -> list[str]:
    """Routers, hosts and virtual links of that lab."""
    return _beginning(incomplete, _known(ctx, "nodes", "links"))


def networks(ctx: typer.Context, incomplete: str) -> list[str]:
    """The networks of that lab."""
    return _beginning(incomplete, _known(ctx, "networks"))


def links(ctx: typer.Context, incomplete: str) -> list[str]:
    """The virtual links of that lab."""
    return _beginning(incomplete, _known(ctx, "links"))


def all_links(ctx: typer.Context, incomplete: str) -> list[str]:
    """The virtual and physical links of that lab."""
    return _beginning(incomplete, _known(ctx, "links", "physical_links"))


def physical(ctx: typer.Context, incomplete: str) -> list[str]:
    """The physical links and the machines of that lab."""
    return _beginning(incomplete, _known(ctx, "physical_links", "machines"))


def machines(ctx: typer.Context, incomplete: str) -> list[str]:
    """The machines of that lab."""
    return _beginning(incomplete, _known(ctx, "machines"))


def places(ctx: typer.Context, incomplete: str) -> list[str]:
    """NODE: of that lab, and files here."""
    inside = (f"{path}:" for path in _known(ctx, "nodes"))
    return [*_beginning(incomplete, inside), *_files(incomplete, ("",))]


def files(incomplete: str) -> list[str]:
    """YAML files and folders."""
    return _files(incomplete, _SUFFIXES)


def _files(incomplete: str, suffixes: tuple[str, ...]) -> list[str]:
    folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
    found = []
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if path.is_dir():
                found.append(f"{path}/")
            elif path.name.endswith(suffixes):
                found.append(str(path))
    return _beginning(incomplete, found)


def _known(ctx: typer.Context, *kinds: str) -> list[str]:
    """Names of these kinds in the lab that is named before, as a shell on it knows them."""
    from vnemu.sessions.client import ask
    from vnemu.shell.names import Names

    with suppress(VnemuError, TimeoutError):
        names = Names(ask(str(ctx.params.get("lab")), "inspect", timeout_s=_PATIENCE_S))
        return [name for kind in kinds for name in getattr(names, kind)]
    return []


def _beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
