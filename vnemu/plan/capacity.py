"""The forwarding capacity of a VR: one token bucket for all that comes to it, by whichever NIC.

Every frame that is to leave the fabric by a vif of the VR passes the VR's own ifb first,
whose bucket lets so much through; then it goes on by its vif. So the budget is one, the VR
is not touched, and nothing else notices: neither cables nor tunnels nor patches.

It is a bucket and no class of a shaper, since it can cut the large packets of segmentation
offload, as a slow link gets single frames: flows that send larger ones than others would
lose them whole, and starve.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from vnemu.model.naming import own_device_name
from vnemu.model.overlay import Node
from vnemu.plan.objects import FABRIC, Bucket, Detour, Ifb, Object
from vnemu.plan.sizes import FRAME, VR_MTU, gso_bytes, queue_bytes
from vnemu.schema.forwarding import Forwarding


def charge(capacity: Forwarding) -> tuple[int, int]:
    """A capacity as a rate in bit/s, and the bytes that each frame counts at least.

    Packets a second are the rate at which so many full frames pass, of which none
    counts less than a full one. With both, a frame counts the bytes that pass in the time
    of a packet, if it has fewer.
    """
    rate = capacity.rate.bps if capacity.rate else None
    if capacity.packets is None:
        return rate or 0, 0
    full = capacity.packets.pps * FRAME * 8
    if rate is None or rate >= full:
        return full, FRAME
    return rate, -(-rate // (8 * capacity.packets.pps))


def capacity_of(node: Node, vifs: Mapping[tuple[str, str], str]) -> Iterator[Object]:
    """What keeps a VR within its forwarding capacity; nothing if it has none.

    Parameters:
        vifs: (node path, NIC name) -> device in the fabric.
    """
    capacity = node.resources.forwarding
    if capacity is None:
        return
    device = own_device_name(node.path)
    rate, least = charge(capacity)
    yield Ifb(FABRIC, device, _mac(node.path), VR_MTU)
    largest = gso_bytes(rate)
    cut = largest if largest == FRAME else 0
    yield Bucket(FABRIC, device, rate, queue_bytes(rate), least, cut)
    for nic in node.nics:
        yield Detour(FABRIC, vifs[node.path, nic.name], device)


def _mac(path: str) -> bytes:
    """No frame is ever sent to it."""
    return bytes((0x22, *hashlib.sha256(path.encode()).digest()[:5]))
