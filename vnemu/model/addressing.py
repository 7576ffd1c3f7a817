"""Addresses, settled before anything exists: the same file gives the same addresses.

From a network's pools, link number i (declared links first, then the hosts'
access links, from 0) takes the i-th /30 of the IPv4 pool's lower half and the
(i+1)-th /64 of the IPv6 pool; router number n (from 1) takes the n-th address
of the IPv4 pool's upper half and of the IPv6 pool's first /64 as its loopback.
Two networks may use the same pools: they never meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import (
    IPv4Interface,
    IPv4Network,
    IPv6Interface,
    IPv6Network,
)

from vnemu.model.overlay import Interface, IpNetwork

DEFAULT_IPV4 = IPv4Network("10.0.0.0/16")
DEFAULT_IPV6 = IPv6Network("fd00::/48")
SHORTEST_IPV4_POOL = 28
SHORTEST_IPV6_POOL = 56


@dataclass(frozen=True)
class Pools:
    """The address pools of one network; None: it does without that IP version."""

    ipv4: IPv4Network | None
    ipv6: IPv6Network | None

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions in use."""
        return tuple(v for v, pool in ((4, self.ipv4), (6, self.ipv6)) if pool is not None)

    def room(self) -> tuple[int, int]:
        """How many links and routers fit."""
        links = routers = 1 << 30
        if self.ipv4 is not None:
            half = self.ipv4.num_addresses // 2
            links, routers = half // 4, half - 2
        if self.ipv6 is not None:
            links = min(links, (1 << (64 - self.ipv6.prefixlen)) - 1)
        return links, routers

    def link_subnets(self, number: int) -> list[IpNetwork]:
        """The subnets of link `number`."""
        subnets: list[IpNetwork] = []
        if self.ipv4 is not None:
            subnets.append(IPv4Network((int(self.ipv4.network_address) + 4 * number, 30)))
        if self.ipv6 is not None:
            base = int(self.ipv6.network_address) + ((number + 1) << 64)
            subnets.append(IPv6Network((base, 64)))
        return subnets

    def loopbacks(self, number: int) -> tuple[Interface, ...]:
        """The loopback addresses of router `number` (from 1)."""
        found: list[Interface] = []
        if self.ipv4 is not None:
            base = int(self.ipv4.network_address) + self.ipv4.num_addresses // 2
            found.append(IPv4Interface((base + number, 32)))
        if self.ipv6 is not None:
            found.append(IPv6Interface((int(self.ipv6.network_address) + number, 128)))
        return tuple(found)


def ends(subnets: list[IpNetwork]) -> tuple[tuple[Interface, ...], tuple[Interface, ...]]:
    """The addresses of a link's two ends: the first and the second of each subnet."""

    def end(net: IpNetwork, offset: int) -> Interface:
        # A /31 (RFC 3021) or /127 (RFC 6164) has no address to leave out.
        value = int(net.network_address) + offset - (net.num_addresses == 2)
        kind = IPv4Interface if net.version == 4 else IPv6Interface
        return kind((value, net.prefixlen))

    return tuple(end(net, 1) for net in subnets), tuple(end(net, 2) for net in subnets)


def nic_mac(network: int, node: int, nic: int) -> bytes:
    """A locally administered MAC address from the numbers of a NIC."""
    return bytes((0x02, network & 0xFF, node >> 8 & 0xFF, node & 0xFF, nic >> 8 & 0xFF, nic & 0xFF))
