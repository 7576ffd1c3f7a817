"""The files that a VR has for itself, read from outside, for its copy."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from vnemu.drivers.vr_init import Order

_KEPT = ("/etc/", "/run/etc/", "/var/lib/")
"""What a Router OS is configured by and remembers; sockets, logs and the like are not copied."""


def copied(order: Order, init: int, host_name: str, waits: bool) -> Order:
    """The order for a VR that has the programs of another, and the files which that has now.

    Parameters:
        order: what the other was started with.
        init: its pid 1.
        waits: whether nothing of it runs yet.
    """
    folders = sorted({folder for folder in map(_folder, order["files"]) if _is_kept(folder)})
    folders += [f for f in order["private"] if _is_kept(f"{f}/") and f not in folders]
    others = {name: text for name, text in order["files"].items() if _folder(name) not in folders}
    now = _files(Path(f"/proc/{init}/root"), folders)
    return {
        **order,
        "host_name": host_name,
        "files": {**others, **now},
        "waits": waits,
    }


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _is_kept(folder: str) -> bool:
    return f"{folder}/".startswith(_KEPT)


def _files(root: Path, folders: Iterable[str]) -> dict[str, str]:
    """All plain files below `folders` of a VR: path -> text; links are not followed."""
    found = {}
    for folder in folders:
        for at, _, names in os.walk(f"{root}{folder}"):
            for file in (Path(at, name) for name in names):
                if stat.S_ISREG(file.lstat().st_mode):
                    name = f"/{file.relative_to(root)}"
                    found[name] = file.read_bytes().decode(errors="surrogateescape")
    return found
