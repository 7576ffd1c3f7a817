"""The verbs as the shell takes them: each line is one entry of a timeline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vnemu.schema.said import listed
from vnemu.shell.lines import Misused
from vnemu.shell.names import Names


@dataclass(frozen=True)
class Form:
    """How a verb is written: ``VERB ARGUMENT… [OPTION VALUE]…``.

    Parameters:
        entry: the timeline's word for it.
        help: what it does, in a line.
        takes: the kinds of its arguments (`KINDS`), by their keys in the entry.
        options: the kinds of what may follow, by key.
        default: the option that a single word without a key is the value of.
    """

    entry: str
    help: str
    takes: Mapping[str, str]
    options: Mapping[str, str] = field(default_factory=dict)
    default: str = ""

    def written(self, name: str) -> str:
        """Its right form, such as ``move NAME [to RM] [path RM,RM]``."""
        words = [name, *(_CAPITALS[kind] for kind in self.takes.values())]
        return " ".join(words + [f"[{key} {_CAPITALS[k]}]" for key, k in self.options.items()])


_QUALITY = {
    "limit": "rate",
    "guarantee": "rate",
    "delay": "time",
    "jitter": "time",
    "loss": "share",
}
_ONE_WAY = {"direction": "direction"}
_LINK = {"cut": "any link"}
FORMS = {
    "reshape": Form(
        "reshape",
        "change the quality of a link",
        {"reshape": "any link"},
        _QUALITY
        | {"rate": "rate", "duplicate": "share", "corrupt": "share", "reorder": "share"}
        | {"queue": "value"}
        | _ONE_WAY,
    ),
    "cut": Form("cut", "let nothing pass a link, silently", _LINK, _ONE_WAY, "direction"),
    "mend": Form("mend", "undo cut", {"mend": "any link"}, _ONE_WAY, "direction"),
    "unplug": Form("down", "take the carrier of a virtual link away", {"down": "link"}),
    "plug": Form("up", "give it its carrier back", {"up": "link"}),
    "fail": Form(
        "fail", "let a physical link or machine fail", {"fail": "physical"}, _ONE_WAY, "direction"
    ),
    "repair": Form("repair", "undo fail", {"repair": "physical"}, _ONE_WAY, "direction"),
    "move": Form(
        "move",
        "a router to another machine, or a link to another path",
        {"move": "node or link"},
        {"to": "machine", "path": "machines", "avoid": "machines"},
        "to",
    ),
    "pause": Form("pause", "let a node or network rest", {"pause": "node or network"}),
    "resume": Form("resume", "undo pause", {"resume": "node or network"}),
    "stop": Form("stop", "switch a node off", {"stop": "node"}),
    "start": Form("start", "switch a node on", {"start": "node"}),
    "create": Form("create", "a new router", {"create": "new"}, {"on": "machine"}, "on"),
    "destroy": Form("destroy", "a node and its links, for good", {"destroy": "node"}),
    "copy": Form(
        "copy",
        "a second router like one that is there",
        {"copy": "node", "as": "new"},
        {"on": "machine"},
        "on",
    ),
    "limit": Form(
        "limit",
        "what a node may use of its machine",
        {"limit": "node"},
        {"cpu": "share", "cpus": "value", "memory": "size", "disk": "size", "forwarding": "value"},
    ),
    "add": Form(
        "add",
        "a virtual link between two routers",
        {"add": "new link", "one": "node", "other": "node"},
        {key: _QUALITY[key] for key in ("limit", "guarantee", "delay", "loss")}
        | {"path": "machines"},
    ),
    "remove": Form("remove", "a virtual link", {"remove": "link"}),
    "create-network": Form(
        "create_network",
        "a network from a file",
        {"create_network": "value", "file": "file"},
        {"network": "value"},
    ),
    "destroy-network": Form(
        "destroy_network", "a network and all in it", {"destroy_network": "network"}
    ),
}

_CAPITALS = {
    "node": "NODE",
    "link": "LINK",
    "any link": "LINK",
    "physical": "NAME",
    "network": "NETWORK",
    "node or network": "NAME",
    "node or link": "NAME",
    "machine": "RM",
    "machines": "NAME,NAME",
    "direction": "END>END",
    "rate": "RATE",
    "time": "TIME",
    "share": "SHARE",
    "size": "SIZE",
    "value": "VALUE",
    "new": "NAME",
    "new link": "NAME",
    "file": "FILE",
}

_READ: Mapping[str, Callable[[Names, str], str]] = {
    "node": Names.node,
    "link": Names.link,
    "any link": Names.any_link,
    "node or network": lambda names, word: names.node_or(word, names.networks, "node or network"),
    "node or link": lambda names, word: names.node_or(word, names.links, "router or link"),
    "machines": lambda _, word: listed(word) or "",
}


def entry_of(form: Form, words: list[str], names: Names) -> dict[str, str]:
    """The entry of a timeline that a line says.

    Parameters:
        words: those behind the verb.

    Raises:
        Misused: if they are too few, or say something that the verb does not know.
        InputError: if a name is none.
    """
    if len(words) < len(form.takes):
        raise Misused("there is something missing")
    entry: dict[str, str] = {}
    beside: str | None = None
    for (key, kind), word in zip(form.takes.items(), words, strict=False):
        if kind == "new link":
            beside = names.node(words[1], _beside(word))
        if kind.startswith("new"):
            entry[key] = names.new(_bare(word), beside)
        elif kind == "node":
            entry[key] = names.node(_bare(word), beside or _beside(words[0]))
        else:
            entry[key] = _value(names, kind, _bare(word))
        beside = beside or entry[key]
    for key, word in pairs(form.options, words[len(form.takes) :], form.default):
        entry[key] = _value(names, form.options[key], word)
    return _joined(entry)


def _beside(word: str) -> str | None:
    return word if "/" in word else None


def _bare(word: str) -> str:
    return word.removesuffix(",")


def _value(names: Names, kind: str, word: str) -> str:
    read = _READ.get(kind)
    return read(names, word) if read else word


def _joined(entry: dict[str, str]) -> dict[str, str]:
    """With the two routers of a new link as its ends, which are named without the network."""
    if "one" not in entry:
        return entry
    ends = [entry.pop(key).partition("/")[2] for key in ("one", "other")]
    return {"add": entry.pop("add"), "endpoints": listed(",".join(ends)) or "", **entry}


def pairs(
    options: Collection[str], words: Sequence[str], default: str = ""
) -> Iterator[tuple[str, str]]:
    """Options with their values: ``limit 10mbit``, ``limit=10mbit`` and ``--limit 10mbit``.

    Parameters:
        options: the keys.
        default: the option that a single word without a key is the value of.

    Raises:
        Misused: if one is none of them, or has no value.
    """
    rest = list(words)
    while rest:
        key, equals, value = _bare(rest.pop(0)).removeprefix("--").partition("=")
        key = key.removesuffix(":")
        if words == [key] and key not in options and default:
            key, equals, value = default, "=", key
        if key not in options:
            known = ", ".join(options) or "nothing"
            raise Misused(f"'{key}' is not known here; what can follow: {known}")
        if not equals:
            if not rest:
                raise Misused(f"{key} has no value")
            value = _bare(rest.pop(0))
        yield key, value
