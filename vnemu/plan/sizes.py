"""Sizes that follow from a rate or from the kind of a tunnel."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

from vnemu.model.quality import Queue
from vnemu.units import Duration

VR_MTU = 1500
"""Bytes of the largest packet that a VR sends."""
FRAME = 1514
"""Bytes of a full Ethernet frame."""
TunnelKind = Literal["gretap", "vxlan"]
OVERHEAD: dict[TunnelKind, int] = {"gretap": 42, "vxlan": 50}
"""Bytes a tunnel puts in front of a frame.

They are the outer Ethernet and IPv4 headers (34), and GRE with a key (8: RFC 2784,
RFC 2890), or UDP and VXLAN (16: RFC 7348).
"""

_QUEUE_SECONDS = 0.025
_QUEUE_LEAST = 16 * FRAME
_QUEUE_MOST = 2**31 - 1
_GSO_RATE = 250_000_000
_GSO_MOST = 65536
_GSO_FIT = 8


def tunnel_kind(declared: Literal["auto", "gre", "vxlan"]) -> TunnelKind:
    """The device for a declared tunnel; while nothing was settled (``auto``), VXLAN."""
    return "gretap" if declared == "gre" else "vxlan"


@lru_cache(maxsize=1024)
def queue_bytes(rate: int, round_trip: Duration = Duration(0)) -> int:
    """Room for 25 ms at `rate` bit/s, or for a round trip if that is longer.

    A queue shorter than rate x round trip keeps one TCP flow from filling the link
    (C. Villamizar and C. Song, High performance TCP in ANSNET, CCR 24, 1994). There is
    room for 16 full frames at least.
    """
    seconds = max(_QUEUE_SECONDS, round_trip.seconds)
    return min(max(_QUEUE_LEAST, int(rate * seconds / 8)), _QUEUE_MOST)


def declared_room(queue: Queue, rate: int) -> int | None:
    """The bytes that were declared for the queue of a link of `rate` bit/s; None: no word of it."""
    if queue.size is not None:
        return queue.size.bytes
    if queue.time is None:
        return None
    return min(max(2 * FRAME, int(rate * queue.time.seconds / 8)), _QUEUE_MOST)


def gso_bytes(rate: int, queue: int | None = None) -> int:
    """The largest packet that may cross a link of `rate` bit/s uncut.

    A link that takes long for a large packet gets single frames, and is shared
    smoothly; a fast one keeps the speed of large packets, unless few of them would
    fit into its queue of `queue` bytes. There is nothing in between: the kernel cuts a
    packet that is too large into single frames, and many of those at once overrun the
    queue between two namespaces (1000 packets).
    """
    is_short = queue is not None and queue < _GSO_FIT * _GSO_MOST
    return FRAME if is_short or rate < _GSO_RATE else _GSO_MOST
