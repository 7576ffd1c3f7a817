"""What running labs and those who ask them say to each other, without a lab."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vnemu.errors import (
    ExperimentFailed,
    InputError,
    InternalError,
    MissingCapability,
    Problem,
    VnemuError,
)
from vnemu.events import Note, Progress
from vnemu.experiments.entries import Beside, verbs_of
from vnemu.schema.now import networks_of, read_now, texts_of
from vnemu.schema.said import entry_text
from vnemu.sessions import folder
from vnemu.sessions.journal import Journal
from vnemu.sessions.line_inside import Inside
from vnemu.sessions.line_outside import Outside
from vnemu.sessions.protocol import Connection, Message, error_as_data, error_from


@pytest.fixture
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder that nobody else has, with a longer path than an address can hold."""
    runtime = tmp_path / ("long" * 30)
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    return runtime / "vnemu"


def test_a_name_is_taken_once(own_folder: Path) -> None:
    claimed = folder.claim("one")
    with pytest.raises(InputError, match="'one' runs already"):
        folder.claim("one")
    other = folder.claim("two")
    assert folder.labs() == ["one", "two"]
    claimed.release()
    assert folder.labs() == ["two"]
    other.release()
    assert not own_folder.exists()


def test_a_dead_lab_is_cleared(own_folder: Path) -> None:
    folder.claim("dead").listener.close()
    assert [file.name for file in own_folder.iterdir()] == ["dead.sock"]
    with pytest.raises(InputError, match="no lab 'dead' runs; vnemu up"):
        folder.connect("dead")
    assert not own_folder.exists()


def test_the_name_of_a_dead_lab_is_free(own_folder: Path) -> None:
    folder.claim("dead").listener.close()
    folder.claim("dead").release()
    assert not own_folder.exists()


def test_names_come_and_go_side_by_side(own_folder: Path) -> None:
    """The folder goes with the last lab, just when others make theirs and look at all."""

    def come_and_go(name: str) -> None:
        for number in range(100):
            folder.claim(f"{name}-{number}").release()
            folder.labs()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, "abcd"))
    assert folder.labs() == []
    assert not folder.where().exists()


def test_only_its_user_can_open_the_folder(own_folder: Path) -> None:
    claimed = folder.claim("one")
    assert own_folder.stat().st_mode & 0o777 == 0o700
    own_folder.chmod(0o755)
    with pytest.raises(MissingCapability, match="only you can open"):
        folder.claim("two")
    own_folder.chmod(0o700)
    claimed.release()


@pytest.mark.parametrize("name", ["", ".x", "a/b", "a b", "x" * 65])
def test_what_is_no_name(own_folder: Path, name: str) -> None:
    with pytest.raises(InputError, match="no name for a lab"):
        folder.claim(name)


def test_a_lab_that_is_not_there(own_folder: Path) -> None:
    claimed = folder.claim("ring")
    with pytest.raises(InputError, match="no lab 'rin' runs; did you mean 'ring'"):
        folder.connect("rin")
    claimed.release()


def test_descriptors_go_with_the_first_line() -> None:
    ours, theirs = map(Connection, socket.socketpair())
    out, into = os.pipe()
    ours.send({"ask": "exec"}, [into])
    message, descriptors = theirs.first()
    assert message == {"ask": "exec"}
    os.write(descriptors[0], b"x")
    assert os.read(out, 2) == b"x"
    ours.send({"signal": "INT"})
    ours.send({"size": [1, 2]})
    ours.close()
    assert list(theirs) == [{"signal": "INT"}, {"size": [1, 2]}]
    theirs.close()
    for fd in (out, into, *descriptors):
        os.close(fd)


