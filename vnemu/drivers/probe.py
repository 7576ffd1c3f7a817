"""What this kernel can do, found out by trying in a namespace that is thrown away."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

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


def _htb(end: rt.End, other: int) -> list[Request]:
    return [
        rt.set_up(1),
        rt.new_htb(1, 1, rt.size_table(0, 1448, 66)),
        rt.htb_class(1, 1, 0, 125_000, 125_000),
        rt.byte_queue(1, 1, 30_000),
    ]


def _redirect(end: rt.End, other: int) -> list[Request]:
    return [rt.new_ingress(1), rt.redirect(1, 1)]


FEATURES = (
    Feature("veth", "every link", "veth", _veth),
    Feature("vxlan", "virtual links between machines", "vxlan", _vxlan),
    Feature("htb", "rates, limits and guarantees", "sch_htb", _htb),
    Feature("redirect", "patches (ingress, u32, mirred)", "act_mirred", _redirect),
    Feature("ifb", "delay and loss of physical links", "ifb", lambda e, _: [rt.new_ifb(e)]),
    Feature(
        "netem", "delay and loss", "sch_netem", lambda e, _: [rt.netem(1, 1_000_000, 0.0, 1000)]
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
    namespace = maker.make("fabric")
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


def require(topology: Topology) -> None:
    """Check that this kernel has what `topology` declares, before anything is built.

    Raises:
        MissingCapability: naming the declared line, the feature and the way out.
    """
    needs = _needs(topology)
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
    for link in topology.underlay.links.values():
        if link.delay.amount or link.loss.amount:
            what = f"delay {link.delay}" if link.delay.amount else f"loss {link.loss}"
            line = f"{link.written_at}: physical link {link.name} has {what}"
            needs.setdefault("ifb", line)
            needs.setdefault("netem", line)
    if topology.underlay.links:
        needs.setdefault("vxlan", "virtual links between machines")
    return needs
