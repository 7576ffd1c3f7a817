"""What must be seen in a kernel that holds a plan: facts, to compare with what is observed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vnemu.plan.objects import (
    FABRIC,
    Address,
    Classifier,
    Htb,
    HtbClass,
    Ifb,
    Namespace,
    Neighbour,
    Netem,
    Object,
    Patch,
    Queue,
    Route,
    Tunnel,
    Veth,
)

FactKey = tuple[object, ...]
Facts = dict[FactKey, object]


def facts(objects: Iterable[Object]) -> Facts:
    """The facts that `objects` stand for."""
    return {key: value for item in objects for key, value in _facts(item)}


def _facts(item: Object) -> Iterator[tuple[FactKey, object]]:
    match item:
        case Namespace():
            yield ("namespace", item.name), True
        case Veth():
            for port in (item.a, item.b):
                yield ("device", port.namespace, port.device), ("veth", item.mtu, port.mac, True)
        case Tunnel():
            yield ("device", FABRIC, item.device), (item.kind, item.mtu, item.mac, True)
        case Ifb():
            yield ("device", item.namespace, item.device), ("ifb", item.mtu, item.mac, True)
        case Address():
            yield ("address", item.namespace, item.device, item.interface), True
        case Neighbour():
            yield ("neighbour", item.namespace, item.device, item.address), item.mac
        case Route():
            yield ("route", item.namespace, item.destination), (item.via, item.device)
        case Htb():
            octets = item.rate // 8
            yield ("class", item.namespace, item.device, 1), (octets, octets)
        case HtbClass():
            rates = (item.rate // 8, item.ceil // 8)
            yield ("class", item.namespace, item.device, item.minor), rates
        case Queue():
            yield ("queue", item.namespace, item.device, item.minor), item.limit
        case Classifier():
            yield ("filter", item.namespace, item.device, item.destination), item.minor
        case Netem():
            ppm = round(item.loss * 1e6)
            quality = (item.delay, item.jitter, ppm, item.limit)
            yield ("netem", item.namespace, item.device), quality
        case Patch():
            yield ("patch", item.namespace, item.source), item.target


def differences(wanted: Mapping[FactKey, object], seen: Mapping[FactKey, object]) -> list[str]:
    """What of `wanted` is not as seen, in words; what is seen beside it does not matter."""
    found = []
    for key, value in wanted.items():
        if key not in seen:
            found.append(f"{_words(key)} is missing")
        elif seen[key] != value:
            found.append(f"{_words(key)} is {_shown(seen[key])} instead of {_shown(value)}")
    return found


def _words(key: FactKey) -> str:
    return " ".join(str(part) for part in key)


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex(":")
    if isinstance(value, tuple):
        return " ".join(_shown(part) for part in value)
    return str(value)
