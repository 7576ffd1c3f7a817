"""From the description of an existing network to a topology file with it as a VN (P11).

Routers keep their configurations, the names of their interfaces and their addresses. As it
is, each has an RM of its own and each link is a physical one; on an underlay of one's
choice its links are VLs with the quality that the physical ones had.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from vnemu.errors import InputError, Problem
from vnemu.model.overlay import Interface
from vnemu.routing.existing import (
    as_of_text,
    daemon_of_text,
    frr_addresses,
    id_of_text,
    protocols_of_text,
)
from vnemu.schema.load import Loaded
from vnemu.schema.physical import LOOPBACK, ExistingRouterDoc, PhysicalNetworkDoc
from vnemu.schema.routing import Daemon, Protocol
from vnemu.schema.wording import Finding, KeyPath, in_file_order, instead_of

Data = dict[str, Any]


@dataclass(frozen=True)
class Target:
    """Where an existing network goes.

    Parameters:
        underlay: as a topology file has it; None: as it is, each router on an RM of its own.
        on: the RM of a router, by its name; of others it is left open.
        folder: where the topology file will be, from which the configurations are named.
    """

    folder: Path
    underlay: Mapping[str, Any] | None = None
    on: Mapping[str, str] = field(default_factory=dict)


def topology_data(loaded: Loaded[PhysicalNetworkDoc], target: Target) -> Data:
    """The topology file that an existing network becomes, as plain data.

    Raises:
        InputError: with all that does not fit together.
    """
    migration = _Migration(loaded, target)
    problems = migration.problems()
    if problems:
        raise InputError(problems)
    return migration.topology()


def left_out(loaded: Loaded[PhysicalNetworkDoc]) -> list[str]:
    """What the configurations give addresses to, but no link or host is at: it will not be."""
    migration = _Migration(loaded, Target(Path()))
    return [
        f"{name}: its configuration gives {nic} an address, but nothing is attached to it in "
        "the description: it will not be there"
        for name in loaded.doc.routers
        for nic in migration.configured(name)
        if nic != LOOPBACK and (name, nic) not in migration.used
    ]


class _Migration:
    """Holds what its parts need of the description."""

    def __init__(self, loaded: Loaded[PhysicalNetworkDoc], target: Target) -> None:
        self._loaded = loaded
        self._doc = loaded.doc
        self._target = target
        self._names = list(loaded.doc.routers)

    def problems(self) -> list[Problem]:
        """All that does not fit together."""
        findings = [*self._wrong_attachments(), *self._wrong_routers()]
        placed = [
            Problem("", f"there is no router '{name}' to be placed", instead_of(name, self._names))
            for name in self._target.on
            if name not in self._names
        ]
        return [*in_file_order(findings), *placed]

    def _wrong_attachments(self) -> Iterator[Finding]:
        seen: set[tuple[str, str]] = set()
        for path, (node, nic) in self._attachments:
            if node not in self._names:
                hint = instead_of(node, self._names)
                yield self._finding(path, f"there is no router '{node}'", hint)
            elif (node, nic) in seen:
                hint = "a link joins two interfaces, and each is in one link"
                yield self._finding(path, f"{node}:{nic} is in use already", hint)
            elif self._addresses(node, nic) is None:
                hint = f"say them in interfaces: of {node}, [] for none"
                yield self._finding(path, f"{node}:{nic} has no known addresses", hint)
            seen.add((node, nic))

    def _wrong_routers(self) -> Iterator[Finding]:
        for name, router in self._doc.routers.items():
            for nic in router.interfaces:
                if nic != LOOPBACK and (name, nic) not in self.used:
                    where: KeyPath = ("routers", name, "interfaces", nic)
                    hint = "attach a host to it, or leave it out"
                    yield self._finding(where, f"nothing is at {name}:{nic}", hint)
            if "bgp" in self._protocols(name) and self._as(name) is None:
                where = ("routers", name)
                words = (
                    f"{name} speaks BGP, but its autonomous system is not found in {router.config}"
                )
                yield self._finding(where, words, "say it: as: 65001")

    def _finding(self, path: KeyPath, message: str, hint: str) -> Finding:
        return Finding(self._loaded.document.mark(path), message, hint)

    @cached_property
    def _attachments(self) -> list[tuple[KeyPath, tuple[str, str]]]:
        """The routers' interfaces in use, each with where that was written."""
        ends = [
            (("links", index, "endpoints", end), _split(port))
            for index, link in enumerate(self._doc.links)
            for end, port in enumerate(link.endpoints)
        ]
        hosts = [(("hosts", n, "at"), _split(host.at)) for n, host in self._doc.hosts.items()]
        return [*ends, *hosts]

    @property
    def used(self) -> set[tuple[str, str]]:
        """The routers' interfaces in use."""
        return {port for _, port in self._attachments}

    def configured(self, router: str) -> dict[str, list[Interface]]:
        """The addresses that a router's configuration itself gives to its interfaces."""
        return frr_addresses(self._text(router)) if self._daemon(router) == "frr" else {}

    def _text(self, router: str) -> str:
        return self._loaded.texts["routers", router, "config"].text

    def _daemon(self, router: str) -> Daemon:
        return self._doc.routers[router].daemon or daemon_of_text(self._text(router))

    def _protocols(self, router: str) -> list[Protocol]:
        spoken = self._doc.routers[router].protocol
        if spoken is None:
            return protocols_of_text(self._daemon(router), self._text(router))
        return [spoken] if isinstance(spoken, str) else spoken

    def _as(self, router: str) -> int | None:
        own = self._doc.routers[router].as_number
        return own or as_of_text(self._daemon(router), self._text(router))

    def _addresses(self, router: str, nic: str) -> list[Interface] | None:
        declared = self._doc.routers[router].interfaces
        return declared[nic] if nic in declared else self.configured(router).get(nic)

    def topology(self) -> Data:
        """The topology file."""
        return {
            "name": self._loaded.name,
            "underlay": self._underlay(),
            "networks": {self._loaded.name: self._network()},
        }

    def _underlay(self) -> Data:
        if self._target.underlay is not None:
            return dict(self._target.underlay)
        links = [
            {**self._link_name(index), "endpoints": self._routers_of(index), **self._written(index)}
            for index in range(len(self._doc.links))
        ]
        return {"machines": list(self._doc.routers), "links": links}

    def _network(self) -> Data:
        hosts = {name: self._host(name) for name in self._doc.hosts}
        links = [self._link(index) for index in range(len(self._doc.links))]
        routers = {name: self._router(name, doc) for name, doc in self._doc.routers.items()}
        versions = {address.version for address in self._all_addresses()}
        off: Data = {f"ipv{v}": False for v in (4, 6) if versions and v not in versions}
        return {**off, "routers": routers, **({"hosts": hosts} if hosts else {}), "links": links}

    def _all_addresses(self) -> Iterator[Interface]:
        for router, nic in self.used | {(name, LOOPBACK) for name in self._doc.routers}:
            yield from self._addresses(router, nic) or ()
        for host in self._doc.hosts.values():
            yield from host.addresses

    def _router(self, name: str, doc: ExistingRouterDoc) -> Data:
        on = name if self._target.underlay is None else self._target.on.get(name)
        file = self._loaded.texts["routers", name, "config"].name
        daemon, protocols = self._daemon(name), self._protocols(name)
        own = doc.id or id_of_text(daemon, self._text(name))
        routing: Data = {
            "protocol": protocols[0] if len(protocols) == 1 else protocols,
            "daemon": daemon,
            "config": os.path.relpath(file, self._target.folder),
            **({"id": str(own)} if own else {}),
        }
        if "bgp" in protocols:
            routing["as"] = self._as(name)
        loopbacks = [str(a) for a in self._addresses(name, LOOPBACK) or () if not a.is_loopback]
        return {**({"on": on} if on else {}), "loopbacks": loopbacks, "routing": routing}

    def _host(self, name: str) -> Data:
        host = self._doc.hosts[name]
        router, nic = _split(host.at)
        own = {"nic": host.nic, "addresses": [str(address) for address in host.addresses]}
        return {"at": router, "ends": {router: self._end(router, nic), name: own}}

    def _end(self, router: str, nic: str) -> Data:
        return {"nic": nic, "addresses": [str(a) for a in self._addresses(router, nic) or ()]}

    def _link(self, index: int) -> Data:
        doc = self._doc.links[index]
        ends = {node: self._end(node, nic) for node, nic in map(_split, doc.endpoints)}
        link = {**self._link_name(index), "endpoints": self._routers_of(index)}
        if self._target.underlay is None:
            return {**link, "path": self._routers_of(index), "ends": ends}
        return {**link, "ends": ends, **_as_virtual(self._written(index))}

    def _link_name(self, index: int) -> Data:
        name = self._doc.links[index].name
        return {"name": name} if name else {}

    def _routers_of(self, index: int) -> list[str]:
        return [_split(port)[0] for port in self._doc.links[index].endpoints]

    def _written(self, index: int) -> Data:
        """What the description says of a link's quality, as it is written."""
        links: Any = self._loaded.document.data["links"]
        entry: Data = links[index]
        return {key: value for key, value in entry.items() if key not in ("name", "endpoints")}


def _split(port: str) -> tuple[str, str]:
    node, _, nic = port.partition(":")
    return node, nic


def _as_virtual(quality: Data) -> Data:
    """The quality of a physical link as that of a VL: its capacity becomes a limit."""
    changed = {("limit" if key == "rate" else key): value for key, value in quality.items()}
    if "directions" in changed:
        ways = changed["directions"].items()
        changed["directions"] = {way: _as_virtual(own) for way, own in ways}
    return changed
