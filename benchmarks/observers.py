"""What it costs to watch the routers: CPU of the observers, and what they take from traffic.

    python benchmarks/observers.py [--routers 40] [--seconds 20] [--rounds 5]

A ring of BIRD routers with hellos each second and BFD is watched for a while without a
change, then while a VL goes and comes each five seconds; 20 streams of probes run between
neighbours (the sender says what they cost). Then iperf3 runs through a VL on one
RM, in turns with and without the socket that counts routing messages.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from vnemu import capsule
from vnemu.drivers.control_messages import ControlMessages
from vnemu.events import ignore
from vnemu.experiments.observers import Observers
from vnemu.experiments.sampler import steady_clock
from vnemu.lab import Lab
from vnemu.plan.objects import FABRIC
from vnemu.results.record import RunInfo, RunWriter
from vnemu.traffic.stream import Streams, StreamSpec

STREAMS = 20
_SAMPLE_S = 0.1
_EVERY_S = 5.0


def ring(routers: int, bfd: bool) -> str:
    """A topology file: a ring of VRs on one RM."""
    names = [f"r{number}" for number in range(routers)]
    pairs = zip(names, [*names[1:], names[0]], strict=True)
    links = "".join(f"      - {{name: {a}-{b}, endpoints: [{a}, {b}]}}\n" for a, b in pairs)
    options = "{protocol: ospf, daemon: bird, hello: 1s, dead: 4s" + (
        ", bfd: true}" if bfd else "}"
    )
    return (
        "underlay: {machines: [rm1]}\nnetworks:\n  a:\n"
        f"    routers: [{', '.join(names)}]\n    routing: {options}\n    links:\n{links}"
    )


def watch(lab: Lab, folder: Path, seconds: float, flap: bool) -> str:
    """Watch for some seconds as an experiment does; return what it cost, in words."""
    with RunWriter(folder) as writer:
        writer.begin(RunInfo(experiment="x", started="", duration_s=seconds), "", "", "")
        observers = Observers(lab, writer, ignore)
        begun = time.process_time()
        observers.look()
        look_ms = (time.process_time() - begun) * 1e3
        clock = steady_clock()
        observers.begin(clock)
        begun, lab_s = time.process_time(), 0.0
        due, events = 0.0, 0
        while clock() < seconds:
            if flap and clock() > events * _EVERY_S:
                before, at, cpu = lab.topology, clock(), time.process_time()
                (lab.up if events % 2 else lab.down)("a/r0-r1")
                lab_s += time.process_time() - cpu
                events += 1
                observers.changed(at, [events], before)
            if clock() >= due:
                observers.sample()
                due += _SAMPLE_S
            elif not observers.work(due - clock()):
                time.sleep(max(0.0, min(due - clock(), max(observers.idle_s, 0.005))))
        used = (time.process_time() - begun - lab_s) / seconds
        observers.finish()
        observers.close()
    rows = (folder / "routes.csv").read_text().count("\n")
    return f"{100 * used:.2f}% of a core; first look {look_ms:.0f} ms; {rows} rows of routes"


def probing(lab: Lab, folder: Path, seconds: float) -> str:
    """Send streams of probes between neighbours for some seconds; return what it cost."""
    routers = list(lab.topology.nodes.values())
    specs = [
        StreamSpec(
            name=f"s{number}",
            source=one.path,
            target=other.path,
            source_address=str(one.loopbacks[0].ip),
            target_address=str(other.loopbacks[0].ip),
            version=4,
            interval=0.001,
            size=32,
        )
        for number, (one, other) in enumerate(pairwise(routers[: STREAMS + 1]))
    ]
    record, log = folder / "streams.bin", folder / "streams.log"
    streams = Streams(specs, lambda node, call: lab[node].inside(call), record, log)
    streams.open()
    streams.wait_ready()
    streams.start(time.monotonic_ns())
    time.sleep(seconds)
    streams.finish()
    streams.close()
    said = json.loads(log.read_text())
    whole = (said["user_s"] + said["system_s"]) / seconds
    return (
        f"{100 * whole:.1f}% of a core with the network's own work, "
        f"{100 * said['hearing_s'] / seconds:.1f}% to take in and record what arrives"
    )


def forwarding(rounds: int, seconds: int = 3) -> dict[bool, list[float]]:
    """Goodput in Gbit/s of iperf3 from host to host over a VL, without the counter and with."""
    found: dict[bool, list[float]] = {False: [], True: []}
    text = (
        "underlay: {machines: [rm1]}\nnetworks:\n  a:\n    routers: [r1, r2]\n"
        "    hosts: {c1: {at: r1}, c2: {at: r2}}\n"
        "    links: [{name: core, endpoints: [r1, r2]}]\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "t.yaml"
        file.write_text(text)
        with (
            Lab.from_file(file) as lab,
            lab["a/c2"].popen("iperf3", "-s", stdout=subprocess.DEVNULL) as server,
        ):
            time.sleep(0.5)
            target = str(lab.topology.nodes["a/c2"].nics[0].addresses[0].ip)
            for turn in range(2 * rounds):
                counted = bool(turn % 2)
                messages = lab.kernel.inside(FABRIC, ControlMessages) if counted else None
                said = lab["a/c1"].run("iperf3", "-c", target, "-t", str(seconds), "-J").stdout
                rate = json.loads(said)["end"]["sum_received"]["bits_per_second"] / 1e9
                found[counted].append(rate)
                if messages is not None:
                    messages.close()
            server.terminate()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--routers", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    capsule.enter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for bfd in (False, True):
            (folder / "t.yaml").write_text(ring(arguments.routers, bfd))
            with Lab.from_file(folder / "t.yaml") as lab:
                lab.converge()
                for flap in (False, True):
                    cost = watch(lab, folder / f"{bfd}{flap}", arguments.seconds, flap)
                    how = f"{'BFD, ' if bfd else ''}{'a flapping VL' if flap else 'quiet'}"
                    print(f"{arguments.routers} routers, {how}: {cost}", flush=True)
                if not bfd:
                    folder.joinpath("s").mkdir()
                    cost = probing(lab, folder / "s", arguments.seconds)
                    print(f"{STREAMS} streams, 1000 a second each way: {cost}", flush=True)
    for counted, rates in forwarding(arguments.rounds).items():
        how = "with" if counted else "without"
        median, low, high = statistics.median(rates), min(rates), max(rates)
        print(f"{how} the counter: {median:.2f} Gbit/s ({low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
