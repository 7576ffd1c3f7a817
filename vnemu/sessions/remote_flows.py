"""The traffic of a lab that another process runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vnemu.sessions import client

Flow = dict[str, Any]
Keys = Mapping[str, object]


class RemoteFlows:
    """Flows of a running lab, which go on in it whatever becomes of who started them."""

    name: str

    def start_traffic(
        self,
        start: str,
        to: str,
        *,
        name: str | None = None,
        tcp: Keys | None = None,
        udp: Keys | None = None,
        ip: int | None = None,
        lasting: str | None = None,
    ) -> Flow:
        """Start an iperf3 flow between two nodes; it runs when this returns.

        Parameters:
            start, to: the nodes, both in one network.
            name: None: one is made up.
            tcp, udp: what it is, with the keys of an experiment's ``traffic:``, such as
                ``udp={"rate": "10mbit"}`` and ``tcp={"parallel": 4}``; None of both: TCP.
            ip: 4 or 6; None: 4 where the network has it.
            lasting: how long, such as ``"10s"``; None: until it is stopped.

        Returns:
            The flow, as of `traffic`.

        Raises:
            InputError: if there is no such node, one is paused, it has no route to the
                other, or the name is taken.
            MissingCapability: if there is no iperf3.
            ExperimentFailed: if `to` is not reached.
        """
        more = _given(tcp=tcp, udp=udp, name=name, ip=ip, stop=lasting)
        kind: Keys = {} if tcp or udp else {"tcp": {}}
        flow = {"from": start, "to": to, **kind, **more}
        found: Flow = client.ask(self.name, "start_traffic", flow=flow)
        return found

    def stop_traffic(self, name: str | None = None) -> list[str]:
        """Stop a flow, or all of them; those that have ended are not listed any more then.

        Returns:
            Their names.

        Raises:
            InputError: if there is none of that name.
        """
        found: list[str] = client.ask(self.name, "stop_traffic", flow=name)
        return found

    def traffic(self) -> list[Flow]:
        """The flows that run or have ended by themselves, as `vnemu traffic list --json`."""
        found: list[Flow] = client.ask(self.name, "traffic")
        return found


def kind_of(
    udp: str | None, length: str | None, parallel: int | None, congestion: str | None
) -> dict[str, Keys]:
    """The keys ``tcp`` and ``udp`` of a flow whose options were given one by one."""
    of_udp, of_tcp = (
        _given(rate=udp, length=length),
        _given(parallel=parallel, congestion=congestion),
    )
    return {key: value for key, value in (("udp", of_udp), ("tcp", of_tcp)) if value}


def _given(**values: object) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
