"""Labs as `vnemu inspect` shows them, without a lab."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vnemu.embedding.strategies import embed
from vnemu.model.resolve import resolve
from vnemu.plan.explain import described
from vnemu.schema.load import load_topology
from vnemu.sessions.inspection import limits_of

TOPOLOGIES = Path(__file__).parents[1] / "topologies"


def seen(file: str) -> dict[str, Any]:
    """A topology as a lab of it shows itself."""
    topology = resolve(load_topology(TOPOLOGIES / file, ()))
    data = json.loads(json.dumps(described(topology, embed(topology))))
    for path, node in data["nodes"].items():
        os = topology.nodes[path].os
        limits = limits_of(topology.nodes[path].resources)
        node |= {"state": "running", "pid": 1, "limits": limits}
        node |= {"daemon": os.daemon, "protocols": list(os.protocols)}
    for link in data["links"].values():
        link |= {"carrier": True, "cut": []}
    routers = {name: [r.path for r in vn.routers] for name, vn in topology.networks.items()}
    networks = {name: {"state": "running", "routers": paths} for name, paths in routers.items()}
    data |= {"networks": networks, "failed": {"machines": [], "links": []}}
    return {**data, "lab": {"file": str(TOPOLOGIES / file)}}
