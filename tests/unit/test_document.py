"""Documents: YAML text to plain data with places, and changed copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vnemu.errors import InputError
from vnemu.schema import nodes
from vnemu.schema.document import LARGEST, Document, examine_text

TEXT = """\
name: x
underlay:
  links:
    - {name: l.1, endpoints: [rm1, rm2], rate: 32mbit}
    - endpoints: [rm2, rm3]
      rate: 1gbit
    - {endpoints: [rm2, rm3], rate: 2gbit}
networks:
  a.b:
    routers: {r1: {on: rm1}, r2: }
    links: &l
      - {name: core}
  c: {links: *l}
"""


@pytest.fixture
def document() -> Document:
    return Document.parse(TEXT, "x.yaml")


@pytest.fixture(params=["libyaml", "pure"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        Document.parse(text, "x.yaml")
    return str(caught.value)


@pytest.mark.usefixtures("parser")
def test_keys_are_texts_and_scalars_are_of_yaml_1_2() -> None:
    text = """
on: on
yes: yes
1: 1
1.0: 1.50
null: null
~: ~
e:
time: 1:30
octal: 010
eight: 0o10
hex: 0xff
plus: +1e3
under: 1_000
date: 2024-01-01
t: TRUE
f: false
n: NO
nan: .nan
q: "1"
s: 'true'
b: |
  12
