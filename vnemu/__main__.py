"""The command `vnemu`, also ``python -m vnemu``."""

from __future__ import annotations

import gc
import sys

from vnemu import __version__

_MANY_OBJECTS = 100_000


def main() -> int:
    """Run the command line and return its exit status (docs/cli.md)."""
    # Importing makes many objects and no garbage: searching for it takes a tenth of the time.
    gc.set_threshold(_MANY_OBJECTS)
    if sys.argv[1:] == ["--version"]:  # answered before anything heavy is imported
        print(f"vnemu {__version__}")
        return 0
    if sys.argv[1:2] == ["exec"] and sys.argv[4:] and not sys.argv[2].startswith("-"):
        from vnemu.cli.quick import execute  # people wait for it, many times

        return execute(sys.argv[2:])
    from vnemu.cli.main import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
