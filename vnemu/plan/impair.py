"""Where delay, jitter and loss act: netem, never on a device that shapes a rate.

netem treats a segmentation-offload packet as one frame. Loss must find single
frames, so on the way there large packets are cut and none are joined again. Jitter
takes them whole: frames sent at once arrive in order, and so close together, anyway.
"""

from __future__ import annotations

from collections.abc import Iterator

from vnemu.model.impairment import Impairment
from vnemu.model.underlay import PhysicalLink
from vnemu.plan.objects import FABRIC, Htb, Ifb, Netem, Object, Patch, Port, Queue, Veth
from vnemu.plan.sizes import FRAME, gso_bytes, queue_bytes

MACHINE_SPEED = 10**10
"""Bit/s that a VL without any rate of its own is given room for; no machine is faster in
single frames."""
_SMALLEST_FRAME = 64
_MOST_PACKETS = 2**31 - 1


def netem_room(rate: int, impairment: Impairment) -> int:
    """How many packets must have room in a netem, which counts packets.

    It is all that comes at `rate` bit/s within the longest delay, in the smallest
    frames, and a queue's worth beside.
    """
    packets = int(rate * impairment.longest.seconds / 8 / _SMALLEST_FRAME)
    return min(1000 + packets, _MOST_PACKETS)


def netem(namespace: str, device: str, impairment: Impairment, rate: int) -> Netem:
    """The netem of an impairment, for frames that come at up to `rate` bit/s."""
    return Netem(
        namespace,
        device,
        impairment.delay.amount,
        impairment.jitter.amount,
        impairment.loss.fraction,
        netem_room(rate, impairment),
    )


def impaired_wire(link: PhysicalLink, port: Port, ifb: str, mtu: int) -> Iterator[Object]:
    """A port of a physical link that is impaired: it acts where frames arrive."""
    if link.impairment:
        yield Ifb(port.namespace, ifb, bytes((0x12, *port.mac[1:])), mtu)
        yield Patch(port.namespace, port.device, ifb)
        yield netem(port.namespace, ifb, link.impairment, link.rate.bps)


def local_link(
    number: int, vifs: tuple[str, str], limit: int | None, impairment: Impairment, mtu: int
) -> Iterator[Object]:
    """A VL on one RM: a patch between its vifs, if need be by way of cables.

    A limit is shaped at the receiving vif, on frames that the cable `c` has cut
    (between RMs the tunnel does that). Impairments act on the cable `d` behind it,
    so that neither moves when the other comes or goes.
    """
    cables = []
    if limit or impairment.is_lossy:
        cut = FRAME if impairment.is_lossy or not limit else gso_bytes(limit)
        cables.append(_cable("c", 0x16, number, mtu, cut))
    if impairment:
        cables.append(_cable("d", 0x1A, number, mtu, 0))
    yield from cables
    yield from _through([(cable.a, cable.b) for cable in cables], *vifs)
    yield from _through([(cable.b, cable.a) for cable in cables], *reversed(vifs))
    if impairment:
        for port in (cables[-1].a, cables[-1].b):
            yield netem(FABRIC, port.device, impairment, limit or MACHINE_SPEED)
    if limit:
        for vif in vifs:
            yield Htb(FABRIC, vif, limit, 0, leaf=True)
            yield Queue(FABRIC, vif, 1, queue_bytes(limit))


def _cable(letter: str, mark: int, number: int, mtu: int, gso: int) -> Veth:
    ends = [
        Port(FABRIC, f"{letter}{number}{side}", bytes((mark, end, *number.to_bytes(4, "big"))))
        for end, side in enumerate("ab")
    ]
    return Veth(ends[0], ends[1], mtu, gso)


def _through(cables: list[tuple[Port, Port]], start: str, end: str) -> Iterator[Patch]:
    at = start
    for near, far in cables:
        yield Patch(FABRIC, at, near.device)
        at = far.device
    yield Patch(FABRIC, at, end)
