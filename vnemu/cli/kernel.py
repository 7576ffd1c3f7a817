"""Which kernel runs a lab: the running one, or a private one that has every feature."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from vnemu import capsule
from vnemu.capsule import private
from vnemu.errors import InputError, MissingCapability
from vnemu.model.overlay import Topology
from vnemu.units import Size


class RanInside(Exception):
    """The command has run in a private kernel, and ended with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def memory_bytes(text: str) -> int:
    """Read the private kernel's memory.

    Raises:
        InputError: if it is no size, or too small to boot in.
    """
    try:
        size = Size.parse(text).bytes
    except ValueError as error:
        raise InputError(f"--memory: {error}") from None
    if size < private.LEAST_MEMORY:
        least = private.LEAST_MEMORY >> 20
        raise InputError(f"--memory: {text} is too little to boot in: give it {least}mb or more")
    return size


def enter_capsule(
    choice: str,
    topology: Topology,
    memory: int,
    out: Path | None = None,
    later: Sequence[Topology] = (),
    more: Sequence[str] = (),
    others: Sequence[Sequence[Topology]] = (),
    afterwards: Callable[[], None] | None = None,
    line: Callable[[int, int], None] | None = None,
) -> str:
    """Go on in a capsule whose kernel has all that `topology` asks for.

    In the private kernel the whole command starts again; it then comes by here once
    more, inside.

    Parameters:
        choice: auto, native or private.
        memory: what a private kernel may use, in bytes.
        out: the run folder, if it may be anywhere.
        later: what the topology will become.
        more: arguments that the command gets in a private kernel beside its own.
        others: of each further lab that will run there, its topology and what it will become.
        afterwards: what this process does outside when nothing runs in the capsule any more.
        line: a line between this process and the command in a private kernel; as of
            `vnemu.capsule.uml_console.Console.run`.

    Returns:
        Why it is this kernel.

    Raises:
        InputError: if `out` would be lost.
        MissingCapability: naming what is declared, what is missing for it, and the way out.
        RanInside: when a private kernel has done it all.
    """
    labs = [[topology, *later], *others]
    _check_out(out)
    if private.inside():
        capsule.enter()
        _require_all(labs)
        return os.environ[private.MARK]
    why = _why_not_native(choice, labs, afterwards)
    if not why:
        return "asked for" if choice == "native" else "it has all that the files ask for"
    enclosed = capsule.inside()
    status = private.run_again(why, memory, enclosed=enclosed, writes=out, more=more, line=line)
    raise RanInside(status)


def _require_all(labs: Sequence[Sequence[Topology]]) -> None:
    from vnemu.drivers.probe import require, require_change

    for topologies in labs:
        require(topologies[0])
        for before, after in pairwise(topologies):
            require_change(before, after)


def _check_out(out: Path | None) -> None:
    # By the working directory itself, its files can be reached wherever it is.
    own = [f for f in private.OWN_INSIDE if out and out.is_relative_to(f)]
    if own:
        raise InputError(
            f"--out: {out} would be lost with the lab, which has a {own[0]} of its own: "
            "name a folder elsewhere"
        )


def _why_not_native(
    choice: str, labs: Sequence[Sequence[Topology]], afterwards: Callable[[], None] | None
) -> str:
    """Enter a native capsule if that is allowed; return why it does not do, empty if it does."""
    try:
        capsule.enter(afterwards)
        if choice != "private":
            _require_all(labs)
            return ""
    except MissingCapability as missing:
        if choice == "native":
            raise
        if choice == "auto" and not private.installed():
            remedy = f"or install the private kernel: {private.INSTALL}"
            raise MissingCapability(str(missing), remedy) from missing
        if choice == "auto":
            return f"the running kernel cannot: {missing.message}"
    return "asked for"
