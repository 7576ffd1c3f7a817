"""Where control groups can be made, on made-up machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vnemu.drivers.cgroups import Place, places


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    """A file system that looks as a cgroup2 with systemd's folders does."""
    for folder, given in {
        "": "cpuset cpu io memory pids",
        "user.slice": "cpu memory pids",
        "user.slice/user-1000.slice": "memory pids",
        "user.slice/user-1000.slice/session-2.scope": "",
    }.items():
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "cgroup.subtree_control").write_text(f"{given}\n")
    return tmp_path


SESSION = "0::/user.slice/user-1000.slice/session-2.scope\n"


def version_2(folder: Path, own: str) -> dict[str, Place]:
    return places(f"cgroup2 {folder} cgroup2 rw,nosuid 0 0\n", own)


class TestVersion2:
    def test_the_nearest_that_may_have_subgroups(self, mounted: Path) -> None:
        user = mounted / "user.slice"
        assert version_2(mounted, SESSION) == {
            "cpuset": Place(mounted, 2),
            "cpu": Place(user, 2),
            "memory": Place(user / "user-1000.slice", 2),
        }

    def test_the_root_is_its_own_parent(self, mounted: Path) -> None:
        found = version_2(mounted, "0::/\n")
        assert set(found) == {"cpu", "cpuset", "memory"}
        assert {place.folder for place in found.values()} == {mounted}

    @pytest.mark.parametrize("own", ["", SESSION])
    def test_without_controllers(self, own: str, tmp_path: Path) -> None:
        (tmp_path / "cgroup.subtree_control").write_text("")
        assert version_2(tmp_path, own) == {}

    def test_what_is_not_ours_is_none(self, mounted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: False)
        assert version_2(mounted, SESSION) == {}


class TestVersion1:
    OWN = "4:memory:/box/1\n3:cpuset:/\n2:cpu,cpuacct:/box\n1:name=systemd:/\n0::/\n"

    def test_below_the_group_that_we_are_in(self, tmp_path: Path) -> None:
        for name in ("cpu,cpuacct/box", "cpuset", "memory/box/1"):
            (tmp_path / name).mkdir(parents=True)
        mounts = "".join(
            f"cgroup {tmp_path}/{names} cgroup rw,relatime,{names} 0 0\n"
            for names in ("cpu,cpuacct", "cpuset", "memory", "freezer")
        )
        assert places(mounts, self.OWN) == {
            "cpu": Place(tmp_path / "cpu,cpuacct/box", 1),
            "cpuset": Place(tmp_path / "cpuset", 1),
            "memory": Place(tmp_path / "memory/box/1", 1),
        }

    def test_version_2_beside_it_without_controllers(self, tmp_path: Path) -> None:
        (tmp_path / "cpuset").mkdir()
        (tmp_path / "unified").mkdir()
        (tmp_path / "unified/cgroup.subtree_control").write_text("")
        mounts = (
            f"cgroup2 {tmp_path}/unified cgroup2 rw 0 0\n"
            f"cgroup {tmp_path}/cpuset cgroup rw,cpuset 0 0\n"
        )
        assert places(mounts, self.OWN) == {"cpuset": Place(tmp_path / "cpuset", 1)}

    def test_a_mount_that_shows_another_part(self, tmp_path: Path) -> None:
        """As in a container: the group that we are in is not to be seen."""
        assert places(f"cgroup {tmp_path} cgroup rw,memory 0 0\n", self.OWN) == {}
