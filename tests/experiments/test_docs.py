"""What the documents show is true: their files check, their commands run, their links lead on.

In the documents,

- ``<!-- file: NAME -->`` before a block puts it into the folder in which the
  page's commands run;
- ``<!-- not run: REASON -->`` before a block keeps it out of the tests;
- the info string ``yaml wrong`` is a file that must be refused;
- in a ``console`` block, lines after a command are lines of its output; "…" stands for some more.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from vnemu.cli.main import app
from vnemu.results.schema import result_schema
from vnemu.schema.publish import experiment_schema, lab_schema, topology_schema

from .conftest import _MARK, ROOT, Host

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
_TIME_SCALE = "0.03"
_HERE = ("check", "config", "graph", "import", "plan", "schema")
_SHOWN_LINES = 20
_FENCE = re.compile(r"```(\S*)\s*(.*)")
_COMMENT = re.compile(r"<!--\s*(file|not run):\s*(.*?)\s*-->")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it is, what it is, and what the comment before it says."""

    page: Path
    line: int
    language: str
    flags: str
    text: str
    file: str = ""
    not_run: str = ""

    @property
    def id(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A command of a console block and the output shown below it."""

    line: str
    shown: tuple[str, ...]

    @property
    def argv(self) -> list[str]:
        """The words of the command itself, without what a shell does with its output."""
        words = shlex.split(self.line, comments=True)
        ends = [words.index(mark) for mark in (">", "|", "&&") if mark in words]
        return words[: min(ends, default=len(words))]


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    return tuple(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    comment: dict[str, str] = {}
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.fullmatch(line)
        if fence is None:
            found = _COMMENT.fullmatch(line)
            if line.strip():
                comment = {found[1].replace(" ", "_"): found[2]} if found else {}
            continue
        body = []
        for _, inner in lines:
            if inner == "```":
                break
            body.append(inner)
        yield Block(page, number, fence[1], fence[2], "\n".join(body) + "\n", **comment)
        comment = {}


def of_language(*languages: str) -> list[Block]:
    return [b for page in PAGES for b in blocks(page) if b.language in languages]


def commands(block: Block) -> list[Command]:
    prompt = "$ " if block.language == "console" else ""
    found: list[tuple[str, list[str]]] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.startswith(prompt):
            found.append((line.removeprefix(prompt), []))
        elif found:
            found[-1][1].append(line)
    every = [Command(line, tuple(shown)) for line, shown in found]
    return [command for command in every if command.line.startswith("vnemu ")]


def with_ids(found: list[Block]) -> list[Any]:
    return [pytest.param(block, id=block.id) for block in found if not block.not_run]


@pytest.fixture
def page_folder(host: Host, request: pytest.FixtureRequest) -> Host:
    """The folder in which a page's commands run: the project's files and the page's own."""
    for name in ("topologies", "experiments", "labs"):
        (host.folder / name).symlink_to(ROOT / name)
    for block in blocks(request.getfixturevalue("block").page):
        if block.file:
            (host.folder / block.file).write_text(block.text, encoding="utf-8")
    return host


def is_whole_file(block: Block) -> bool:
    data = yaml.safe_load(block.text)
    return isinstance(data, dict) and bool({"underlay", "topology"} & set(data))


@pytest.mark.parametrize("block", with_ids([b for b in of_language("yaml") if is_whole_file(b)]))
def test_file_checks(page_folder: Host, block: Block) -> None:
    path = page_folder.folder / "from-the-page.yaml"
    path.write_text(block.text, encoding="utf-8")
    done = page_folder.here("check", path)
    assert done.status == (2 if "wrong" in block.flags else 0), done.err


@pytest.mark.parametrize(
    "block", with_ids([b for b in of_language("console", "sh") if commands(b)])
)
def test_commands_run(page_folder: Host, block: Block) -> None:
    for command in commands(block):
        arguments = command.argv[1:]
        if arguments[0] == "run":
            run(page_folder, arguments, command)
        else:
            show(page_folder, arguments, command)


def run(host: Host, arguments: list[str], command: Command) -> None:
    """Run an experiment faster than shown; what it measures then is not what is shown."""
    done = host.run(*arguments, "--time-scale", _TIME_SCALE)
    refused = any(line.startswith("vnemu: ") for line in command.shown)
    assert done.status in ((2,) if refused else (0, 1)), f"{command.line}: {done.err}"
    if refused:
        same_output(command, done.out + done.err)
    else:
        assert ": complete" in done.out


def show(host: Host, arguments: list[str], command: Command) -> None:
    done = (host.here if arguments[0] in _HERE else host.run)(*arguments)
    refused = any(line.startswith("vnemu: ") for line in command.shown)
    wanted = (2,) if refused else (0, 1) if arguments[0] == "report" else (0,)
    assert done.status in wanted, f"{command.line}: {done.err}"
    if arguments[0] not in ("doctor", "report"):  # they differ from machine to machine
        same_output(command, done.out + done.err)


def same_output(command: Command, output: str) -> None:
    """Every line shown is one of the output, in that order."""
    lines = [line.rstrip() for line in output.splitlines()]
    rest = iter(lines)
    for line in command.shown:
        if line.strip() not in ("", "…") and line.rstrip() not in rest:
            printed = "\n".join(lines[:_SHOWN_LINES])
            pytest.fail(f"{command.line} does not print {line!r} there, but:\n{printed}")


@pytest.mark.parametrize("block", with_ids(of_language("python")))
def test_python_runs(page_folder: Host, block: Block) -> None:
    script = page_folder.folder / "from_the_page.py"
    script.write_text(block.text, encoding="utf-8")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # it may start vnemu
    done = subprocess.run(
        [sys.executable, script],
        cwd=page_folder.folder,
        env={**os.environ, "PATH": path, _MARK: page_folder.mark},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def links() -> Iterator[Any]:
    for page in PAGES:
        text = re.sub(r"(?ms)^```.*?^```$|`[^`\n]*`", "", page.read_text(encoding="utf-8"))
        for target in sorted({a or b for a, b in _LINK.findall(text)}):
            if "://" not in target:
                yield pytest.param(page, target, id=f"{page.relative_to(ROOT)}-{target}")


@pytest.mark.parametrize(("page", "target"), list(links()))
def test_link_leads_somewhere(page: Path, target: str) -> None:
    file, _, anchor = target.partition("#")
    there = (page.parent / file).resolve() if file else page
    assert there.exists()
    if anchor:
        assert anchor in anchors(there)


@cache
def anchors(page: Path) -> set[str]:
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text(encoding="utf-8"))
    headings = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def properties(schema: Any) -> set[str]:
    """All keys that a JSON Schema knows."""
    if isinstance(schema, list):
        return {key for part in schema for key in properties(part)}
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties")
    found = set(own) if isinstance(own, dict) else set()
    return found.union(*(properties(part) for part in schema.values()))


def options() -> set[str]:
    command = typer.main.get_command(app)
    every = [command, *command.commands.values()]  # type: ignore[attr-defined]
    named = {option for c in every for p in c.params for option in p.opts if option[0] == "-"}
    return named | set(command.commands)  # type: ignore[attr-defined]


def test_the_rooms_are_those_of_the_code() -> None:
    shown = subprocess.run(
        [sys.executable, ROOT / "tools" / "rooms.py"], capture_output=True, text=True, check=True
    ).stdout
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    assert shown in page, "run: python tools/rooms.py --write"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("files.md routing.md", properties(topology_schema()) | properties(experiment_schema())),
        ("results.md", properties(result_schema())),
        ("labs.md", properties(lab_schema())),
        ("cli.md", options()),
        ("design.md", {path.parent.name for path in (ROOT / "vnemu").glob("*/__init__.py")}),
    ],
)
def test_nothing_is_left_out(page: str, words: set[str]) -> None:
    text = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in page.split())
    missing = [word for word in sorted(words) if not re.search(rf"(?<![\w-]){word}(?!\w)", text)]
    assert missing == []


def test_the_rooms_in_the_design_exist() -> None:
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    tree = text[text.index("```\nvnemu/") :].split("```")[1]
    folder = ""
    for name in re.findall(r"(?m)^ +([\w/.]+)", tree):
        folder = name if name.endswith("/") else folder
        assert (ROOT / "vnemu" / folder / name).exists() or (ROOT / "vnemu" / name).exists(), name