@pytest.mark.parametrize(
    "error",
    [
        InputError([Problem("f:1", "wrong", "write it right"), Problem("", "also")]),
        MissingCapability("no netem", "install it"),
        ExperimentFailed("it failed"),
        InternalError("a bug"),
    ],
)
def test_an_error_arrives_as_it_was_raised(error: VnemuError) -> None:
    error.add_note("and more")
    found = error_from(error_as_data(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert found.exit_status == error.exit_status


def test_any_other_error_is_a_bug() -> None:
    found = error_from(error_as_data(KeyError("x")))
    assert isinstance(found, InternalError)
    assert str(found) == "KeyError: 'x'"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("pause: a/r1", "pause a/r1"),
        ("move: a/r1, to: rm2", "move a/r1 to rm2"),
        ("{move: a/r1, to: rm2}", "move a/r1 to rm2"),
        ("reshape: a/core\nlimit: 10mbit", "reshape a/core limit 10mbit"),
        ("batch: [{cut: a/core}, {pause: b}]", "cut a/core, pause network b"),
    ],
)
def test_an_entry_that_happens_now(text: str, words: str) -> None:
    assert ", ".join(str(verb) for verb in verbs_of(read_now(text), Beside())) == words


def test_files_of_a_vr_that_is_created_now(tmp_path: Path) -> None:
    (tmp_path / "r9.conf").write_text("router id 1.2.3.4;")
    doc = read_now("create: a/r9, routing: {config: r9.conf}")
    assert texts_of(doc, tmp_path)["r9.conf"].text == "router id 1.2.3.4;"
    with pytest.raises(InputError, match=r"r9\.conf: "):
        texts_of(doc, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("paus: a/r1", "'paus' is no verb; did you mean 'pause'?"),
        ("", "'' is no verb; there are: "),
        ("pause: a/r1, at: 3s", "at: is for the timeline of an experiment"),
        ("flap: a/core, every: 2s, down_for: 1s", "flap goes on for a time"),
        ("reshape: a/core, over: 2s, limit: {from: 1mbit, to: 2mbit}", "a ramp goes on"),
        ("move: a/r1, too: rm2", "unknown key 'too'; did you mean 'to'?"),
        ("reshape: a/core, limit: 10mbi", "limit: '10mbi' has the unknown unit"),
        ("pause: [", "write it like 'pause: a/r1'"),
        ("just words", "'just words' is no verb"),
    ],
)
def test_an_entry_that_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_now(text)
    assert message in str(caught.value)
    assert "text:" not in str(caught.value)


def test_an_entry_of_a_file_is_wrong_at_its_line() -> None:
    with pytest.raises(InputError, match=r"^<stdin>:2: limit: '10mbi'"):
        read_now("reshape: a/core\nlimit: 10mbi\n", "<stdin>")


def test_networks_are_read_from_the_folder_of_whoever_asks(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("routers: [r1, r2]\nlinks: [{endpoints: [r1, r2]}]\n")
    doc = read_now("create_network: c, file: c.yaml")
    (network,) = networks_of(doc, tmp_path).values()
    assert network.name == "c"
    with pytest.raises(InputError, match="no such file"):
        networks_of(doc, tmp_path / "elsewhere")


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"pause": "a/r1"}, '{pause: "a/r1"}'),
        ({"move": "a/r1", "to": None, "avoid": '["rm1"]'}, '{move: "a/r1", avoid: ["rm1"]}'),
        ({"limit": "a/r1", "cpus": "2"}, '{limit: "a/r1", cpus: 2}'),
        (
            {"reshape": "a/x", "limit": "1mbit, loss: 5%"},
            '{reshape: "a/x", limit: "1mbit, loss: 5%"}',
        ),
    ],
)
def test_a_command_as_text(entry: dict[str, str | None], text: str) -> None:
    assert entry_text(entry) == text


def test_a_journal_is_followed_to_its_end() -> None:
    journal = Journal()
    journal(Note("chosen"))
    journal(Progress("set up", 1, 2))
    seen: list[str] = []

    def follow() -> None:
        seen.extend(record["text"] for record in journal.follow() if record is not None)

    follower = threading.Thread(target=follow)
    follower.start()
    journal.add("change", "pause a/r1", took_ms=1.5)
    journal.close()
    follower.join(10)
    assert seen == ["chosen", "pause a/r1"]
    assert [record["number"] for record in journal.records()] == [1, 2]


