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
from vnemu.plan.control import (
    Block,
    Bucket,
    Classifier,
    Detour,
    Discipline,
    Distribution,
    Htb,
    HtbClass,
    Key,
    Netem,
    Patch,
    Queue,
)

__all__ = [
    "FABRIC",
    "Address",
    "Block",
    "Bucket",
    "Classifier",
    "Detour",
    "Discipline",
    "Distribution",
    "Htb",
    "HtbClass",
    "Ifb",
    "Key",
    "Namespace",
    "Neighbour",
    "Netem",
    "Object",
    "Patch",
    "Port",
    "Queue",
    "Route",
    "Tunnel",
    "Veth",
    "Waiting",
    "machine_namespace",
    "node_namespace",
]

FABRIC = "fabric"
NODES = "vr:"
"""How the names of the namespaces of VRs and hosts begin."""


def machine_namespace(machine: str) -> str:
    """The namespace of an RM."""
    return f"rm:{machine}"


def node_namespace(path: str) -> str:
    """The namespace of a VR or a host."""
    return f"{NODES}{path}"


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
        carrier: False: end `a` is down, so that end `b` sees no carrier.
    """

    a: Port
    b: Port
    mtu: int
    gso: int = 0
    carrier: bool = True
    RANK: ClassVar[int] = 1
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"gso", "carrier"})

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
    """An intermediate device: frames that come to a device, or leave by one, wait on it."""

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
    IN_PLACE: ClassVar[frozenset[str]] = frozenset({"via", "device"})

    @property
    def key(self) -> Key:
        """Tells it from all other objects."""
        return (6, self.namespace, self.destination)

    def __str__(self) -> str:
        return f"route {self.namespace} {self.destination} via {self.via} dev {self.device}"


Object = (
    Namespace
    | Veth
    | Tunnel
    | Ifb
    | Address
    | Neighbour
    | Route
    | Htb
    | Bucket
    | HtbClass
    | Queue
    | Classifier
    | Netem
    | Patch
    | Block
    | Detour
)
Waiting = Queue | Netem | Bucket
"""Where frames wait."""
