"""The command `vnemu`, also ``python -m vnemu``."""

from __future__ import annotations

import sys

from vnemu import __version__


def main() -> int:
    """Run the command line and return its exit status (docs/cli.md)."""
    if sys.argv[1:] == ["--version"]:  # answered before anything heavy is imported
        print(f"vnemu {__version__}")
        return 0
    from vnemu.cli.main import run

    return run()


if __name__ == "__main__":
    sys.exit(main())
