"""The settings of a sweep: every combination of its values (docs/sweeps.md)."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from vnemu.errors import InputError, Problem
from vnemu.schema.document import Document
from vnemu.schema.experiment import ExperimentDoc
from vnemu.schema.load import LoadedExperiment, Override, load_experiment
from vnemu.schema.nodes import Child, Data, Node, mapping_node, read_tree
from vnemu.schema.routing import SILENT, RoutingDoc
from vnemu.schema.wording import Finding, Mark, in_file_order, instead_of, short

MOST_RUNS = 10_000

_SETTLED = ("name", "kernel", "repeat", "sweep")
"""Keys of an experiment that are the same in all runs of a sweep."""
_PATHS = ("underlay", "networks", "topology")
_NOTHING = Mark("sweep")


@dataclass(frozen=True)
class Value:
    """A value that a key of a sweep takes, and where the key was written."""

    key: str
    node: Node
    key_mark: Mark

    @property
    def text(self) -> str:
        """The value as the user would write it, on one line."""
        data = self.node.data
        return data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)


@dataclass(frozen=True)
class Setting:
    """One combination: a value for each key, in the order of the file."""

    values: tuple[Value, ...] = ()

    @property
    def label(self) -> str:
        """What tells it from the other settings: ``bfd=off,delay=1ms``; empty if it is the only."""
        names = short_keys([value.key for value in self.values])
        return ",".join(f"{names[value.key]}={value.text}" for value in self.values)


def short_keys(keys: Sequence[str]) -> dict[str, str]:
    """Return the last word of each key where that tells it from the others, else all of it."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {
        key: word if re.search("[A-Za-z]", word) and list(last.values()).count(word) == 1 else key
        for key, word in last.items()
    }


def swept(option: str) -> Override:
    """Read what was given to ``--sweep``: ``bfd=off,on``.

    Raises:
        InputError: if it does not read so.
    """
    key, equals, values = option.partition("=")
    mark = Mark(f"--sweep {key}")
    if not key or not equals:
        hint = "write it like --sweep bfd=off,on"
        raise InputError([Problem(f"--sweep {option}", "is not of the form KEY=VALUE,…", hint)])
    node, findings = read_tree(f"[{values}]", mark.source, mark)
    if findings or node is None:
        raise InputError(in_file_order(findings))
    return Override(("sweep", key), node, mark)


def settings_of(loaded: LoadedExperiment) -> tuple[Setting, ...]:
    """Return the settings of an experiment's sweep, a full factorial; one if it has none.

    Raises:
        InputError: with all keys that cannot be swept, and values that are there twice.
    """
    keys = _keys(loaded.document)
    findings = [found for key, child in keys.items() for found in _wrong(key, child)]
    runs = prod(len(child.node.children) for child in keys.values()) * loaded.doc.repeat
    if runs > MOST_RUNS:
        mark = loaded.document.mark(("sweep" if keys else "repeat",))
        findings.append(Finding(mark, f"makes {runs} runs: at most {MOST_RUNS} are carried out"))
    if findings:
        raise InputError(in_file_order(findings))
    axes = [
        [Value(key, each.node, child.key_mark) for each in child.node.children.values()]
        for key, child in keys.items()
    ]
    return tuple(Setting(values) for values in itertools.product(*axes))


def load_setting(
    path: Path, overrides: Sequence[str], setting: Setting, seed: int
) -> LoadedExperiment:
    """Read an experiment file as one run of its sweep.

    Parameters:
        overrides: what the user gave to ``--set``.
        seed: the run's own, unless the setting has one.

    Raises:
        InputError: with all that is wrong with this setting.
    """
    alone = [
        Override("repeat", Node(1, _NOTHING), _NOTHING),
        Override("sweep", mapping_node(_NOTHING, {}), _NOTHING),
        Override("seed", Node(seed, _NOTHING), _NOTHING),
    ]
    paths = [Override(v.key, v.node, v.key_mark) for v in setting.values if not _is_option(v.key)]
    options = [value for value in setting.values if _is_option(value.key)]
    plain: list[str | Override] = [*overrides, *alone, *paths]
    loaded = load_experiment(path, plain)
    if not options:
        return loaded
    ours = _of_networks(loaded.topology.document, options)
    if not ours:
        raise InputError(
            Finding(
                value.key_mark,
                f"sweep has {value.key}, but no network has a routing protocol to set it for",
                "give one its routing:, or write the whole path",
            ).problem
            for value in options
        )
    return load_experiment(path, [*plain, *ours])


def _keys(document: Document) -> Mapping[str, Child]:
    sweep = document.root.children.get("sweep")
    children = sweep.node.children if sweep else {}
    return {str(key): child for key, child in children.items()}


def _is_option(key: str) -> bool:
    """Whether a key of a sweep is the short name of a routing option."""
    return "." not in key and key not in ExperimentDoc.model_fields and key not in _PATHS


def _wrong(key: str, child: Child) -> Iterator[Finding]:
    options = [field.alias or name for name, field in RoutingDoc.model_fields.items()]
    if key in _SETTLED:
        yield Finding(child.key_mark, f"'{key}' cannot be swept: it is the same in all runs")
    elif _is_option(key) and key not in options:
        hint = instead_of(key, options)
        words = f"sweep has '{short(key)}', which is neither a path nor a routing option"
        yield Finding(child.key_mark, words, hint)
    seen: list[Data] = []
    for each in child.node.children.values():
        if each.node.data in seen:
            yield Finding(each.node.mark, f"sweep has this value of {key} twice")
        seen.append(each.node.data)


def _of_networks(topology: Document, options: Sequence[Value]) -> list[Override]:
    """The overrides that give routing options to all networks that route dynamically."""
    swept_protocol = [value for value in options if value.key == "protocol"]
    overrides: list[Override] = []
    for name, child in topology.root.children["networks"].node.children.items():
        routing = child.node.children.get("routing")
        protocol = swept_protocol[0].node.data if swept_protocol else _protocol(routing)
        values = options if _is_dynamic(protocol) else swept_protocol
        place = f"networks.{name}.routing"
        if values and not (routing and isinstance(routing.node.data, dict)):
            written: dict[str | int, Child] = {"protocol": routing} if routing else {}
            overrides.append(Override(place, mapping_node(child.node.mark, written), _NOTHING))
        overrides += [Override(f"{place}.{v.key}", v.node, v.key_mark) for v in values]
    return overrides


def _protocol(routing: Child | None) -> Data:
    data = routing.node.data if routing else None
    return data.get("protocol") if isinstance(data, dict) else data


def _is_dynamic(protocol: Data) -> bool:
    spoken = protocol if isinstance(protocol, list) else [protocol]
    return not all(each is None or each in SILENT for each in spoken)
