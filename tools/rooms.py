"""Prints the tree of vnemu as its modules tell of themselves, for docs/design.md.

python tools/rooms.py [--write]
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "design.md"
BEGIN, END = "<!-- rooms: begin (python tools/rooms.py) -->\n", "<!-- rooms: end -->\n"
_WIDTH = 26
_ORDER = (
    *("schema", "model", "embedding", "verbs", "routing", "plan", "drivers", "capsule"),
    *("traffic", "experiments", "results", "calibrate", "sessions", "shell", "teaching", "cli"),
    "pytest_plugin",
)


def rooms() -> str:
    """Return the tree: each folder and file with the first line of its docstring."""
    return "```\n" + "\n".join(["vnemu/", *_lines(ROOT / "vnemu")]) + "\n```\n"


def _lines(package: Path) -> Iterator[str]:
    for module in sorted(package.glob("*.py")):
        if not module.name.startswith("__"):
            yield _line(module.name, module, 2)
    folders = [path.parent for path in package.glob("*/__init__.py")]
    for folder in sorted(folders, key=lambda path: _ORDER.index(path.name)):
        yield _line(f"{folder.name}/", folder / "__init__.py", 2)
        for module in sorted(folder.glob("*.py")):
            if module.name != "__init__.py":
                yield _line(module.name, module, 4)


def _line(name: str, module: Path, indent: int) -> str:
    told = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    first = told.splitlines()[0].rstrip(".")
    return f"{' ' * indent}{name}".ljust(_WIDTH) + f" {first}"


def main() -> None:
    """Print the tree, or put it where the page has it."""
    if sys.argv[1:] != ["--write"]:
        sys.stdout.write(rooms())
        return
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + rooms() + END + rest.partition(END)[2], encoding="utf-8")


if __name__ == "__main__":
    main()
