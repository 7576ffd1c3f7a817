"""A running lab as plain data: what it is, where, and in which state."""

from __future__ import annotations

from typing import Any

from vnemu.lab import Lab
from vnemu.model.resources import Resources
from vnemu.plan.explain import described


def inspected(lab: Lab) -> dict[str, Any]:
    """The state of a lab (docs/cli.md describes the keys)."""
    state = lab.state
    topology = state.topology
    data = described(topology, state.mapping)
    for path, node in topology.nodes.items():
        data["nodes"][path] |= {
            "state": node.state,
            "pid": lab[path].pid_1,
            "limits": limits_of(node.resources),
            "daemon": node.os.daemon,
            "protocols": list(node.os.protocols),
        }
    for path, link in topology.links.items():
        data["links"][path] |= {
            "carrier": link.carrier,
            "cut": sorted(link.direction(way == "forward") for way in link.cut),
        }
    data["networks"] = {
        name: {
            "state": "running" if network.paused is None else "paused",
            "routers": [f"{name}/{router.name}" for router in network.routers],
        }
        for name, network in topology.networks.items()
    }
    data["failed"] = {
        "machines": sorted(topology.underlay.failed_machines),
        "links": [name for name, link in topology.underlay.links.items() if link.failed],
    }
    return data


def limits_of(resources: Resources) -> dict[str, object]:
    """Those that are set, by name."""
    return {key: value if isinstance(value, int) else str(value) for key, value in resources}
