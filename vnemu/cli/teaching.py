"""The commands on teaching labs: students start, check and reset them, teachers grade them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vnemu.cli.options import AsJson, KernelChoice, Memory, group
from vnemu.errors import ExperimentFailed, InputError, Problem

if TYPE_CHECKING:
    from vnemu.schema.teaching import StepDoc
    from vnemu.teaching.catalogue import TeachingLab
    from vnemu.teaching.network import Network
    from vnemu.teaching.submission import Work
    from vnemu.teaching.verdicts import Asked, Verdict

Lab = Annotated[str, typer.Argument(metavar="NAME", help="A teaching lab, or its folder.")]
Place = Annotated[
    Path | None,
    typer.Option("--labs", metavar="FOLDER", envvar="VNEMU_LABS", help="Where the labs are."),
]
Save = Annotated[
    Path | None,
    typer.Option("--save", metavar="FOLDER", help="Your work. [dim]default: my-labs/NAME[/]"),
]

app = group(
    "lab", "Teaching labs: start one, have its steps checked, take hints, hand it in, grade it."
)


@app.command("list")
def list_labs(place: Place = None, as_json: AsJson = False) -> None:
    """List the teaching labs, the easiest first."""
    from vnemu.teaching import catalogue

    labs = sorted(
        (catalogue.read(folder) for folder in catalogue.folders(place)),
        key=lambda lab: (lab.doc.level, lab.name),
    )
    if as_json:
        print(json.dumps([_about(lab) for lab in labs], indent=2))
    elif labs:
        width = max(len(lab.name) for lab in labs)
        for lab in labs:
            print(f"{lab.name:<{width}} {lab.doc.minutes:>3} min  {lab.doc.title}")
    else:
        print("there are no teaching labs here; --labs FOLDER says where they are")


def _about(lab: TeachingLab) -> dict[str, object]:
    doc = lab.doc
    steps = [{"name": s.name, "title": s.title, "points": s.points} for s in doc.steps]
    about = {"name": lab.name, "title": doc.title, "level": doc.level, "minutes": doc.minutes}
    return {**about, "folder": str(lab.folder), "steps": steps}


@app.command()
def start(
    name: Lab,
    kernel: Annotated[KernelChoice, typer.Option(help="Which kernel runs it.")] = KernelChoice.auto,
    memory: Memory = "2048mb",
    save: Save = None,
    place: Place = None,
) -> int:
    """Start a lab; it runs until vnemu down NAME."""
    from vnemu.sessions import folder
    from vnemu.teaching.catalogue import PAGE, find
    from vnemu.teaching.submission import ANSWERS, Work

    lab = find(name, place)
    if lab.name in folder.labs():
        hint = f"vnemu lab reset {name} brings it back to its start, vnemu down {lab.name} ends it"
        raise InputError([Problem("", f"the lab '{lab.name}' runs already", hint)])
    work = Work.of(lab, save)
    status = _up(lab, kernel, memory)
    if status == 0:
        work.began("start")
        _wait_until_ready(lab)
        print(f"the page: {lab.folder / PAGE}")
        if lab.doc.questions:
            print(f"your answers: {work.folder / ANSWERS}")
        print(f"next: vnemu lab check {name} {lab.doc.steps[0].name}")
    return status


def _up(lab: TeachingLab, kernel: str, memory: str) -> int:
    """`vnemu up`, as the user would call it: in a private kernel it calls itself again."""
    from vnemu.teaching.catalogue import TOPOLOGY

    options = ("--detach", "--name", lab.name, "--kernel", kernel, "--memory", memory)
    argv = [sys.executable, "-m", "vnemu", "up", str(lab.folder / TOPOLOGY), *options]
    return subprocess.run(argv, check=False).returncode


def _wait_until_ready(lab: TeachingLab) -> None:
    """Wait for what is to be so at the start, such as that routing has converged.

    Raises:
        ExperimentFailed: if it is not in time; the lab runs.
    """
    from vnemu.teaching.network import Network
    from vnemu.teaching.verdicts import Asked, carried_out

    asked = Asked(lab.name, lab.doc, Network(lab.name), {})
    for verdict in carried_out(asked, lab.doc.ready):
        if not verdict.met:
            found = f"{verdict.check}: seen: {verdict.saw}; expected: {verdict.expected}"
            raise ExperimentFailed(f"lab '{lab.name}' runs, but is not ready yet: {found}")


@app.command()
def check(
    name: Lab,
    step: Annotated[
        str | None, typer.Argument(metavar="STEP", help="Only this one. [dim]default: all[/]")
    ] = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(metavar="QUESTION=ANSWER", help="In place of answers.yaml. Repeatable."),
    ] = None,
    save: Save = None,
    place: Place = None,
    as_json: AsJson = False,
) -> int:
    """Check the steps of a lab against the running network, and keep the results.

    A step is done when all of its checks are met at the same time; it stays done.
    The exit status is 0 if all that was checked is done.
    """
    from vnemu.teaching.answers import given_answers
    from vnemu.teaching.catalogue import find
    from vnemu.teaching.submission import Work
    from vnemu.teaching.verdicts import Asked

    lab = find(name, place)
    work = Work.of(lab, save)
    steps = [lab.step(step)] if step else lab.doc.steps
    answers = work.answers(given_answers(answer or [], lab.doc))
    asked = Asked(lab.name, lab.doc, _running(lab.name), answers)
    met = {}
    try:
        for each in steps:
            met[each.name] = _checked(asked, work, each, again=step is not None, quiet=as_json)
    finally:
        work.seen(asked.network.state, asked.network.events)
    if as_json:
        print(json.dumps({each: work.step(each) for each in met}, indent=2))
    elif len(met) > 1:
        print(f"{sum(met.values())} of {len(met)} steps done")
    return 0 if all(met.values()) else ExperimentFailed.exit_status


def _running(lab: str) -> Network:
    from vnemu.sessions.folder import labs
    from vnemu.teaching.network import Network

    if lab not in labs():
        raise InputError([Problem("", f"lab '{lab}' does not run", f"vnemu lab start {lab}")])
    return Network(lab)


def _checked(asked: Asked, work: Work, step: StepDoc, *, again: bool, quiet: bool) -> bool:
    """Check a step and show what is found; one that is done is not checked again unless asked."""
    from vnemu.teaching.verdicts import carried_out

    if work.step(step.name)["passed_at"] is not None and not again:
        if not quiet:
            print(f"{step.name}: {step.title}: done before")
        return True
    if not quiet:
        print(f"{step.name}: {step.title}")
    verdicts = []
    for verdict in carried_out(asked, step.checks):
        verdicts.append(verdict)
        if not quiet:
            print("\n".join(_lines(verdict)), flush=True)
    work.checked(step.name, verdicts)
    met = all(verdict.met for verdict in verdicts)
    if not quiet:
        print(f"  {'done' if met else f'not done; a hint: vnemu lab hint {asked.lab} {step.name}'}")
    return met


def _lines(verdict: Verdict) -> list[str]:
    if verdict.met:
        return [f"  yes  {verdict.check}: {verdict.saw}"]
    lines = [f"  no   {verdict.check}", f"       seen: {verdict.saw}"]
    lines.append(f"       expected: {verdict.expected}")
    return [*lines, f"       look at: {verdict.look}"] if verdict.look else lines


@app.command()
def hint(
    name: Lab,
    step: Annotated[str, typer.Argument(metavar="STEP", help="A step of the lab.")],
    save: Save = None,
    place: Place = None,
) -> None:
    """Give the next hint for a step; how many were taken is kept."""
    from vnemu.teaching.catalogue import find
    from vnemu.teaching.submission import Work

    lab = find(name, place)
    number, text = Work.of(lab, save).next_hint(step)
    of = len(lab.step(step).hints)
    print(f"hint {number} of {of}: {text}" if text else f"there are no more hints ({of} of {of})")


@app.command()
def reset(name: Lab, memory: Memory = "2048mb", save: Save = None, place: Place = None) -> int:
    """Bring a lab back to its start; answers, and steps that are done, stay."""
    from vnemu.sessions import client
    from vnemu.teaching.catalogue import find
    from vnemu.teaching.submission import Work

    lab = find(name, place)
    work = Work.of(lab, save)
    private = _running(lab.name).state["lab"]["kernel"] == "private kernel"
    client.end(lab.name)
    status = _up(lab, "private" if private else "auto", memory)
    if status == 0:
        work.began("reset")
        _wait_until_ready(lab)
    return status


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of submissions, at any depth.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Where the grades go. [dim]default: FOLDER[/]"),
    ] = None,
    place: Place = None,
    as_json: AsJson = False,
) -> None:
    """Grade submissions: grades.json, grades.csv and grades.html, and a line for each.

    Needs no lab and no root. Answers are judged again.
    """
    import time

    from vnemu.teaching import grades

    found = grades.grade(folder, place)
    target = out or folder
    target.mkdir(parents=True, exist_ok=True)
    files = grades.write(found, target)
    if as_json:
        sys.stdout.write(grades.as_json(found, time.time()))
        return
    for each in found:
        print(f"{each.student}  {each.lab or '-'}  {each.points} of {each.of}")
        print("".join(f"  {note}\n" for note in each.notes), end="")
    print(f"report: {files[-1]}")
