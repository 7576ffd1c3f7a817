"""The ends of a link as a file can say them: names of NICs, and their addresses."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from vnemu.schema.fields import Strict

NIC_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$"
"""What Linux takes for the name of a device (dev_valid_name), less what scripts trip over."""
_NIC = re.compile(NIC_PATTERN)
_OF_TUNNELS = ["gre0", "gretap0", "erspan0", "sit0", "tunl0", "ip6tnl0", "ip6gre0"]
_OF_THE_KERNEL = frozenset(["lo", "all", "default", *_OF_TUNNELS, "ip_vti0", "ip6_vti0"])
"""Names that a new network namespace may have taken already, or that sysctl(8) keeps."""


def check_nic_name(text: str) -> str:
    """Return `text` if a NIC can have that name.

    Raises:
        ValueError: if it cannot.
    """
    if not _NIC.fullmatch(text):
        raise ValueError(
            f"'{text[:40]}' is not the name of a NIC: it has 1 to 15 letters, digits, "
            "'_', '.' and '-', and begins with a letter, a digit or '_'"
        )
    if text in _OF_THE_KERNEL:
        raise ValueError(f"'{text}' is a name that the kernel keeps for itself: take another")
    return text


def _interface(value: Any) -> Any:
    needed = "an address with its prefix length, like 192.0.2.1/30 or 2001:db8::1/64"
    if not isinstance(value, str) or "/" not in value:
        raise ValueError(f"write {needed}")
    try:
        interface = ipaddress.ip_interface(value)
    except ValueError:
        raise ValueError(f"'{value[:50]}' is none: write {needed}") from None
    wrong = _unusable(interface)
    if wrong:
        raise ValueError(f"'{value}' is {wrong}: write {needed}")
    return interface


def _unusable(interface: ipaddress.IPv4Interface | ipaddress.IPv6Interface) -> str:
    address, network = interface.ip, interface.network
    if address.is_multicast or address.is_unspecified or address.is_loopback:
        return "no address that a NIC can have"
    if isinstance(interface, ipaddress.IPv4Interface) and network.num_addresses > 2:
        if address == network.network_address:
            return f"the name of the prefix {network} itself"
        if address == network.broadcast_address:
            return f"the broadcast address of {network}"
    return ""


NicName = Annotated[
    str, AfterValidator(check_nic_name), Field(json_schema_extra={"pattern": NIC_PATTERN})
]
InterfaceAddress = Annotated[
    ipaddress.IPv4Interface | ipaddress.IPv6Interface,
    BeforeValidator(_interface),
    WithJsonSchema({"type": "string"}),
]


class EndDoc(Strict):
    """One end of a link."""

    nic: NicName | None = Field(
        None, description="the NIC there, as its node sees it; default: eth0, eth1, … by number"
    )
    addresses: list[InterfaceAddress] | None = Field(
        None, description="all that the NIC has, in place of those from the network's pools"
    )
