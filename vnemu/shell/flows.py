"""The shell's traffic: iperf3 flows that go on in the lab until they are stopped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vnemu.sessions import pages
from vnemu.sessions.remote_flows import kind_of
from vnemu.shell.forms import pairs
from vnemu.shell.lines import Line, Misused, between
from vnemu.shell.names import Names
from vnemu.shell.registry import CHANGE, COMMANDS

if TYPE_CHECKING:
    from vnemu.shell.session import Shell

_OPTIONS = ("udp", "length", "parallel", "congestion", "ip", "for")


@COMMANDS.command(
    "traffic [start [NAME] A B [udp RATE] [length SIZE] [parallel N] [congestion NAME] [ip 4|6]"
    " [for TIME] | stop NAME|all]",
    CHANGE,
    "start or stop,node,node,of a flow",
)
def _traffic(shell: Shell, line: Line) -> int:
    """Flows that go on until they are stopped: start one (TCP, or udp RATE), stop it, list them."""
    from vnemu.sessions.remote import RemoteLab  # a prompt is there sooner without it

    lab = RemoteLab(shell.lab)
    match line.words:
        case []:
            print("\n".join(pages.flows(lab.traffic())))
        case ["start", *words]:
            flow = lab.start_traffic(**flow_of(words, shell.names()))
            print(f"{flow['name']}: {flow['from']} -> {flow['to']}, {pages.flow_kind(flow)}")
        case ["stop", *words]:
            (name,) = between(words, 1)
            stopped = lab.stop_traffic(None if name == "all" else name)
            print(f"stopped: {', '.join(stopped) or 'nothing'}")
        case [word, *_]:
            raise Misused(f"'{word}' is neither start nor stop")
    return 0


def flow_of(words: Sequence[str], names: Names) -> dict[str, Any]:
    """What ``traffic start`` says, as `RemoteLab.start_traffic` takes it.

    Raises:
        Misused: if it is written wrongly.
        InputError: if a node is none.
    """
    first = next((n for n, word in enumerate(words) if word in (*_OPTIONS, "tcp")), len(words))
    own, ends = between(list(words[:first]), 2, 3)[:-2], words[first - 2 : first]
    start = names.node(ends[0])
    options = dict(pairs(_OPTIONS, [word for word in words[first:] if word != "tcp"]))
    counts = {key: _number(key, options.get(key)) for key in ("parallel", "ip")}
    return {
        "start": start,
        "to": names.node(ends[1], start),
        "name": own[0] if own else None,
        "ip": counts["ip"],
        "lasting": options.get("for"),
        **kind_of(
            options.get("udp"),
            options.get("length"),
            counts["parallel"],
            options.get("congestion"),
        ),
    }


def _number(key: str, text: str | None) -> int | None:
    if text is not None and not text.isdecimal():
        raise Misused(f"{key} is a number, not '{text}'")
    return None if text is None else int(text)
