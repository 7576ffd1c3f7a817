"""A linear Mininet topology: set-up and tear-down, timed. Mininet's own Python runs this.

It needs nothing of vnemu. Usage: mininet_linear.py ROUTERS RATE_IN_MBIT
"""

import json
import sys
import time

import mininet.net
from mininet.link import TCLink
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Node
from mininet.topo import Topo


class Router(Node):
    """A node that forwards, as in Mininet's own examples/linuxrouter.py."""

    def config(self, **params):
        """Configure the node, then let it forward."""
        super().config(**params)
        self.cmd("sysctl net.ipv4.ip_forward=1")


class Linear(Topo):
    """Routers in a row, each link with its own /30."""

    def build(self, routers, rate):
        """Declare `routers` routers and the links between them, of `rate` Mbit/s."""
        for number in range(routers):
            self.addHost(f"r{number}", cls=Router, ip=None)
        for number in range(routers - 1):
            subnet = f"10.{number >> 8}.{number & 255}"
            self.addLink(
                f"r{number}",
                f"r{number + 1}",
                bw=rate,
                params1={"ip": f"{subnet}.1/30"},
                params2={"ip": f"{subnet}.2/30"},
            )


def main():
    """Print the two times as JSON."""
    # It would raise limits of the whole host (file-max, pty.max), outside of any namespace.
    mininet.net.fixLimits = lambda: None
    setLogLevel("error")
    routers, rate = int(sys.argv[1]), int(sys.argv[2])
    start = time.perf_counter()
    net = Mininet(topo=Linear(routers, rate), link=TCLink, controller=None)
    net.start()
    up = time.perf_counter()
    failures = [
        f"{node.name}: {shown}"
        for node in (net.hosts[0], net.hosts[-1])
        if f"{rate}Mbit" not in (shown := node.cmd("tc class show dev", node.intfNames()[0]))
    ]
    stopping = time.perf_counter()
    net.stop()
    print(json.dumps({"up_s": up - start, "down_s": time.perf_counter() - stopping}), flush=True)
    sys.exit("; ".join(failures) or 0)


main()
