"""The experiments of a calibration as documents, as a file would give them; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

Data = dict[str, Any]


@dataclass(frozen=True)
class Pair:
    """A network of two hosts behind two VRs with one VL, on RMs of its own.

    Parameters:
        wire: the quality of the physical link below the VL; empty: both VRs are on one RM.
        link: the quality of the VL.
    """

    name: str
    wire: dict[str, str] = field(default_factory=dict)
    link: dict[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """The host that sends."""
        return f"{self.name}/c1"

    @property
    def target(self) -> str:
        """The host that receives."""
        return f"{self.name}/c2"


def topology(pairs: Iterable[Pair]) -> Data:
    """Return the topology of pairs that share nothing but the machine."""
    machines: list[str] = []
    wires: list[Data] = []
    networks: Data = {}
    for pair in pairs:
        ends = [f"{pair.name}-m1", f"{pair.name}-m2"] if pair.wire else [f"{pair.name}-m1"]
        machines += ends
        if pair.wire:
            wires.append({"endpoints": ends, **pair.wire})
        networks[pair.name] = network(pair, ends[0], ends[-1])
    return {"underlay": {"machines": machines, "links": wires}, "networks": networks}


def shared(pairs: Iterable[Pair], rate: str) -> Data:
    """Return the topology of pairs whose VLs share one physical link of `rate`."""
    ends = ["m1", "m2"]
    wire = {"endpoints": ends, "rate": rate}
    networks = {pair.name: network(pair, *ends) for pair in pairs}
    return {"underlay": {"machines": ends, "links": [wire]}, "networks": networks}


def network(pair: Pair, on: str, other: str) -> Data:
    """Return the network of a pair; without IPv6, which a kernel may lack."""
    return {
        "ipv6": False,
        "routers": {"r1": {"on": on}, "r2": {"on": other}},
        "hosts": {"c1": {"at": "r1"}, "c2": {"at": "r2"}},
        "links": [{"name": "core", "endpoints": ["r1", "r2"], **pair.link}],
    }


def flow(name: str, pair: Pair, protocol: Data, start: float, stop: float) -> Data:
    """Return a flow; `protocol` is like ``{"tcp": {}}``, times are in seconds."""
    times = {"start": f"{start:g}s", "stop": f"{stop:g}s"}
    return {"name": name, "from": pair.source, "to": pair.target, **protocol, **times}


def probe(pair: Pair, interval: str) -> Data:
    """Return a stream of pings that has the name of its pair."""
    return {"name": pair.name, "from": pair.source, "to": pair.target, "interval": interval}


def stream(pair: Pair, interval: str) -> Data:
    """Return a stream of datagrams both ways that has the name of its pair."""
    return {**probe(pair, interval), "udp": {}}


def document(
    where: Data, seconds: float, *, traffic: Iterable[Data] = (), probes: Iterable[Data] = ()
) -> Data:
    """Return an experiment of so many seconds."""
    return {
        "name": "calibration",
        "topology": where,
        "traffic": list(traffic),
        "probes": list(probes),
        "duration": f"{seconds:g}s",
    }
