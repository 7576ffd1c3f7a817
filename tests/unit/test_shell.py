"""The lines of the shell: what they say, which names they mean, and what can come next."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from tests.inspected import TOPOLOGIES, seen
from vnemu.cli import verbs
from vnemu.errors import ExperimentFailed, InputError
from vnemu.schema.document import Document
from vnemu.schema.now import read_now
from vnemu.schema.said import entry_text
from vnemu.sessions import client, pages, visit
from vnemu.shell import loop, watching
from vnemu.shell.changing import link_entries
from vnemu.shell.completion import complete
from vnemu.shell.flows import flow_of
from vnemu.shell.forms import FORMS, entry_of
from vnemu.shell.lines import Line, Misused, parse
from vnemu.shell.names import Names
from vnemu.shell.registry import COMMANDS
from vnemu.shell.saving import remarks_on, save
from vnemu.shell.session import Shell
from vnemu.shell.trying import pairs_of, rows_of, udp_rate, with_time


@pytest.fixture(scope="module")
def two() -> Names:
    return Names(seen("wowkivs2009.yaml"))


@pytest.fixture(scope="module")
def one() -> Names:
    return Names(seen("ring4-ospf.yaml"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", None),
        ("  # a remark", None),
        ("nodes\n", Line("nodes", "")),
        ("r1 ping  -c1 r2 ", Line("r1", "ping  -c1 r2")),
    ],
)
def test_a_line(text: str, line: Line | None) -> None:
    assert parse(text) == line


def test_words_in_quotes() -> None:
    assert Line("cut", "core 'r1>r2'").words == ["core", "r1>r2"]
    with pytest.raises(InputError, match="a quotation has no end"):
        _ = Line("cut", "core 'r1").words


@pytest.mark.parametrize(
    ("text", "goes_on"), [("c2 iperf3 -s &", True), ("c2 true && true", False), ("c2", False)]
)
def test_a_line_that_leaves_something_behind(text: str, goes_on: bool) -> None:
    line = parse(text)
    assert line is not None
    assert line.goes_on == goes_on


@pytest.mark.parametrize(
    ("rows", "shown"),
    [(3, ["one", "two", "thre"]), (2, ["one", "… an"]), (9, ["one", "two", "thre"])],
)
def test_what_a_window_has_room_for(rows: int, shown: list[str]) -> None:
    assert watching.fitting(["one", "two", "three"], 5, rows) == shown


class TestNames:
    def test_without_the_network_where_unique(self, one: Names, two: Names) -> None:
        assert one.node("r1") == "ring/r1"
        assert one.link("r1-r2") == "ring/r1-r2"
        with pytest.raises(InputError, match="'r1' is in several networks; write a/r1 or b/r1"):
            two.node("r1")
        assert two.node("r1", "b/c2") == "b/r1"
        assert Names(two.data, "b").node("r1") == "b/r1"
        assert Names(two.data, "b").node("a/r1") == "a/r1"

    def test_that_are_none(self, one: Names) -> None:
        with pytest.raises(InputError, match=r"no router or host 'ring/r9'; did you mean 'ring/r"):
            one.node("ring/r9")
        with pytest.raises(InputError, match="there is no virtual link 'x'; there are: ring/"):
            one.link("x")

    def test_physical_and_virtual(self, one: Names, two: Names) -> None:
        assert one.any_link("rm1-rm2") == "rm1-rm2"
        assert two.any_link("a/core") == "a/core"
        assert two.machines == ["rm1", "rm2"]

    @pytest.mark.parametrize(
        ("command", "wanted"),
        [
            ("ping -c1 r2", "ping -c1 10.0.128.2"),
            ("ping -c1 b/c2|grep c2", "ping -c1 10.0.0.9|grep 10.0.0.9"),
            ("c2 /etc/r1 --on=r1 r1.log", "c2 /etc/r1 --on=r1 r1.log"),
            ("cat (r1);r2 'c1'", "cat (10.0.128.1);10.0.128.2 '10.0.0.5'"),
            ("true", "true"),
        ],
    )
    def test_in_commands(self, two: Names, command: str, wanted: str) -> None:
        assert two.with_addresses(command, "a/c1") == wanted

    def test_a_network_of_ipv6_alone(self) -> None:
        names = Names(seen("two-overlays.yaml"))
        assert ":" in names.address("b/c1")
        assert ":" not in names.address("a/c1")


LINES = [
    ("pause a/r1", "pause: a/r1"),
    ("pause b", "pause: b"),
    ("move a/r1 rm2", "move: a/r1, to: rm2"),
    ("move a/r1 to rm2", "move: a/r1, to: rm2"),
    ("move a/r1, to: rm2", "move: a/r1, to: rm2"),
    ("move a/r1 --to rm2", "move: a/r1, to: rm2"),
    ("move a/core avoid rm3,rm4", "move: a/core, avoid: [rm3, rm4]"),
    ("reshape a/core limit 10mbit delay=5ms", "reshape: a/core, limit: 10mbit, delay: 5ms"),
    ("reshape rm1-rm2 --rate 1gbit", "reshape: rm1-rm2, rate: 1gbit"),
    ("reshape a/core limit none", "reshape: a/core, limit: none"),
    ("cut a/core", "cut: a/core"),
    ("cut a/core r1>r2", "cut: a/core, direction: r1>r2"),
    ("unplug a/core", "down: a/core"),
    ("fail rm1", "fail: rm1"),
    ("create a/r9 on rm2", "create: a/r9, on: rm2"),
    ("copy a/r1 r9 rm2", "copy: a/r1, as: a/r9, on: rm2"),
    ("add a/x r1 r2 limit 1mbit", "add: a/x, endpoints: [r1, r2], limit: 1mbit"),
    ("add x a/r1 r2", "add: a/x, endpoints: [r1, r2]"),
    ("limit a/r1 cpu 50%", "limit: a/r1, cpu: 50%"),
    ("create-network c c.yaml network a", "create_network: c, file: c.yaml, network: a"),
    ("destroy-network b", "destroy_network: b"),
]


@pytest.mark.parametrize(("text", "entry"), LINES, ids=[text for text, _ in LINES])
def test_a_verb_is_an_entry_of_a_timeline(two: Names, text: str, entry: str) -> None:
    verb, *words = text.split()
    said = entry_text(entry_of(FORMS[verb], words, two))
    assert read_now(said) == read_now(entry)


def test_a_verb_finds_names(one: Names) -> None:
    assert entry_of(FORMS["cut"], ["r1-r2"], one) == {"cut": "ring/r1-r2"}
    assert entry_of(FORMS["move"], ["r1", "rm2"], one) == {"move": "ring/r1", "to": "rm2"}
    assert entry_of(FORMS["create"], ["r9"], one) == {"create": "ring/r9"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("move", "something missing"),
        ("reshape a/core limit", "limit has no value"),
        ("reshape a/core colour red", "'colour' is not known here; what can follow: limit"),
        ("stop a/r1 now", "'now' is not known here; what can follow: nothing"),
    ],
)
def test_a_verb_is_misused(two: Names, text: str, message: str) -> None:
    verb, *words = text.split()
    with pytest.raises(Misused, match=message):
        entry_of(FORMS[verb], words, two)


def test_a_new_router_needs_a_network(two: Names) -> None:
    with pytest.raises(InputError, match="'r9': in which network\\?; a/r9 or b/r9"):
        entry_of(FORMS["create"], ["r9"], two)


def test_every_verb_of_the_command_line_is_there() -> None:
    app = typer.Typer()
    verbs.register(app)
    names = {str(c.callback and c.callback.__name__) for c in app.registered_commands}
    assert {name.replace("_", "-") for name in names} == {"do", *FORMS}


def test_mininets_link(one: Names) -> None:
    assert list(link_entries(one, "r1", "r2", "down")) == [{"down": "ring/r1-r2"}]
    assert list(link_entries(one, "rm1", "rm2", "up")) == [{"repair": "rm1-rm2"}]
    with pytest.raises(InputError, match="no link joins ring/r1 and ring/r3"):
        list(link_entries(one, "r1", "r3", "up"))


COMPLETIONS = [
    ("resh", "resh", ["reshape"]),
    ("pingp", "pingp", ["pingpair"]),
    ("reshape a/co", "a/co", ["a/core"]),
    ("reshape a/core lim", "lim", ["limit"]),
    ("reshape a/core limit 10", "10", ["100mbit", "10mbit"]),
    ("reshape a/core limit 10mbit l", "l", ["loss"]),
    ("move a/r1 to ", "", ["rm1", "rm2"]),
    ("cut a/core direction r", "r", ["r1>r2", "r2>r1"]),
    ("link a/r1 a/r2 ", "", ["down", "up"]),
    ("a/c1 ping b/c", "b/c", ["b/c1", "b/c1-r1", "b/c2", "b/c2-r2"][::2]),
    ("help ping", "ping", ["pingall", "pingpair"]),
    ("time pau", "pau", ["pause"]),
    ("pause ", "", None),
    ("nonsense ", "", []),
    ("quit ", "", []),
]


@pytest.mark.parametrize(
    ("text", "word", "choices"), COMPLETIONS, ids=[text for text, *_ in COMPLETIONS]
)
def test_completion(two: Names, text: str, word: str, choices: list[str] | None) -> None:
    found, offered = complete(text, COMMANDS, two)
    assert found == word
    if choices is None:
        assert {"a", "b", "a/r1"} <= set(offered)
    else:
        assert offered == choices


def test_completion_of_files(two: Names, tmp_path: Path) -> None:
    (tmp_path / "one.vn").touch()
    (tmp_path / "more").mkdir()
    _, offered = complete(f"source {tmp_path}/", COMMANDS, two)
    assert offered == [f"{tmp_path}/more/", f"{tmp_path}/one.vn"]
    assert complete("cp b/r", COMMANDS, two)[1] == ["b/r1:", "b/r2:"]
    assert complete(f"cp b/r1:/x {tmp_path}/o", COMMANDS, two)[1] == [f"{tmp_path}/one.vn"]


class TestReaching:
    def test_pairs(self, two: Names, one: Names) -> None:
        both = [("a/c1", "a/c2"), ("a/c2", "a/c1"), ("b/c1", "b/c2"), ("b/c2", "b/c1")]
        assert pairs_of(two, ()) == both
        assert pairs_of(two, ["b"]) == both[2:]
        assert pairs_of(one, ["r1", "r3"]) == [("ring/r1", "ring/r3"), ("ring/r3", "ring/r1")]
        with pytest.raises(InputError, match="no two nodes of a network"):
            pairs_of(two, ["a/r1", "b/r1"])

    def test_the_table(self) -> None:
        answers = {("a/c1", "a/c2"): True, ("a/c1", "a/c3"): False, ("a/c2", "a/c1"): True}
        assert list(rows_of(answers)) == [
            ["a/c1", "->", "c2 X", "50%"],
            ["a/c2", "->", "c1", "100%"],
        ]

    def test_a_time_at_the_end(self) -> None:
        assert with_time(["r1", "r2", "2s"]) == (["r1", "r2"], 2)
        assert with_time(["r1", "r2"]) == (["r1", "r2"], 5)
        assert with_time([]) == ([], 5)

    def test_a_rate_as_iperf_writes_it(self) -> None:
        assert udp_rate("10M") == udp_rate("10mbit") == 10_000_000
        with pytest.raises(Misused):
            udp_rate("fast")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("a/c1 a/c2", {}),
        ("a/c1 c2 tcp", {}),
        ("up a/c1 a/c2 parallel 4", {"name": "up", "tcp": {"parallel": 4}}),
        ("a/c1 a/c2 congestion bbr ip 6", {"tcp": {"congestion": "bbr"}, "ip": 6}),
        ("a/c1 a/c2 udp 1mbit for 5s", {"udp": {"rate": "1mbit"}, "lasting": "5s"}),
    ],
)
def test_what_traffic_says(two: Names, words: str, said: dict[str, Any]) -> None:
    found = {key: value for key, value in flow_of(words.split(), two).items() if value is not None}
    assert found == {"start": "a/c1", "to": "a/c2", **said}


@pytest.mark.parametrize(
    "words", ["", "a/c1", "a b c d", "a/c1 a/c2 udp", "a/c1 a/c2 ip six", "a/c1 a/c2 udp 1mbit x y"]
)
def test_traffic_that_is_written_wrongly(two: Names, words: str) -> None:
    with pytest.raises(Misused):
        flow_of(words.split(), two)


def test_what_is_watched() -> None:
    def counted(time: float, octets: int, packets: int, drops: int) -> dict[str, Any]:
        found = {"bytes": octets, "packets": packets, "drops": drops, "backlog": 3000}
        return {"time": time, "links": {"a/core": {"r1>r2": found}}}

    link = {"limit": {"r1>r2": "10mbit", "r2>r1": ""}, "carrier": True, "cut": []}
    then, now = counted(1.0, 0, 0, 0), counted(3.0, 2_500_000, 990, 10)
    (row,) = watching.rows_of({"a/core": link}, then, now)
    assert row == ["a/core", "r1>r2", "10.00mbit", "10mbit", "-", "1.0%", "3.0kb", "up"]


ALL_TOPOLOGIES = {path.name for path in TOPOLOGIES.glob("*.yaml")}


class TestSaving:
    """What is saved is read again and compared before it is kept: a refusal tells what differs."""

    @pytest.mark.parametrize("file", sorted(ALL_TOPOLOGIES - {"campus.yaml"}))
    def test_every_topology(self, file: str, tmp_path: Path) -> None:
        out = tmp_path / "saved.yaml"
        save(seen(file), out, ["as it was"])
        assert out.read_text().startswith("# as it was\nname: ")
        assert [path.name for path in tmp_path.iterdir()] == ["saved.yaml"]

    def test_of_an_experiment_with_its_topology_in_it(self, tmp_path: Path) -> None:
        data = seen("wowkivs2009.yaml")
        inline = Document.read(TOPOLOGIES / "wowkivs2009.yaml").data
        file = tmp_path / "experiment.yaml"
        file.write_text(yaml.safe_dump({"topology": inline, "duration": "1s"}))
        save({**data, "lab": {"file": str(file)}}, tmp_path / "saved.yaml", [])
        assert yaml.safe_load((tmp_path / "saved.yaml").read_text())["name"] == data["name"]

    def test_files_beside_it_are_not_taken_along(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="a topology file cannot say what runs"):
            save(seen("campus.yaml"), tmp_path / "saved.yaml", [])
        assert list(tmp_path.iterdir()) == []

    def test_qualities_and_places(self, tmp_path: Path) -> None:
        data = seen("wowkivs2009.yaml")
        data["nodes"]["a/r2"]["machine"] = data["nodes"]["a/c2"]["machine"] = "rm1"
        data["links"]["a/core"] |= {"limit": "10mbit", "machines": ["rm1"], "physical_links": []}
        data["links"]["a/c2-r2"]["machines"] = ["rm1"]
        data["links"]["b/core"]["delay"] = {"r1>r2": "5ms", "r2>r1": None}
        save(data, tmp_path / "saved.yaml", [])
        found = yaml.safe_load((tmp_path / "saved.yaml").read_text())["networks"]
        assert found["a"]["routers"]["r2"]["on"] == "rm1"
        assert found["a"]["links"][0]["limit"] == "10mbit"
        assert found["b"]["links"][0]["directions"] == {"r1>r2": {"delay": "5ms"}}

    def test_what_cannot_be_said(self, two: Names, tmp_path: Path) -> None:
        data: dict[str, Any] = deepcopy(dict(two.data))
        data["nodes"]["a/r1"]["state"] = "paused"
        data["links"]["a/core"]["cut"] = ["r1>r2"]
        data["failed"]["links"] = ["rm1-rm2"]
        assert list(remarks_on(data)) == [
            "not saved: a/r1 is paused",
            "not saved: a/core is cut r1>r2",
            "not saved: rm1-rm2 has failed",
        ]
        data["nodes"]["a/r1"]["protocols"] = ["rip"]
        with pytest.raises(InputError, match="a/r1 would have another routing"):
            save(data, tmp_path / "saved.yaml", [])


@dataclass
class Asked:
    """A lab that says what it was asked."""

    data: dict[str, Any]
    texts: list[str]

    def __call__(self, lab: str, what: str, **more: Any) -> Any:
        if what == "inspect":
            return self.data
        assert (lab, what) == ("lab", "do")
        if "refused" in more["texts"][0]:
            raise InputError("no")
        self.texts += more["texts"]
        return {"done": more["texts"], "notes": [], "took_ms": 1.0}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, two: Names) -> Asked:
    lab = Asked({**two.data, "lab": {}}, [])
    monkeypatch.setattr(client, "ask", lab)
    return lab


class TestShell:
    def test_lines(self, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
        shell = Shell("lab")
        shell.run_lines(["vn b", "pause r1", "move: b/r1, to: rm2", "do resume: b/r1"], "x")
        assert asked.texts == ['{pause: "b/r1"}', "move: b/r1, to: rm2", "resume: b/r1"]
        assert shell.prompt == "lab/b> "
        shell.run("vn -")
        assert shell.prompt == "lab> "
        assert "(1 ms)" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("nodse", "'nodse' is no command and no node; did you mean 'nodes'?"),
            ("link a/r1 a/r2", "link: there is something missing; write it like: link A B up|down"),
            ("link a/r1 a/r2 off", "link: 'off' is neither up nor down; write it like: link A B"),
            ("move a/r1 up rm2", "move: 'up' is not known here; .* move NAME \\[to RM\\]"),
            ("iperf a/r1", "iperf: it takes two nodes, or none; write it like: iperf"),
            ("source /nowhere", "/nowhere: cannot be read"),
            ("py 1/0", "py: ZeroDivisionError"),
            ("py 1 +", "py: SyntaxError"),
            ("help me", "there is no command 'me'"),
            ("quit now", "quit: 'now' is too much; write it like: quit"),
        ],
    )
    @pytest.mark.usefixtures("asked")
    def test_errors_show_the_right_form(self, text: str, message: str) -> None:
        with pytest.raises(InputError, match=message.replace("?", "\\?")):
            Shell("lab").run(text)

    @pytest.mark.usefixtures("asked")
    def test_a_script_stops_at_its_first_failure(self, tmp_path: Path) -> None:
        inner = tmp_path / "inner.vn"
        inner.write_text("# one\n\nsh exit 3\nsh touch later\n")
        with pytest.raises(ExperimentFailed, match=r"inner\.vn:3: 'sh exit 3'") as failed:
            Shell("lab").run_lines([f"source {inner}"], "outer.vn")
        assert str(failed.value).startswith("outer.vn:1: ")
        assert failed.value.exit_status == 3
        with pytest.raises(InputError, match=r"^x:2: no"):
            Shell("lab").run_lines(["pause a", "do refused"], "x")

    @pytest.mark.usefixtures("asked")
    def test_a_script_that_reads_itself(self, tmp_path: Path) -> None:
        own = tmp_path / "own.vn"
        own.write_text(f"source {own}\n")
        with pytest.raises(InputError, match="is being read already"):
            Shell("lab").run(f"source {own}")

    @pytest.mark.usefixtures("asked")
    def test_quit_ends_a_script(self) -> None:
        shell = Shell("lab")
        shell.run_lines(["quit", "nonsense"], "x")
        assert shell.over

    def test_python(self, asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
        shell = Shell("lab")
        shell.run_lines(["py x = len(lab['nodes'])", "py x * 2", "py do('pause: a') and 1"], "x")
        assert capsys.readouterr().out.splitlines()[0] == "16"
        assert asked.texts == ["pause: a"]

    def test_commands_in_nodes(self, asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[list[str]] = []
        monkeypatch.setattr(visit, "run_in", lambda *words, **_: calls.append([*words][1:3]) or 0)
        Shell("lab").run("a/c1 ping -c1 r2")
        Shell("lab").run("a/c1")
        assert calls[0] == ["a/c1", ["sh", "-c", "ping -c1 10.0.128.2"]]
        assert calls[1][0] == "a/c1"
        assert "PS1=a/c1# " in calls[1][1]

    @pytest.mark.parametrize("command", ["nodes", "net", "links", "intfs", "vn", "help"])
    @pytest.mark.usefixtures("asked")
    def test_pages(self, command: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert Shell("lab").run(command) == 0
        shown = capsys.readouterr().out
        assert ("pingall" if command == "help" else "a") in shown

    @pytest.mark.usefixtures("asked")
    def test_every_command_has_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        for name, command in COMMANDS.items():
            assert command.form.split()[0] == name
            Shell("lab").run(f"help {name}")
            assert command.help in capsys.readouterr().out


def test_the_heavy_part_is_imported_late() -> None:
    assert not hasattr(loop, "prompt_toolkit")
    assert pages.aligned([["a", "b"], ["ccc", "d"]]) == ["a    b", "ccc  d"]
