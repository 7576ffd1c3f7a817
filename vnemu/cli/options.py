"""Options and arguments that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vnemu.cli import completing

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


class KernelChoice(StrEnum):
    """The kernels that can run a lab."""

    auto = "auto"
    native = "native"
    private = "private"
