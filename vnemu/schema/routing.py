"""How VRs route, as it is written: the ``routing:`` of a network and of a VR (docs/routing.md)."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from vnemu.schema.fields import Span, Strict
from vnemu.units import Duration

Protocol = Literal["static", "none", "ospf", "bgp", "rip", "babel", "isis"]
Daemon = Literal["bird", "frr"]
SILENT: frozenset[Protocol] = frozenset({"static", "none"})
"""They speak with nobody."""

LAST_AS = 2**32 - 1
HIGHEST_COST = 2**24 - 1
"""The wide metric of IS-IS (RFC 5305); the other protocols take less (model/routing_check.py)."""


def _area(value: Any) -> Any:
    needed = "an area is a number like 0, or written like an address: 0.0.0.1"
    if isinstance(value, bool) or not isinstance(value, int | str | IPv4Address):
        raise ValueError(needed)
    try:
        return IPv4Address(value)
    except ValueError:
        raise ValueError(f"'{value}' is none: {needed}") from None


def _router_id(value: Any) -> Any:
    needed = "a router ID is written like an address: 10.0.0.1"
    try:
        identifier = IPv4Address(value) if isinstance(value, str | IPv4Address) else None
    except ValueError:
        identifier = None
    if identifier is None or not int(identifier):
        raise ValueError(f"'{value}' is none: {needed}")
    return identifier


def _file(name: str) -> str:
    if not name.strip() or "\0" in name:
        raise ValueError("must be the name of a file")
    return name


Area = Annotated[
    IPv4Address,
    BeforeValidator(_area),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 0}]}),
]
RouterId = Annotated[IPv4Address, BeforeValidator(_router_id), WithJsonSchema({"type": "string"})]
Cost = Annotated[int, Field(ge=1, le=HIGHEST_COST)]
FileName = Annotated[str, AfterValidator(_file)]


class BfdDoc(Strict):
    """Bidirectional forwarding detection (RFC 5880)."""

    interval: Span = Field(Duration(100 * 10**6), description="between two packets, both ways")
    multiplier: Annotated[int, Field(ge=2, le=255)] = Field(
        3, description="so many missed packets in a row: the neighbour is gone"
    )


def _on_or_off(value: Any) -> Any:
    return {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value


Switch = Annotated[
    bool | BfdDoc,
    BeforeValidator(_on_or_off, json_schema_input_type=bool | Literal["on", "off"] | BfdDoc),
]


class RoutingDoc(Strict):
    """How the VRs of a network route.

    A key that is left out has the default of its protocol (docs/routing.md); one that the
    protocol or the daemon has not is an error.
    """

    protocol: Protocol | Annotated[list[Protocol], Field(min_length=1)] | None = Field(
        None, description="what they speak; a list: several, redistributed; default: static"
    )
    daemon: Daemon | None = Field(None, description="the Router OS; default: bird, for isis: frr")
    hello: Span | None = Field(None, description="ospf, babel, isis: between two hellos")
    dead: Span | None = Field(None, description="ospf, isis: silence after which one is gone")
    update: Span | None = Field(None, description="rip, babel: between two updates")
    timeout: Span | None = Field(None, description="rip: a route lives so long without an update")
    keepalive: Span | None = Field(None, description="bgp: between two signs of life")
    hold: Span | None = Field(None, description="bgp: silence after which a session ends")
    retry: Span | None = Field(None, description="bgp: before it tries to connect again")
    bfd: Switch | None = Field(
        None, description="ospf, bgp, isis, and rip with bird; default: false"
    )
    area: Area | None = Field(None, description="ospf: the area; default: 0")
    cost: Cost | None = Field(None, description="of each link that has no cost: of its own")
    as_number: Annotated[int, Field(ge=1, le=LAST_AS)] | None = Field(
        None, alias="as", description="bgp: the autonomous system; default: each VR its own"
    )

    @property
    def protocols(self) -> tuple[Protocol, ...]:
        """What is spoken, in the order of the file."""
        spoken = self.protocol or "static"
        return (spoken,) if isinstance(spoken, str) else tuple(spoken)


class RouterRoutingDoc(RoutingDoc):
    """How one VR routes: what is other than in its network, and what only a VR can have."""

    id: RouterId | None = Field(None, description="the router ID; default: its IPv4 loopback")
    config: FileName | None = Field(
        None, description="your own configuration file of the daemon, in place of ours"
    )
    template: FileName | None = Field(
        None, description="your own Jinja2 template of that file, in place of ours"
    )

    @model_validator(mode="after")
    def _one_text(self) -> RouterRoutingDoc:
        if self.config is not None and self.template is not None:
            raise ValueError("a router has config: or template:, not both")
        return self

    def over(self, network: RoutingDoc) -> RouterRoutingDoc:
        """What holds for the VR: its own keys, else those of its `network`."""
        values = {key: value for key, value in network if value is not None}
        values |= {key: value for key, value in self if value is not None}
        return RouterRoutingDoc.model_construct(**values)


def _protocol_to_mapping(value: Any) -> Any:
    """``ospf`` and ``[ospf, bgp]`` are short for ``{protocol: …}``."""
    return {"protocol": value} if isinstance(value, str | list) else value


_SHORT = Protocol | list[Protocol]
NetworkRouting = Annotated[
    RoutingDoc, BeforeValidator(_protocol_to_mapping, json_schema_input_type=_SHORT | RoutingDoc)
]
RouterRouting = Annotated[
    RouterRoutingDoc,
    BeforeValidator(_protocol_to_mapping, json_schema_input_type=_SHORT | RouterRoutingDoc),
]
