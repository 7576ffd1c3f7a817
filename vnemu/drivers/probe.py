"""What this kernel can do, found out by trying in a namespace that is thrown away."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

from vnemu.drivers import filters, limits, queues, tc
from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.bucket import bucket
from vnemu.drivers.namespaces import NamespaceMaker, NetworkNamespace
from vnemu.drivers.netem import netem
from vnemu.drivers.netlink import Request
from vnemu.errors import MissingCapability
from vnemu.model.overlay import Topology, VirtualLink
from vnemu.model.underlay import PhysicalLink, Underlay
from vnemu.model.words import in_words
from vnemu.plan.control import DEFAULTS, Bucket, Discipline, Netem, Queue

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
        tc.new_htb(1, 1, tc.size_table(0, 1448, 66)),
        tc.htb_class(1, 1, 0, 125_000, 125_000),
        queues.queue(1, 1, 30_000),
    ]


def _redirect(end: rt.End, other: int) -> list[Request]:
    return [tc.hook(1), filters.redirect(1, 1)]


def _bucket(end: rt.End, other: int) -> list[Request]:
    item = Bucket("", "lo", 1_000_000, 9999, 64, 1514)
    return [tc.hook(1, both_ways=True), filters.detour(1, 1), bucket(item, 1)]


def _block(end: rt.End, other: int) -> list[Request]:
    return [tc.hook(1), filters.block(1), filters.divert(1, 1, 2, 1, by_flow=True)]


def _queue(discipline: Discipline) -> Feature:
    settings = Queue("", "lo", 1, 30_000, discipline).settings
    asked = queues.queue(1, 1, 30_000, discipline, settings)
    module = f"sch_{discipline}"
    use = f"queues with the discipline {discipline}"
    return Feature(discipline, use, module, lambda end, other: [*_htb(end, other)[:-1], asked])


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
        "delay, jitter and loss of physical links; forwarding capacities",
        "ifb",
        lambda e, _: [rt.new_ifb(e)],
    ),
    Feature("tbf", "forwarding capacities", "sch_tbf", _bucket),
    Feature(
        "netem",
        "delay, jitter and loss",
        "sch_netem",
        lambda e, _: [netem(1, Netem("", "lo", 1_000_000, 1_000, 0.01, 1000))],
    ),
    Feature(
        "bpf", "cuts, failures, links over several paths, forwarding capacities", "cls_bpf", _block
    ),
    *(_queue(discipline) for discipline in DEFAULTS if discipline != "bfifo"),
)
BY_NAME = {feature.name: feature for feature in FEATURES}
_ALWAYS = ("veth", "htb", "redirect")


_there: set[Feature] = set()
"""What was found once; what is missing may be loaded at any time."""


def probe(names: Iterable[str] | None = None) -> dict[str, str]:
    """Try features in scratch namespaces: name -> empty, or why it is missing."""
    return {name: _missing(BY_NAME[name]) for name in (BY_NAME if names is None else names)}


def _missing(feature: Feature) -> str:
    if feature in _there:
        return ""
    maker = NamespaceMaker()
    try:
        why = _try(maker, feature)
    finally:
        maker.close()
    if not why:
        _there.add(feature)
    return why


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
    _require(needs(settle(topology)[0]))
    limits.require(topology.nodes.values())


def require_change(before: Topology, after: Topology) -> None:
    """Check the same of what a change at run time declares, before anything is touched.

    Raises:
        MissingCapability: as `require`.
    """
    needs: dict[str, str] = {}
    for name, line in _of_all(after, before):
        needs.setdefault(name, line)
    _require(needs)
    if before.nodes is not after.nodes:
        limits.require(
            node
            for path, node in after.nodes.items()
            if path not in before.nodes or node.resources != before.nodes[path].resources
        )


def _require(needs: dict[str, str]) -> None:
    missing = {name: why for name, why in probe(needs).items() if why}
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


def needs(topology: Topology) -> dict[str, str]:
    """The features a topology needs, each with the first line that needs it."""
    found = dict.fromkeys(_ALWAYS, "every lab")
    for name, line in _of_all(topology):
        found.setdefault(name, line)
    underlay = topology.underlay
    if underlay.links and underlay.tunnel == "auto":
        found.setdefault("vxlan", "virtual links between machines")
    elif underlay.links:
        line = f"{underlay.tunnel_written_at}: virtual links are to be {underlay.tunnel} tunnels"
        found.setdefault(underlay.tunnel, line)
    return found


def _of_all(topology: Topology, before: Topology | None = None) -> Iterator[tuple[str, str]]:
    """The features that a topology needs, each with what says so, but for those of `before`."""
    yield from _of_networks(topology, before)
    yield from _of_states(topology, before)
    yield from _of_capacities(topology, before)
    yield from _of_quality(topology, before)


def _of_states(topology: Topology, before: Topology | None = None) -> Iterator[tuple[str, str]]:
    """What cuts the VLs of nodes that do not run."""
    if before is None or before.nodes is not topology.nodes:
        for path, node in topology.nodes.items():
            if node.state != "running":
                yield "bpf", f"{path} is to be {node.state}"


def _of_capacities(topology: Topology, before: Topology | None = None) -> Iterator[tuple[str, str]]:
    """What limits what VRs forward."""
    if before is None or before.nodes is not topology.nodes:
        for path, node in topology.nodes.items():
            capacity = node.resources.forwarding
            if capacity is not None:
                line = f"{_at(node.resources.written_at)}{path}"
                for feature in ("ifb", "tbf", "bpf"):
                    yield feature, f"{line} is to have forwarding: {capacity}"


def _of_networks(topology: Topology, before: Topology | None = None) -> Iterator[tuple[str, str]]:
    """The features that networks need, but for those that are there `before`."""
    there = before.networks if before else {}
    for name, network in topology.networks.items():
        if name not in there and 6 in network.versions:
            yield "ipv6", f"network {name} has IPv6 (ipv6: false does without)"


def _of_quality(topology: Topology, before: Topology | None = None) -> Iterator[tuple[str, str]]:
    """The features that the links' qualities and faults need, each with the line that says so.

    Parameters:
        before: what is the same as here is left out.
    """
    underlay = topology.underlay
    if before is None or before.underlay is not underlay:
        for physical in underlay.links.values():
            yield from _of_physical(underlay, physical)
    for path, link in topology.links.items():
        old = before.links.get(path) if before else None
        if old is not link and not (old and _asks_as_before(old, link)):
            yield from _of_virtual(link)


def _asks_as_before(old: VirtualLink, new: VirtualLink) -> bool:
    """Whether at most rates differ, which every kernel has; by identity, for it must be quick."""
    return (
        old.forward.impairment is new.forward.impairment
        and old.backward.impairment is new.backward.impairment
        and old.forward.queue is new.forward.queue
        and old.backward.queue is new.backward.queue
        and old.cut is new.cut
        and old.paths is new.paths
    )


def _of_physical(underlay: Underlay, physical: PhysicalLink) -> Iterator[tuple[str, str]]:
    line = f"{_at(physical.written_at)}physical link {physical.name}"
    words = in_words(physical, lambda wire: wire.impairment)
    if words:
        yield "ifb", f"{line} has {words}"
        yield "netem", f"{line} has {words}"
    if physical.cut or underlay.has_failed(physical.name):
        yield "bpf", f"{line} is to fail"


def _of_virtual(link: VirtualLink) -> Iterator[tuple[str, str]]:
    for feature, words in _asked(link):
        yield feature, f"{_at(link.written_at)}virtual link {link.path} {words}"


def _asked(link: VirtualLink) -> Iterator[tuple[str, str]]:
    for quality in (link.forward, link.backward):
        if quality.impairment:
            yield "netem", f"has {in_words(link, lambda quality: quality.impairment)}"
        if quality.queue.discipline != "bfifo":
            yield quality.queue.discipline, f"has the queue {quality.queue}"
    if link.cut:
        yield "bpf", "is to be cut"
    if link.paths[1:]:
        yield "bpf", f"is aggregated over {len(link.paths)} paths"


def _at(written_at: str) -> str:
    return f"{written_at}: " if written_at else ""
