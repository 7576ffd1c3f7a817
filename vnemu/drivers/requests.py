"""From one action to the netlink requests that carry it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from vnemu.drivers import filters, queues, tc
from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.bucket import bucket
from vnemu.drivers.namespaces import NetworkNamespace
from vnemu.drivers.netem import netem
from vnemu.drivers.netlink import Request
from vnemu.plan.diff import Action
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
    Port,
    Queue,
    Route,
    Tunnel,
    Veth,
)

Namespaces = Mapping[str, NetworkNamespace]
Addressed = list[tuple[str, Request]]
"""Requests, each with the namespace whose socket takes it."""

_KERNEL_GSO = _KERNEL_GRO = 65536
_JOIN_NONE = 1
"""The size of a joined packet that no frame fits in."""
_FIRST_NUMBER = 1_000_000
"""The kernel numbers namespaces by itself too, from 0."""
_NO_DEVICE = 0x7FFFFFFF
"""An index that the kernel refuses; 0 would let it choose a device for a route."""


def stage(action: Action) -> tuple[str, str]:
    """What must not share a batch: actions of one stage do not need each other's result.

    All of a new path is there before anything switches to it.
    """
    if action.old is not None and isinstance(action.new, Patch | Route):
        return "switch", "configuration"
    going = "remove" if action.new is None else "build"
    match action.target:
        case Namespace():
            return going, "namespace"
        case Veth():
            return going, "pair"
        case Tunnel() | Ifb():
            return going, "device"
        case Htb() | Bucket():
            return going, "shaper"
        case _:
            return going, "configuration"


def loopback_up() -> Request:
    """Bring the loopback device up."""
    return rt.set_up(1)


def encode(action: Action, namespaces: Namespaces) -> tuple[Addressed, Addressed]:
    """The requests for an action: those for now, and those before the configuration stage."""
    if action.new is None:
        assert action.old is not None
        return _remove(action.old, namespaces), []
    match action.new:
        case Veth() as veth if isinstance(action.old, Veth):
            return _change_veth(action.old, veth, namespaces), []
        case Veth() as veth:
            return _new_veth(veth, namespaces)
        case Tunnel() as tunnel if action.old is not None:
            return _change_tunnel(tunnel, namespaces), []
        case Tunnel() as tunnel:
            return _new_tunnel(tunnel, namespaces)
        case Ifb() as ifb:
            end = _end(Port(ifb.namespace, ifb.device, ifb.mac), ifb.mtu, 0, namespaces)
            return [(ifb.namespace, rt.new_ifb(end))], _start(ifb.namespace, end.index)
        case item:
            return _configure(item, action.old, namespaces), []


def _end(port: Port, mtu: int, gso: int, namespaces: Namespaces) -> rt.End:
    namespace = namespaces[port.namespace]
    index = namespace.new_index(port.device)
    return rt.End(namespace.fd, index, port.device, port.mac, mtu, gso)


def _new_veth(veth: Veth, namespaces: Namespaces) -> tuple[Addressed, Addressed]:
    ports = (veth.a, veth.b)
    ends = [_end(port, veth.mtu, veth.gso, namespaces) for port in ports]
    later: Addressed = []
    is_vif = veth.b.namespace != FABRIC
    for port, end, up in zip(ports, ends, (veth.carrier, True), strict=True):
        later += _start(port.namespace, end.index, up, is_vif)
    return [(veth.a.namespace, rt.new_veth(*ends))], later


def _start(name: str, index: int, up: bool = True, is_vif: bool = False) -> Addressed:
    """Bring a new device up; one of the fabric gets the hook for its filters before.

    What leaves by a vif may have to make a detour.

    On a device that is up the kernel would wait until every processor has noticed
    the hook (synchronize_net): that takes longer than all the rest.
    """
    hook = [(name, tc.hook(index, both_ways=is_vif))] if name == FABRIC else []
    return [*hook, (name, rt.set_up(index))] if up else hook


def _change_veth(old: Veth, new: Veth, namespaces: Namespaces) -> Addressed:
    found: Addressed = []
    if new.gso != old.gso:
        for port in (new.a, new.b):
            index = _index(port.namespace, port.device, namespaces)
            found.append((port.namespace, rt.set_gso(index, new.gso or _KERNEL_GSO)))
    if new.carrier != old.carrier:
        index = _index(new.a.namespace, new.a.device, namespaces)
        found.append((new.a.namespace, (rt.set_up if new.carrier else rt.set_down)(index)))
    return found


def _new_tunnel(tunnel: Tunnel, namespaces: Namespaces) -> tuple[Addressed, Addressed]:
    port = Port(FABRIC, tunnel.device, tunnel.mac)
    end = _end(port, tunnel.mtu, tunnel.gso, namespaces)
    if not tunnel.joins:
        end = replace(end, gro=_JOIN_NONE)
    start = _start(FABRIC, end.index)
    ends = (tunnel.number, tunnel.local, tunnel.remote)
    if tunnel.kind == "vxlan":
        return [(tunnel.outer, rt.new_vxlan(end, *ends))], start
    number, found = _number_in_fabric(tunnel.outer, namespaces)
    return [*found, (FABRIC, rt.new_gretap(end, number, *ends))], start


def _number_in_fabric(name: str, namespaces: Namespaces) -> tuple[int, Addressed]:
    """The number by which the fabric knows a namespace, and what it takes to have one."""
    namespace, fabric = namespaces[name], namespaces[FABRIC]
    if namespace.number:
        return namespace.number, []
    fabric.numbers += 1
    namespace.number = _FIRST_NUMBER + fabric.numbers
    return namespace.number, [(FABRIC, rt.number_namespace(namespace.fd, namespace.number))]


def _change_tunnel(tunnel: Tunnel, namespaces: Namespaces) -> Addressed:
    index = _index(FABRIC, tunnel.device, namespaces)
    gro = _KERNEL_GRO if tunnel.joins else _JOIN_NONE
    return [(FABRIC, rt.set_gso(index, tunnel.gso)), (FABRIC, rt.set_gro(index, gro))]


def _configure(item: Object, old: Object | None, namespaces: Namespaces) -> Addressed:
    name, index = _place(item, namespaces)
    new = old is None
    match item:
        case Address():
            interface = item.interface
            found = [rt.new_address(index, interface.ip, interface.network.prefixlen)]
        case Neighbour():
            found = [rt.new_neighbour(index, item.address, item.mac)]
        case Route():
            net = item.destination
            found = [rt.new_route(net.network_address, net.prefixlen, item.via, index, new)]
        case Htb():
            found = _shaper(item, index, new)
        case Bucket():
            found = [bucket(item, index, new)]
        case HtbClass():
            found = [tc.htb_class(index, item.minor, 1, item.rate // 8, item.ceil // 8, new)]
        case Queue():
            found = [_queue(item, index, new)]
        case Classifier():
            found = [filters.classify(index, item.destination, item.minor)]
        case Netem():
            found = [netem(index, item, old if isinstance(old, Netem) else None)]
        case Patch():
            found = _patch(item, old if isinstance(old, Patch) else None, index, namespaces)
        case Block():
            found = [*_hook(name, index), filters.block(index)]
        case Detour():
            found = [filters.detour(index, _index(name, item.over, namespaces))]
        case _:
            raise TypeError(f"no configuration: {item}")
    return [(name, request) for request in found]


def _queue(item: Queue, index: int, new: bool) -> Request:
    return queues.queue(index, item.minor, item.limit, item.discipline, item.settings, new)


def _hook(name: str, index: int) -> list[Request]:
    # Devices of the fabric have it since they were made.
    return [] if name == FABRIC else [tc.hook(index)]


def _patch(item: Patch, old: Patch | None, index: int, namespaces: Namespaces) -> list[Request]:
    """What is not diverted goes to the target, so that no frame is lost in between."""
    target, *others = (_index(item.namespace, device, namespaces) for device in item.targets)
    by_flow, ways = item.spread == "flow", len(item.targets)
    before = len(old.others) if old else 0
    return [
        *(_hook(item.namespace, index) if old is None else ()),
        filters.redirect(index, target, new=old is None),
        *(filters.divert(index, n, ways, to, by_flow) for n, to in enumerate(others, 1)),
        *(filters.end_diversion(index, way) for way in range(ways, before + 1)),
    ]


def _place(item: Object, namespaces: Namespaces) -> tuple[str, int]:
    match item:
        case Patch():
            name, device = item.namespace, item.source
        case Veth():
            name, device = item.a.namespace, item.a.device
        case Tunnel():
            name, device = FABRIC, item.device
        case Namespace():
            raise TypeError("a namespace is not in a namespace")
        case _:
            name, device = item.namespace, item.device
    return name, _index(name, device, namespaces)


def _index(name: str, device: str, namespaces: Namespaces) -> int:
    namespace = namespaces.get(name)
    return namespace.indices.get(device, _NO_DEVICE) if namespace else _NO_DEVICE


def _shaper(item: Htb, index: int, new: bool) -> list[Request]:
    octets = item.rate // 8
    if not new:
        return [tc.htb_class(index, 1, 0, octets, octets, new)]
    found = [
        tc.new_htb(index, 1 if item.leaf else 0, _size_table(item.overhead)),
        tc.htb_class(index, 1, 0, octets, octets, new),
    ]
    return found if item.leaf else [*found, *filters.new_classifier_table(index)]


@cache
def _size_table(overhead: int) -> bytes:
    # Frames that are not encapsulated every kernel charges right by itself.
    return tc.size_table(overhead, *tc.FULL_SEGMENT) if overhead else b""


def _remove(item: Object, namespaces: Namespaces) -> Addressed:
    name, index = _place(item, namespaces)
    match item:
        case Veth() | Tunnel() | Ifb():
            request = rt.delete_link(index)
        case Address():
            interface = item.interface
            request = rt.delete_address(index, interface.ip, interface.network.prefixlen)
        case Neighbour():
            request = rt.delete_neighbour(index, item.address)
        case Route():
            net = item.destination
            request = rt.delete_route(net.network_address, net.prefixlen, item.via, index)
        case Htb() | Netem() | Bucket():
            request = tc.delete_root(index)
        case HtbClass():
            request = tc.delete_class(index, item.minor)
        case Queue():
            return []  # goes with its class
        case Classifier():
            request = filters.declassify(index, item.destination)
        case Patch():
            ways = range(1, len(item.targets))
            ended = [filters.end_redirect(index), *(filters.end_diversion(index, n) for n in ways)]
            return [(name, end) for end in ended]
        case Block():
            request = filters.unblock(index)
        case Detour():
            request = filters.end_detour(index)
        case _:
            raise TypeError(f"cannot remove {item}")
    return [(name, request)]
