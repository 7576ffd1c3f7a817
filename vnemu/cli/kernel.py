"""Which kernel runs a lab: the running one, or a private one that has every feature."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Literal

from vnemu import capsule
from vnemu.capsule import private
from vnemu.drivers.probe import require, require_change
from vnemu.errors import InputError, MissingCapability
from vnemu.model.overlay import Topology
from vnemu.units import Size

Choice = Literal["auto", "native", "private"]


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
) -> str:
    """Go on in a capsule whose kernel has all that `topology` asks for.

    In the private kernel the whole command starts again; it then comes by here once
    more, inside.

    Parameters:
        choice: auto, native or private.
        memory: what a private kernel may use, in bytes.
        out: the run folder, if it may be anywhere.
        later: what the topology will become.

    Returns:
        Why it is this kernel.

    Raises:
        InputError: if `out` would be lost.
        MissingCapability: naming what is declared, what is missing for it, and the way out.
    """
    _check_out(out)
    if private.inside():
        capsule.enter()
        _require_all(topology, later)
        return os.environ[private.MARK]
    enclosed = _enter_native(choice, memory)
    if choice == "private":
        private.boot("asked for", memory, enclosed=enclosed, writes=out)
    try:
        _require_all(topology, later)
    except MissingCapability as missing:
        if choice == "native":
            raise
        _boot_instead(missing, memory, enclosed=True, writes=out)
    return "asked for" if choice == "native" else "it has all that the files ask for"


def _require_all(topology: Topology, later: Sequence[Topology]) -> None:
    require(topology)
    known: set[str] = set()
    for before, after in pairwise([topology, *later]):
        require_change(before, after, known)


def _check_out(out: Path | None) -> None:
    own = [f for f in private.OWN_INSIDE if out and out.absolute().is_relative_to(f)]
    if own:
        raise InputError(
            f"--out: {out} would be lost with the lab, which has a {own[0]} of its own: "
            "name a folder elsewhere"
        )


def _enter_native(choice: str, memory: int) -> bool:
    """Enter a native capsule if that is allowed; the private kernel can do without."""
    try:
        capsule.enter()
    except MissingCapability as missing:
        if choice == "native":
            raise
        if choice == "auto":
            _boot_instead(missing, memory, enclosed=False)
        return False
    return True


def _boot_instead(
    missing: MissingCapability, memory: int, *, enclosed: bool, writes: Path | None = None
) -> None:
    if not private.installed():
        raise MissingCapability(
            str(missing), f"or install the private kernel: {private.INSTALL}"
        ) from missing
    reason = f"the running kernel cannot: {missing.message}"
    private.boot(reason, memory, enclosed=enclosed, writes=writes)
