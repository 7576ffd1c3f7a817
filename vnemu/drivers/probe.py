"""What this kernel can do, found out by trying in a namespace that is thrown away."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.namespaces import NamespaceMaker, NetworkNamespace
from vnemu.drivers.netlink import Request
from vnemu.errors import MissingCapability
from vnemu.model.overlay import Topology

_MAC = bytes((2, 0, 0, 0, 0, 1))


@dataclass(frozen=True)
class Feature:
    """Something a kernel may lack.

    Parameters:
        needed_for: what in vnemu uses it.
        module: the kernel module that has it.
    """

    name: str
    needed_for: str
    module: str
    requests: Callable[[rt.End, int], list[Request]]


def _end(namespace: NetworkNamespace, device: str) -> rt.End:
    return rt.End(namespace.fd, namespace.new_index(device), device, _MAC, 1500)


def _veth(end: rt.End, other: int) -> list[Request]:
    far = rt.End(end.namespace_fd, other, "probe-far", bytes((2, 0, 0, 0, 0, 2)), 1500)
    return [rt.new_veth(end, far)]


def _vxlan(end: rt.End, other: int) -> list[Request]:
    return [rt.new_vxlan(end, 1, IPv4Address("100.96.0.1"), IPv4Address("100.96.0.2"))]


def _gre(end: rt.End, other: int) -> list[Request]:
    tunnel = rt.new_gretap(end, 1, 1, IPv4Address("100.96.0.1"), IPv4Address("100.96.0.2"))
    return [rt.number_namespace(end.namespace_fd, 1), tunnel]


def _htb(end: rt.End, other: int) -> list[Request]:
    return [
        rt.set_up(1),
        rt.new_htb(1, 1, rt.size_table(0, 1448, 66)),
        rt.htb_class(1, 1, 0, 125_000, 125_000),
        rt.byte_queue(1, 1, 30_000),
    ]


def _redirect(end: rt.End, other: int) -> list[Request]:
    return [rt.new_ingress(1), rt.redirect(1, 1)]


def _ipv6(end: rt.End, other: int) -> list[Request]:
    return [rt.set_up(1), rt.new_address(1, IPv6Address("fd00::1"), 128)]


FEATURES = (
    Feature("veth", "every link", "veth", _veth),
    Feature("ipv6", "networks with IPv6 addresses", "ipv6", _ipv6),
    Feature("gre", "virtual links between machines (tunnel: gre)", "ip_gre", _gre),
    Feature("vxlan", "virtual links between machines", "vxlan", _vxlan),
    Feature("htb", "rates, limits and guarantees", "sch_htb", _htb),
    Feature("redirect", "patches (ingress, u32, mirred)", "act_mirred", _redirect),
    Feature(
        "ifb",
        "delay, jitter and loss of physical links",
        "ifb",
        lambda e, _: [rt.new_ifb(e)],
    ),
    Feature(
        "netem",
        "delay, jitter and loss",
        "sch_netem",
        lambda e, _: [rt.netem(1, 1_000_000, 1_000, 0.01, 1000)],
    ),
)
BY_NAME = {feature.name: feature for feature in FEATURES}
_ALWAYS = ("veth", "htb", "redirect")


def probe(names: list[str] | None = None) -> dict[str, str]:
    """Try features in scratch namespaces: name -> empty, or why it is missing."""
    maker = NamespaceMaker()
    try:
        return {name: _try(maker, BY_NAME[name]) for name in names or BY_NAME}
    finally:
        maker.close()


def _try(maker: NamespaceMaker, feature: Feature) -> str:
    namespace = maker.make("router")
    try:
        end = _end(namespace, "probe")
        requests = feature.requests(end, namespace.new_index("probe-far"))
        refusals = namespace.socket.send(requests)
    finally:
        namespace.close()
    if not refusals:
        return ""
    first = refusals[0]
    return first.detail or errno.errorcode.get(first.errno, str(first.errno))


def settle(topology: Topology) -> tuple[Topology, str]:
    """Choose what `tunnel: auto` leaves open: GRE where this kernel has it, else VXLAN.

    Returns:
        The topology, and what was chosen and why; empty if nothing was open.
    """
    underlay = topology.underlay
    if underlay.tunnel != "auto" or not underlay.links:
        return topology, ""
    missing = probe(["gre", "vxlan"])
    if missing["gre"] and missing["vxlan"]:
        return topology, ""
    kind: Literal["gre", "vxlan"] = "vxlan" if missing["gre"] else "gre"
    why = f"has no gre: {missing['gre']}" if missing["gre"] else "has it"
    text = f"tunnel: auto chose {kind}, since this kernel {why}"
    return replace(topology, underlay=replace(underlay, tunnel=kind)), text


def require(topology: Topology) -> None:
    """Check that this kernel has what `topology` declares, before anything is built.

    Raises:
        MissingCapability: naming the declared line, the feature and the way out.
    """
    needs = _needs(settle(topology)[0])
    missing = {name: why for name, why in probe(list(needs)).items() if why}
    if missing:
        lines = [
            f"{needs[name]}: this kernel has no {name} ({why})" for name, why in missing.items()
        ]
        modules = " ".join(BY_NAME[name].module for name in missing)
        raise MissingCapability(
            "\n".join(lines),
            f"load it with 'sudo modprobe -a {modules}' or use a kernel that has it; "
            "'vnemu doctor' shows what this one can do",
        )


def _needs(topology: Topology) -> dict[str, str]:
    """The features a topology needs, each with the first line that needs it."""
    needs = dict.fromkeys(_ALWAYS, "every lab")
    six = next((n for n in topology.networks.values() if 6 in n.versions), None)
    if six is not None:
        needs["ipv6"] = f"network {six.name} has IPv6 (ipv6: false does without)"
    for physical in topology.underlay.links.values():
        if physical.impairment:
            line = f"{physical.written_at}: physical link {physical.name} has {physical.impairment}"
            needs.setdefault("ifb", line)
            needs.setdefault("netem", line)
    for link in topology.links.values():
        if link.impairment:
            line = f"{link.written_at}: virtual link {link.path} has {link.impairment}"
            needs.setdefault("netem", line)
    underlay = topology.underlay
    if underlay.links and underlay.tunnel == "auto":
        needs.setdefault("vxlan", "virtual links between machines")
    elif underlay.links:
        line = f"{underlay.tunnel_written_at}: virtual links are to be {underlay.tunnel} tunnels"
        needs.setdefault(underlay.tunnel, line)
    return needs
