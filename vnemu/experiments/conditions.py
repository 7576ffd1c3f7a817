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
from vnemu.errors import MissingCapability
from vnemu.experiments.prepare import Experiment
from vnemu.plan.explain import described
from vnemu.results.calibration_store import newest
from vnemu.results.lab_page import drawing_of
from vnemu.results.record import (
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
        drawing=drawing_of(described(experiment.topology, experiment.mapping)),
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
