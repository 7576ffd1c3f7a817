"""Labs side by side do not notice each other; benchmarks/many_labs.py has fifty."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from vnemu.sessions import client
from vnemu.sessions.remote import RemoteLab

from .conftest import Host
from .private_kernel import wait_for
from .test_running_labs import Labs

LABS = 8
PAIR = """
name: pair
underlay: {machines: [rm1]}
networks:
  n:
    routers: [r0, r1]
    links: [{endpoints: [r0, r1], limit: 10mbit}]
"""


def answers(name: str) -> bool:
    """Its own router, that is: all labs have the same names and addresses."""
    lab = RemoteLab(name)
    lab["n/r1"].run("sh", "-c", f"echo {name} > /run/whose")
    return lab.ping("n/r0", "n/r1", count=1).received == 1


@pytest.fixture
def labs(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Labs]:
    """Nobody else's labs are in the run folder: all of them are ended."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(host.scratch))
    own = Labs(host)
    yield own
    own.fine("down", "--all")


def test_labs_side_by_side(labs: Labs) -> None:
    file = labs.host.folder / "pair.yaml"
    file.write_text(PAIR)
    names = [f"lab{number}" for number in range(LABS)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: labs.up(name, file=file), names))
        assert [about["name"] for about in labs.ps()] == names
        changed, killed, *others = names
        RemoteLab(changed).do("reshape: n/r0-r1, limit: 5mbit", "pause: n/r0")
        os.kill(client.pid_of(killed), signal.SIGKILL)
        assert all(pool.map(answers, others))
    wait_for(lambda: labs.names() == [changed, *others], "the killed lab is still there")
    for name in others:
        found = labs.inspect(name)
        assert found["links"]["n/r0-r1"]["limit"] == "10mbit"
        assert found["nodes"]["n/r0"]["state"] == "running"
        assert RemoteLab(name)["n/r1"].run("cat", "/run/whose").stdout == f"{name}\n"
    labs.fine("down", "--all")
    assert labs.ps() == []
