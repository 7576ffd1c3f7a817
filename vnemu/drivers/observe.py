"""What the kernel shows of a plan's objects: an exit code is no evidence, this is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from vnemu.drivers import bucket, filters, netem, queues, tc
from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.namespaces import NetworkNamespace
from vnemu.drivers.netlink import Request, attributes
from vnemu.plan.facts import FactKey, Facts

Read = Callable[[bytes], object]
_BY_NUMBER = {rt.AF_INET: 4, rt.AF_INET6: 6}
_INTERFACES = {4: IPv4Interface, 6: IPv6Interface}
_ADDRESSES = {4: IPv4Address, 6: IPv6Address}
_NETWORKS = {4: IPv4Network, 6: IPv6Network}


_MANY = 32
"""Classes of a device from which on it is quicker to list them all."""


@dataclass
class _Questions:
    """What is to be asked in one namespace: whole listings, and single objects."""

    listings: set[str] = field(default_factory=set)
    single: list[tuple[FactKey, Request, Read]] = field(default_factory=list)
    classes: dict[str, list[FactKey]] = field(default_factory=dict)


class Observer:
    """Asks the kernel for what stands behind objects, namespace by namespace."""

    def __init__(self, namespaces: Mapping[str, NetworkNamespace]) -> None:
        self._namespaces = namespaces
        self._devices: dict[str, dict[int, str]] = {}

    def facts(self, wanted: Iterable[FactKey]) -> Facts:
        """Those of the `wanted` facts that can be seen, and perhaps others."""
        questions: dict[str, _Questions] = {}
        seen: Facts = {}
        for key in wanted:
            kind, name = str(key[0]), str(key[1])
            if name not in self._namespaces:
                continue
            if kind == "namespace":
                seen[key] = True
                continue
            asked = questions.setdefault(name, _Questions())
            if kind == "class":
                asked.classes.setdefault(str(key[2]), []).append(key)
                continue
            single = self._single(key)
            if single is not None:
                asked.single.append((key, *single))
            elif kind in _LISTINGS:
                asked.listings.add(kind)
        for name, asked in questions.items():
            seen.update(self._ask(name, asked))
        return seen

    def _single(self, key: FactKey) -> tuple[Request, Read] | None:
        kind, name = str(key[0]), str(key[1])
        namespace = self._namespaces[name]
        index = namespace.indices.get(str(key[2]), 0)
        match kind, key[3:]:
            case "queue", (int(minor),):
                return queues.get_queue(index, minor), queues.queue_state
            case "filter", (IPv4Address() as destination,):
                return filters.get_classifier(index, destination), filters.classifier_minor
            case "netem", ():
                return tc.get_root(index), netem.netem_state
            case "patch", ():
                return filters.get_redirect(index), partial(_target, self._by_index(name))
            case "patch", (int(way),):
                read = partial(_diversion, self._by_index(name))
                return filters.get_diversion(index, way), read
            case "bucket", ():
                return tc.get_root(index), bucket.bucket_state
            case "detour", ():
                return filters.get_detour(index), partial(_over, self._by_index(name))
            case "block", ():
                return filters.get_block(index), filters.is_block
        return None

    def _by_index(self, name: str) -> dict[int, str]:
        """The devices of a namespace by index, turned around once for all that is asked."""
        if name not in self._devices:
            indices = self._namespaces[name].indices
            self._devices[name] = {index: device for device, index in indices.items()}
        return self._devices[name]

    def _ask(self, name: str, asked: _Questions) -> Iterator[tuple[FactKey, object]]:
        namespace = self._namespaces[name]
        for kind in asked.listings:
            yield from _LISTINGS[kind](name, namespace)
        for device, keys in asked.classes.items():
            yield from _classes(namespace, device, keys)
        answers = namespace.socket.query([request for _, request, _ in asked.single])
        for (key, _, read), answer in zip(asked.single, answers, strict=True):
            value = read(answer) if answer is not None else None
            if value is not None:
                yield key, value


def _classes(
    namespace: NetworkNamespace, device: str, keys: list[FactKey]
) -> Iterator[tuple[FactKey, object]]:
    """The rates of some classes of a device: of many, by listing all that it has."""
    index = namespace.indices.get(device, 0)
    found: dict[int, bytes | None]
    if len(keys) < _MANY:
        minors = [int(str(key[3])) for key in keys]
        answers = namespace.socket.query([tc.get_class(index, minor) for minor in minors])
        found = dict(zip(minors, answers, strict=True))
    else:
        found = dict(tc.list_classes(namespace.socket, index))
    for key in keys:
        answer = found.get(key[3])  # type: ignore[call-overload]  # the minor number
        if answer is not None:
            yield key, tc.class_rates(answer)


def _target(devices: Mapping[int, str], answer: bytes) -> str:
    return _named(filters.redirect_target(answer), devices)


def _over(devices: Mapping[int, str], answer: bytes) -> str:
    return _named(filters.detour_target(answer), devices)


def _diversion(devices: Mapping[int, str], answer: bytes) -> tuple[str, str, int]:
    index, spread, ways = filters.diversion(answer)
    return _named(index, devices), spread, ways


def _named(index: int, devices: Mapping[int, str]) -> str:
    return devices.get(index, f"device {index}")


def _devices(name: str, namespace: NetworkNamespace) -> Iterator[tuple[FactKey, object]]:
    for answer in namespace.socket.dump(rt.RTM_GETLINK, rt.LIST_DEVICES_BARE):
        found = rt.device(answer)
        state = ("up" if found.carrier else "no carrier") if found.up else "down"
        yield ("device", name, found.name), (found.kind, found.mtu, found.mac, state)


def _addresses(name: str, namespace: NetworkNamespace) -> Iterator[tuple[FactKey, object]]:
    devices = {index: device for device, index in namespace.indices.items()}
    for answer in namespace.socket.dump(rt.RTM_GETADDR, rt.IFADDR.pack(0, 0, 0, 0, 0)):
        family, length, _, _, index = rt.IFADDR.unpack_from(answer)
        version = _BY_NUMBER.get(family)
        if version is None or index not in devices:
            continue
        found = attributes(answer, rt.IFADDR.size)
        packed = found.get(rt.IFA_LOCAL) or found[rt.IFA_ADDRESS]
        interface = _INTERFACES[version]((int.from_bytes(packed, "big"), length))
        yield ("address", name, devices[index], interface), True


def _routes(name: str, namespace: NetworkNamespace) -> Iterator[tuple[FactKey, object]]:
    devices = {index: device for device, index in namespace.indices.items()}
    for answer in namespace.socket.dump(rt.RTM_GETROUTE, rt.RTMSG.pack(*([0] * 9))):
        family, length, *_ = rt.RTMSG.unpack_from(answer)
        found = attributes(answer, rt.RTMSG.size)
        version = _BY_NUMBER.get(family)
        if version is None or rt.RTA_GATEWAY not in found or rt.RTA_OIF not in found:
            continue
        destination = found.get(rt.RTA_DST, bytes(4 if version == 4 else 16))
        network = _NETWORKS[version]((int.from_bytes(destination, "big"), length))
        via = _ADDRESSES[version](int.from_bytes(found[rt.RTA_GATEWAY], "big"))
        index = int.from_bytes(found[rt.RTA_OIF], sys.byteorder)
        yield ("route", name, network), (via, devices.get(index, f"device {index}"))


def _neighbours(name: str, namespace: NetworkNamespace) -> Iterator[tuple[FactKey, object]]:
    devices = {index: device for device, index in namespace.indices.items()}
    for answer in namespace.socket.dump(rt.RTM_GETNEIGH, rt.NDMSG.pack(0, 0, 0, 0, 0, 0)):
        family, _, index, _, _, _ = rt.NDMSG.unpack_from(answer)
        found = attributes(answer, rt.NDMSG.size)
        version = _BY_NUMBER.get(family)
        if version is None or index not in devices or rt.NDA_LLADDR not in found:
            continue
        address = _ADDRESSES[version](int.from_bytes(found[rt.NDA_DST], "big"))
        yield ("neighbour", name, devices[index], address), found[rt.NDA_LLADDR]


_LISTINGS = {
    "device": _devices,
    "address": _addresses,
    "route": _routes,
    "neighbour": _neighbours,
}
