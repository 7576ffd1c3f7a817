"""Every kind of object, what it needs, and what it can become in place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from vnemu.plan.control import DEFAULTS, Discipline
from vnemu.plan.diff import Action
from vnemu.plan.objects import (
    FABRIC,
    Address,
    Block,
    Bucket,
    Classifier,
    Detour,
    Htb,
    HtbClass,
    Ifb,
    Namespace,
    Neighbour,
    Netem,
    Object,
    Patch,
    Port,
    Queue,
    Route,
    Tunnel,
    Veth,
)

REASON = ("test", "")
RM, RM2 = "rm:1", "rm:2"


def mac(number: int) -> bytes:
    return bytes((2, 0, 0, 0, 1, number))


def create(*items: Object) -> list[Action]:
    return [Action(REASON, None, item) for item in items]


NAMESPACES = [Namespace(FABRIC, "fabric"), Namespace(RM, "machine"), Namespace(RM2, "machine")]
ROUTER = Namespace("vr:a/r1", "router")
WIRE = Veth(Port(RM, "wire", mac(1)), Port(RM2, "wire", mac(2)), 9216)
VIF = Veth(Port(FABRIC, "vif", mac(3)), Port(ROUTER.name, "eth0", mac(4)), 1500)
UNPLUGGED = replace(VIF, carrier=False)
VIF2 = Veth(Port(FABRIC, "vif2", mac(5)), Port(ROUTER.name, "eth1", mac(6)), 1500)
WIRED = [*NAMESPACES, WIRE]
VIFS = [*NAMESPACES, ROUTER, VIF, VIF2]
WAYS = [
    Veth(Port(FABRIC, f"w{n}", mac(0x20 + n)), Port(ROUTER.name, f"w{n}", mac(0x30 + n)), 1500)
    for n in range(3)
]
LOCAL, REMOTE = IPv4Address("100.96.0.2"), IPv4Address("100.96.0.3")
TUNNEL = Tunnel("t1a", RM, "vxlan", 1, LOCAL, REMOTE, mac(7), 1500, 1514)
GRE = replace(TUNNEL, kind="gretap")
OTHER_GRE = replace(GRE, device="t2a", number=2, local=REMOTE, remote=LOCAL)
ON_WIRE = Address(RM, "wire", IPv4Interface("100.64.0.0/31"))
ON_VIF_4 = Address(ROUTER.name, "eth0", IPv4Interface("10.0.0.1/29"))
ON_VIF_6 = Address(ROUTER.name, "eth0", IPv6Interface("fd00::1/64"))
SHAPER = Htb(RM, "wire", 32_000_000, 50, leaf=False)
LEAF_SHAPER = Htb(FABRIC, "vif", 8_000_000, 0, leaf=True)
CLASS = HtbClass(RM, "wire", 0x11, 16_000_000, 32_000_000)
FAST_CLASS = replace(CLASS, rate=80_000_000_000, ceil=100_000_000_000)
QUEUE = Queue(RM, "wire", 0x11, 30_280)
CLASSIFIER = Classifier(RM, "wire", REMOTE, 0x11)
ROUTE_4 = Route(ROUTER.name, IPv4Network("10.9.0.0/16"), IPv4Address("10.0.0.2"), "eth0")
ROUTE_6 = Route(ROUTER.name, IPv6Network("fd00:9::/48"), IPv6Address("fd00::2"), "eth0")
ROUTED = [
    *VIFS,
    ON_VIF_4,
    ON_VIF_6,
    Address(ROUTER.name, "eth1", IPv4Interface("10.0.1.1/30")),
    Address(ROUTER.name, "eth1", IPv6Interface("fd00:1::1/64")),
]
OTHER_ROUTE_4 = replace(ROUTE_4, via=IPv4Address("10.0.1.2"), device="eth1")
OTHER_ROUTE_6 = replace(ROUTE_6, via=IPv6Address("fd00:1::2"), device="eth1")
DEFAULT_4 = replace(ROUTE_4, destination=IPv4Network("0.0.0.0/0"))
DEFAULT_6 = replace(ROUTE_6, destination=IPv6Network("::/0"))
NEIGHBOUR = Neighbour(RM, "wire", IPv4Address("100.64.0.1"), mac(2))
IFB = Ifb(RM, "ifb0", mac(8), 9216)
NETEM = Netem(RM, "ifb0", 10_000_000, 0, 0.01, 1000)
QUALITY = Netem(FABRIC, "vif", 3 * 10**9, 10**9, 0.5, 123_456)


FUNNEL = Ifb(FABRIC, "a~r1", mac(10), 1500)
DETOUR = Detour(FABRIC, "vif", FUNNEL.device)
BY_PACKET = Bucket(FABRIC, FUNNEL.device, 12_112_000, 37_850, least=1514, cut=1514)
BY_BIT = replace(BY_PACKET, rate=50_000_000, limit=156_250, least=0)
FAST = replace(BY_BIT, rate=10**11, cut=0)
JITTER = replace(NETEM, jitter=1_000_000)
MORE = {
    "bursts": replace(NETEM, loss=0.0, gilbert_elliott=(0.01, 0.2, 1.0, 0.001)),
    "correlated-loss": replace(NETEM, loss_correlation=0.25),
    "all": replace(NETEM, duplicate=0.01, corrupt=0.02, reorder=0.03),
    "normal": replace(JITTER, distribution="normal", delay_correlation=0.1),
    "pareto": replace(JITTER, distribution="pareto"),
    "paretonormal": replace(JITTER, distribution="paretonormal"),
}
PATCH = Patch(FABRIC, "vif", "vif2")
ONE_MORE = replace(PATCH, others=("w0",))
SPREAD = replace(PATCH, others=("w0", "w1", "w2"))


@dataclass(frozen=True)
class Case:
    """An object, what it needs, and what it can become in place."""

    name: str
    item: Object
    base: list[Object]
    changed: Object | None = None
    feature: str = ""


OTHERS = [discipline for discipline in DEFAULTS if discipline != "bfifo"]


def queue_case(discipline: Discipline) -> Case:
    options = {"target": 3_000_000, "interval": 30_000_000, "ecn": 1}
    known = dict(DEFAULTS[discipline])
    chosen = tuple((name, value) for name, value in options.items() if name in known)
    changed = replace(QUEUE, limit=200_000, discipline=discipline, options=chosen)
    item = replace(QUEUE, discipline=discipline)
    return Case(f"queue-{discipline}", item, [*WIRED, SHAPER, CLASS], changed, discipline)


def other_queue_case(discipline: Discipline) -> Case:
    changed = replace(QUEUE, discipline=discipline)
    return Case(f"queue-to-{discipline}", QUEUE, [*WIRED, SHAPER, CLASS], changed, discipline)


CASES = [
    Case("namespace-machine", Namespace("rm:3", "machine"), []),
    Case("namespace-router", ROUTER, []),
    Case("namespace-host", Namespace("vr:a/c1", "host"), []),
    Case(
        "veth-same-namespace",
        Veth(Port(FABRIC, "c1a", mac(1)), Port(FABRIC, "c1b", mac(2)), 1500),
        NAMESPACES,
    ),
    Case("veth-wire", WIRE, NAMESPACES),
    Case("veth-vif", VIF, [*NAMESPACES, ROUTER], replace(VIF, gso=1514)),
    Case("veth-carrier", VIF, [*NAMESPACES, ROUTER], UNPLUGGED),
    Case("veth-no-carrier", UNPLUGGED, [*NAMESPACES, ROUTER], VIF),
    Case("veth-all", VIF, [*NAMESPACES, ROUTER], replace(UNPLUGGED, gso=1514)),
    Case("tunnel", TUNNEL, WIRED, replace(TUNNEL, gso=9000, joins=False)),
    Case("tunnel-frame-by-frame", replace(TUNNEL, joins=False), WIRED, TUNNEL),
    Case("gre", GRE, WIRED, replace(GRE, gso=9000, joins=False), feature="gre"),
    Case("gre-large-key", replace(GRE, number=0xFFFFFF), WIRED, feature="gre"),
    Case("gre-second", GRE, [*WIRED, OTHER_GRE], feature="gre"),
    Case("tunnel-large-key", replace(TUNNEL, number=0xFFFFFF), WIRED),
    Case("address-4", ON_VIF_4, VIFS),
    Case("address-6", ON_VIF_6, VIFS),
    Case("address-31", ON_WIRE, WIRED),
    Case("address-loopback", Address(RM, "lo", IPv4Interface("100.96.0.2/32")), WIRED),
    Case("address-loopback-6", Address(ROUTER.name, "lo", IPv6Interface("fd00::9/128")), VIFS),
    Case("neighbour", NEIGHBOUR, [*WIRED, ON_WIRE], replace(NEIGHBOUR, mac=mac(9))),
    Case("route-4", ROUTE_4, ROUTED, replace(ROUTE_4, via=IPv4Address("10.0.0.3"))),
    Case("route-6", ROUTE_6, ROUTED, replace(ROUTE_6, via=IPv6Address("fd00::3"))),
    Case("route-4-device", ROUTE_4, ROUTED, OTHER_ROUTE_4),
    Case("route-6-device", ROUTE_6, ROUTED, OTHER_ROUTE_6),
    Case("route-default-4", DEFAULT_4, ROUTED, replace(DEFAULT_4, via=IPv4Address("10.0.0.3"))),
    Case("route-default-6", DEFAULT_6, ROUTED, replace(DEFAULT_6, via=IPv6Address("fd00::3"))),
    Case("htb", SHAPER, WIRED, replace(SHAPER, rate=320_000_000)),
    Case("htb-leaf", LEAF_SHAPER, VIFS, replace(LEAF_SHAPER, rate=80_000_000)),
    Case("htb-fast", replace(SHAPER, rate=100_000_000_000), WIRED, SHAPER),
    Case("class", CLASS, [*WIRED, SHAPER], replace(CLASS, rate=30_000_000)),
    Case("class-64-bit", FAST_CLASS, [*WIRED, SHAPER], CLASS),
    Case("class-least", replace(CLASS, rate=1000), [*WIRED, SHAPER], CLASS),
    Case("queue", QUEUE, [*WIRED, SHAPER, CLASS], replace(QUEUE, limit=100_000)),
    Case(
        "queue-leaf",
        Queue(FABRIC, "vif", 1, 30_280),
        [*VIFS, LEAF_SHAPER],
        Queue(FABRIC, "vif", 1, 60_000),
    ),
    Case("classifier", CLASSIFIER, [*WIRED, SHAPER, CLASS]),
    *(queue_case(discipline) for discipline in OTHERS),
    *(other_queue_case(discipline) for discipline in OTHERS),
    Case("patch", PATCH, VIFS, Patch(FABRIC, "vif", "vif")),
    Case("patch-of-a-port", Patch(RM, "wire", "lo"), WIRED, Patch(RM, "wire", "wire")),
    Case("patch-spread", SPREAD, [*VIFS, *WAYS], PATCH, feature="bpf"),
    Case("patch-to-spread", PATCH, [*VIFS, *WAYS], SPREAD, feature="bpf"),
    Case("patch-more-ways", ONE_MORE, [*VIFS, *WAYS], SPREAD, feature="bpf"),
    Case(
        "patch-by-packet",
        replace(SPREAD, spread="packet"),
        [*VIFS, *WAYS],
        replace(SPREAD, target="w2", others=("vif2",)),
        feature="bpf",
    ),
    Case("block", Block(FABRIC, "vif"), VIFS, feature="bpf"),
    Case("block-of-a-port", Block(RM, "wire"), WIRED, feature="bpf"),
    Case("block-beside-a-patch", Block(FABRIC, "vif"), [*VIFS, *WAYS, SPREAD], feature="bpf"),
    Case("patch-beside-a-block", SPREAD, [*VIFS, *WAYS, Block(FABRIC, "vif")], PATCH, "bpf"),
    Case("ifb", IFB, WIRED, feature="ifb"),
    Case("detour", DETOUR, [*VIFS, FUNNEL], feature="ifb"),
    Case("detour-beside-a-patch", DETOUR, [*VIFS, FUNNEL, PATCH], feature="ifb"),
    Case("detour-beside-a-block", DETOUR, [*VIFS, FUNNEL, Block(FABRIC, "vif")], feature="ifb"),
    Case("patch-beside-a-detour", PATCH, [*VIFS, FUNNEL, DETOUR], feature="ifb"),
    Case("bucket-by-packet", BY_PACKET, [*VIFS, FUNNEL], BY_BIT, feature="tbf"),
    Case(
        "bucket-by-bit",
        BY_BIT,
        [*VIFS, FUNNEL],
        replace(BY_BIT, rate=10_000_000, least=64),
        feature="tbf",
    ),
    Case("bucket-fast", FAST, [*VIFS, FUNNEL], replace(FAST, rate=10**10), feature="tbf"),
    Case("netem", NETEM, [*WIRED, IFB], replace(NETEM, delay=20_000_000), feature="netem"),
    Case("netem-jitter", QUALITY, VIFS, replace(QUALITY, jitter=0), feature="netem"),
    Case("netem-loss", replace(QUALITY, loss=1.0), VIFS, QUALITY, feature="netem"),
    *(Case(f"netem-{name}", NETEM, [*WIRED, IFB], item, "netem") for name, item in MORE.items()),
    *(Case(f"netem-no-{name}", item, [*WIRED, IFB], NETEM, "netem") for name, item in MORE.items()),
    Case("netem-room", QUALITY, VIFS, replace(QUALITY, limit=2**31 - 1), feature="netem"),
]
