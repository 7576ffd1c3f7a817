"""Where calibrations are kept: the user's cache folder, one for each kernel and capsule.

The folder is ``$XDG_CACHE_HOME/vnemu``, or ``~/.cache/vnemu`` (XDG Base Directory
Specification, version 0.8).
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from pydantic import ValidationError

from vnemu.errors import InputError
from vnemu.results.calibration import Calibration
from vnemu.results.files import write_atomic


def store_folder() -> Path:
    """Return where calibrations are kept; it need not exist."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    # A relative path is to be ignored, says the specification.
    base = Path(cache) if Path(cache).is_absolute() else Path("~/.cache").expanduser()
    return base / "vnemu"


def save(calibration: Calibration) -> Path:
    """Keep a calibration instead of the one of the same kernel and capsule.

    Raises:
        InputError: if the folder cannot be written.
    """
    stem = f"calibration-{calibration.kernel}-{calibration.capsule}"
    path = store_folder() / (re.sub(r"[^A-Za-z0-9_.-]", "-", stem) + ".json")
    write_json(calibration, path)
    return path


def write_json(calibration: Calibration, path: Path) -> None:
    """Write a calibration to a file, as JSON.

    Raises:
        InputError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, as_json(calibration))
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None


def as_json(calibration: Calibration) -> str:
    """Return a calibration as JSON, for programs."""
    return calibration.model_dump_json(indent=2, exclude_none=True) + "\n"


def stored() -> list[Calibration]:
    """Return all calibrations that are kept and can be read, the newest first."""
    found = [_read(path) for path in store_folder().glob("calibration-*.json")]
    there = [calibration for calibration in found if calibration is not None]
    return sorted(there, key=lambda each: each.measured_at, reverse=True)


def _read(path: Path) -> Calibration | None:
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None  # of another version, or of nobody: as good as none


def newest(kernel: str, capsule: str, cpus: int | None) -> Calibration | None:
    """Return the newest calibration of a kernel on a machine of as many processors.

    One of the same capsule comes before a newer one of another: a home folder may be
    shared by machines, and root has rights that a user namespace has not.

    Parameters:
        kernel: its release.
        capsule: what labs rest on (`vnemu.capsule.kind`).
    """
    of_kernel = [c for c in stored() if c.kernel == kernel and c.machine.cpus == cpus]
    same = [c for c in of_kernel if c.capsule == capsule]
    return next(iter(same or of_kernel), None)
