"""Every topology of the project, as `vnemu graph` draws it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import TOPOLOGIES, Host


@pytest.mark.parametrize("path", sorted(TOPOLOGIES.glob("*.yaml")), ids=lambda path: path.stem)
def test_topology_is_drawn(host: Host, path: Path) -> None:
    drawn(host, path, "svg")


@pytest.mark.parametrize("suffix", ["png", "mmd"])
def test_in_other_formats(host: Host, suffix: str) -> None:
    drawn(host, TOPOLOGIES / "two-overlays.yaml", suffix)


def drawn(host: Host, path: Path, suffix: str) -> None:
    picture = host.folder / f"x.{suffix}"
    done = host.here("graph", path, "-o", picture)
    assert done.status == 0, done.err
    assert picture.stat().st_size > 100
