"""What must be seen in a kernel that holds a plan: facts, to compare with what is observed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vnemu.plan.objects import (
    FABRIC,
    Address,
    Block,
    Bucket,
    Classifier,
    Detour,
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
    match item:  # the first two are what most changes are about
        case HtbClass():
            rates = (item.rate // 8, item.ceil // 8)
            yield ("class", item.namespace, item.device, item.minor), rates
        case Queue():
            yield ("queue", item.namespace, item.device, item.minor), _waiting(item)
        case Namespace():
            yield ("namespace", item.name), True
        case Veth():
            near, far = ("up", "up") if item.carrier else ("down", "no carrier")
            for port, state in ((item.a, near), (item.b, far)):
                yield ("device", port.namespace, port.device), ("veth", item.mtu, port.mac, state)
        case Tunnel():
            yield ("device", FABRIC, item.device), (item.kind, item.mtu, item.mac, "up")
        case Ifb():
            yield ("device", item.namespace, item.device), ("ifb", item.mtu, item.mac, "up")
        case Address():
            yield ("address", item.namespace, item.device, item.interface), True
        case Neighbour():
            yield ("neighbour", item.namespace, item.device, item.address), item.mac
        case Route():
            yield ("route", item.namespace, item.destination), (item.via, item.device)
        case Htb():
            octets = item.rate // 8
            yield ("class", item.namespace, item.device, 1), (octets, octets)
        case Bucket():
            does = (item.rate // 8, item.limit, item.least, bool(item.cut))
            yield ("bucket", item.namespace, item.device), does
        case Classifier():
            yield ("filter", item.namespace, item.device, item.destination), item.minor
        case Netem():
            yield ("netem", item.namespace, item.device), _befalling(item)
        case Patch():
            yield ("patch", item.namespace, item.source), item.target
            for way, other in enumerate(item.others, 1):
                parts = len(item.targets) if item.spread == "flow" else way + 1
                yield ("patch", item.namespace, item.source, way), (other, item.spread, parts)
        case Block():
            yield ("block", item.namespace, item.device), True
        case Detour():
            yield ("detour", item.namespace, item.device), item.over


_FRAME = 1514
_CODEL_TIME = 1024
"""The ns that codel and fq_codel count time in."""


def _waiting(queue: Queue) -> tuple[str | int, ...]:
    """Discipline, limit (codel counts packets: in full frames), times and marking."""
    if queue.discipline == "bfifo":
        return "bfifo", queue.limit
    limit = max(queue.limit // _FRAME, 1) if queue.discipline == "codel" else queue.limit
    return (
        queue.discipline,
        limit,
        *(
            value // 1000 * 1000 // _CODEL_TIME if name in ("target", "interval") else value
            for name, value in queue.settings.items()
            if name != "rate"  # red's, which the kernel does not show
        ),
    )


def _befalling(netem: Netem) -> tuple[int | tuple[int, ...], ...]:
    """All but the distribution, which the kernel does not show; shares in ppm."""
    chain = netem.chain
    return (
        netem.delay,
        netem.jitter,
        netem.limit,
        tuple(_ppm(share) for share in chain) if chain else _ppm(netem.loss),
        _ppm(netem.delay_correlation),
        _ppm(netem.duplicate),
        _ppm(netem.corrupt),
        _ppm(netem.reorder),
    )


def _ppm(share: float) -> int:
    return round(share * 1e6)


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
