"""Change the rate of one Mininet link, timed. Mininet's own Python runs this.

It needs nothing of vnemu. Usage: mininet_reshape.py TIMES
"""

import json
import statistics
import sys
import time

import mininet.net
from mininet.link import TCLink
from mininet.log import setLogLevel
from mininet.net import Mininet
from mininet.node import Node


def main():
    """Print the median time of a change, in seconds, as JSON."""
    # It would raise limits of the whole host (file-max, pty.max), outside of any namespace.
    mininet.net.fixLimits = lambda: None
    setLogLevel("error")
    net = Mininet(controller=None, link=TCLink)
    nodes = [net.addHost(name, cls=Node, ip=None) for name in ("r1", "r2")]
    link = net.addLink(*nodes, bw=32)
    net.start()
    taken = []
    for number in range(int(sys.argv[1])):
        start = time.perf_counter()
        for end in (link.intf1, link.intf2):
            end.config(bw=30 - number % 2)
        taken.append(time.perf_counter() - start)
    net.stop()
    print(json.dumps({"median_s": statistics.median(taken)}), flush=True)


main()
