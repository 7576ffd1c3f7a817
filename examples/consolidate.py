"""Energy: at low load the virtual routers (VRs) live on fewer real machines (RMs).

A management solution on top of vnemu's Python interface. If one physical link has room for two
virtual networks, the VRs of the second are moved to the RMs of the first, so that the others
can sleep; when load grows, they are spread again. They are moved live: the traffic goes on, and
the probes that run all the time must all come back.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from vnemu import capsule
from vnemu.lab import Lab
from vnemu.verbs.life import MoveRouter

TOPOLOGY = Path(__file__).parents[1] / "topologies" / "energy.yaml"
NETWORKS = ("a", "b")
TOGETHER = {"b/r1": "rm1", "b/r2": "rm2"}
APART = {"b/r1": "rm4", "b/r2": "rm3"}
HIGH, LOW, CALM = 60.0, 40.0, 4
"""Mbit/s: above HIGH they are spread, below LOW for CALM samples in a row consolidated."""
OFFERED = (10, 35, 80, 35, 10)
"""Mbit/s of each network, for STEP_S seconds each."""
STEP_S, SAMPLE_S = 2, 0.3


def address(lab: Lab, host: str) -> str:
    """The IPv4 address of a host."""
    return str(lab.topology.nodes[host].nics[0].addresses[0].ip)


def received_bits(lab: Lab) -> int:
    """What the hosts at the receiving ends have got so far."""
    shown = (lab[f"{name}/c2"].run("ip", "-json", "-stats", "link").stdout for name in NETWORKS)
    return 8 * sum(link["stats64"]["rx"]["bytes"] for one in shown for link in json.loads(one))


def manage(lab: Lab, loads: list[float]) -> None:
    """Consolidate or spread the VRs, if the load so far (Mbit/s) asks for it: in one change."""
    wanted = APART if loads[-1] > HIGH else TOGETHER if max(loads[-CALM:]) < LOW else None
    if wanted and any(lab.mapping.machines[path] != rm for path, rm in wanted.items()):
        begun = time.monotonic()
        lab.do(*(MoveRouter(path, rm) for path, rm in wanted.items()))
        took = (time.monotonic() - begun) * 1e3
        print(f"    {'spread' if wanted is APART else 'consolidated'} in {took:.0f} ms")


def step(lab: Lab, offered: int, loads: list[float]) -> None:
    """Offer so much traffic in both networks (Mbit/s), and manage the lab meanwhile."""
    clients = []
    for name in NETWORKS:
        what = ["-c", address(lab, f"{name}/c2"), "-b", f"{offered}M", "-t", str(STEP_S), "-J"]
        clients.append(lab[f"{name}/c1"].popen("iperf3", *what, stdout=subprocess.PIPE))
    seen, at = received_bits(lab), time.monotonic()
    while any(client.poll() is None for client in clients):
        time.sleep(SAMPLE_S)
        now, later = received_bits(lab), time.monotonic()
        loads.append((now - seen) / (later - at) / 1e6)
        seen, at = now, later
        manage(lab, loads)
    done = [json.loads(client.communicate()[0])["end"]["sum_received"] for client in clients]
    goodput = " and ".join(f"{each['bits_per_second'] / 1e6:.1f}" for each in done)
    used = sorted({rm for path in lab.mapping.paths.values() for rm in path.machines})
    print(
        f"offered 2 x {offered} Mbit/s, goodput {goodput}, {len(used)} machines: {' '.join(used)}"
    )


def main() -> int:
    """Run all steps; the exit status says whether a probe was lost."""
    capsule.enter()
    with Lab.from_file(TOPOLOGY) as lab:
        probes = []
        for name in NETWORKS:
            lab[f"{name}/c2"].popen("iperf3", "-s", stdout=subprocess.DEVNULL)
            ping = ["ping", "-n", "-q", "-i", "0.002", address(lab, f"{name}/c2")]
            probes.append(lab[f"{name}/c1"].popen(*ping, stdout=subprocess.PIPE))
        time.sleep(0.5)  # until the servers listen
        loads = [HIGH]
        for offered in OFFERED:
            step(lab, offered, loads)
        for probe in probes:
            os.killpg(probe.pid, signal.SIGINT)
        words = [probe.communicate()[0].decode().split() for probe in probes]
    counts = [(int(w[w.index("packets") - 1]), int(w[w.index("received,") - 1])) for w in words]
    sent, back = (sum(column) for column in zip(*counts, strict=True))
    print(f"probes: {sent} sent, {sent - back} lost")
    return int(back < sent)


if __name__ == "__main__":
    sys.exit(main())
