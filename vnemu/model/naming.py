"""Device names: the kernel allows 15 characters, people want more."""

from __future__ import annotations

import hashlib
from collections.abc import Container

DEVICE_NAME_LIMIT = 15  # IFNAMSIZ less the final zero


def device_name(wanted: str, taken: Container[str] = ()) -> str:
    """Return `wanted` if it fits and is free, else a short name made from it.

    The short name is the start of `wanted` and a part of its SHA-256, so it is
    the same in every run.
    """
    if len(wanted) <= DEVICE_NAME_LIMIT and wanted not in taken:
        return wanted
    attempt = wanted
    while True:
        digest = hashlib.sha256(attempt.encode()).hexdigest()[:6]
        short = f"{wanted[:8]}-{digest}"
        if short not in taken:
            return short
        attempt += "'"


def own_device_name(path: str) -> str:
    """A device of a node's own (`path`: network/name), which no other's name can be.

    It has a ``~``, which is in no name that a person gives.
    """
    name = path.replace("/", "~")
    if len(name) <= DEVICE_NAME_LIMIT:
        return name
    return "~" + hashlib.sha256(path.encode()).hexdigest()[: DEVICE_NAME_LIMIT - 1]
