"""What is left of a lab that was killed, taken away by who survives it; on plain folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from vnemu.capsule import remains


@pytest.fixture(autouse=True)
def register(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One of this test's own."""
    own: list[int] = []
    monkeypatch.setattr(remains, "_register", own)
    monkeypatch.setattr(remains, "_PATIENCE_S", 0.02)
    remains.open_register()
    yield
    for fd in own:
        os.close(fd)


def test_what_was_noted_goes_with_all_below_it(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name / "a:r1" / "below").mkdir(parents=True)
    remains.note(tmp_path / "one")
    remains.note(tmp_path / "two")
    remains.take_away()
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_is_gone_already_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remains.note(tmp_path / "gone")
    remains.take_away()
    assert capsys.readouterr() == ("", "")


def test_what_is_not_empty_stays_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "file").touch()
    remains.note(tmp_path / "busy")
    remains.take_away()
    assert (tmp_path / "busy" / "file").exists()
    assert "busy: use rmdir when it is empty" in capsys.readouterr().err


def test_what_is_of_somebody_else_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "theirs").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    assert not remains.removed(tmp_path / "theirs")
    assert (tmp_path / "theirs").is_dir()


def test_without_a_register_nothing_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remains, "_register", [])
    remains.note(tmp_path)
    remains.take_away()
    assert tmp_path.is_dir()
