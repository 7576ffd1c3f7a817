"""From what a topology file says of a VR's routing to its Router OS, all defaults settled."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address

from vnemu.model.overlay import Interface
from vnemu.model.routing import ZERO, Bfd, Daemon, OwnText, RouterOs, Timers
from vnemu.schema.load import Loaded
from vnemu.schema.routing import BfdDoc, RouterRoutingDoc
from vnemu.schema.topology import NetworkDoc, TopologyDoc

# The numbers for private use: RFC 6996.
_FIRST_AS, _LAST_AS = 64512, 65534
_FIRST_LONG_AS = 4_200_000_000


def merged(network: NetworkDoc, router: str) -> RouterRoutingDoc:
    """What is said of a router's routing, by its own keys and those of its network."""
    own = network.routers[router].routing or RouterRoutingDoc.model_validate({})
    return own.over(network.routing)


def daemon_of(doc: RouterRoutingDoc) -> Daemon:
    """The program asked for, or the default: FRR for IS-IS, which BIRD has not, else BIRD."""
    return doc.daemon or ("frr" if "isis" in doc.protocols else "bird")


def timers(doc: RouterRoutingDoc) -> Timers:
    """The timers that are declared."""
    return Timers(doc.hello, doc.dead, doc.update, doc.timeout, doc.keepalive, doc.hold, doc.retry)


def router_os(
    loaded: Loaded[TopologyDoc], network: str, router: str, loopbacks: Sequence[Interface]
) -> RouterOs:
    """The Router OS of a VR that passed the checks."""
    doc = merged(loaded.doc.networks[network], router)
    number = list(loaded.doc.networks[network].routers).index(router) + 1
    own = _own_text(loaded, network, router, doc)
    plain = RouterOs(doc.protocols)
    return RouterOs(
        doc.protocols,
        daemon_of(doc) if plain.is_dynamic or own else None,
        doc.id or router_id(number, loopbacks),
        (doc.as_number or private_as(number)) if plain.speaks("bgp") else None,
        timers(doc),
        doc.area or ZERO,
        doc.cost,
        _bfd(doc),
        own,
        _written_at(loaded, network, router),
    )


def private_as(number: int) -> int:
    """The autonomous system of the VR `number` (from 1) of a network, for private use.

    From 64512 on; from the 1024th VR on, of four octets.
    """
    asn = _FIRST_AS + number - 1
    return asn if asn <= _LAST_AS else _FIRST_LONG_AS + number - 1


def router_id(number: int, loopbacks: Sequence[Interface]) -> IPv4Address:
    """Its IPv4 loopback; without IPv4 its number (RFC 6286: any but 0 will do)."""
    return next((i.ip for i in loopbacks if isinstance(i.ip, IPv4Address)), IPv4Address(number))


def _bfd(doc: RouterRoutingDoc) -> Bfd | None:
    if not doc.bfd:
        return None
    bfd = doc.bfd if isinstance(doc.bfd, BfdDoc) else BfdDoc.model_validate({})
    return Bfd(bfd.interval, bfd.multiplier)


def _written_at(loaded: Loaded[TopologyDoc], network: str, router: str) -> str:
    own = loaded.doc.networks[network].routers[router].routing
    path = ("networks", network, "routers", router, "routing")
    return loaded.document.where(path if own else ("networks", network, "routing"))


def _own_text(
    loaded: Loaded[TopologyDoc], network: str, router: str, doc: RouterRoutingDoc
) -> OwnText | None:
    path = ("networks", network, "routers", router, "routing")
    if doc.config is not None:
        file = loaded.texts[(*path, "config")]
        return OwnText("config", file.name, file.text, loaded.document.where((*path, "config")))
    if doc.template is not None:
        file = loaded.texts[(*path, "template")]
        return OwnText("template", file.name, file.text, loaded.document.where((*path, "template")))
    return None
