"""What a person sees while a command goes on."""

from __future__ import annotations

import io

import pytest

from vnemu.cli import calibration, progress
from vnemu.events import Note, PhaseTick, Progress, TimelineFired


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


TICK = PhaseTick(at_s=7, of_s=20, rates_mbit=(("a", 15.2),))
FIRED = TimelineFired(planned_s=5, actual_s=5.1, what="reshape a/core")


@pytest.mark.parametrize("stderr", [Terminal, io.StringIO])
def test_a_run(stderr: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = stderr()
    monkeypatch.setattr("sys.stderr", screen)
    with progress.shown() as take:
        for event in (Note("tunnel: vxlan"), TICK, FIRED):
            take(event)
    shown = screen.getvalue()
    assert "tunnel: vxlan" in shown
    assert "a 15.2 Mbit/s" in shown
    assert "5.1 s  reshape a/core" in shown


@pytest.mark.parametrize("stderr", [Terminal, io.StringIO])
def test_a_calibration(stderr: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = stderr()
    monkeypatch.setattr("sys.stderr", screen)
    with calibration.watched() as take:
        take(Progress("rates", 3, 30))
    shown = screen.getvalue()
    assert "rates" in shown
    assert "of about 30 s" in shown
