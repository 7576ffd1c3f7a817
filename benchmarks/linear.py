"""The linear topology that all subjects of the set-up benchmark build."""

from __future__ import annotations

import tempfile
from pathlib import Path

from vnemu.schema.load import Loaded, load_topology
from vnemu.schema.topology import TopologyDoc

LIMIT_MBIT = 10
"""Rate of every VL, as with Mininet's TCLink(bw=10): both ends of each link are shaped."""


def topology_text(routers: int) -> str:
    """A topology file: `routers` VRs in a row on one RM, IPv4 and IPv6, shaped VLs."""
    names = ", ".join(f"r{number}" for number in range(routers))
    lines = [
        "name: linear",
        "underlay: {machines: [rm1]}",
        "networks:",
        "  n:",
        "    routing: none",
        f"    routers: [{names}]",
        "    links:",
    ]
    lines += [
        f"      - {{endpoints: [r{number}, r{number + 1}], limit: {LIMIT_MBIT}mbit}}"
        for number in range(routers - 1)
    ]
    return "\n".join(lines) + "\n"


def load(routers: int) -> Loaded[TopologyDoc]:
    """The file above, read by vnemu."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "linear.yaml"
        path.write_text(topology_text(routers), encoding="utf-8")
        return load_topology(path)
