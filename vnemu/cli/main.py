"""The commands of `vnemu`."""

from __future__ import annotations

import copy
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vnemu import __version__
from vnemu.cli import capture, flows, labs, manual, teaching, verbs
from vnemu.cli.console import complain
from vnemu.cli.migration import import_network
from vnemu.cli.options import SETTINGS, AnyFile, AsJson, KernelChoice, Memory, Overrides
from vnemu.errors import InputError

app = typer.Typer(
    name="vnemu",
    **SETTINGS,
    epilog="Exit status: 0 fine, 1 expectations not met, 2 your input is wrong, "
    "3 this machine lacks something, 4 a bug in vnemu. "
    "First steps: [bold]vnemu doctor[/], then [bold]vnemu run experiments/fig6-guarantee.yaml[/].",
)


def run() -> int:
    """Run the command line and return its exit status."""
    try:
        status = _with_only(sys.argv[1:2])(standalone_mode=False)
    except BaseException as error:
        return _status_of(error)
    return status if isinstance(status, int) else 0


def _with_only(named: list[str]) -> typer.Typer:
    """All commands, or the one that is named alone: to build them all takes 50 ms."""
    commands = [each for each in app.registered_commands if manual.name_of(each) in named]
    groups = [each for each in app.registered_groups if each.name in named]
    if not (commands or groups):
        return app
    found = copy.copy(app)
    found.registered_commands, found.registered_groups = commands, groups
    return found


def _status_of(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.Abort):
        return complain(KeyboardInterrupt())
    # Usage errors are click's, of which newer versions of typer have a copy of
    # their own: what both can do tells them, not their class.
    show = getattr(error, "show", None)
    if callable(show) and hasattr(error, "exit_code"):
        show()
        return InputError.exit_status
    return complain(error)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"vnemu {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Emulate virtual networks on a shared underlay, and measure how they adapt.

    Virtual routers and links of several networks run side by side on emulated
    machines and physical links, without touching this host; root is not needed.
    """


@app.command("run")
def run_experiment(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="An experiment file (YAML).")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The run folder. [dim]default: runs/NAME-TIME[/]"),
    ] = None,
    time_scale: Annotated[
        float,
        typer.Option(
            min=0.01, max=100, help="Factor of all times: 0.25 runs 40 s of experiment in 10 s."
        ),
    ] = 1.0,
    kernel: Annotated[
        KernelChoice | None,
        typer.Option(help="Which kernel runs it. [dim]default: the file's kernel:, else auto[/]"),
    ] = None,
    memory: Memory = "2048mb",
    overrides: Overrides = None,
    repeat: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Run it N times (each setting).")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=V1,V2",
            help="Run it with each of these values; KEY as for --set, or a routing option. "
            "Repeatable.",
        ),
    ] = None,
    go_on: Annotated[
        Path | None,
        typer.Option("--continue", metavar="DIR", help="Go on with a sweep that was stopped."),
    ] = None,
    report: Annotated[
        bool, typer.Option(help="Make the plots and the report when the run has ended.")
    ] = True,
) -> int:
    """Run an experiment and report on it.

    Everything is recorded in a folder of its own: raw samples, result.json,
    report.html, plots. The exit status says whether the file's expect: conditions
    were met. Repeats and sweeps have a folder for each run, and a summary.
    """
    from vnemu.cli import running
    from vnemu.cli.kernel import memory_bytes

    if (file is None) == (go_on is None):
        raise InputError("name an experiment file, or a sweep folder with --continue")
    wanted = running.Wanted(
        file=file or Path(),
        out=out,
        memory=memory_bytes(memory),
        overrides=tuple(overrides or ()),
        sweeps=tuple(sweep or ()),
        repeat=repeat,
        time_scale=time_scale,
        kernel=kernel,
        report=report,
    )
    return running.carry_out(running.going_on(go_on, wanted) if go_on else wanted)


@app.command()
def check(file: AnyFile, overrides: Overrides = None) -> None:
    """Check a file in full, without root and without touching anything."""
    from vnemu.cli.files import read_any

    planned = read_any(file, overrides or [])
    topology = planned.topology
    networks, machines = len(topology.networks), len(topology.underlay.machines)
    routers = sum(len(network.routers) for network in topology.networks.values())
    print(
        f"{file}: fine: {_count(networks, 'network')} with {_count(routers, 'router')} "
        f"and {_count(len(topology.links), 'virtual link')} on {_count(machines, 'machine')}"
    )
    if planned.runs > 1:
        print(f"it makes {planned.runs} runs, one after the other")
    print(f"next: vnemu {'run' if planned.is_experiment else 'plan'} {file}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


@app.command()
def plan(file: AnyFile, as_json: AsJson = False, overrides: Overrides = None) -> None:
    """Show what would be built: the mapping and why, addresses, shares, ordered actions."""
    from vnemu.cli.files import read_any
    from vnemu.plan.explain import as_data, explain

    planned = read_any(file, overrides or [])
    if as_json:
        print(json.dumps(as_data(planned.topology, planned.mapping), indent=2))
    else:
        sys.stdout.write(explain(planned.topology, planned.mapping))


@app.command()
def config(
    file: AnyFile,
    router: Annotated[str, typer.Argument(metavar="NETWORK/ROUTER", help="Such as a/r1.")],
    as_json: AsJson = False,
    overrides: Overrides = None,
) -> None:
    """Print the configuration that a router's routing daemon is started with."""
    from vnemu.cli.config import shown

    sys.stdout.write(shown(file, router, overrides or [], as_json))


