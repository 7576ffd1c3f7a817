"""What --help says behind the options, in one form for all commands: examples, exit status, more.

Examples are true: a test takes each apart as the command does. Those of live labs are of
the lab that `vnemu up topologies/wowkivs2009.yaml` sets up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import typer
from typer.models import CommandInfo

_FILES = "Run experiments"
_LIVE = "Live labs"
_CHANGE = "Change a live lab"
_TEACH = "Teaching"
_MACHINE = "This machine"
PANELS = (_FILES, _LIVE, _CHANGE, _MACHINE, _TEACH)  # typer shows groups of commands last

_WRONG = "2 your input is wrong"
_LACKS = "3 this machine lacks something"
_OF_FILES = f"0 fine, {_WRONG}: each problem with file and line"
_OF_LABS = "0 fine, 2 there is no such lab, or nothing of that name in it"
_OF_CHANGES = f"0 done, 2 refused: the lab is as it was, and the reason is said, {_LACKS}"


@dataclass(frozen=True)
class Page:
    """What is said of a command beside what it does.

    Parameters:
        panel: of the commands that it is shown with.
        examples: whole lines.
        see: other commands, and documents.
    """

    panel: str
    examples: tuple[str, ...]
    status: str
    see: tuple[str, ...] = ()


def _page(panel: str, status: str, *examples: str, see: str = "") -> Page:
    return Page(panel, examples, status, tuple(see.split(", ")) if see else ())


def _change(*examples: str, see: str = "") -> Page:
    return _page(
        _CHANGE, _OF_CHANGES, *examples, see=", ".join(filter(None, (see, "do, docs/cli.md")))
    )


PAGES: Mapping[str, Page] = {
    "check": _page(
        _FILES,
        _OF_FILES,
        "vnemu check topologies/two-overlays.yaml",
        "vnemu check experiments/fig6-guarantee.yaml --set duration=30s",
        see="plan, docs/files.md",
    ),
    "plan": _page(
        _FILES,
        _OF_FILES,
        "vnemu plan topologies/multihop.yaml",
        "vnemu plan topologies/multihop.yaml --json > plan.json",
        see="check, graph, docs/model.md",
    ),
    "config": _page(
        _FILES,
        _OF_FILES,
        "vnemu config topologies/ring4-ospf.yaml ring/r1",
        see="docs/routing.md",
    ),
    "graph": _page(
        _FILES,
        _OF_FILES,
        "vnemu graph topologies/two-overlays.yaml -o two-overlays.svg",
        "vnemu graph topologies/two-overlays.yaml -o two-overlays.mmd",
        see="plan",
    ),
    "import": _page(
        _FILES,
        _OF_FILES,
        "vnemu import topologies/campus/network.yaml --out campus.yaml",
        see="check, docs/migration.md",
    ),
    "run": _page(
        _FILES,
        "0 complete and as expected, 1 not complete or not as expected, "
        f"{_WRONG}, {_LACKS}, 4 a bug in vnemu",
        "vnemu run experiments/fig6-guarantee.yaml",
        "vnemu run experiments/fig6-guarantee.yaml --time-scale 0.25 --out fig6",
        "vnemu run experiments/fig6-guarantee.yaml --repeat 5 --sweep duration=30s,40s",
        see="report, calibrate, docs/results.md, docs/sweeps.md",
    ),
    "report": _page(
        _FILES,
        f"that of the run: 0 complete and as expected, 1 not; {_WRONG}",
        "vnemu report runs/fig6-guarantee-20261122-081500",
        see="run, docs/results.md",
    ),
    "schema": _page(
        _FILES,
        _OF_FILES.partition(":")[0],
        "vnemu schema topology > topology.schema.json",
        see="docs/files.md",
    ),
    "up": _page(
        _LIVE,
        "0 the lab is up, or has ended; 1 a script failed, or routing has not converged in "
        f"time; {_WRONG}, or the name is taken; {_LACKS}",
        "vnemu up topologies/wowkivs2009.yaml",
        "vnemu up topologies/ring4-ospf.yaml --detach --converge --timeout 60s",
        "vnemu up topologies/wowkivs2009.yaml --name mine --run check.vn",
        see="down, attach, docs/shell.md",
    ),
    "ps": _page(_LIVE, "0", "vnemu ps", "vnemu ps --json", see="inspect"),
    "inspect": _page(
        _LIVE,
        _OF_LABS,
        "vnemu inspect wowkivs2009",
        "vnemu inspect wowkivs2009 --json > lab.json",
        see="ps, events",
    ),
    "converge": _page(
        _LIVE,
        "0 it has converged, 1 not in time: who does not reach whom is said, 2 no such lab",
        "vnemu converge wowkivs2009",
        "vnemu converge wowkivs2009 --timeout 60s",
        see="up, docs/routing.md",
    ),
    "down": _page(_LIVE, _OF_LABS, "vnemu down wowkivs2009", "vnemu down --all", see="up, ps"),
    "attach": _page(
        _LIVE,
        "0 you left; 1 the lab has ended; of lines that are piped in, that of the one that failed",
        "vnemu attach wowkivs2009",
        "vnemu attach wowkivs2009 < check.vn",
        see="up, shell, docs/shell.md",
    ),
    "shell": _page(
        _LIVE,
        "that of the shell; 2 there is no such lab or node, or it is paused",
        "vnemu shell wowkivs2009 a/r1",
        see="exec, attach",
    ),
    "exec": _page(
        _LIVE,
        "that of the command, 128 + N if signal N ended it, 127 if there is no such command; "
        "2 there is no such lab or node, or it is paused",
        "vnemu exec wowkivs2009 a/r1 -- ip route",
        "vnemu exec wowkivs2009 a/c1 -- ping -c 3 10.0.0.9",
        see="shell, cp",
    ),
    "cp": _page(
        _LIVE,
        "0 it is there; 1 it broke: the target is as it was; 2 there is no such file, node or "
        "lab, or the node is paused",
        "vnemu cp wowkivs2009 a/r1:/run/notes.txt .",
        "vnemu cp wowkivs2009 notes a/r1:/run",
        "vnemu cp wowkivs2009 a/r1:/proc/net/route - | wc -l",
        see="exec",
    ),
    "logs": _page(
        _LIVE, _OF_LABS, "vnemu logs wowkivs2009", "vnemu logs wowkivs2009 a/r1", see="events"
    ),
    "events": _page(
        _LIVE,
        _OF_LABS,
        "vnemu events wowkivs2009",
        "vnemu events wowkivs2009 --follow --json",
        see="logs",
    ),
    "record": _page(
        _LIVE,
        "0 the file is there, 1 the lab cannot be recorded or the file not be written, "
        "2 there is no such lab",
        "vnemu record wowkivs2009 session.yaml",
        see="events, run, docs/shell.md",
    ),
    "capture": _page(
        _LIVE,
        f"0 fine, 1 it could not be written, 2 there is no such lab or place, or the filter is "
        f"wrong, {_LACKS}",
        "vnemu capture wowkivs2009 a/core -w - | wireshark -k -i -",
        "vnemu capture wowkivs2009 rm1-rm2 --filter udp --for 5s -w tunnels.pcapng",
        "vnemu capture wowkivs2009 a/r1:eth0 --filter icmp --count 10",
        see="exec, docs/files.md",
    ),
    "traffic": Page(_LIVE, (), ""),
    "traffic start": _page(
        _LIVE,
        f"0 it runs, 1 its end is not reached, 2 refused, {_LACKS}",
        "vnemu traffic start wowkivs2009 a/c1 a/c2",
        "vnemu traffic start wowkivs2009 a/c1 a/c2 --name small --udp 5mbit --for 30s",
        see="traffic stop, record",
    ),
    "traffic stop": _page(
        _LIVE,
        "0 done, 2 there is no such flow or lab",
        "vnemu traffic stop wowkivs2009 flow-1",
        "vnemu traffic stop wowkivs2009 --all",
        see="traffic list",
    ),
    "traffic list": _page(
        _LIVE, _OF_LABS, "vnemu traffic list wowkivs2009", see="traffic start, inspect"
    ),
    "do": _page(
        _CHANGE,
        _OF_CHANGES,
        "vnemu do wowkivs2009 'move: a/r1, to: rm2' 'cut: a/core'",
        "vnemu do wowkivs2009 'create: a/r9, on: rm2, routing: static'",
        see="docs/files.md",
    ),
    "pause": _change(
        "vnemu pause wowkivs2009 a/r1", "vnemu pause wowkivs2009 a", see="resume, stop"
    ),
    "resume": _change("vnemu resume wowkivs2009 a/r1", see="pause"),
    "stop": _change("vnemu stop wowkivs2009 a/r1", see="start, pause"),
    "start": _change("vnemu start wowkivs2009 a/r1", see="stop"),
    "create": _change("vnemu create wowkivs2009 a/r9 --on rm2", see="add, destroy"),
    "destroy": _change("vnemu destroy wowkivs2009 a/r1", see="create"),
    "copy": _change("vnemu copy wowkivs2009 a/r1 a/r9 --on rm2", see="add"),
    "move": _change(
        "vnemu move wowkivs2009 a/r1 --to rm2",
        "vnemu move wowkivs2009 a/core --path rm1,rm2",
    ),
    "limit": _change(
        "vnemu limit wowkivs2009 a/r1 --cpu 50% --memory 64mb",
        "vnemu limit wowkivs2009 a/r1 --cpu none",
    ),
    "reshape": _change(
        "vnemu reshape wowkivs2009 a/core --limit 10mbit --delay 5ms",
        "vnemu reshape wowkivs2009 a/core --guarantee 30mbit --direction 'r1>r2'",
        "vnemu reshape wowkivs2009 rm1-rm2 --rate 100mbit",
    ),
    "cut": _change("vnemu cut wowkivs2009 a/core --direction 'r1>r2'", see="mend, unplug"),
    "mend": _change("vnemu mend wowkivs2009 a/core", see="cut"),
    "unplug": _change("vnemu unplug wowkivs2009 a/core", see="plug, cut"),
    "plug": _change("vnemu plug wowkivs2009 a/core", see="unplug"),
    "fail": _change("vnemu fail wowkivs2009 rm1-rm2", "vnemu fail wowkivs2009 rm1", see="repair"),
    "repair": _change("vnemu repair wowkivs2009 rm1-rm2", see="fail"),
    "add": _change("vnemu add wowkivs2009 a/x r1 r2 --limit 10mbit", see="remove"),
    "remove": _change("vnemu remove wowkivs2009 a/x", see="add"),
    "create-network": _change(
        "vnemu create-network wowkivs2009 c topologies/wowkivs2009.yaml --network a",
        see="destroy-network",
    ),
    "destroy-network": _change("vnemu destroy-network wowkivs2009 b", see="create-network"),
    "lab": Page(_TEACH, (), ""),
    "lab list": _page(_TEACH, "0", "vnemu lab list", see="docs/labs.md"),
    "lab start": _page(
        _TEACH,
        f"0 the lab is ready, 1 it runs but is not ready, {_WRONG}, {_LACKS}",
        "vnemu lab start first-network",
        see="lab check, down",
    ),
    "lab check": _page(
        _TEACH,
        f"0 all that was checked is done, 1 not, {_WRONG}",
        "vnemu lab check first-network",
        "vnemu lab check first-network cut",
        see="lab hint",
    ),
    "lab hint": _page(_TEACH, f"0 fine, {_WRONG}", "vnemu lab hint first-network cut"),
    "lab reset": _page(
        _TEACH,
        f"0 the lab is ready, 1 it runs but is not ready, {_WRONG}",
        "vnemu lab reset first-network",
        see="lab start",
    ),
    "lab grade": _page(
        _TEACH,
        f"0 fine, {_WRONG}",
        "vnemu lab grade submissions --out grades",
        see="docs/labs.md",
    ),
    "doctor": _page(
        _MACHINE,
        "0 labs can run here, 3 they cannot",
        "vnemu doctor",
        "vnemu doctor --json > doctor.json",
        see="calibrate, docs/private-kernel.md",
    ),
    "calibrate": _page(
        _MACHINE,
        f"0 fine, {_WRONG}, {_LACKS}",
        "vnemu calibrate --quick",
        "vnemu calibrate --kernel private --json > private.json",
        see="doctor, docs/fidelity.md",
    ),
}


def apply(app: typer.Typer, before: str = "") -> None:
    """Give each command its page, and order the commands by their panels.

    Parameters:
        before: the words before a command's name.
    """
    for info in app.registered_commands:
        if page := PAGES.get(before + name_of(info)):
            info.rich_help_panel, info.epilog = page.panel, _text(page)
    for group in app.registered_groups:
        if group.typer_instance and group.name:
            group.rich_help_panel = PAGES[group.name].panel
            apply(group.typer_instance, f"{group.name} ")
    app.registered_commands.sort(key=_place)


def name_of(info: CommandInfo) -> str:
    """What a command is called, as typer names it."""
    assert info.callback is not None
    return info.name or info.callback.__name__.replace("_", "-")


def _place(info: CommandInfo) -> int:
    panel = info.rich_help_panel
    return PANELS.index(panel) if isinstance(panel, str) and panel in PANELS else len(PANELS)


def _text(page: Page) -> str:
    """As typer wants it: each paragraph is a line."""
    lines = [*(f"[dim]$[/] [bold]{line}[/]" for line in page.examples)]
    lines.append(f"Exit status: {page.status}.")
    if page.see:
        see = (each if "/" in each else f"vnemu {each}" for each in page.see)
        lines.append(f"See also: {', '.join(see)}.")
    return "\n\n".join(lines)
