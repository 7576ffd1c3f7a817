"""The objects of a plan as input for `ip -batch` and `tc -batch`.

This is the best that these tools can do: one process makes all namespaces, one all
devices, one does all traffic control, and one in each namespace configures it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Interface

from vnemu.drivers.namespaces import SYSCTLS
from vnemu.plan.objects import Address, Htb, Namespace, Object, Patch, Port, Queue, Veth


class Commands:
    """The batches for a plan, by the process that takes them."""

    def __init__(self, objects: Iterable[Object]) -> None:
        self.namespaces: dict[str, Namespace] = {}
        self._names: dict[str, str] = {}
        self._devices: list[str] = []
        self._inside: dict[str, list[str]] = {}
        self._shaping: dict[str, list[str]] = {}
        for item in objects:
            self._add(item)

    def _add(self, item: Object) -> None:
        match item:
            case Namespace():
                name = f"n{len(self._names)}"
                self._names[item.name] = name
                self.namespaces[name] = item
                self._inside[name] = ["link set lo up"]
            case Veth():
                ends = " type veth peer ".join(self._end(p, item.mtu) for p in (item.a, item.b))
                self._devices.append(f"link add {ends}")
                gso = f" gso_max_size {item.gso}" if item.gso else ""
                for port in (item.a, item.b):
                    line = f"link set {port.device}{gso} up"
                    self._inside[self._names[port.namespace]].append(line)
            case Address():
                duplicates = "" if isinstance(item.interface, IPv4Interface) else " nodad"
                line = f"address add {item.interface} dev {item.device}{duplicates}"
                self._inside[self._names[item.namespace]].append(line)
            case Htb() | Queue() | Patch():
                batch = self._shaping.setdefault(self._names[item.namespace], [])
                batch += _shaping(item)
            case _:
                raise TypeError(f"not in this benchmark: {item}")

    def _end(self, port: Port, mtu: int) -> str:
        mac = port.mac.hex(":")
        return f"name {port.device} mtu {mtu} address {mac} netns {self._names[port.namespace]}"

    def create(self) -> Iterator[tuple[list[str], list[str]]]:
        """Each process with its input lines, in order."""
        add = []
        for name, namespace in self.namespaces.items():
            settings = SYSCTLS[namespace.role].items()
            words = " ".join(f"net.{key.replace('/', '.')}={value}" for key, value in settings)
            add += [f"netns add {name}", f"netns exec {name} sysctl -qw {words}"]
        yield ["ip", "-batch", "-"], add
        yield ["ip", "-batch", "-"], self._devices
        for name, lines in self._inside.items():
            yield ["ip", "-n", name, "-batch", "-"], lines
        for name, lines in self._shaping.items():
            yield ["tc", "-n", name, "-batch", "-"], lines

    def remove(self) -> Iterator[tuple[list[str], list[str]]]:
        """The same, to take all of it away."""
        yield ["ip", "-batch", "-"], [f"netns del {name}" for name in self.namespaces]


def _shaping(item: Htb | Queue | Patch) -> list[str]:
    match item:
        case Htb():
            rate = f"rate {item.rate}bit ceil {item.rate}bit quantum 1514"
            # A size table as long as vnemu's; `mpu` makes tc send it at all.
            table = f"stab mtu 69632 tsize 4352 mpu 1 overhead {-item.overhead} linklayer ethernet"
            return [
                f"qdisc add dev {item.device} root handle 1: {table} htb default 1",
                f"class add dev {item.device} parent 1: classid 1:1 htb {rate}",
            ]
        case Queue():
            return [f"qdisc add dev {item.device} parent 1:1 handle 2: bfifo limit {item.limit}"]
        case Patch():
            match_all = "protocol all prio 1 u32 match u32 0 0"
            redirect = f"action mirred egress redirect dev {item.target}"
            return [
                f"qdisc add dev {item.source} ingress",
                f"filter add dev {item.source} parent ffff: {match_all} {redirect}",
            ]


def run(batches: Iterable[tuple[list[str], list[str]]]) -> None:
    """Run each process to its end.

    Raises:
        subprocess.CalledProcessError: if one fails; its words go to stderr.
    """
    for argv, lines in batches:
        subprocess.run(argv, input="\n".join(lines) + "\n", text=True, check=True)
