"""The conditions of a run: versions, machine, command. Results count only with them."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

from vnemu import __version__, capsule
from vnemu.drivers import router_os
from vnemu.drivers.programs import program
from vnemu.embedding.mapping import Mapping
from vnemu.errors import MissingCapability
from vnemu.experiments.prepare import Experiment
from vnemu.model.overlay import Topology, VirtualNetwork
from vnemu.model.words import in_words
from vnemu.results.calibration_store import newest
from vnemu.results.record import (
    Drawing,
    DrawnNetwork,
    DrawnPhysicalLink,
    DrawnUnderlay,
    DrawnVirtualLink,
    FlowInfo,
    Machine,
    PlannedEvent,
    ProbeInfo,
    RunInfo,
    StreamInfo,
)


def run_info(experiment: Experiment, why: str) -> RunInfo:
    """All that is known about a run before it starts; `why` it is on this kernel."""
    doc = experiment.doc
    return RunInfo(
        experiment=experiment.name,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command=experiment.command or tuple(sys.orig_argv),
        versions=versions() | router_os.versions(experiment.topology),
        machine=machine(why),
        seed=doc.seed,
        time_scale=experiment.time_scale,
        sample_s=experiment.sample,
        duration_s=experiment.duration,
        flows=tuple(
            FlowInfo(
                name=f.name,
                from_=f.source,
                to=f.target,
                protocol=f.protocol,
                ip=f.version,
                start_s=f.start,
                stop_s=f.stop,
                links=tuple(path for path, _ in experiment.routes[f.name]),
                frame_payload=f.frame_payload,
                rate_mbit=f.rate / 1e6 if f.rate else None,
            )
            for f in experiment.flows
        ),
        probes=tuple(
            ProbeInfo(name=p.name, from_=p.source, to=p.target, interval_s=p.interval, ip=p.version)
            for p in experiment.probes
        ),
        streams=tuple(
            StreamInfo(
                name=s.name,
                from_=s.source,
                to=s.target,
                interval_s=s.interval,
                ip=s.version,
                size_bytes=s.size,
            )
            for s in experiment.streams
        ),
        events=tuple(
            PlannedEvent(
                at_s=e.at,
                what=e.what,
                name=e.name,
                until_s=e.until,
                firings=e.events,
                observes=e.observes,
            )
            for e in experiment.entries
        ),
        expect=tuple(
            e.model_dump(mode="json", by_alias=True, exclude_none=True) for e in doc.expect
        ),
        drawing=drawing(experiment.topology, experiment.mapping),
        calibration=_calibration(),
    )


def _calibration() -> dict[str, Any] | None:
    """The newest calibration of this kernel: it says how far the run can be trusted."""
    found = newest(platform.release(), capsule.kind(), len(os.sched_getaffinity(0)))
    return None if found is None else found.model_dump(mode="json", exclude_none=True)


def versions() -> dict[str, str | None]:
    """The versions of what takes part in a measurement."""
    return {
        "vnemu": __version__,
        "python": platform.python_version(),
        "iperf3": _version("iperf3", "--version"),
        "ping": _version("ping", "-V"),
        "kernel": platform.release(),
    }


def _version(name: str, option: str) -> str | None:
    try:
        found = subprocess.run(
            [program(name), option], capture_output=True, text=True, timeout=10, check=False
        )
    except (MissingCapability, OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"\d[\w.+-]*", found.stdout)
    return match[0] if match else None


def machine(why: str) -> Machine:
    """The machine that runs it, and why on this kernel."""
    pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cpus=len(os.sched_getaffinity(0)),
        memory_mb=pages * size // 10**6,
        capsule=capsule.kind() or None,
        why=why,
        load=os.getloadavg()[0],
    )


def drawing(topology: Topology, mapping: Mapping) -> Drawing:
    """What a picture of a mapped topology needs."""
    links = tuple(
        DrawnPhysicalLink(
            name=link.name, a=link.a, b=link.b, rate=in_words(link, lambda wire: wire.rate) or ""
        )
        for link in topology.underlay.links.values()
    )
    return Drawing(
        underlay=DrawnUnderlay(machines=topology.underlay.machines, links=links),
        networks=tuple(_drawn(network, mapping) for network in topology.networks.values()),
    )


def _drawn(network: VirtualNetwork, mapping: Mapping) -> DrawnNetwork:
    names = {node.path: node.name for node in network.nodes.values()}
    hosts = {n.name: names[n.at] for n in network.nodes.values() if n.at is not None}
    return DrawnNetwork(
        name=network.name,
        routers={node.name: mapping.machines[node.path] for node in network.routers},
        hosts=hosts,
        links=tuple(
            DrawnVirtualLink(
                name=link.name,
                a=names[link.a],
                b=names[link.b],
                limit=in_words(link, lambda quality: quality.limit),
                guarantee=in_words(link, lambda quality: quality.guarantee),
                path=mapping.paths[link.path].machines,
                beside=tuple(way.machines for way in mapping.paths[link.path].ways[1:]),
            )
            for link in network.links.values()
            if not link.access
        ),
    )
