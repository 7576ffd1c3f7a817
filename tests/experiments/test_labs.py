"""The teaching labs: each is solved by a script, and not solved by one that does nothing."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import pytest

from vnemu.__main__ import main
from vnemu.drivers.programs import find
from vnemu.sessions.client import ask
from vnemu.teaching.catalogue import read

from .conftest import ROOT, Host
from .private_kernel import PATIENCE_S, wait_for

LABS = ROOT / "labs"
_MINE = """\
routers: {r1: {on: rm1}, r2: {on: rm2}}
hosts: {c1: {at: r1}, c2: {at: r2}}
links: [{endpoints: [r1, r2]}]
"""
_OWN = """\
routing: {protocol: ospf, hello: 1s, dead: 3s, bfd: {interval: 100ms, multiplier: 3}}
routers: {r1: {on: rm1}, r2: {on: rm2}, r3: {on: rm3}, r4: {on: rm4}}
hosts: {c1: {at: r1}, c3: {at: r3}}
links:
  - {endpoints: [r1, r2], cost: 10, path: [rm1, rm2]}
  - {endpoints: [r2, r3], cost: 10, path: [rm2, rm3]}
  - {endpoints: [r3, r4], cost: 20, path: [rm3, rm4]}
  - {endpoints: [r4, r1], cost: 20, path: [rm4, rm1]}
"""


@dataclass(frozen=True)
class Solution:
    """What a student does.

    Parameters:
        steps: commands by step, LAB left out behind the verb; they come before the last block
            of the step's section.
        refused: commands that the lab is to refuse.
    """

    answers: str
    steps: dict[str, list[str]]
    files: dict[str, str] = field(default_factory=dict)
    refused: tuple[str, ...] = ()


SOLUTIONS = {
    "first-network": Solution(
        "machine: rm2\nttl: 62\ntwin: a\n",
        {"cut": ["cut a/core"], "mend": ["mend a/core"]},
        {"mine.yaml": _MINE},
    ),
    "the-underlay": Solution(
        "hops: 3\nnarrow: rm2-rm3\nttl: 2\nshare: 23.9 mbit\n",
        {"way-round": ["move a/long --path rm1,rm5,rm4"]},
    ),
    "guarantees-and-limits": Solution(
        "fair: 15.2\nrest: 1.9\nunused: all\nalone: limit\n",
        {
            "guarantee": ["reshape a/core --guarantee 30mbit"],
            "refused": ["reshape b/core --guarantee 10mbit"],
            "limit": ["reshape a/core --guarantee none --limit 8mbit"],
        },
        refused=("reshape b/core --guarantee 10mbit",),
    ),
    "ospf-repair": Solution(
        "neighbours: 2\ncost: 20\nwhy: carrier\n",
        {"failure": ["unplug ring/r1-r2"], "repair": ["plug ring/r1-r2"]},
    ),
    "silent-failure": Solution(
        "dead: 3 s\nbfd: 300\ncarrier: up\n",
        {"silence": ["fail rm1-rm2", "repair rm1-rm2"]},
        {"own.yaml": _OWN},
    ),
    "live-migration": Solution(
        "where: RM2\nlost: 0\ncold: adjacencies\n",
        {"move": ["move a/r2 --to rm4"], "cold": ["stop a/r2", "start a/r2"]},
    ),
}
_NEED_BIRD = ("ospf-repair", "silent-failure", "live-migration")


def lab_params() -> list[Any]:
    bird = pytest.mark.skipif(find("bird") is None, reason="BIRD is not installed")
    return [pytest.param(n, id=n, marks=[bird] if n in _NEED_BIRD else []) for n in SOLUTIONS]


@pytest.fixture
def student(host: Host) -> Iterator[Host]:
    (host.folder / "labs").symlink_to(LABS)
    yield host
    assert host.run("down", "--all").status == 0


def sections(lab: str) -> Iterator[tuple[str, list[list[str]]]]:
    """The sections of a lab's page by step, and the commands of each of their blocks."""
    text = (LABS / lab / "README.md").read_text(encoding="utf-8")
    for part in re.split(r"(?m)^## ", text):
        blocks = re.findall(r"(?ms)^```console\n(.*?)^```$", part)
        title = part.splitlines()[0].partition(":")[0]
        found = [re.findall(r"(?m)^\$ vnemu (.*)$", block) for block in blocks]
        yield title, [[faster(command) for command in block] for block in found]


def faster(command: str) -> str:
    """A command of a page, in less time."""
    for shown, wanted in (
        (" -t 20 ", " -t 3 "),
        (" -t 5", " -t 2"),
        (" ping -c", " ping -i 0.1 -c"),
    ):
        command = command.replace(shown, wanted)
    return command


def carry_out(student: Host, command: str, wanted: int = 0) -> None:
    """Do what a user types. What starts labs is a process; the rest is here, and so is quicker."""
    argv = shlex.split(command)
    if argv[:2] in (["lab", "start"], ["lab", "reset"]):
        done = student.run(*argv)
        assert done.status == wanted, f"vnemu {command}: {done.out}{done.err}"
        return
    with chdir(student.folder), patch.object(sys, "argv", ["vnemu", *argv]):
        assert main() == wanted, f"vnemu {command}"


def lab_steps(lab: str) -> list[str]:
    return [step.name for step in read(LABS / lab).doc.steps]


