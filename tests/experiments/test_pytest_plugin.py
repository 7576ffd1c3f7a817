"""The pytest plugin, as its users have it: pytest runs of their own, seen from outside."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import _MARK, ROOT, Done, Host
from .private_kernel import BEFORE, NEEDS, PATIENCE_S, WITHOUT_NAMESPACES, wait_for

EXAMPLE = ROOT / "examples" / "test_my_router"
HEAD = """
import os, pathlib, signal, sys, time
import pytest
PAIR = {
    "underlay": {"machines": ["rm1", "rm2"], "links": [{"endpoints": ["rm1", "rm2"]}]},
    "networks": {"a": {
        "routers": {"r1": {"on": "rm1"}, "r2": {"on": "rm2"}},
        "links": [{"name": "core", "endpoints": ["r1", "r2"]}],
    }},
}
PAIR["underlay"]["links"][0]["rate"] = "50mbit"
"""
_PATIENCE_S = 100.0


@dataclass(frozen=True)
class Pytest:
    """pytest runs in the folder of a host, with the plugin and nothing of this project's."""

    host: Host

    def start(
        self, text: str, *options: str, before: tuple[str, ...] = ()
    ) -> subprocess.Popen[str]:
        if text:
            (self.host.folder / "test_it.py").write_text(HEAD + text, encoding="utf-8")
        plain = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-c", os.devnull)
        scratch = str(self.host.scratch)
        paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        own = {_MARK: self.host.mark, "TMPDIR": scratch, "PYTHONPATH": paths}
        folder = ["--rootdir", ".", "--basetemp", f"{scratch}/pytest", "--strict-markers"]
        return subprocess.Popen(
            [
                *(*before, sys.executable, "-m", "pytest", "-p", "vnemu.pytest_plugin"),
                *(*plain, *folder, "-rA", *options),
            ],
            cwd=self.host.folder,
            env={**os.environ, **own, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def run(self, text: str, *options: str, before: tuple[str, ...] = ()) -> Done:
        process = self.start(text, *options, before=before)
        out, _ = process.communicate(timeout=_PATIENCE_S)
        shutil.rmtree(self.host.scratch / "pytest", ignore_errors=True)
        return Done(process.returncode, out, "")


@pytest.fixture
def plugin(host: Host) -> Pytest:
    return Pytest(host)


def test_the_example(plugin: Pytest) -> None:
    if shutil.which("bird") is None and not Path("/usr/sbin/bird").exists():
        pytest.skip("there is no BIRD")
    for file in EXAMPLE.iterdir():
        if file.is_file():
            shutil.copy(file, plugin.host.folder)
    done = plugin.run("")
    assert done.status == 0, done.out
    assert "3 passed" in done.out


WORKS = """
@pytest.mark.vnet(PAIR, set="underlay.links.0.rate=10mbit")
def test_all(vnet):
    assert vnet["a/r1"].run("hostname").stdout == "r1\\n"
    assert vnet.inspect()["physical_links"]["rm1-rm2"]["rate"] == "10mbit"
    vnet.converge(10)
    assert vnet.wait_reachable("a/r1", "a/r2") < 10
    assert vnet.ping("a/r1", "a/r2", count=3).lost == 0
    assert vnet.path("a/r1", "a/r2") == ["a/r1", "a/r2"]
    assert vnet.route("a/r1", "10.9.0.0/16") is None
    assert 7 < vnet.goodput_mbit("a/r1", "a/r2", seconds=1) < 10
    vnet.cut("a/core")
    assert vnet.ping("a/r1", "a/r2", count=2).lost == 2
"""


def test_the_page(plugin: Pytest) -> None:
    page = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8")
    first = page.partition("```python\n")[2].partition("```")[0]
    done = plugin.run(first)
    assert "1 passed" in done.out, done.out


@pytest.mark.parametrize("before", [(), BEFORE], ids=["as-called", "ordinary-user"])
def test_a_network_in_a_test(plugin: Pytest, before: tuple[str, ...]) -> None:
    done = plugin.run(WORKS, before=before)
    assert "1 passed" in done.out, done.out


SHARED = """
NAMES = pathlib.Path("names")

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.vnet(PAIR, scope="module")
def test_module(vnet, n):
    NAMES.open("a").write(f"module {vnet.name}\\n")

@pytest.mark.vnet(PAIR, scope="class")
class TestOne:
    @pytest.mark.parametrize("n", [1, 2])
    def test_class(self, vnet, n):
        NAMES.open("a").write(f"class {vnet.name}\\n")

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.vnet(PAIR)
def test_function(vnet, n):
    NAMES.open("a").write(f"function {vnet.name}\\n")

@pytest.mark.vnet(PAIR, scope="module")
def test_module_when_it_has_died(vnet):
    NAMES.open("a").write(f"before {vnet.name}\\n")
    vnet.end()

@pytest.mark.vnet(PAIR, scope="module")
def test_module_again(vnet):
    NAMES.open("a").write(f"after {vnet.name}\\n")
"""


def test_how_long_labs_live(plugin: Pytest) -> None:
    done = plugin.run(SHARED)
    assert "8 passed" in done.out, done.out
    rows = [line.split() for line in (plugin.host.folder / "names").read_text().splitlines()]
    names = {scope: [name for s, name in rows if s == scope] for scope, _ in rows}
    assert len(set(names["module"])) == 1
    assert len(set(names["class"])) == 1
    assert len(set(names["function"])) == 2
    assert names["before"][0] == names["module"][0] != names["after"][0]


UNREACHABLE = """
@pytest.mark.vnet(PAIR)
def test_unreachable(vnet):
    vnet["a/r1"].run("ip", "route", "del", "10.0.128.2")
    vnet.wait_reachable("a/r1", "a/r2", timeout_s=0.1)
"""


def test_an_error_is_told_without_our_own_code(plugin: Pytest) -> None:
    done = plugin.run(UNREACHABLE)
    assert "a/r1 does not reach a/r2 within 0.1 s; a/r1 has no route to a/r2" in done.out, done.out
    assert "vnemu/sessions" not in done.out


FAILS = """
@pytest.mark.vnet(PAIR)
def test_fails(vnet):
    vnet.reshape("a/core", limit="3mbit")
    vnet.cut("a/core", direction="r1>r2")
    assert vnet["a/r1"].run("true").returncode == 1
"""


def test_a_failure_tells_of_the_network(plugin: Pytest) -> None:
    done = plugin.run(FAILS, "--vnet-artifacts", "kept")
    assert done.status == 1
    _, _, told = done.out.partition("- virtual network -")
    for text in (
        "a/core  rm1 - rm2  cut r1>r2  limit 3mbit",
        "cut a/core r1>r2",
        "a/r1: ip route",
        "10.0.0.0/30 dev eth0",
    ):
        assert text in told, done.out
    assert "a/r2: ip route" not in told, "the test did not work with it"
    (kept,) = (plugin.host.folder / "kept").iterdir()
    assert kept.name == "test_it.py-test_fails"
    assert json.loads((kept / "inspect.json").read_text())["links"]["a/core"]["cut"] == ["r1>r2"]
    assert '"change"' in (kept / "events.jsonl").read_text()
    assert "cut r1>r2" in (kept / "state.txt").read_text()
    assert "networks:" in (kept / "topology.yaml").read_text()


REFUSED = """
def test_without_marker(vnet):
    pass

@pytest.mark.vnet(PAIR, scope="folder")
def test_scope(vnet):
    pass

@pytest.mark.vnet("nowhere.yaml")
def test_file(vnet):
    pass

@pytest.mark.vnet('''
underlay: {machines: [rm1]}
networks: {a: {routrs: [r1]}}
''')
def test_key(vnet):
    pass
"""


def test_what_is_refused(plugin: Pytest) -> None:
    done = plugin.run(REFUSED)
    assert "4 errors" in done.out
    for text in (
        'the fixture vnet needs @pytest.mark.vnet("topology.yaml")',
        "scope is 'folder'; it can be function, class",
        "nowhere.yaml: no such file",
        "topology.yaml:3",
        "did you mean 'routers'",
    ):
        assert text in done.out, done.out
    assert "Traceback" not in done.out
    assert "During handling" not in done.out


@pytest.mark.parametrize("required", [False, True])
def test_where_there_are_no_namespaces(plugin: Pytest, required: bool) -> None:
    options = ["--vnet-kernel", "native", *(["--vnet-required"] if required else [])]
    done = plugin.run(FAILS, *options, before=WITHOUT_NAMESPACES)
    assert ("1 error" if required else "1 skipped") in done.out, done.out
    assert "this machine cannot run" in done.out
    assert "cannot make the namespaces that a lab runs in" in done.out


UNUSED = """
def test_nothing():
    loaded = [name for name in sys.modules if name.partition(".")[0] == "vnemu"]
    assert sorted(loaded) == ["vnemu", "vnemu.pytest_plugin"]
    assert not {"yaml", "pydantic", "numpy", "matplotlib"} & set(sys.modules)
"""


def test_who_does_not_use_it_does_not_pay(plugin: Pytest) -> None:
    done = plugin.run(UNUSED)
    assert done.status == 0, done.out


STAYS = """
@pytest.mark.vnet(PAIR)
def test_stays(vnet):
    pathlib.Path("up").touch()
    time.sleep(100)
"""


def kill(plugin: Pytest, number: signal.Signals, *options: str, **more: tuple[str, ...]) -> None:
    process = plugin.start(STAYS, *options, **more)
    wait_for((plugin.host.folder / "up").exists, "the lab does not come up")
    process.send_signal(number)
    process.communicate(timeout=PATIENCE_S)
    wait_for(lambda: not plugin.host.processes(), "something is left")
    shutil.rmtree(plugin.host.scratch / "pytest")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_when_pytest_is_killed(plugin: Pytest, number: signal.Signals) -> None:
    kill(plugin, number)


SIDE_BY_SIDE = """
@pytest.mark.parametrize("n", range(4))
@pytest.mark.vnet(PAIR)
def test_one(vnet, n):
    assert vnet.ping("a/r1", "a/r2").lost == 0
"""


def test_with_xdist(plugin: Pytest) -> None:
    pytest.importorskip("xdist")
    done = plugin.run(SIDE_BY_SIDE, "-p", "xdist", "-n", "2")
    assert "4 passed" in done.out, done.out


DELAYED = """
@pytest.mark.vnet(PAIR)
def test_delayed(vnet):
    assert vnet.about()["kernel"] == "private kernel"
    vnet.reshape("a/core", delay="20ms")
    assert vnet.ping("a/r1", "a/r2", count=3).rtt_ms > 40
    assert False
"""


class TestPrivate:
    pytestmark = NEEDS

    def test_a_network_in_the_private_kernel(self, plugin: Pytest) -> None:
        done = plugin.run(DELAYED, "--vnet-kernel", "private")
        assert "assert False" in done.out, done.out
        assert "delay 20ms" in done.out

    @pytest.mark.parametrize("before", [(), WITHOUT_NAMESPACES], ids=["enclosed", "not"])
    def test_nothing_is_left(self, plugin: Pytest, before: tuple[str, ...]) -> None:
        kill(plugin, signal.SIGKILL, "--vnet-kernel", "private", before=before)
