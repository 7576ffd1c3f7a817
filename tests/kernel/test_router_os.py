"""Router OSs in VRs: they start, are private to their VR, are heard of when they end."""

from __future__ import annotations

import contextlib
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vnemu.drivers import processes, programs, router_os
from vnemu.drivers.programs import find
from vnemu.drivers.vr_init import Program, plain
from vnemu.errors import ExperimentFailed, InternalError, MissingCapability
from vnemu.events import Event, Progress
from vnemu.lab import Lab
from vnemu.plan.objects import node_namespace

DAEMONS = {"bird": "bird", "frr": "zebra"}
QUICK = "hello: 1s, dead: 4s"
RING = """
underlay: {{machines: [rm1]}}
networks:
  a:
    routing: {{protocol: ospf, daemon: {daemon}, {quick}}}
    routers: {routers}
    hosts: {{c1: {{at: r1}}, c3: {{at: r3}}}}
    links:
      - {{endpoints: [r1, r2]}}
      - {{endpoints: [r2, r3]}}
      - {{endpoints: [r3, r4]}}
      - {{endpoints: [r4, r1]}}
"""
PLAIN = "{r1: {}, r2: {}, r3: {}, r4: {}}"
TWO = """
underlay: {{machines: [rm1]}}
networks:
  a:
    routing: {{protocol: ospf, daemon: {daemon}}}
    routers: {routers}
    links: [{{name: core, endpoints: [r1, r2]}}]
"""


def need_daemon(*daemons: str) -> None:
    for daemon in daemons:
        if find(DAEMONS[daemon]) is None:
            pytest.skip(f"{daemon} is not installed")


def ring(daemon: str, routers: str = PLAIN) -> str:
    return RING.format(daemon=daemon, routers=routers, quick=QUICK)


@contextlib.contextmanager
def lab_of(text: str, folder: Path, events: list[Event] | None = None) -> Iterator[Lab]:
    file = folder / "t.yaml"
    file.write_text(text)
    with Lab.from_file(file, sink=(events if events is not None else []).append) as lab:
        yield lab


def loopback(lab: Lab, path: str, version: int) -> str:
    return str(next(a.ip for a in lab.topology.nodes[path].loopbacks if a.version == version))


def answers(lab: Lab, start: str, target: str) -> bool:
    return lab[start].run("ping", "-c1", "-W2", target, timeout=8).returncode == 0


@pytest.fixture(scope="module", params=["bird", "frr"])
def converged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Lab]]:
    """A ring of four VRs, dual stack, once routing has converged."""
    daemon = request.param
    need_daemon(daemon)
    with lab_of(ring(daemon), tmp_path_factory.mktemp(daemon)) as lab:
        lab["a/c1"].run("true")  # what makes its processes stays, and counts as left behind
        lab.converge(timeout_s=90)
        yield daemon, lab


class TestRing:
    @pytest.mark.parametrize("version", [4, 6])
    def test_the_opposite_routers_reach_each_other(
        self, converged: tuple[str, Lab], version: int
    ) -> None:
        _, lab = converged
        for start, end in (("a/r1", "a/r3"), ("a/r4", "a/r2")):
            assert answers(lab, start, loopback(lab, end, version))

    @pytest.mark.parametrize("version", [4, 6])
    def test_the_hosts_reach_each_other(self, converged: tuple[str, Lab], version: int) -> None:
        _, lab = converged
        target = lab.topology.nodes["a/c3"].nics[0].address(version)
        assert target is not None
        assert answers(lab, "a/c1", str(target.ip))

    def test_the_daemon_put_the_routes_there(self, converged: tuple[str, Lab]) -> None:
        daemon, lab = converged
        shown = lab["a/r1"].run("ip", "route").stdout
        assert f"proto {'bird' if daemon == 'bird' else 'ospf'}" in shown

    def test_its_own_shell_works(self, converged: tuple[str, Lab]) -> None:
        daemon, lab = converged
        commands = {
            "bird": ("birdc", "show", "ospf", "neighbors"),
            "frr": ("vtysh", "-c", "show ip ospf neighbor"),
        }
        shown = lab["a/r1"].run(*commands[daemon])
        assert shown.returncode == 0, shown
        assert shown.stdout.count("Full") >= 2

    def test_its_log_can_be_read(self, converged: tuple[str, Lab]) -> None:
        daemon, lab = converged
        assert lab["a/r1"].log(DAEMONS[daemon])
        assert lab["a/r1"].log("no such program") == ""

    def test_its_files_are_its_own(self, converged: tuple[str, Lab]) -> None:
        daemon, lab = converged
        folder = router_os.configuration_folder(daemon)  # type: ignore[arg-type]
        program = {"bird": "bird", "frr": "ospfd"}[daemon]
        texts = {
            lab[path].run("cat", f"{folder}/{program}.conf").stdout for path in ("a/r1", "a/r2")
        }
        assert len(texts) == 2
        assert all("ospf" in text for text in texts)
        assert lab["a/c1"].run("ls", folder).stdout.split() == _listed(folder)

    def test_nothing_has_ended(self, converged: tuple[str, Lab]) -> None:
        _, lab = converged
        assert lab.ended_programs() == []


def _listed(folder: str) -> list[str]:
    return sorted(entry.name for entry in Path(folder).iterdir()) if Path(folder).is_dir() else []


