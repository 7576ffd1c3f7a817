"""The plain description of an existing network, to be made a VN (docs/migration.md)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from vnemu.errors import InputError
from vnemu.schema.document import examine
from vnemu.schema.ends import InterfaceAddress, NicName, check_nic_name
from vnemu.schema.fields import LinkRate, Name, Strict, check_name
from vnemu.schema.load import Loaded, file_name
from vnemu.schema.quality import PhysicalQualityDoc
from vnemu.schema.routing import LAST_AS, Daemon, FileName, Protocol, RouterId
from vnemu.schema.texts import read_named
from vnemu.schema.violations import validate
from vnemu.schema.wording import KeyPath, in_file_order

LOOPBACK = "lo"


def _interface_name(text: str) -> str:
    return text if text == LOOPBACK else check_nic_name(text)


def _port(text: str) -> str:
    node, colon, nic = text.partition(":")
    if not colon:
        raise ValueError(
            f"'{text[:80]}' names no interface: write it like {node[:40] or 'r1'}:eth0"
        )
    check_name(node)
    check_nic_name(nic)
    return text


Port = Annotated[str, AfterValidator(_port)]
"""A node and one of its interfaces: ``r1:ens3``."""
Interfaces = dict[Annotated[str, AfterValidator(_interface_name)], list[InterfaceAddress]]


class ExistingRouterDoc(Strict):
    """A router as it is, with the configuration file that it runs."""

    config: FileName = Field(description="frr.conf or bird.conf, seen from this file")
    interfaces: Interfaces = Field(
        {}, description="addresses by interface, lo for its own; default: what frr.conf gives them"
    )
    daemon: Daemon | None = Field(None, description="default: told by the configuration")
    protocol: Protocol | list[Protocol] | None = Field(
        None, description="what it speaks; default: told by the configuration"
    )
    as_number: Annotated[int, Field(ge=1, le=LAST_AS)] | None = Field(
        None, alias="as", description="of bgp; default: told by the configuration"
    )
    id: RouterId | None = Field(None, description="router ID; default: told by the configuration")


class ExistingHostDoc(Strict):
    """An end system at an interface of a router."""

    at: Port = Field(description="where it is attached: ROUTER:INTERFACE")
    nic: NicName = Field("eth0", description="its own interface")
    addresses: list[InterfaceAddress]


class ExistingLinkDoc(PhysicalQualityDoc):
    """A link between interfaces of two routers."""

    name: Name | None = Field(None, description="default: the routers joined by '-'")
    endpoints: Annotated[list[Port], Field(min_length=2, max_length=2)]
    rate: LinkRate = Field(description="capacity in each direction")
    directions: dict[str, PhysicalQualityDoc] | None = Field(
        None, description="ROUTER>ROUTER: what is other in that direction"
    )


class PhysicalNetworkDoc(Strict):
    """A description of an existing network."""

    name: Name | None = Field(None, description="default: the file's name")
    routers: Annotated[dict[Name, ExistingRouterDoc], Field(min_length=1)]
    hosts: dict[Name, ExistingHostDoc] = {}
    links: list[ExistingLinkDoc] = []


def load_physical(path: Path) -> Loaded[PhysicalNetworkDoc]:
    """Read the description of an existing network, and its routers' configurations.

    Raises:
        InputError: with all that is wrong with them, in the file's order.
    """
    document, findings = examine(path)
    if document is None:
        raise InputError(in_file_order(findings))
    doc, violations = validate(PhysicalNetworkDoc, document)
    findings += violations
    if doc is None or findings:
        raise InputError(in_file_order(findings))
    texts, findings = read_named(path.parent, _named(doc), document)
    if findings:
        raise InputError(in_file_order(findings))
    return Loaded(doc, document, doc.name or file_name(path), texts=texts)


def _named(doc: PhysicalNetworkDoc) -> Iterator[tuple[KeyPath, str]]:
    for name, router in doc.routers.items():
        yield ("routers", name, "config"), router.config
