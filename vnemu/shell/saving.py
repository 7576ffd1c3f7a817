"""The running state as a topology file: written, read again, and compared with what runs."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vnemu.errors import InputError, Problem
from vnemu.sessions import pages
from vnemu.shell.lines import Line, between
from vnemu.shell.registry import COMMANDS, SHELL

if TYPE_CHECKING:
    from vnemu.model.overlay import Topology
    from vnemu.schema.load import Loaded
    from vnemu.schema.topology import TopologyDoc
    from vnemu.shell.session import Shell

Data = dict[str, Any]
_QUALITY = (
    *("limit", "guarantee", "rate", "delay", "jitter", "distribution", "delay_correlation"),
    *("loss", "duplicate", "corrupt", "reorder"),
)
_COMPARED = {
    "nodes": ("kind", "machine", "loopbacks", "nics"),
    "links": ("ends", "machines", "beside", *_QUALITY, "queue"),
    "physical_links": ("ends", *_QUALITY),
}


@COMMANDS.command("save FILE", SHELL, "file")
def _save(shell: Shell, line: Line) -> int:
    """The lab as it is now, as a topology file; what such a file cannot say is a remark in it."""
    (name,) = between(line.words, 1)
    data = shell.names().data
    remarks = list(remarks_on(data))
    save(data, Path(name), remarks)
    print("\n".join([name, *remarks]))
    return 0


def save(data: Mapping[str, Any], file: Path, remarks: list[str]) -> None:
    """Write a topology file of which a lab would be as this one is.

    Parameters:
        data: the lab as ``inspect`` shows it.
        remarks: what stands in the file's first lines.

    Raises:
        InputError: if such a file cannot say what runs; then nothing is written.
    """
    from vnemu.experiments.resolved import as_text

    document = topology_beside(data, file)
    text = "".join(f"# {remark}\n" for remark in remarks) + as_text(document)
    with writing(file):
        file.write_text(text, encoding="utf-8")


def topology_beside(data: Mapping[str, Any], file: Path) -> Data:
    """A topology of which a lab would be as this one is, as plain data.

    Parameters:
        data: the lab as ``inspect`` shows it.
        file: what is to hold it.

    Raises:
        InputError: if a file cannot say what runs, or cannot be there.
    """
    from vnemu.experiments.resolved import as_text
    from vnemu.model.resolve import resolve

    base = _base(data)
    document = topology_of(data, base, resolve(base))
    with (
        writing(file),
        tempfile.NamedTemporaryFile(
            "w", dir=file.absolute().parent, suffix=".yaml", encoding="utf-8"
        ) as trial,
    ):
        trial.write(as_text(document))
        trial.flush()
        _compare(data, Path(trial.name))
    return document


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """What the system refuses within is the user's affair.

    Raises:
        InputError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError([Problem(str(file), f"cannot be written: {error.strerror}")]) from None


def _base(data: Mapping[str, Any]) -> Loaded[TopologyDoc]:
    """The topology that the lab was of; of an experiment, the one that it runs on."""
    from vnemu.schema.document import Document
    from vnemu.schema.load import load_experiment, load_topology

    file = Path(data["lab"]["file"])
    is_experiment = "topology" in Document.read(file).data
    return load_experiment(file).topology if is_experiment else load_topology(file)


def remarks_on(data: Mapping[str, Any]) -> Iterator[str]:
    """What a topology file cannot say of a lab, in words."""
    for path, node in data["nodes"].items():
        if node["state"] != "running":
            yield f"not saved: {path} is {node['state']}"
    for path, link in data["links"].items():
        if pages.link_state(link) != "up":
            yield f"not saved: {path} is {pages.link_state(link)}"
    for name in (*data["failed"]["machines"], *data["failed"]["links"]):
        yield f"not saved: {name} has failed"


def topology_of(data: Mapping[str, Any], base: Loaded[TopologyDoc], was: Topology) -> Data:
    """A topology file as plain data.

    Parameters:
        base: the file that the lab was of; what it says of routing holds on.
        was: what that meant.
    """
    from vnemu.experiments.resolved import plain

    document = plain(base.doc)
    document["name"] = data["name"]
    for name, entry in zip(was.underlay.links, document["underlay"]["links"], strict=True):
        _put_quality(entry, data["physical_links"][name])
    written: dict[str, Data] = document["networks"]
    document["networks"] = {
        name: _network(data, name, written.get(name, {}), was) for name in data["networks"]
    }
    return document


