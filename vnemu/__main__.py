"""The command `vnemu`, also ``python -m vnemu``."""

from __future__ import annotations

import sys

from vnemu import __version__


def main() -> int:
    """Run the command line and return its exit status (docs/cli.md)."""
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