def test_exec_imports_nothing_heavy() -> None:
    """People wait for it, and programs call it many times."""
    code = "import vnemu.cli.quick, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"typer", "click", "rich", "pydantic", "yaml", "networkx", "numpy", "pyroute2"}
    assert heavy.isdisjoint(done.stdout.split())


Serve = Callable[[Connection, Message, list[int]], None]


class Relay:
    """Both ends of a line, a lab's socket at one and `serve` at the other."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        outer, inner = socket.socketpair()
        self.is_ready = threading.Event()
        relayed = folder.claim("relayed")
        self.outside = Outside(relayed.listener, self.is_ready.set)
        self.outside(os.dup(outer.fileno()), outer.detach())
        self.inside = Inside(self._take, inner.detach())
        self.inside.start()
        self.release = relayed.release

    def _take(self, end: socket.socket) -> None:
        threading.Thread(target=self._served, args=(Connection(end),), daemon=True).start()

    def _served(self, connection: Connection) -> None:
        request, descriptors = connection.first()
        self._serve(connection, request, descriptors)
        connection.socket.shutdown(socket.SHUT_RDWR)


def echo(connection: Connection, request: Message, descriptors: list[int]) -> None:
    """Copy the input to the output, and its length to the errors; then answer."""
    size = 0
    while data := os.read(descriptors[0], 1 << 16):
        size += len(data)
        while data:
            data = data[os.write(descriptors[1], data) :]
    os.write(descriptors[2], str(size).encode())
    for fd in descriptors:
        os.close(fd)
    connection.send({"ok": request})


def test_streams_over_a_line(own_folder: Path) -> None:
    """More than any buffer holds, both ways; the answer is after all of the output."""
    relay = Relay(echo)
    data = os.urandom(700_001)
    stdin, typed = os.pipe()
    shown, stdout = os.pipe()
    complained, stderr = os.pipe()
    connection = Connection(folder.connect("relayed"))
    connection.send({"ask": "exec"}, [stdin, stdout, stderr])
    for fd in (stdin, stdout, stderr):
        os.close(fd)

    def type_all() -> None:
        with os.fdopen(typed, "wb") as file:
            file.write(data)

    threading.Thread(target=type_all).start()
    with os.fdopen(shown, "rb") as out, os.fdopen(complained, "rb") as err:
        assert out.read() == data
        assert err.read() == b"700001"
    assert list(connection) == [{"ok": {"ask": "exec"}}]
    relay.inside.ready()
    assert relay.is_ready.wait(10)
    relay.release()


def test_one_stream_that_stands_still_holds_no_other_up(own_folder: Path) -> None:
    relay = Relay(echo)
    ends = [os.pipe() for _ in range(3)]
    stuck = Connection(folder.connect("relayed"))
    stuck.send({"ask": "exec"}, [ends[0][0], ends[1][1], ends[2][1]])
    threading.Thread(target=os.write, args=(ends[0][1], bytes(1 << 20)), daemon=True).start()
    connection = Connection(folder.connect("relayed"))
    out, into = os.pipe()
    with Path(os.devnull).open("rb") as nothing:
        connection.send({"n": 2}, [nothing.fileno(), into, into])
    assert list(connection) == [{"ok": {"n": 2}}]
    assert os.read(out, 10) == b"0"
    relay.release()


def test_who_has_answered_at_once_may_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose descriptors took all of its line with them has been sent."""
    ours, theirs = socket.socketpair()
    send = socket.send_fds

    def answered(end: socket.socket, lines: list[bytes], descriptors: list[int]) -> int:
        sent = send(end, lines, descriptors)
        theirs.recv(1 << 16)
        theirs.close()
        return sent

    monkeypatch.setattr(socket, "send_fds", answered)
    with ours:
        Connection(ours).send({"ask": "exec"}, [ours.fileno()])
