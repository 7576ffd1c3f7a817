"""Running labs as a person reads them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_COLUMNS = ("name", "state", "kernel", "since", "nodes", "links", "pid", "file")


def overview(labs: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each lab, below one with the names of the columns."""
    rows = [
        [name.upper() for name in _COLUMNS],
        *([_cell(lab, c) for c in _COLUMNS] for lab in labs),
    ]
    return aligned(rows)


def _cell(lab: Mapping[str, Any], column: str) -> str:
    value = lab.get(column)
    if column == "since" and value is not None:
        return time.strftime("%m-%d %H:%M", time.localtime(value))
    return "-" if value is None else str(value)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as it needs; there is at least one row."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    padded = ([cell.ljust(w) for cell, w in zip(row, widths, strict=True)] for row in rows)
    return ["  ".join(row).rstrip() for row in padded]


def inspected(data: Mapping[str, Any]) -> list[str]:
    """All that a lab is, in sections."""
    lab = data["lab"]
    lines = [f"lab {lab['name']}: {lab['state']}, {lab['kernel']}, of {lab['file']}"]
    sections = {
        "Networks": _networks(data),
        "Routers and hosts": _nodes(data),
        "Virtual links": _links(data),
        "Physical links": _physical(data),
    }
    for title, rows in sections.items():
        found = list(rows)
        lines += ["", title, *(f"  {line}" for line in aligned(found))] if found else []
    return lines


def _networks(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, network in data["networks"].items():
        yield [name, network["state"], ", ".join(network["routers"])]


def _nodes(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for path, node in data["nodes"].items():
        failed = node["machine"] in data["failed"]["machines"]
        pid = f"pid {node['pid']}" if node["pid"] else "no process"
        limits = " ".join(f"{key} {value}" for key, value in node["limits"].items())
        machine = node["machine"] + (" (failed)" if failed else "")
        yield [path, machine, node["state"], pid, _addresses(node), limits]


def _addresses(node: Mapping[str, Any]) -> str:
    loopbacks = [f"lo {' '.join(node['loopbacks'])}"] if node["loopbacks"] else []
    nics = [" ".join([name, *nic["addresses"]]) for name, nic in node["nics"].items()]
    return ", ".join([*loopbacks, *nics])


def _links(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for path, link in data["links"].items():
        ways = [link["machines"], *link["beside"]]
        over = " + ".join(" - ".join(way) for way in ways)
        yield [path, over, link_state(link), quality(link)]


def link_state(link: Mapping[str, Any]) -> str:
    """Whether a virtual link is up, unplugged or cut."""
    if not link["carrier"]:
        return "unplugged"
    return f"cut {', '.join(link['cut'])}" if link["cut"] else "up"


def _physical(data: Mapping[str, Any]) -> Iterator[list[str]]:
    for name, link in data["physical_links"].items():
        state = "failed" if name in data["failed"]["links"] else "up"
        yield [name, " - ".join(link["ends"]), state, quality(link)]


_NO_QUALITY = ("ends", "machines", "physical_links", "beside", "why", "carrier", "cut")


def quality(link: Mapping[str, Any]) -> str:
    """The properties that a link has."""
    said = ((k, v) for k, v in link.items() if k not in _NO_QUALITY and v)
    return ", ".join(f"{key} {_value(value)}" for key, value in said)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{way} {text or 'none'}" for way, text in value.items())
    return str(value)


def event(record: Mapping[str, Any]) -> str:
    """An event on one line, or more if it has more to tell."""
    at = record["time"]
    clock = time.strftime("%H:%M:%S", time.localtime(at)) + f".{int(at * 1000) % 1000:03}"
    took = f" ({record['took_ms']:g} ms)" if "took_ms" in record else ""
    return f"{clock}  {record['kind']:<8} {record['text']}{took}"


def done(found: Mapping[str, Any]) -> list[str]:
    """What a change did, and how long it took."""
    return [f"{', '.join(found['done'])} ({found['took_ms']:g} ms)", *found["notes"]]


def logs(found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """The logs of programs, each below its place."""
    for node, programs in found.items():
        for program, text in programs.items():
            yield f"==> {node} {program} <==\n{text}"


def flows(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each flow, below one with the names of the columns."""
    head = ["NAME", "FROM", "TO", "KIND", "SINCE", "GOODPUT", "STATE"]
    return aligned([head, *map(_flow, found)])


def _flow(flow: Mapping[str, Any]) -> list[str]:
    since = time.strftime("%H:%M:%S", time.localtime(flow["since"]))
    rate = flow["goodput_mbit"]
    goodput = "-" if rate is None else f"{rate:.2f}mbit"
    state = ": ".join(filter(None, (flow["state"], flow["why"])))
    return [flow["name"], flow["from"], flow["to"], flow_kind(flow), since, goodput, state]


def flow_kind(flow: Mapping[str, Any]) -> str:
    """What is sent, such as ``udp 10mbit``.

    Parameters:
        flow: as an entry of ``traffic:``.
    """
    version = f" ipv{flow['ip']}" if "ip" in flow else ""
    if "udp" in flow:
        return f"udp {flow['udp']['rate']}{version}"
    tcp = flow["tcp"]
    parallel = f" x{tcp['parallel']}" if tcp.get("parallel", 1) > 1 else ""
    return f"tcp{parallel}{' ' + tcp['congestion'] if 'congestion' in tcp else ''}{version}"
