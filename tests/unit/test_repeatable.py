"""What a lab's journal tells, as an experiment that repeats it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.inspected import TOPOLOGIES, seen
from vnemu.experiments.prepare import prepare
from vnemu.schema.load import load_experiment
from vnemu.schema.now import read_now
from vnemu.schema.said import written
from vnemu.shell.repeatable import Remark, Session, repeating, state_entries

BEGUN = 1000.0
FLOW = {"name": "f", "from": "a/c1", "to": "a/c2", "tcp": {"parallel": 2}}


def lab() -> dict[str, Any]:
    return {**seen("wowkivs2009.yaml"), "journal": {"last": 10, "time": BEGUN}}


def change(number: int, at: float, *texts: str, folder: str = "/work") -> dict[str, Any]:
    entries = [written(read_now(text)) for text in texts]
    more = {"took_ms": 4.0, "entries": entries, "folder": folder}
    return {"number": number, "time": BEGUN + at, "kind": "change", "text": "…", **more}


def traffic(number: int, at: float, **more: Any) -> dict[str, Any]:
    return {"number": number, "time": BEGUN + at, "kind": "traffic", "text": "…", **more}


def text_of(*records: dict[str, Any], remarks: list[Remark] | None = None) -> str:
    return repeating(Session(lab(), records, remarks or [], BEGUN + 10, Path("/work/own")))


def of(*records: dict[str, Any]) -> Any:
    return yaml.safe_load(text_of(*records))


def test_changes_at_the_times_when_they_began() -> None:
    before = change(9, -1, "pause: a/r1")
    found = of(before, change(11, 1.234, "reshape: a/core, limit: 10mbit"))
    assert found["timeline"] == [{"at": "1.23s", "reshape": "a/core", "limit": "10mbit"}]
    assert found["duration"] == "10s"
    assert "traffic" not in found


def test_changes_of_the_same_moment_stay_apart() -> None:
    found = of(change(11, 1.004, "cut: a/core"), change(12, 1.0041, "mend: a/core"))
    assert [entry["at"] for entry in found["timeline"]] == ["1s", "1.001s"]


def test_several_texts_are_a_batch() -> None:
    found = of(change(11, 1.004, "cut: a/core", "batch: [pause: a/r1, {move: a/r2, to: rm1}]"))
    parts = [{"cut": "a/core"}, {"pause": "a/r1"}, {"move": "a/r2", "to": "rm1"}]
    assert found["timeline"] == [{"at": "1s", "batch": parts}]


@pytest.mark.parametrize(
    ("entry", "key"),
    [
        ("create_network: c, file: c.yaml", ("file",)),
        ("create: a/r9, routing: {protocol: ospf, config: c.yaml}", ("routing", "config")),
    ],
)
def test_files_are_seen_from_the_experiment(entry: str, key: tuple[str, ...]) -> None:
    (found,) = of(change(11, 1, entry, folder="/work/sub"))["timeline"]
    for step in key:
        found = found[step]
    assert found == "../sub/c.yaml"


def test_flows_with_their_times() -> None:
    found = of(
        traffic(8, -5, start={**FLOW, "name": "old", "stop": "60s"}),
        traffic(9, -2, start=FLOW),
        traffic(11, 1, stop="f"),
        traffic(12, 2, start=FLOW),
        traffic(13, 3, stop="f"),
        traffic(14, 4, start={**FLOW, "to": "a/new"}),
    )["traffic"]
    old = {**FLOW, "name": "old"}
    again = {**FLOW, "name": "f-2", "start": "2s", "stop": "3s"}
    assert found == [old, {**FLOW, "stop": "1s"}, again]


def test_a_flow_that_a_change_has_ended_stops_before_it() -> None:
    (flow,) = of(
        traffic(11, 1, start=FLOW), change(12, 5.004, "stop: a/c2"), traffic(13, 5.1, end="f")
    )["traffic"]
    assert (flow["start"], flow["stop"]) == ("1s", "4.999s")


def test_what_is_not_repeated_is_a_remark_at_its_time() -> None:
    refused = {"number": 12, "time": BEGUN + 2, "kind": "refused", "text": "pause a/x:\nno"}
    text = text_of(
        change(11, 1.004, "cut: a/core"),
        refused,
        change(13, 3.004, "mend: a/core"),
        traffic(14, 4, start={**FLOW, "to": "a/new"}),
        remarks=[Remark(BEGUN + 1.5, "a/r1 ip route")],
    )
    assert text.splitlines() == [
        "timeline:",
        "- {at: 1s, cut: a/core}",
        "# 1.5s, not repeated: a/r1 ip route",
        "# 2s, not repeated: refused: pause a/x: no",
        "- {at: 3s, mend: a/core}",
        "# 4s, not repeated: flow f: a/c1 -> a/new, which are not there at the start",
        "duration: 10s",
    ]


def test_the_state_at_the_beginning() -> None:
    data = lab()
    data["failed"]["links"] = ["rm1-rm2"]
    data["links"]["a/core"]["cut"] = ["r1>r2"]
    data["links"]["b/core"] |= {"cut": ["r1>r2", "r2>r1"], "carrier": False}
    data["networks"]["b"]["state"] = "paused"
    data["nodes"]["b/r1"]["state"] = "paused"
    data["nodes"]["a/c1"]["state"] = "paused"
    data["nodes"]["a/c2"]["state"] = "stopped"
    assert list(state_entries(data)) == [
        {"fail": "rm1-rm2"},
        {"cut": "a/core", "direction": "r1>r2"},
        {"down": "b/core"},
        {"cut": "b/core"},
        {"pause": "b"},
        {"pause": "a/c1"},
        {"stop": "a/c2"},
    ]


EVERY_VERB = (
    *("stop: a/r1", "start: a/r1", "pause: b", "resume: b", "create: a/r3, on: rm2"),
    *("add: a/x, endpoints: [r1, r3], limit: 1mbit", "copy: a/r1, as: a/r4, on: rm2"),
    *("destroy: a/r4", "move: a/r3, to: rm1", "remove: a/x", "down: a/core", "up: a/core"),
    *("cut: a/core, direction: r1>r2", "mend: a/core", "fail: rm1-rm2", "repair: rm1-rm2"),
    *("reshape: a/core, guarantee: 30mbit, delay: none", "limit: a/r1, cpus: none, memory: 64mb"),
    "reshape: a/core, direction: r1>r2, queue: {discipline: fq_codel}",
    *("move: a/core, avoid: [rm1-rm2]", "destroy_network: b"),
)


def test_every_verb_says_the_same_again() -> None:
    """As written in the journal, and read by the experiment, an entry is the same document."""
    for text in EVERY_VERB:
        doc = read_now(text)
        again = read_now(yaml.safe_dump(written(doc), default_flow_style=True))
        assert (again, written(again)) == (doc, written(doc)), text


def test_the_loader_takes_it(tmp_path: Path) -> None:
    texts = [text for text in EVERY_VERB if "avoid" not in text and "fq_codel" not in text]
    changes = [change(11 + n, n / 4, text) for n, text in enumerate(texts)]
    file = tmp_path / "session.yaml"
    head = f"topology: {TOPOLOGIES / 'wowkivs2009.yaml'}\n"
    file.write_text(head + text_of(*changes, traffic(40, 6, start=FLOW)))
    experiment = prepare(load_experiment(file))
    assert len(experiment.events) == len(texts)
    assert [flow.name for flow in experiment.flows] == ["f"]
