"""Options and arguments that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change a value of the files, such as underlay.links.0.rate=320mbit. Repeatable.",
    ),
]
AnyFile = Annotated[
    Path, typer.Argument(metavar="FILE", help="A topology or experiment file (YAML).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Memory = Annotated[
    str, typer.Option(metavar="SIZE", envvar="VNEMU_MEMORY", help="Memory of the private kernel.")
]
LabName = Annotated[str, typer.Argument(metavar="LAB", help="The name of a running lab.")]
NodePath = Annotated[
    str, typer.Argument(metavar="NODE", help="A router or host: network/name, such as a/r1.")
]


class KernelChoice(StrEnum):
    """The kernels that can run a lab."""

    auto = "auto"
    native = "native"
    private = "private"
