"""What the Tab key completes on the command line: labs that run, what is in them, files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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


def _of(*kinds: str) -> Callable[[typer.Context, str], list[str]]:
    """What completes names of these kinds in the lab that is named before."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        return _beginning(incomplete, _known(ctx, *kinds))

    return complete


nodes = _of("nodes")
nodes_or_networks = _of("nodes", "networks")
nodes_or_links = _of("nodes", "links")
networks = _of("networks")
links = _of("links")
all_links = _of("links", "physical_links")
physical = _of("physical_links", "machines")
machines = _of("machines")


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
