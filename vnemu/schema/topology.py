"""The topology file: an underlay and the virtual networks on it (docs/files.md)."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vnemu.schema.fields import (
    Delay,
    Endpoints,
    IPv4Prefix,
    IPv4Subnet,
    IPv6Prefix,
    IPv6Subnet,
    Jitter,
    LinkRate,
    Loss,
    Name,
    Strict,
)


def _short_name(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        raise ValueError(f"{value} is not a name: put it in quotes")
    raise ValueError("write a list of names only, or a mapping: {NAME: {…}, …}")


def _names_to_mapping(value: Any) -> Any:
    """``[r1, r2]`` is short for ``{r1: {}, r2: {}}``."""
    if isinstance(value, list):
        names = [_short_name(name) for name in value]
        repeated = [name for name, times in Counter(names).items() if times > 1]
        if repeated:
            listed = ", ".join(f"'{name}'" for name in repeated)
            raise ValueError(f"names are unique, but these are repeated: {listed}")
        return {name: {} for name in names}
    if isinstance(value, dict):
        return {name: {} if entry is None else entry for name, entry in value.items()}
    return value


_DELAY = "one-way delay; needs netem in the kernel"
_JITTER = "the delay varies by up to this either way, in order; needs netem in the kernel"
_LOSS = "random loss in each direction; needs netem in the kernel"


class MachineDoc(Strict):
    """A real machine (RM) of the underlay."""


class PhysicalLinkDoc(Strict):
    """A physical link between two RMs, full duplex."""

    name: Name | None = Field(None, description="default: its endpoints joined by '-'")
    endpoints: Endpoints
    rate: LinkRate = Field(description="capacity in each direction, counted in the VRs' frames")
    delay: Delay | None = Field(None, description=_DELAY)
    jitter: Jitter | None = Field(None, description=_JITTER)
    loss: Loss | None = Field(None, description=_LOSS)


class UnderlayDoc(Strict):
    """The real machines and the physical links between them."""

    machines: Annotated[
        dict[Name, MachineDoc],
        BeforeValidator(
            _names_to_mapping,
            json_schema_input_type=list[Name] | dict[Name, MachineDoc | None],
        ),
    ] = Field(min_length=1)
    links: list[PhysicalLinkDoc] = []
    tunnel: Literal["auto", "gre", "vxlan"] = Field(
        "auto", description="what virtual links between machines are; auto: gre if it is there"
    )


class RouterDoc(Strict):
    """A virtual router (VR)."""

    on: Name | None = Field(None, description="the RM that hosts it; chosen when left out")


class HostDoc(Strict):
    """An end system behind a VR, for traffic; it lives on its router's RM."""

    at: Name = Field(description="the router it is attached to")


class VirtualLinkDoc(Strict):
    """A virtual link (VL) between two VRs."""

    name: Name | None = Field(None, description="default: its endpoints joined by '-'")
    endpoints: Endpoints
    limit: LinkRate | None = Field(None, description="never more than this, in each direction")
    guarantee: LinkRate | None = Field(None, description="never less than this when wanted")
    delay: Delay | None = Field(None, description=_DELAY)
    jitter: Jitter | None = Field(None, description=_JITTER)
    loss: Loss | None = Field(None, description=_LOSS)
    path: Annotated[list[Name], Field(min_length=1)] | None = Field(
        None, description="the RMs it crosses, in order; chosen when left out"
    )
    ipv4: IPv4Subnet | None = None
    ipv6: IPv6Subnet | None = None


Protocol = Literal["static", "none"]


class RoutingDoc(Strict):
    """How the VRs of a network route."""

    protocol: Protocol = "static"


def _protocol_to_mapping(value: Any) -> Any:
    return {"protocol": value} if isinstance(value, str) else value


class NetworkDoc(Strict):
    """A virtual network (VN): VRs, VLs and end systems."""

    ipv4: IPv4Prefix | None = Field(None, description="address pool; false: no IPv4")
    ipv6: IPv6Prefix | None = Field(None, description="address pool; false: no IPv6")
    routers: Annotated[
        dict[Name, RouterDoc],
        BeforeValidator(
            _names_to_mapping,
            json_schema_input_type=list[Name] | dict[Name, RouterDoc | None],
        ),
    ] = Field(min_length=1)
    hosts: dict[Name, HostDoc] = {}
    links: list[VirtualLinkDoc] = []
    routing: Annotated[
        RoutingDoc,
        BeforeValidator(_protocol_to_mapping, json_schema_input_type=Protocol | RoutingDoc),
    ] = RoutingDoc()


class TopologyDoc(Strict):
    """A topology file."""

    name: Name | None = Field(None, description="default: the file's name")
    underlay: UnderlayDoc
    networks: Annotated[dict[Name, NetworkDoc], Field(min_length=1)]