tagged: !!str 12
float: !!float 1
"""
    assert Document.parse(text, "x").data == {
        "on": "on",
        "yes": "yes",
        "1": 1,
        "1.0": 1.5,
        "null": None,
        "~": None,
        "e": None,
        "time": "1:30",
        "octal": 10,
        "eight": 8,
        "hex": 255,
        "plus": 1000.0,
        "under": "1_000",
        "date": "2024-01-01",
        "t": True,
        "f": False,
        "n": "NO",
        "nan": ".nan",
        "q": "1",
        "s": "true",
        "b": "12\n",
        "tagged": "12",
        "float": 1,
    }


leaves = st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.text(max_size=20)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(max_size=8), values))
def test_json_is_read_as_json(data: dict[str, Any]) -> None:
    text = json.dumps(data)
    if any(mark in text for mark in ("\\u00", "\\ud", "\\ufff", "\\b", "\\f", "\\u2")):
        return  # control characters, and JSON's surrogate pairs, which YAML has not
    assert Document.parse(text, "x.yaml").data == data


@given(st.text(alphabet=st.sampled_from(list("ab01:-,[]{}&*!|>'\"#%@?<~. \n\t")), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    document, findings = examine_text(text, "x.yaml")
    assert document or findings
    assert all(finding.mark.source == "x.yaml" for finding in findings)
    assert document is None or document.where(()).startswith("x.yaml:")


def test_places(document: Document) -> None:
    assert document.where(()) == "x.yaml:1"
    assert document.where(("underlay",)) == "x.yaml:3"
    assert document.key_where(("underlay",)) == "x.yaml:2"
    assert document.where(("underlay", "links", 1, "rate")) == "x.yaml:6"
    assert document.where(("underlay", "links", 1, "delay", "x")) == "x.yaml:5"
    assert document.where(("nowhere", 3)) == "x.yaml:1"
    # What an alias stands for was written at its anchor; the key was not.
    assert document.where(("networks", "c", "links", 0, "name")) == "x.yaml:12"
    assert document.key_where(("networks", "c", "links")) == "x.yaml:13"


def test_part_is_a_document(document: Document) -> None:
    part = document.at("underlay")
    assert list(part.data) == ["links"]
    assert part.where(("links", 2)) == "x.yaml:7"


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("underlay.links.0.rate", ("underlay", "links", 0, "rate")),
        ("underlay.links.l.1.rate", ("underlay", "links", 0, "rate")),
        ("underlay.links.rm1-rm2.rate", ("underlay", "links", 0, "rate")),
        ("networks.a.b.links.core.limit", ("networks", "a.b", "links", 0, "limit")),
        ("networks.a.b.links.0.new", ("networks", "a.b", "links", 0, "new")),
        ("networks.a.b.routers.r2.on", ("networks", "a.b", "routers", "r2", "on")),
        ("networks.c.links.core", ("networks", "c", "links", 0)),
        ("name", ("name",)),
        ("seed", ("seed",)),
    ],
)
def test_changed_copy(document: Document, path: str, steps: tuple[str | int, ...]) -> None:
    before = json.dumps(document.data)
    value: Any = document.with_value(path, "5mbit").data
    for step in steps:
        value = value[step]
    assert value == "5mbit"
    assert document.with_value(path, "1").where(steps) == f"--set {path}"
    assert json.dumps(document.data) == before


def test_change_at_an_alias_leaves_the_anchor(document: Document) -> None:
    data: Any = document.with_value("networks.c.links.core.limit", "1mbit").data
    assert data["networks"]["a.b"]["links"] == [{"name": "core"}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("[a, b]", ["a", "b"]),
        ("", None),
        ("false", False),
        ("'5'", "5"),
        ("{rate: 1mbit, to: [1]}", {"rate": "1mbit", "to": [1]}),
        ("off", "off"),
    ],
)
def test_value_is_yaml(document: Document, text: str, value: object) -> None:
    assert document.with_value("name", text).data["name"] == value


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        (
            "undrlay.links",
            "1",
            "the file has no key 'undrlay'; did you mean 'underlay'?",
        ),
        (
            "networks.z.links",
            "1",
            "networks has no key 'z'; it has a.b, c",
        ),
        (
            "underlay.links.3.rate",
            "1",
            "underlay.links has 3 items, so there is no 3; they are numbered from 0 to 2",
        ),
        (
            "networks.c.links.1.rate",
            "1",
            "networks.c.links has 1 item, so there is no 1; its number is 0",
        ),
        (
            "underlay.links.rm2-rm3.rate",
            "1",
            "'rm2-rm3' names several items of underlay.links; use a number: 1, 2",
        ),
        (
            "networks.c.links.cor.rate",
            "1",
            "networks.c.links has no item 'cor'; did you mean 'core'?",
        ),
        ("name.x", "1", "name is a text: there is no 'x' in it"),
        ("networks.", "1", "networks has no key ''; it has a.b, c"),
        ("name", "a\n---\nb", "a second document begins here: a file holds one"),
        ("name", "!!python/name:x", "has the tag !!python/name:x: tags make no sense here; remove"),
        ("name", "[", "is not valid YAML: "),
        ("name", "\0", "has the control character '\\x00'"),
    ],
)
def test_refused_changes(document: Document, path: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        document.with_value(path, text)
    assert str(caught.value).startswith(f"--set {path}: {message}")


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\nb: 4", "x.yaml:3: the key 'a' stands there twice, first in line 1"),
        ("a: &a [*a]", "x.yaml:1: the alias '*a' stands inside of '&a': it has no end"),
        ("a: [1\nb: 2", "x.yaml:2: is not valid YAML: "),
        ("a: !!python/object:os.x {}", "x.yaml:1: has the tag !!python/object:os.x"),
        ("a: {b: 1, <<: {c: 1}}", "x.yaml:1: the merge key '<<' is not supported"),
        ("a: " + "[" * 100_000, "x.yaml:1: is nested deeper than 50 levels"),
        ("a: \x1b[31m", "x.yaml:1: has the control character '\\x1b'"),
        ('a: 1\nb: "\\x1b[31m"', "x.yaml:2: has the control character '\\x1b'"),
        ("", "x.yaml: is empty"),
        ("# only this\n", "x.yaml: is empty"),
        ("---\n", "x.yaml: is empty"),
        ("text", "x.yaml:1: must be a mapping (key: value), not a text"),
    ],
)
def test_refused_texts(text: str, message: str) -> None:
    assert refusal(text).startswith(message)


def test_all_duplicates_are_reported() -> None:
    assert len(refusal("a: 1\nb: {c: 1, c: 2, c: 3}\na: 3").splitlines()) == 3


def test_aliases_do_not_stack_up_depth() -> None:
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} [[[[[[[[[[*a{n - 1}]]]]]]]]]]" for n in range(1, 7)]
    assert refusal("\n".join(lines)) == "x.yaml:6: is nested deeper than 50 levels"


def test_alias_bomb_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "MOST_NODES", 100)
    assert refusal("a: &a [1, 2, 3, 4]\nb: [" + "*a, " * 30 + "]").startswith(
        "x.yaml:2: holds more"
    )


def test_large_file_is_not_parsed(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_bytes(b"a: [\n" + b"#" * 10 * 2**20)
    with pytest.raises(InputError) as caught:
        Document.read(file)
    size = 10 * 2**20 + 5
    assert str(caught.value) == f"{file}: has {size} bytes, but a file may have {LARGEST} (1 MiB)"


def test_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "fig6-limit.yaml").write_text("a: 1")
    for path, message in (
        (tmp_path / "fig6_limit.yml", "no such file; did you mean 'fig6-limit.yaml'?"),
        (tmp_path / "none" / "x.yaml", "no such file"),
        (tmp_path, "is a folder, not a file"),
        (tmp_path / ("n" * 300), "cannot be read: file name too long"),
        (tmp_path / "a\0b", "is not a file name"),
        (tmp_path / "fig6-limit.yaml" / "x", "cannot be read: not a directory"),
    ):
        with pytest.raises(InputError) as caught:
            Document.read(path)
        assert str(caught.value).endswith(message)


def test_encodings(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes("\ufeffa: ä\r\nb: 1\r\n".encode())
    document = Document.read(file)
    assert document.data == {"a": "ä", "b": 1}
    assert document.where(("b",)) == f"{file}:2"
    file.write_bytes("a: 1\nb: ä\n".encode("utf-16"))
    with pytest.raises(InputError, match=":1: is not UTF-8: it has the byte 0xff"):
        Document.read(file)


def test_name_is_as_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.yaml").write_text("a: 1\n")
    Path("d").mkdir()
    assert Document.read(Path("x.yaml")).where(("a",)) == "x.yaml:1"
    assert Document.read(Path("d/../x.yaml")).where(("a",)) == "d/../x.yaml:1"