class TestStart:
    def test_progress_is_told(self, tmp_path: Path) -> None:
        need_daemon("bird")
        events: list[Event] = []
        with lab_of(ring("bird"), tmp_path, events):
            told = [e for e in events if isinstance(e, Progress) and e.step == "start routers"]
        assert (told[-1].done, told[-1].total) == (4, 4)

    @pytest.mark.parametrize("daemon", ["bird", "frr"])
    def test_a_missing_daemon_is_named_before_anything_is_built(
        self, daemon: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lacking = DAEMONS[daemon]
        usual = shutil.which
        monkeypatch.setattr(
            programs.shutil,
            "which",
            lambda name, path=None: None if name == lacking else usual(name, path=path),
        )
        events: list[Event] = []
        package = {"bird": "bird2", "frr": "frr"}[daemon]
        with (
            pytest.raises(MissingCapability, match=rf"a/r1 (.|\n)*apt-get install {package}$"),
            lab_of(TWO.format(daemon=daemon, routers="[r1, r2]"), tmp_path, events),
        ):
            pass
        assert not [e for e in events if isinstance(e, Progress)]

    @pytest.mark.parametrize(
        ("daemon", "file", "text", "said"),
        [
            ("bird", "bird.conf", "router id 1.2.3.4;\nprotocol nonsense {}\n", "syntax error"),
            ("frr", "frr.conf", "router ospf\n nonsense\n", "nonsense"),
        ],
    )
    def test_what_a_router_refuses_is_an_error_with_its_log(
        self, daemon: str, file: str, text: str, said: str, tmp_path: Path
    ) -> None:
        need_daemon(daemon)
        (tmp_path / file).write_text(text)
        routers = f"{{r1: {{routing: {{config: {file}}}}}, r2: {{}}}}"
        with (
            pytest.raises(ExperimentFailed, match=rf"a/r1: (.|\n)*{said}"),
            lab_of(TWO.format(daemon=daemon, routers=routers), tmp_path),
        ):
            pass

    def test_an_integrated_configuration_of_frr(self, tmp_path: Path) -> None:
        need_daemon("frr")
        text = "hostname mine\nrouter ospf\n ospf router-id 9.9.9.9\n"
        (tmp_path / "own.conf").write_text(text)
        routers = "{r1: {routing: {config: own.conf}}, r2: {}}"
        with lab_of(TWO.format(daemon="frr", routers=routers), tmp_path) as lab:
            shown = lab["a/r1"].run("vtysh", "-c", "show ip ospf").stdout
        assert "9.9.9.9" in shown


class TestEnd:
    def test_a_daemon_that_ends_is_heard_of(self, tmp_path: Path) -> None:
        need_daemon("bird")
        with lab_of(TWO.format(daemon="bird", routers="[r1, r2]"), tmp_path) as lab:
            lab["a/r2"].run("sh", "-c", "kill -9 $(pidof bird)")
            _until(lambda: bool(lab.ended_programs()))
            (ended,) = lab.ended_programs()
            assert (ended.vr, ended.program, ended.status) == ("a/r2", "bird", -signal.SIGKILL)
            with pytest.raises(ExperimentFailed, match="a/r2: bird ended by signal 9"):
                lab.converge(timeout_s=30)

    def test_a_failed_start_leaves_nothing(self, tmp_path: Path) -> None:
        """What is checked around each test, here with many VRs still on their way."""
        need_daemon("bird")
        (tmp_path / "bird.conf").write_text("nonsense\n")
        routers = "{r1: {routing: {config: bird.conf}}, " + ", ".join(
            f"r{n}: {{}}" for n in range(2, 30)
        )
        links = "".join(f"      - {{endpoints: [r{n}, r{n + 1}]}}\n" for n in range(1, 29))
        text = TWO.format(daemon="bird", routers=routers + "}").partition("    links:")[0]
        with (
            pytest.raises(ExperimentFailed),
            lab_of(f"{text}    links:\n{links}", tmp_path),
        ):
            pass


class TestPrograms:
    """What any order to a VR's pid 1 may say."""

    def test_stages_wait_for_each_other(self, tmp_path: Path) -> None:
        shell = find("sh")
        assert shell is not None
        order = plain("r1")
        order["stages"] = [
            [Program(name="one", argv=[shell, "-c", "sleep 0.1; echo 1 > /run/x"], ready="")],
            [Program(name="two", argv=[shell, "-c", "cat /run/x"], ready="")],
        ]
        with self._started(order, tmp_path) as maker:
            assert maker.ended() == []
            assert maker.log("a/r1", "two") == "1\n"

    def test_a_program_that_is_not_there(self, tmp_path: Path) -> None:
        order = plain("r1")
        order["stages"] = [[Program(name="ghost", argv=["/no/such"], ready="/run/x")]]
        with (
            pytest.raises(ExperimentFailed, match=r"ghost ended with status 127(.|\n)*No such"),
            self._started(order, tmp_path),
        ):
            pass

    def test_a_folder_that_is_not_there(self, tmp_path: Path) -> None:
        order = plain("r1")
        order["private"] = ["/no/such/folder"]
        with (
            pytest.raises(InternalError, match=r"no processes can run in a/r1: .*No such file"),
            self._started(order, tmp_path),
        ):
            pass

    @contextlib.contextmanager
    def _started(self, order: router_os.Order, tmp_path: Path) -> Iterator[processes.ProcessMaker]:
        text = "underlay: {machines: [rm1]}\nnetworks: {a: {routers: [r1]}}\n"
        with lab_of(text, tmp_path) as lab:
            maker = processes.ProcessMaker()
            try:
                fd = lab.kernel.namespaces[node_namespace("a/r1")].fd
                maker.start({"a/r1": (order, fd)})
                yield maker
            finally:
                maker.close()


def _until(true: object, patience_s: float = 5.0) -> None:
    assert callable(true)
    end = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)
