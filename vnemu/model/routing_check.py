"""Rules between what is asked for of routing and what protocols and Router OSs can do.

What is asked for is done or refused: an option of a network is used by one of its VRs at
least, an option of a VR by that VR.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from vnemu.model.addressing import Pools
from vnemu.model.ends import loopbacks_of
from vnemu.model.router_os import daemon_of, merged, router_id, timers
from vnemu.model.routing import ZERO, Protocol
from vnemu.model.routing_limits import BFD, BFD_INTERVAL, COSTS, LACKING, PATIENCE, TIMERS
from vnemu.schema.routing import SILENT, BfdDoc, Daemon, RouterRoutingDoc, RoutingDoc
from vnemu.schema.topology import NetworkDoc, RouterDoc, VirtualLinkDoc
from vnemu.units import Duration

Path = tuple[str | int, ...]
Report = Callable[[Path, str, str], None]
_OPTIONS = (*TIMERS, "bfd", "area", "cost", "as_number", "daemon")
_OF_TEXT = (*TIMERS, "bfd", "cost")
"""Options that only our own text makes true."""


@dataclass(frozen=True)
class _Router:
    """What holds for a VR, and where it was written."""

    name: str
    doc: RouterRoutingDoc
    own: RoutingDoc | None
    where: Path

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        return self.doc.protocols

    @property
    def daemon(self) -> Daemon:
        return daemon_of(self.doc)

    @property
    def is_dynamic(self) -> bool:
        return SILENT.isdisjoint(self.protocols)

    def has(self, key: str) -> bool:
        """Whether the VR itself says it, not its network."""
        return self.own is not None and getattr(self.own, key) is not None

    def place(self, key: str) -> Path:
        """Where an option was written: at the VR, or for its network."""
        written = "as" if key == "as_number" else key
        if self.has(key):
            return (*self.where, "routers", self.name, "routing", written)
        return (*self.where, "routing", written)


def check_routing(network: NetworkDoc, own: Pools, where: Path, report: Report) -> None:
    """Report all that is wrong with the routing of a network."""
    told: set[tuple[Path, str]] = set()

    def once(path: Path, message: str, hint: str) -> None:
        if (path, message) not in told:
            told.add((path, message))
            report(path, message, hint)

    routers = {
        name: _Router(name, merged(network, name), doc.routing, where)
        for name, doc in network.routers.items()
    }
    for router in routers.values():
        _check_router(router, once)
    _check_use(network.routing, routers, where, once)
    _check_ids(routers, network.routers, own, once)
    for index, link in enumerate(network.links):
        ends = [routers[end] for end in link.endpoints if end in routers]
        if len(ends) == 2 and ends[0] is not ends[1]:
            _check_link(link, ends[0], ends[1], (*where, "links", index), once)


def _check_router(router: _Router, report: Report) -> None:
    path = router.place("protocol")
    protocols = router.protocols
    if len(set(protocols)) < len(protocols):
        report(path, "protocol: names one twice", "")
    if len(protocols) > 1 and not router.is_dynamic:
        hint = "leave out static and none: links to such routers are announced anyway"
        report(path, "static and none stand alone, not in a list", hint)
        return
    for pair in _pairs(router):
        if pair in LACKING:
            other = "frr" if router.daemon == "bird" else "bird"
            where = router.place("daemon" if router.doc.daemon else "protocol")
            report(where, LACKING[pair], f"take daemon: {other}")
            return
    _check_timers(router, report)
    _check_bfd(router, report)
    _check_cost(router, report)
    if router.doc.config is not None:
        for key in _OF_TEXT:
            if router.has(key):
                hint = "take it away, or make config: a template:"
                report(router.place(key), f"{router.name}'s own configuration says that", hint)


def _pairs(router: _Router) -> list[tuple[Protocol, Daemon]]:
    return [(protocol, router.daemon) for protocol in router.protocols]


def _check_timers(router: _Router, report: Report) -> None:
    for timer, ranges in TIMERS.items():
        value: Duration | None = getattr(router.doc, timer)
        for pair in _pairs(router):
            if value is not None and pair in ranges:
                refusal = ranges[pair].refusal(value)
                if refusal:
                    words = f"{timer}: {value} cannot be: with {pair[0]} in {pair[1]} it {refusal}"
                    report(router.place(timer), words, "")
    settled = timers(router.doc)
    for protocol, often, patience in PATIENCE:
        if protocol not in router.protocols:
            continue
        short, long = settled.of(protocol, often), settled.of(protocol, patience)
        key = patience if getattr(router.doc, patience) is not None else often
        if long <= short:
            words = f"{patience}: {long} is not longer than {often}: {short} ({protocol})"
            hint = f"{patience} is usually {3 if protocol == 'bgp' else 4} times {often}"
            report(router.place(key), words, hint)
        elif protocol == "isis" and (
            long.amount % short.amount or long.amount > 100 * short.amount
        ):
            words = f"{patience}: {long} is not 2 to 100 times {often}: {short} (isis)"
            report(router.place(key), words, "")


def _check_bfd(router: _Router, report: Report) -> None:
    bfd = router.doc.bfd
    if isinstance(bfd, BfdDoc):
        refusal = BFD_INTERVAL.refusal(bfd.interval)
        if refusal:
            report((*router.place("bfd"), "interval"), f"the interval of bfd {refusal}", "")


def _check_cost(router: _Router, report: Report) -> None:
    if router.doc.cost is not None:
        for pair in _pairs(router):
            _check_range(router.doc.cost, pair, router.place("cost"), report)


def _check_range(cost: int, pair: tuple[Protocol, Daemon], path: Path, report: Report) -> None:
    most = COSTS.get(pair)
    if most is not None and cost > most:
        report(path, f"cost: {cost} is more than {pair[0]} has: {most}", "")


def _uses(router: _Router, key: str) -> bool:
    """Whether an option does anything at a VR."""
    pairs = _pairs(router)
    if key == "bfd":
        return router.doc.bfd is False or any(pair in BFD for pair in pairs)
    if key == "cost":
        return any(pair in COSTS for pair in pairs)
    if key == "area":
        return "ospf" in router.protocols
    if key == "as_number":
        return "bgp" in router.protocols
    if key in ("daemon", "id"):
        return router.is_dynamic or bool(router.doc.config or router.doc.template)
    return any(pair in TIMERS[key] for pair in pairs)  # type: ignore[index]


def _check_use(
    network: RoutingDoc, routers: dict[str, _Router], where: Path, report: Report
) -> None:
    """No option is without effect."""
    for key in _OPTIONS:
        heirs = [router for router in routers.values() if not router.has(key)]
        if getattr(network, key) is None or any(_uses(router, key) for router in heirs):
            continue
        written = "as" if key == "as_number" else key
        spoken = RouterRoutingDoc.model_validate({}).over(network)
        words = f"{written}: is of no use with {_spoken(spoken)}"
        report((*where, "routing", written), words, _of_use(key))
    for router in routers.values():
        for key in (*_OPTIONS, "id"):
            if router.has(key) and not _uses(router, key):
                written = "as" if key == "as_number" else key
                words = f"{written}: is of no use with {_spoken(router.doc)}"
                report(router.place(key), words, _of_use(key))


def _spoken(doc: RouterRoutingDoc) -> str:
    protocols = " and ".join(doc.protocols)
    if SILENT.isdisjoint(doc.protocols):
        return f"{protocols} in {daemon_of(doc)}"
    return protocols


def _of_use(key: str) -> str:
    if key in ("daemon", "id"):
        return "nothing runs in such a router"
    if key in ("area", "as_number"):
        return f"it is for {'ospf' if key == 'area' else 'bgp'}"
    table = {"bfd": BFD, "cost": COSTS}.get(key) or TIMERS[key]  # type: ignore[index]
    of_both = sorted({p for p, _ in table if {(p, "bird"), (p, "frr")} <= set(table)})
    of_one = sorted(f"{p} in {d}" for p, d in table if p not in of_both)
    return f"it is for {', '.join([*of_both, *of_one])}"


def _check_ids(
    routers: dict[str, _Router], docs: Mapping[str, RouterDoc], own: Pools, report: Report
) -> None:
    taken: dict[IPv4Address, str] = {}
    for number, router in enumerate(routers.values(), 1):
        identifier = router.doc.id or router_id(
            number, loopbacks_of(docs[router.name], number, own)
        )
        if identifier in taken and router.is_dynamic:
            words = f"router {taken[identifier]} has the ID {identifier}, too"
            path = router.place("id") if router.has("id") else (*router.where, "routers")
            report(path, words, "an ID is unique in its network")
        taken.setdefault(identifier, router.name)


def _check_link(link: VirtualLinkDoc, a: _Router, b: _Router, where: Path, report: Report) -> None:
    common = [p for p in a.protocols if p in b.protocols]
    if link.cost is not None:
        pairs = [(p, end.daemon) for p in common for end in (a, b)]
        for pair in pairs:
            _check_range(link.cost, pair, (*where, "cost"), report)
        if not any(pair in COSTS for pair in pairs):
            report((*where, "cost"), "no protocol of both ends has a cost", _of_use("cost"))
    if "ospf" in common:
        _check_neighbours(link, a, b, where, report)
    elif link.area is not None:
        report((*where, "area"), "its ends do not both speak OSPF", "")


def _check_neighbours(
    link: VirtualLinkDoc, a: _Router, b: _Router, where: Path, report: Report
) -> None:
    """OSPF neighbours agree on their area and timers (RFC 2328, 10.5), or never meet."""
    areas = [end.doc.area or ZERO for end in (a, b)]
    if link.area is None and areas[0] != areas[1]:
        words = f"{a.name} is in area {areas[0]}, {b.name} in {areas[1]}"
        report(where, words, "give the link an area:")
    for name, one, other in _differing(a, b):
        words = f"{name}: is {one} at {a.name}, but {other} at {b.name}: they would never meet"
        later = b if b.has(name) else a
        report(later.place(name), words, "OSPF neighbours have the same")


def _differing(a: _Router, b: _Router) -> Iterator[tuple[str, Duration, Duration]]:
    if a.doc.config is not None or b.doc.config is not None:
        return
    for timer in ("hello", "dead"):
        one, other = (timers(end.doc).of("ospf", timer) for end in (a, b))
        if one != other:
            yield timer, one, other
