"""What --help says: every command in the same form, with examples that are true."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from vnemu.cli import completing
from vnemu.cli.main import app
from vnemu.cli.manual import PAGES, PANELS

ROOT = Path(__file__).parents[2]
GROUP: Any = typer.main.get_command(app)
_SHELL = (">", "<", "|")


def commands(group: Any = GROUP, before: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


EVERY = dict(commands())


def words_of(example: str) -> list[str]:
    """The words of the command itself, without what a shell does with its output."""
    words = shlex.split(example)
    return words[: min((words.index(mark) for mark in _SHELL if mark in words), default=None)]


def test_pages_are_of_commands() -> None:
    assert set(PAGES) == {*EVERY, "lab", "traffic"}
    assert {page.panel for page in PAGES.values()} == set(PANELS)


@pytest.mark.parametrize("name", EVERY)
def test_all_is_explained(name: str) -> None:
    command, page = EVERY[name], PAGES[name]
    assert command.help
    assert command.rich_help_panel == page.panel
    assert [param.name for param in command.params if not getattr(param, "help", None)] == []
    assert page.examples
    assert page.status
    others = (each.removeprefix("vnemu ") for each in page.see)
    assert [o for o in others if o not in EVERY and not (ROOT / o).is_file()] == []


@pytest.mark.parametrize(
    ("name", "example"),
    [(name, example) for name, page in PAGES.items() for example in page.examples],
)
def test_an_example_is_taken(name: str, example: str) -> None:
    program, *words = words_of(example)
    assert program == "vnemu"
    own = name.split()
    assert words[: len(own)] == own
    context = EVERY[name].make_context(name, words[len(own) :])
    assert context.params
    for word in words:
        if word.startswith(("topologies/", "experiments/")):
            assert (ROOT / word).is_file(), word


def test_the_overview() -> None:
    """On a terminal of 100 columns: the panels in their order, and nothing is cut."""
    shown = _help("--help")
    places = [shown.index(f" {panel} ") for panel in PANELS]
    assert places == sorted(places)
    assert "…" not in shown


@pytest.mark.parametrize("name", ["up", "reshape", "lab check", "import"])
def test_a_page(name: str) -> None:
    shown = _help(*name.split(), "--help")
    for example in PAGES[name].examples:
        assert f"$ {example}" in shown
    assert "Exit status: " in shown
    assert "See also: " in shown
    assert max(map(len, shown.splitlines())) <= 100


def _help(*words: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "vnemu", *words],
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


LAB = {
    "nodes": {"a/r1": {"machine": "rm1"}, "a/c1": {"machine": "rm1"}},
    "links": {"a/core": {}},
    "physical_links": {"rm1-rm2": {"ends": ["rm1", "rm2"]}},
    "networks": {"a": {}},
}


class TestCompletion:
    @pytest.fixture
    def ctx(self, monkeypatch: pytest.MonkeyPatch) -> typer.Context:
        monkeypatch.setattr("vnemu.sessions.client.ask", lambda *_, **__: LAB)
        context: typer.Context = EVERY["cut"].make_context("cut", ["mine", "a/core"])
        return context

    def test_of_a_lab(self, ctx: typer.Context) -> None:
        assert completing.nodes(ctx, "a/r") == ["a/r1"]
        assert completing.nodes_or_networks(ctx, "") == ["a/r1", "a/c1", "a"]
        assert completing.all_links(ctx, "") == ["a/core", "rm1-rm2"]
        assert completing.physical(ctx, "") == ["rm1-rm2", "rm1", "rm2"]
        assert completing.places(ctx, "a/r") == ["a/r1:"]

    def test_without_one(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
        context = EVERY["cut"].make_context("cut", ["mine", "a/core"])
        assert completing.labs("") == []
        assert completing.nodes(context, "") == []

    def test_of_files(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "one.yaml").touch()
        (tmp_path / "other.txt").touch()
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder/two.yml").touch()
        assert completing.files("") == ["folder/", "one.yaml"]
        assert completing.files("folder/t") == ["folder/two.yml"]
