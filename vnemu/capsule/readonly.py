"""Makes the host's files read-only in the capsule, except for some folders.

For the private kernel: who is root in it has the caller's rights on all files, but has
no way to change the mounts of the capsule around it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from vnemu import linux


def protect(writable: Iterable[Path]) -> None:
    """Make all that is mounted read-only but for `writable`; nothing before Linux 5.12.

    What is mounted below one of `writable` becomes read-only too. Only for a mount
    namespace of one's own.

    Parameters:
        writable: folders; of one that is not there, the nearest that is above it.

    Raises:
        OSError: as the kernel says.
    """
    kept = {_there(path.absolute()) for path in writable}
    # One below another goes with it; what was read-only stays so.
    own = [path for path in sorted(kept) if not kept.intersection(path.parents)]
    own = [path for path in own if not os.statvfs(path).f_flag & os.ST_RDONLY]
    try:
        linux.set_read_only("/", True, recursive=True)
    except OSError as error:
        if error.errno == errno.ENOSYS:
            return
        raise
    for path in own:
        linux.mount(str(path), str(path), "", linux.MS_BIND)
        linux.set_read_only(str(path), False)
    os.chdir(Path.cwd())  # by its new mount: the old one is read-only


def _there(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.is_dir()).resolve()
