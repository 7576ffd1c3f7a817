"""What an object stands on, and what it is for others to stand on.

A place is ``(namespace,)``, ``(namespace, device)``, ``(namespace, device,
"root")`` (a device's root qdisc), ``(namespace, device, "table")`` (its
classifiers' hash table) or ``(namespace, device, minor)`` (a class). When the
holder of a place goes, the kernel takes along whatever stands on it.
"""

from __future__ import annotations

from vnemu.plan.objects import (
    FABRIC,
    Bucket,
    Classifier,
    Detour,
    Htb,
    HtbClass,
    Ifb,
    Namespace,
    Netem,
    Object,
    Patch,
    Queue,
    Tunnel,
    Veth,
)

Place = tuple[object, ...]


def provides(item: Object) -> tuple[Place, ...]:
    """The places that `item` holds; no two objects hold the same."""
    match item:
        case Namespace():
            return ((item.name,), (item.name, "lo"))
        case Veth():
            return ((item.a.namespace, item.a.device), (item.b.namespace, item.b.device))
        case Tunnel():
            return ((FABRIC, item.device),)
        case Ifb():
            return ((item.namespace, item.device),)
        case Netem() | Bucket():
            return ((item.namespace, item.device, "root"),)
        case Htb():
            device = (item.namespace, item.device)
            held: tuple[Place, ...] = ((*device, "root"), (*device, 1))
            return held if item.leaf else (*held, (*device, "table"))
        case HtbClass():
            return ((item.namespace, item.device, item.minor),)
    return ()


def needs(item: Object) -> tuple[Place, ...]:
    """The places that must be held before `item` is made."""
    match item:
        case Namespace():
            return ()
        case Veth():
            return ((item.a.namespace,), (item.b.namespace,))
        case Tunnel():
            return ((FABRIC,), (item.outer,))
        case Ifb():
            return ((item.namespace,),)
        case HtbClass():
            return ((item.namespace, item.device, 1),)
        case Queue():
            return ((item.namespace, item.device, item.minor),)
        case Classifier():
            return ((item.namespace, item.device, "table"),)
        case Patch():
            devices = (item.source, *item.targets)
            return tuple((item.namespace, device) for device in devices)
        case Detour():
            return ((item.namespace, item.device), (item.namespace, item.over))
        case _:
            return ((item.namespace, item.device),)
