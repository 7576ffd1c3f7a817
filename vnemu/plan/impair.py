"""Where delay, jitter and loss act: netem, never on a device that shapes a rate.

netem treats a segmentation-offload packet as one frame. Loss must find single
frames, so on the way there large packets are cut and none are joined again. Jitter
takes them whole: frames sent at once arrive in order, and so close together, anyway.

What befalls one direction acts where its frames arrive: on a cable in front of its
receiver's vif, or at the port behind a physical link. A cable can be made, and taken
away, while frames pass; a queue of the vif itself could not be without losing some.
"""

from __future__ import annotations

from collections.abc import Iterator

from vnemu.model.overlay import VirtualLink
from vnemu.model.quality import Impairment, Quality, WireQuality
from vnemu.plan.objects import FABRIC, Htb, Ifb, Netem, Object, Patch, Port, Queue, Veth
from vnemu.plan.sizes import FRAME, declared_room, gso_bytes, queue_bytes
from vnemu.units import Duration

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
    loss, bursts = impairment.loss, impairment.loss.bursts
    return Netem(
        namespace,
        device,
        impairment.delay.amount,
        impairment.jitter.amount,
        0.0 if bursts else loss.random.fraction,
        netem_room(rate, impairment),
        distribution=impairment.distribution,
        delay_correlation=impairment.delay_correlation.fraction,
        loss_correlation=loss.correlation.fraction,
        gilbert_elliott=(
            (bursts.p.fraction, bursts.r.fraction, bursts.bad.fraction, bursts.good.fraction)
            if bursts
            else None
        ),
        duplicate=impairment.duplicate.fraction,
        corrupt=impairment.corrupt.fraction,
        reorder=impairment.reorder.fraction,
    )


def queue_of(
    namespace: str, device: str, minor: int, quality: Quality, rate: int, round_trip: Duration
) -> Queue:
    """The queue of a class that sends at most `rate` bit/s."""
    wanted = quality.queue
    room = declared_room(wanted, rate) or queue_bytes(rate, round_trip)
    if wanted.discipline == "bfifo":
        return Queue(namespace, device, minor, room)
    named = {
        "target": wanted.target.amount if wanted.target else None,
        "interval": wanted.interval.amount if wanted.interval else None,
        "ecn": None if wanted.ecn is None else int(wanted.ecn),
        "rate": rate if wanted.discipline == "red" else None,
    }
    options = tuple((name, value) for name, value in named.items() if value is not None)
    return Queue(namespace, device, minor, room, wanted.discipline, options)


def impaired_port(arriving: WireQuality, port: Port, ifb: str, mtu: int) -> Iterator[Object]:
    """A port of a physical link at which frames arrive that the link impairs."""
    if arriving.impairment:
        yield Ifb(port.namespace, ifb, bytes((0x12, *port.mac[1:])), mtu)
        yield Patch(port.namespace, port.device, ifb)
        yield netem(port.namespace, ifb, arriving.impairment, arriving.rate.bps)


def round_trip(link: VirtualLink) -> Duration:
    """The delay of a VL itself, there and back."""
    there, back = link.forward.impairment.delay, link.backward.impairment.delay
    return Duration(there.amount + back.amount)


def local_link(link: VirtualLink, number: int, vifs: tuple[str, str], mtu: int) -> Iterator[Object]:
    """A VL on one RM: a patch between its vifs, if need be by way of cables.

    A limit is shaped on the cable `s`, on frames that the cable `c` has cut (between RMs
    the tunnel does that). Impairments act on the cable `d` behind it. So none moves when
    another comes or goes; and the queues of the vifs are not touched, which would cost frames.
    """
    cables = []
    cut = _cut(link)
    if cut is not None:
        cables.append(_cable("c", 0x16, number, mtu, cut))
    if link.forward.limit or link.backward.limit:
        cables.append(_cable("s", 0x1E, number, mtu, 0))
        shaped = cables[-1]
    if link.is_impaired:
        cables.append(impairing_cable(number, mtu))
    yield from cables
    yield from _through([(cable.a, cable.b) for cable in cables], *vifs)
    yield from _through([(cable.b, cable.a) for cable in cables], *reversed(vifs))
    # Frames from a to b enter a cable at its end a, those from b to a at its end b.
    for quality, end in ((link.forward, "a"), (link.backward, "b")):
        if quality.impairment:
            rate = quality.limit.bps if quality.limit else MACHINE_SPEED
            yield netem(FABRIC, getattr(cables[-1], end).device, quality.impairment, rate)
        if quality.limit:
            rate, device = quality.limit.bps, getattr(shaped, end).device
            yield Htb(FABRIC, device, rate, 0, leaf=True)
            yield queue_of(FABRIC, device, 1, quality, rate, round_trip(link))


def _cut(link: VirtualLink) -> int | None:
    """The largest packet that may cross a VL on one RM whole; None: any."""
    sizes = []
    for quality in (link.forward, link.backward):
        if quality.impairment.is_lossy:
            return FRAME
        if quality.limit:
            rate = quality.limit.bps
            sizes.append(gso_bytes(rate, declared_room(quality.queue, rate)))
    return min(sizes, default=None)


def impairing_cable(number: int, mtu: int) -> Veth:
    """The cable on which the impairments of the VL with that path act."""
    return _cable("d", 0x1A, number, mtu, 0)


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
