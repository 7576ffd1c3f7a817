"""The topology file: an underlay and the virtual networks on it (docs/files.md)."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from vnemu.schema.ends import EndDoc, InterfaceAddress
from vnemu.schema.fields import (
    Endpoints,
    IPv4Prefix,
    IPv4Subnet,
    IPv6Prefix,
    IPv6Subnet,
    LinkRate,
    Name,
    Strict,
)
from vnemu.schema.quality import PhysicalQualityDoc, VirtualQualityDoc
from vnemu.schema.resources import ResourcesDoc
from vnemu.schema.routing import Area, Cost, NetworkRouting, RouterRouting, RoutingDoc


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


_ENDS = "by node: the NIC at that end of the link, and its addresses"


class MachineDoc(Strict):
    """A real machine (RM) of the underlay."""


class _LinkDoc(Strict):
    name: Name | None = Field(None, description="default: its endpoints joined by '-'")
    endpoints: Endpoints


_DIRECTIONS = "END>END: what is other in that direction than the link's own keys say"


class PhysicalLinkDoc(PhysicalQualityDoc, _LinkDoc):
    """A physical link between two RMs, full duplex."""

    rate: LinkRate = Field(description="capacity in each direction, counted in the VRs' frames")
    directions: dict[str, PhysicalQualityDoc] | None = Field(None, description=_DIRECTIONS)


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


_MOST_NICS = 1000


class RouterDoc(Strict):
    """A virtual router (VR)."""

    on: Name | None = Field(None, description="the RM that hosts it; chosen when left out")
    nics: Annotated[int, Field(ge=0, le=_MOST_NICS)] | None = Field(
        None, description="how many NICs it has, some without a link; default: one for each link"
    )
    loopbacks: list[InterfaceAddress] | None = Field(
        None, description="addresses of the router itself; default: from the network's pools"
    )
    routing: RouterRouting | None = Field(
        None, description="how it routes, where that is other than in its network"
    )
    resources: ResourcesDoc | None = Field(
        None, description="what it may use of its machine; default: all there is"
    )


class HostDoc(Strict):
    """An end system behind a VR, for traffic; it lives on its router's RM."""

    at: Name = Field(description="the router it is attached to")
    ends: dict[Name, EndDoc] = Field({}, description=_ENDS)


_Path = Annotated[list[Name], Field(min_length=1)]


class VirtualLinkDoc(VirtualQualityDoc, _LinkDoc):
    """A virtual link (VL) between two VRs."""

    directions: dict[str, VirtualQualityDoc] | None = Field(None, description=_DIRECTIONS)
    on_failure: Literal["silent", "carrier", "remap"] = Field(
        "silent", description="what a failed physical link on its path does to it"
    )
    path: _Path | None = Field(
        None, description="the RMs it crosses, in order; chosen when left out"
    )
    paths: Annotated[list[_Path], Field(max_length=8)] = Field(
        [], description="several paths, over which its frames are spread evenly"
    )
    spread: Literal["flow", "packet"] = Field(
        "flow", description="over several paths: a flow stays on one, or each packet takes any"
    )
    ipv4: IPv4Subnet | None = None
    ipv6: IPv6Subnet | None = None
    ends: dict[Name, EndDoc] = Field({}, description=_ENDS)
    cost: Cost | None = Field(None, description="for the routing protocol, in both directions")
    area: Area | None = Field(None, description="the OSPF area; default: that of its ends")


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
    routing: NetworkRouting = RoutingDoc.model_validate({})


class TopologyDoc(Strict):
    """A topology file."""

    name: Name | None = Field(None, description="default: the file's name")
    underlay: UnderlayDoc
    networks: Annotated[dict[Name, NetworkDoc], Field(min_length=1)]
