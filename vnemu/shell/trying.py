"""Commands that measure: who reaches whom, and how fast; with ping and iperf3 in the VRs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from typing import TYPE_CHECKING, Any

from vnemu.errors import ExperimentFailed, InputError
from vnemu.sessions.client import ask
from vnemu.sessions.remote_nodes import RemoteNode
from vnemu.shell.lines import Line, Misused, between
from vnemu.shell.looking import table
from vnemu.shell.names import Names
from vnemu.shell.registry import COMMANDS, TRY
from vnemu.units import Duration, Rate

if TYPE_CHECKING:
    from vnemu.shell.session import Shell

Pair = tuple[str, str]
_AT_ONCE = 16
_PATIENCE_S = 2
_NO_PROGRAM = 127
_IPERF_S = 5


@COMMANDS.command("pingall [NETWORK|NODE...]", TRY, "node or network")
def _pingall(shell: Shell, line: Line) -> int:
    """Who reaches whom: all hosts of each network (where there are no two: its routers too)."""
    names = shell.names()
    return _ping(shell, names, pairs_of(names, line.words))


@COMMANDS.command("pingpair [A B]", TRY, "node")
def _pingpair(shell: Shell, line: Line) -> int:
    """Whether two nodes reach each other; default: the first two that pingall takes."""
    names = shell.names()
    one, other = _two(names, line.words, last=False)
    return _ping(shell, names, [(one, other), (other, one)])


def pairs_of(names: Names, words: Sequence[str]) -> list[Pair]:
    """Who is to reach whom: nodes of the same network, both ways.

    Parameters:
        words: of networks or nodes; none: all networks (or the one that names are of).

    Raises:
        InputError: if a name is none, or they are no two.
    """
    own = [names.network] if names.network else names.networks
    found: dict[str, list[str]] = {}
    for word in words or own:
        chosen = _ends_of(names, word) if word in names.networks else [names.node(word)]
        for path in chosen:
            found.setdefault(path.partition("/")[0], []).append(path)
    pairs = [pair for paths in found.values() for pair in permutations(dict.fromkeys(paths), 2)]
    if not pairs:
        raise InputError("there are no two nodes of a network to reach each other")
    return pairs


def _ends_of(names: Names, network: str) -> list[str]:
    nodes = {path: node for path, node in names.data["nodes"].items() if _of(path) == network}
    hosts = [path for path, node in nodes.items() if node["kind"] == "host"]
    return hosts if len(hosts) > 1 else list(nodes)


def _of(path: str) -> str:
    return path.partition("/")[0]


def _two(names: Names, words: Sequence[str], *, last: bool = True) -> Pair:
    if not words:
        first, second = pairs_of(names, ())[0]
        paths = [path for path in _ends_of(names, _of(first)) if path != first]
        return first, paths[-1] if last else second
    if len(words) == 1:
        raise Misused("it takes two nodes, or none")
    one = names.node(words[0])
    return one, names.node(words[1], one)


def _ping(shell: Shell, names: Names, pairs: list[Pair]) -> int:
    def reaches(pair: Pair) -> bool:
        return names.data["nodes"][pair[0]]["state"] == "running" and _answers(shell, names, pair)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answers = dict(zip(pairs, pool.map(reaches, pairs), strict=True))
    table(rows_of(answers))
    fine = sum(answers.values())
    lost = 100 * (1 - fine / len(answers))
    print(f"{lost:.0f}% lost ({fine} of {len(answers)} answered)")
    if fine == len(answers):
        return 0
    if any(node["protocols"] for node in names.data["nodes"].values()):
        print("routing may have just begun, or have changed: converge waits for it")
    return 1


def _answers(shell: Shell, names: Names, pair: Pair) -> bool:
    argv = ("ping", "-n", "-q", "-c1", f"-W{_PATIENCE_S}", names.address(pair[1]))
    done = RemoteNode(shell.lab, pair[0]).run(*argv)
    if done.returncode == _NO_PROGRAM:
        raise ExperimentFailed(f"{pair[0]}: {done.stderr.strip()}")
    return done.returncode == 0


def rows_of(answers: Mapping[Pair, bool]) -> Iterator[list[str]]:
    """A row for each node: whom it reaches (X: not), and how many of them in percent."""
    for source in dict.fromkeys(one for one, _ in answers):
        found = {other: ok for (one, other), ok in answers.items() if one == source}
        marks = [path.rpartition("/")[2] if ok else "X" for path, ok in found.items()]
        yield [source, "->", " ".join(marks), f"{100 * sum(found.values()) / len(found):.0f}%"]


@COMMANDS.command("iperf [A B] [TIME]", TRY, "node,node,time")
def _iperf(shell: Shell, line: Line) -> int:
    """The TCP rate between two nodes, one way and back; default: first and last, 5s each."""
    words, seconds = with_time(line.words)
    one, other = _two(shell.names(), between(words, 0, 2))
    for source, target in ((one, other), (other, one)):
        found = _measured(shell, source, target, seconds, ())
        print(f"{source} -> {target}: {_rate(found['sum_received'])} TCP in {seconds} s")
    return 0


@COMMANDS.command("iperfudp RATE [A B] [TIME]", TRY, "rate,node,node,time")
def _iperfudp(shell: Shell, line: Line) -> int:
    """What arrives of UDP at a rate; default: from the first to the last, for 5s."""
    first, *words = between(line.words, 1, 4)
    rate = udp_rate(first)
    words, seconds = with_time(words)
    one, other = _two(shell.names(), between(words, 0, 2))
    found = _measured(shell, one, other, seconds, ("-u", "-b", str(rate)))
    got = found.get("sum_received", found["sum"])
    quality = f"{got['lost_percent']:.2g}% lost, {got['jitter_ms']:.2f} ms jitter"
    print(f"{one} -> {other}: {_rate(got)} UDP in {seconds} s, {quality}")
    return 0


@COMMANDS.command("converge [TIME]", TRY, "time")
def _converge(shell: Shell, line: Line) -> int:
    """Wait until routing has converged in all networks, at most for a time (120s)."""
    words = between(line.words, 0, 1)
    try:
        within_s = Duration.parse(words[0] if words else "120s").seconds
    except ValueError as error:
        raise Misused(str(error)) from None
    ask(shell.lab, "converge", within_s=within_s)
    return 0


def with_time(words: list[str]) -> tuple[list[str], int]:
    """Words without a time at their end, and that time in seconds."""
    try:
        seconds = Duration.parse(words[-1]).seconds
    except (IndexError, ValueError):
        return words, _IPERF_S
    return words[:-1], max(1, round(seconds))


def udp_rate(text: str) -> int:
    """A rate in bit/s; 10M, as Mininet and iperf write it, is 10mbit.

    Raises:
        Misused: if it is none.
    """
    letter = text[-1:].lower()
    usual = f"{text[:-1]}{letter}bit" if letter in ("k", "m", "g") else text
    try:
        return Rate.parse(usual).bps
    except ValueError as error:
        raise Misused(str(error)) from None


def _rate(found: Mapping[str, Any]) -> str:
    return f"{found['bits_per_second'] / 1e6:.3g} Mbit/s"


def _measured(
    shell: Shell, one: str, other: str, seconds: int, more: Sequence[str]
) -> dict[str, Any]:
    from vnemu.sessions.remote import RemoteLab

    return RemoteLab(shell.lab).iperf3(one, other, seconds, *more)