def check_unsolved(student: Host, lab: str) -> None:
    done = student.run("lab", "check", lab, "--save", "unsolved")
    assert done.status == 1, done.out + done.err
    assert f"0 of {len(lab_steps(lab))} steps done" in done.out
    assert "expected: " in done.out
    assert "look at: " in done.out


@pytest.mark.parametrize("lab", lab_params())
def test_lab(student: Host, lab: str) -> None:
    """One who does nothing has no step done; then one follows the page, and solves all."""
    solution = SOLUTIONS[lab]
    work = student.folder / "my-labs" / lab
    work.mkdir(parents=True)
    (work / "answers.yaml").write_text(solution.answers)
    for name, text in solution.files.items():
        (student.folder / name).write_text(text)
    for step, blocks in sections(lab):
        *before, last = blocks
        if step == lab_steps(lab)[0]:
            check_unsolved(student, lab)
        for command in (c for block in before for c in block):
            carry_out(student, command)
        for text in solution.steps.get(step, []):
            verb, _, rest = text.partition(" ")
            carry_out(student, f"{verb} {lab} {rest}", 2 if text in solution.refused else 0)
        for command in last:
            carry_out(student, command)
    carry_out(student, "lab grade .")
    solved, unsolved = json.loads((student.folder / "grades.json").read_text())["submissions"]
    assert (solved["lab"], solved["notes"]) == (lab, [])
    assert solved["points"] == solved["of"] > 0
    assert (unsolved["student"], unsolved["points"]) == ("unsolved", 0)
    assert all(step["missing"] for step in unsolved["steps"])


def test_hints_and_reset(student: Host) -> None:
    lab = "first-network"
    hints = [student.run("lab", "hint", lab, "cut").out for _ in range(3)]
    assert hints[0].startswith("hint 1 of 2: The verb is called cut")
    assert hints[1:] == [
        "hint 2 of 2: vnemu cut first-network a/core\n",
        "there are no more hints (2 of 2)\n",
    ]
    missing = student.run("lab", "check", lab, "cut")
    assert (missing.status, missing.err) == (
        2,
        "vnemu: lab 'first-network' does not run; vnemu lab start first-network\n",
    )
    carry_out(student, f"lab start {lab}")
    carry_out(student, f"cut {lab} a/core")
    carry_out(student, f"lab check {lab} cut")
    carry_out(student, f"lab check {lab} look --answer machine=rm2")
    carry_out(student, f"lab reset {lab}")
    again = student.run("lab", "check", lab, "cut")
    assert again.status == 1
    assert "seen: carrier true, cut none" in again.out
    data = json.loads((student.folder / "my-labs" / lab / "submission.json").read_text())
    assert data["steps"]["cut"]["passed_at"] is not None
    assert data["steps"]["cut"]["hints"] == 2
    assert data["answers"] == {"machine": "rm2"}
    assert [entry["what"] for entry in data["log"]][2:] == [
        *("start", "check", "check", "reset", "check"),
    ]


def test_list(student: Host) -> None:
    listed = [line.split()[0] for line in student.run("lab", "list").out.splitlines()]
    assert listed == list(SOLUTIONS)
    assert sorted(p.name for p in LABS.iterdir()) == sorted(SOLUTIONS)


def test_what_is_wrong_is_told_with_its_line(student: Host) -> None:
    lab = student.folder / "wrong"
    lab.mkdir()
    (lab / "README.md").write_text("# Wrong\n")
    (lab / "topology.yaml").write_text((LABS / "first-network" / "topology.yaml").read_text())
    checks = """\
title: wrong
level: 1
minutes: 1
steps:
  - name: one
    title: One
    checks:
      - {reach: [a/c1, a/c9]}
      - {answer: none}
      - outages: [{from: a/c1, to: a/c2}]
        when: ["brake: a/r1"]
"""
    (lab / "checks.yaml").write_text(checks)
    done = student.run("lab", "start", "./wrong")
    assert done.status == 2
    assert "wrong/checks.yaml:8: there is no 'a/c9'" in done.err
    assert "wrong/checks.yaml:9: there is no question 'none'" in done.err
    assert "wrong/checks.yaml:11: 'brake' is no verb" in done.err


def test_pages_name_every_step() -> None:
    for lab in SOLUTIONS:
        doc = read(LABS / lab).doc
        named = [title for title, _ in sections(lab)][1:-1]
        assert named == [step.name for step in doc.steps], lab
        page = (LABS / lab / "README.md").read_text(encoding="utf-8")
        assert all(f"**Question** `{question}`" in page for question in doc.questions), lab


def test_an_interrupted_check_takes_its_change_back(student: Host) -> None:
    lab = student.folder / "breaking"
    lab.mkdir()
    (lab / "README.md").write_text("# Breaking\n")
    (lab / "topology.yaml").write_text((LABS / "first-network" / "topology.yaml").read_text())
    (lab / "checks.yaml").write_text("""\
title: breaking
level: 1
minutes: 1
steps:
  - name: one
    title: One
    checks:
      - outages: [{from: a/c1, to: a/c2}]
        when: ["cut: a/core"]
        for: 50s
        afterwards: ["mend: a/core"]
""")
    carry_out(student, "lab start ./breaking")
    checking = student.start("lab", "check", "./breaking")
    wait_for(lambda: ask("breaking", "inspect")["links"]["a/core"]["cut"], "it is not cut")
    os.kill(checking.pid, signal.SIGINT)
    checking.communicate(timeout=PATIENCE_S)
    assert checking.returncode == 130
    assert ask("breaking", "inspect")["links"]["a/core"]["cut"] == []
