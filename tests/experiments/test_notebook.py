"""Labs and runs in notebooks: what they show, and the example notebook cell by cell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

import vnemu
from vnemu.errors import ExperimentFailed, InputError

from .conftest import _MARK, EXPERIMENTS, ROOT, TOPOLOGIES, Host

NOTEBOOK = ROOT / "examples" / "first-lab.ipynb"
LAB = TOPOLOGIES / "wowkivs2009.yaml"


@pytest.fixture
def beside(host: Host) -> Path:
    """A folder beside those of the topologies and experiments, as `examples` is."""
    for name in ("topologies", "experiments"):
        (host.folder / name).symlink_to(ROOT / name)
    folder = host.folder / "examples"
    folder.mkdir()
    return folder


def check_shown(shown: str) -> None:
    for text in ("lab first-lab", "<svg", "a/r1-r2", "5mbit", "fig6-guarantee", "ping"):
        assert text.lower() in shown.lower(), text


@pytest.fixture
def sockets() -> Iterator[str]:
    """A folder whose name leaves room for the names of sockets."""
    with tempfile.TemporaryDirectory(prefix="nb") as folder:
        yield folder


def test_the_notebook_in_a_kernel(
    host: Host, beside: Path, sockets: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    manager = pytest.importorskip("jupyter_client").KernelManager(kernel_name="python3")
    manager.transport = "ipc"  # the loopback of a capsule is down
    manager.ip = f"{sockets}/k"
    paths = os.pathsep.join([str(ROOT), *sys.path])
    own = {_MARK: host.mark, "PYTHONPATH": paths, "TMPDIR": str(host.scratch)}
    own["IPYTHONDIR"] = own["JUPYTER_RUNTIME_DIR"] = sockets
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(beside)}}
    client = nbclient.NotebookClient(
        notebook, km=manager, timeout=60, startup_timeout=20, resources=resources
    )
    try:
        client.execute()
    finally:
        manager.shutdown_kernel(now=True)
    check_shown(nbformat.writes(notebook))


@pytest.fixture
def marked(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """What this process starts is the host's."""
    monkeypatch.setenv(_MARK, host.mark)
    monkeypatch.setenv("TMPDIR", str(host.scratch))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return host


def svg(text: str) -> ET.Element:
    return ET.fromstring(text[text.index("<svg") : text.index("</svg>") + len("</svg>")])


def test_a_lab_as_it_is_shown(marked: Host) -> None:
    with vnemu.up(LAB, name="shown") as lab:
        lab.reshape("a/core", limit="7mbit")
        lab.cut("a/core", direction="r1>r2")
        page, drawing = lab._repr_html_(), lab._repr_svg_()
    for text in ("lab shown", "running", "a/core", "limit 7mbit", "cut r1&gt;r2", "10.0.0.1/30"):
        assert text in page, text
    assert svg(page).tag == svg(drawing).tag == "{http://www.w3.org/2000/svg}svg"
    assert "<script" not in page
    assert not re.search(r"(src|href)=.http", page)


def test_the_verbs_from_another_process(marked: Host) -> None:
    with vnemu.up(LAB) as lab:
        assert lab.name == "wowkivs2009"
        other = vnemu.connect("wowkivs2009")
        other.pause("a/r1")
        assert lab.inspect()["nodes"]["a/r1"]["state"] == "paused"
        with pytest.raises(InputError, match="a/r1 is paused"):
            lab["a/r1"].run("true")
        lab.resume("a/r1")
        lab.add("a/x", ["r1", "r2"], limit="5mbit", path=["rm1", "rm2"])
        lab.reshape_all({"a/x": {"limit": None}, "b/core": {"limit": "1mbit"}})
        links = lab.inspect()["links"]
        assert (links["a/x"]["limit"], links["b/core"]["limit"]) == (None, "1mbit")
        lab.limit("a/r1", forwarding="100mbit")
        lab.copy("a/r1", "a/r9", on="rm2")
        lab.move("a/r9", to="rm1")
        assert lab.inspect()["nodes"]["a/r9"]["machine"] == "rm1"
        assert lab.fail("rm1-rm2") == []
        lab.repair("rm1-rm2")
        assert [each["name"] for each in vnemu.labs()] == ["wowkivs2009"]
        done = lab["a/r1"].run("sh", "-c", "cat; echo no >&2; exit 3", stdin="yes")
        assert (done.returncode, done.stdout, done.stderr) == (3, "yes", "no\n")
        with pytest.raises(subprocess.TimeoutExpired):
            lab["a/r1"].run("sleep", "100", timeout=0.5)
        with pytest.raises(ExperimentFailed, match=r"a/c1 does not reach 10\.77\.0\.1 within"):
            lab.wait_reachable("a/c1", "10.77.0.1", timeout_s=0.2)
        with pytest.raises(InputError, match="'a/r77' is no node, address or prefix"):
            lab.route("a/c1", "a/r77")
    with pytest.raises(InputError, match="no lab 'wowkivs2009' runs"):
        other.about()


def test_a_lab_that_is_kept(marked: Host) -> None:
    with vnemu.up(LAB, name="kept", keep=True) as lab:
        pass
    assert vnemu.connect("kept").about()["state"] == "running"
    lab.end()
    assert vnemu.labs() == []


def test_a_file_that_is_wrong(marked: Host) -> None:
    with pytest.raises(InputError, match=r"wrong.yaml: no such file"):
        vnemu.up(marked.folder / "wrong.yaml")


def test_a_run(marked: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(marked.folder)
    run = vnemu.run(EXPERIMENTS / "fig6-limit.yaml", time_scale=0.03)
    assert run.result.status == "complete"
    assert run.phases()[0]["flow"] == "a"
    page = run._repr_html_()
    assert svg(page).tag.endswith("svg")
    assert "fig6-limit" in page
    assert "Mbit/s" in page
    again = vnemu.open_run(run.run.folder)
    assert again.expectations() == run.expectations()
    with pytest.raises(InputError, match="is not empty"):
        vnemu.run(EXPERIMENTS / "fig6-limit.yaml", out=run.run.folder, time_scale=0.03)