@app.command()
def graph(
    file: AnyFile,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The picture: x.svg, x.png or x.mmd (Mermaid).")
    ],
    overrides: Overrides = None,
) -> None:
    """Draw the underlay, the overlays and the mapping between them."""
    from vnemu.cli.files import read_any
    from vnemu.plan.explain import described
    from vnemu.results.drawing import check_suffix, draw
    from vnemu.results.lab_page import drawing_of

    check_suffix(out)
    planned = read_any(file, overrides or [])
    draw(drawing_of(described(planned.topology, planned.mapping)), out)
    print(out)


app.command("import")(import_network)


@app.command()
def doctor(as_json: AsJson = False) -> int:
    """List what this machine can do, and the commands that install what is missing."""
    from vnemu.cli import doctor as doctoring
    from vnemu.errors import MissingCapability

    findings = doctoring.examine()
    if as_json:
        print(doctoring.as_json(findings))
    else:
        doctoring.show(findings)
    return 0 if doctoring.usable(findings) else MissingCapability.exit_status


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a run or sweep.")],
) -> int:
    """Make result.json, the plots and report.html of a run again; needs no root and no lab.

    Of a sweep: its summary, from what all its runs recorded.
    """
    from vnemu.cli.outcome import judge, judge_sweep
    from vnemu.results.record import read_run
    from vnemu.results.sweep_record import is_sweep

    if is_sweep(folder):
        return judge_sweep(folder, 0, again=True)
    read_run(folder)
    return judge(folder, 0)


@app.command()
def calibrate(
    quick: Annotated[
        bool, typer.Option("--quick", help="Measure for half a minute instead of one and a half.")
    ] = False,
    kernel: Annotated[KernelChoice, typer.Option(help="Which kernel to measure.")] = (
        KernelChoice.auto
    ),
    as_json: AsJson = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write JSON there as well.")
    ] = None,
    markdown: Annotated[
        bool,
        typer.Option(
            "--markdown", help="Measure nothing: print the newest ones side by side, as Markdown."
        ),
    ] = False,
    memory: Memory = "2048mb",
) -> None:
    """Measure how far results on this machine can be trusted.

    Small labs show what is asked for beside what is measured: rates, guarantees,
    delay, jitter, loss, ceilings, the clock. Reports of later runs show the rows
    that matter to them.
    """
    from vnemu.cli import calibration

    if markdown:
        print(calibration.fidelity_table())
        return
    from vnemu.calibrate import session, trials
    from vnemu.cli.kernel import RanInside, enter_capsule, memory_bytes
    from vnemu.results import calibration_store as store

    topology = session.smallest_topology()
    try:
        why = enter_capsule(kernel, topology, memory_bytes(memory), out and out.absolute().parent)
    except RanInside as ended:
        raise typer.Exit(ended.status) from None
    with calibration.watched() as sink:
        found = session.calibrate(trials.QUICK if quick else trials.FULL, sink, why)
    if as_json:
        sys.stdout.write(store.as_json(found))
    else:
        calibration.show(found)
    store.save(found)
    if out:
        store.write_json(found, out)


class SchemaKind(StrEnum):
    """The published schemas."""

    topology = "topology"
    experiment = "experiment"
    physical = "physical"
    lab = "lab"
    result = "result"


@app.command()
def schema(
    kind: Annotated[SchemaKind, typer.Argument(help="Which format.")],
) -> None:
    """Print the JSON Schema of a file format, for editors and programs."""
    from vnemu.results.schema import result_schema
    from vnemu.schema.publish import (
        experiment_schema,
        lab_schema,
        physical_schema,
        topology_schema,
    )

    make = {
        SchemaKind.topology: topology_schema,
        SchemaKind.experiment: experiment_schema,
        SchemaKind.physical: physical_schema,
        SchemaKind.lab: lab_schema,
        SchemaKind.result: result_schema,
    }[kind]
    print(json.dumps(make(), indent=2))


labs.register(app)
capture.register(app)
verbs.register(app)
app.add_typer(flows.app, name="traffic")
app.add_typer(teaching.app, name="lab")
manual.apply(app)
