"""Sizes that follow from a rate or from the kind of a tunnel."""

from __future__ import annotations

from typing import Literal

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
_GSO_RATE = 250_000_000
_GSO_MOST = 65536


def tunnel_kind(declared: Literal["auto", "gre", "vxlan"]) -> TunnelKind:
    """The device for a declared tunnel; while nothing was settled (``auto``), VXLAN."""
    return "gretap" if declared == "gre" else "vxlan"


def queue_bytes(rate: int) -> int:
    """Room for 25 ms at `rate` bit/s, and for 16 full frames at least."""
    return max(_QUEUE_LEAST, int(rate * _QUEUE_SECONDS / 8))


def gso_bytes(rate: int) -> int:
    """The largest packet that may cross a link of `rate` bit/s uncut.

    A link that takes long for a large packet gets single frames, and is shared
    smoothly; a fast one keeps the speed of large packets. There is nothing in
    between: the kernel cuts a packet that is too large into single frames, and many
    of those at once overrun the queue between two namespaces (1000 packets).
    """
    return _GSO_MOST if rate >= _GSO_RATE else FRAME
