"""The objects of the kernel that vnemu makes, as frozen data.

Rates are in bit/s, sizes in bytes, delays in ns. Namespaces are named by what
they are: ``fabric``, ``rm:NAME`` and ``vr:NETWORK/NAME``.

An object's `key` tells it from all others; two objects with the same key are
the same thing with other properties. `RANK` is the order of creation, `IN_PLACE`
names the properties that the kernel can change while the object is in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar, Literal

from vnemu.model.overlay import Interface, IpAddress, IpNetwork
from vnemu.units import Rate

FABRIC = "fabric"

Key = tuple[object, ...]


def machine_namespace(machine: str) -> str:
    """The namespace of an RM."""
    return f"rm:{machine}"


def node_namespace(path: str) -> str:
    """The namespace of a VR or a host."""
    return f"vr:{path}"


@dataclass(frozen=True, slots=True)
class Namespace:
    """A network namespace and what its Router OS is set to before anything is in it."""

    name: str
    role: Literal["fabric", "machine", "router", "host"]
    RANK: ClassVar[int] = 0
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (0, self.name)

    def __str__(self) -> str:
        return f"namespace {self.name}"


@dataclass(frozen=True, slots=True)
class Port:
    """One end of a pair: a device in a namespace."""

    namespace: str
    device: str
    mac: bytes

    def __str__(self) -> str:
        return f"{self.namespace} {self.device}"


@dataclass(frozen=True, slots=True)
class Veth:
    """A pair of devices: what enters one end comes out of the other.

    Parameters:
        gso: largest segmentation-offload packet that either end sends, in bytes;
            larger ones are cut into frames. 0: as the kernel has it.
    """

    a: Port
    b: Port
    mtu: int
    gso: int = 0
    RANK: ClassVar[int] = 1
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"gso"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (1, self.a.namespace, self.a.device)

    def __str__(self) -> str:
        return f"veth {self.a} <-> {self.b}"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """One end of a tunnel: its outer side in an RM, its device in the fabric.

    Parameters:
        kind: the kernel's name of it; gretap is GRE that carries Ethernet frames.
        number: the tunnel's key (VXLAN's VNI).
        gso: largest segmentation-offload packet it takes, in bytes; larger ones
            are cut into frames before they are encapsulated.
        joins: whether segments that arrive together may go on as one packet.
    """

    device: str
    outer: str
    kind: Literal["gretap", "vxlan"]
    number: int
    local: IPv4Address
    remote: IPv4Address
    mac: bytes
    mtu: int
    gso: int
    joins: bool = True
    RANK: ClassVar[int] = 2
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"gso", "joins"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (2, self.device)

    def __str__(self) -> str:
        ends = f"{self.local} -> {self.remote}"
        return f"{self.kind} {self.number} {self.device} in {self.outer}: {ends}"


@dataclass(frozen=True, slots=True)
class Ifb:
    """An intermediate device, on which frames that arrived at a port are delayed."""

    namespace: str
    device: str
    mac: bytes
    mtu: int
    RANK: ClassVar[int] = 3
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (3, self.namespace, self.device)

    def __str__(self) -> str:
        return f"ifb {self.namespace} {self.device}"


@dataclass(frozen=True, slots=True)
class Address:
    """An address on a device."""

    namespace: str
    device: str
    interface: Interface
    RANK: ClassVar[int] = 5
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (4, self.namespace, self.device, self.interface)

    def __str__(self) -> str:
        return f"address {self.interface} on {self.namespace} {self.device}"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A permanent entry that saves the resolution of a neighbour's address."""

    namespace: str
    device: str
    address: IpAddress
    mac: bytes
    RANK: ClassVar[int] = 6
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"mac"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (5, self.namespace, self.device, self.address)

    def __str__(self) -> str:
        return f"neighbour {self.address} on {self.namespace} {self.device}"


@dataclass(frozen=True, slots=True)
class Route:
    """A route of a namespace."""

    namespace: str
    destination: IpNetwork
    via: IpAddress
    device: str
    RANK: ClassVar[int] = 7
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (6, self.namespace, self.destination)

    def __str__(self) -> str:
        return f"route {self.namespace} {self.destination} via {self.via} dev {self.device}"


@dataclass(frozen=True, slots=True)
class Htb:
    """The shaper of a device: its root and the class 1:1 that all of it passes.

    Parameters:
        rate: capacity in bit/s, of frames as the VRs sent them.
        overhead: bytes of encapsulation in front of each frame here.
        leaf: whether all traffic is one queue (class 1:1), or has a class per VL.
    """

    namespace: str
    device: str
    rate: int
    overhead: int
    leaf: bool
    RANK: ClassVar[int] = 4
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"rate"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (7, self.namespace, self.device)

    def __str__(self) -> str:
        return f"shaper {self.namespace} {self.device}: {Rate(self.rate)}"


@dataclass(frozen=True, slots=True)
class HtbClass:
    """The part of a shaped device that one VL has: assured `rate`, at most `ceil`, in bit/s."""

    namespace: str
    device: str
    minor: int
    rate: int
    ceil: int
    RANK: ClassVar[int] = 8
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"rate", "ceil"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (8, self.namespace, self.device, self.minor)

    def __str__(self) -> str:
        return (
            f"class {self.namespace} {self.device} 1:{self.minor:x}: "
            f"assured {Rate(self.rate)}, ceiling {Rate(self.ceil)}"
        )


@dataclass(frozen=True, slots=True)
class Queue:
    """Where the frames of a class wait: at most `limit` bytes of them."""

    namespace: str
    device: str
    minor: int
    limit: int
    RANK: ClassVar[int] = 9
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"limit"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (9, self.namespace, self.device, self.minor)

    def __str__(self) -> str:
        return f"queue {self.namespace} {self.device} 1:{self.minor:x}: {self.limit} bytes"


@dataclass(frozen=True, slots=True)
class Classifier:
    """What goes to the outer address `destination` belongs to class 1:`minor`."""

    namespace: str
    device: str
    destination: IPv4Address
    minor: int
    RANK: ClassVar[int] = 10
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (10, self.namespace, self.device, int(self.destination))

    def __str__(self) -> str:
        return f"filter {self.namespace} {self.device}: to {self.destination} -> 1:{self.minor:x}"


@dataclass(frozen=True, slots=True)
class Netem:
    """Delay and jitter (ns) and loss (fraction) for what leaves a device.

    Parameters:
        limit: room for as many packets.
    """

    namespace: str
    device: str
    delay: int
    jitter: int
    loss: float
    limit: int
    RANK: ClassVar[int] = 11
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"delay", "jitter", "loss", "limit"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (11, self.namespace, self.device)

    def __str__(self) -> str:
        return (
            f"netem {self.namespace} {self.device}: delay {self.delay / 1e6:g} ms"
            + (f" ± {self.jitter / 1e6:g} ms" if self.jitter else "")
            + f", loss {self.loss * 100:g}%"
        )


@dataclass(frozen=True, slots=True)
class Patch:
    """Every frame that arrives on `source` leaves by `target`."""

    namespace: str
    source: str
    target: str
    RANK: ClassVar[int] = 12
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"target"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (12, self.namespace, self.source)

    def __str__(self) -> str:
        return f"patch {self.namespace}: {self.source} -> {self.target}"


Object = (
    Namespace
    | Veth
    | Tunnel
    | Ifb
    | Address
    | Neighbour
    | Route
    | Htb
    | HtbClass
    | Queue
    | Classifier
    | Netem
    | Patch
)
