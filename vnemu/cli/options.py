"""Options and arguments that several commands have."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from vnemu.cli import completing
from vnemu.errors import InputError

SETTINGS: Mapping[str, Any] = {
    "no_args_is_help": True,
    "rich_markup_mode": "rich",
    "pretty_exceptions_enable": False,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100},
}
"""Of `vnemu` and of all its groups of commands."""

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a value of the files, such as underlay.links.0.rate=320mbit. Repeatable.",
    ),
]
AnyFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="A topology or experiment file (YAML).",
        autocompletion=completing.files,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Memory = Annotated[
    str, typer.Option(metavar="SIZE", envvar="VNEMU_MEMORY", help="Memory of the private kernel.")
]
Timeout = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Wait no longer than that. [dim]default: 120s[/]"),
]
LabName = Annotated[
    str,
    typer.Argument(
        metavar="LAB", help="The name of a running lab.", autocompletion=completing.labs
    ),
]
NodePath = Annotated[
    str,
    typer.Argument(
        metavar="NODE",
        help="A router or host: network/name, such as a/r1.",
        autocompletion=completing.nodes,
    ),
]


def seconds_of(option: str, text: str) -> float:
    """The time that an option says, in seconds.

    Raises:
        InputError: if it is none.
    """
    from vnemu.units import Duration

    try:
        return Duration.parse(text).seconds
    except ValueError as error:
        raise InputError(f"{option}: {error}") from None


def group(name: str, about: str) -> typer.Typer:
    """A command that has commands of its own."""
    return typer.Typer(name=name, help=about, **SETTINGS)


class KernelChoice(StrEnum):
    """The kernels that can run a lab."""

    auto = "auto"
    native = "native"
    private = "private"