def _network(data: Mapping[str, Any], name: str, written: Data, was: Topology) -> Data:
    own = {path: node for path, node in data["nodes"].items() if path.startswith(f"{name}/")}
    routers: dict[str, Data] = {}
    hosts: dict[str, Data] = {}
    for path, node in own.items():
        short = path.partition("/")[2]
        if node["kind"] == "router":
            old = {**written.get("routers", {}).get(short, {})}
            old.pop("resources", None)
            routers[short] = {**old, **_router(node)}
        else:
            (nic,) = node["nics"].values()
            ends = data["links"][nic["link"]]["ends"]
            (router,) = (end for end in ends if end != path)
            at = router.partition("/")[2]
            hosts[short] = {"at": at, "ends": _ends(data, nic["link"])}
    links = _links(data, name, written, was)
    return {**written, "routers": routers, "hosts": hosts, "links": links}


def _router(node: Mapping[str, Any]) -> Data:
    loopbacks = (ip_address(text) for text in node["loopbacks"])
    found: Data = {
        "on": node["machine"],
        "loopbacks": [f"{address}/{address.max_prefixlen}" for address in loopbacks],
        "resources": {key: value for key, value in node["limits"].items() if value},
    }
    return found if found["resources"] else {key: found[key] for key in ("on", "loopbacks")}


def _links(data: Mapping[str, Any], name: str, written: Data, was: Topology) -> list[Data]:
    before = was.networks[name].links.values() if name in was.networks else ()
    declared = [link.path for link in before if not link.access]
    old = dict(zip(declared, written.get("links", []), strict=True))
    found = []
    for path, link in data["links"].items():
        kinds = {data["nodes"][end]["kind"] for end in link["ends"]}
        if path.startswith(f"{name}/") and kinds == {"router"}:
            found.append(_link(data, path, old.get(path, {})))
    return found


def _link(data: Mapping[str, Any], path: str, old: Data) -> Data:
    link = data["links"][path]
    entry = {key: value for key, value in old.items() if key not in ("path", "paths")}
    entry["name"] = path.partition("/")[2]
    entry["endpoints"] = [end.partition("/")[2] for end in link["ends"]]
    ways = [link["machines"], *link["beside"]]
    entry |= {"paths": ways} if len(ways) > 1 else {"path": ways[0]}
    entry["ends"] = _ends(data, path)
    _put_quality(entry, link)
    return entry


def _ends(data: Mapping[str, Any], path: str) -> Data:
    """The NICs and their addresses: a new lab would number them from the beginning."""
    return {
        end.partition("/")[2]: {"nic": name, "addresses": nic["addresses"]}
        for end in data["links"][path]["ends"]
        for name, nic in data["nodes"][end]["nics"].items()
        if nic["link"] == path
    }


def _put_quality(entry: Data, link: Mapping[str, Any]) -> None:
    ways: dict[str, Data] = {}
    for key in _QUALITY:
        value = link.get(key)
        entry.pop(key, None)
        if isinstance(value, Mapping):
            for way, text in value.items():
                if text:
                    ways.setdefault(way, {})[key] = text
        elif value:
            entry[key] = value
    entry.pop("directions", None)
    if ways:
        entry["directions"] = ways


def _compare(data: Mapping[str, Any], file: Path) -> None:
    """See whether a lab of a file would be as this one is.

    Raises:
        InputError: naming what would be other.
    """
    from vnemu.embedding.strategies import embed
    from vnemu.model.resolve import resolve
    from vnemu.plan.explain import described
    from vnemu.schema.load import load_topology
    from vnemu.sessions.inspection import limits_of

    try:
        topology = resolve(load_topology(file, ()))
        found = json.loads(json.dumps(described(topology, embed(topology))))
    except InputError as error:
        raise _refused(error.problems[0].message) from None
    for kind, keys in _COMPARED.items():
        for name in sorted(data[kind].keys() | found[kind].keys()):
            one, other = data[kind].get(name, {}), found[kind].get(name, {})
            for key in keys:
                if one.get(key) != other.get(key):
                    raise _refused(f"{name} would have another value of '{key}'")
    for path, node in data["nodes"].items():
        os = topology.nodes[path].os
        if limits_of(topology.nodes[path].resources) != node["limits"]:
            raise _refused(f"{path} would have other limits")
        if (os.daemon, list(os.protocols)) != (node["daemon"], node["protocols"]):
            raise _refused(f"{path} would have another routing")


def _refused(why: str) -> InputError:
    hint = "vnemu inspect LAB --json shows it all"
    return InputError([Problem("", f"a topology file cannot say what runs: {why}", hint)])
