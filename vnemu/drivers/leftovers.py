"""The routes that a Router OS leaves in the kernel when it is killed, taken away."""

from __future__ import annotations

import struct

from vnemu.drivers import rtnetlink as rt
from vnemu.drivers.namespaces import NetworkNamespace
from vnemu.drivers.netlink import Request, attribute, attributes

# include/uapi/linux/rtnetlink.h and nexthop.h.
_RTM_DELNEXTHOP, _RTM_GETNEXTHOP = 105, 106
_NHMSG = struct.Struct("=BBBxI")
_NHA_ID = 1
_LAST_OF_THE_SYSTEM = 9
"""The protocols of routes up to here are the kernel's, and those of plain configuration."""


def remove_dynamic_routes(namespace: NetworkNamespace) -> None:
    """Remove all routes and nexthop objects that routing programs have made.

    As ``ip route flush`` does it: what the kernel lists is sent back as to be deleted.
    What is gone by itself meanwhile is no error.
    """
    routes = namespace.socket.dump(rt.RTM_GETROUTE, rt.RTMSG.pack(*([0] * 9)))
    gone = [Request(rt.RTM_DELROUTE, 0, body) for body in routes if _is_dynamic(body)]
    namespace.socket.send([*gone, *_nexthops(namespace)])


def _is_dynamic(body: bytes) -> bool:
    family, _, _, _, _, protocol, *_ = rt.RTMSG.unpack_from(body)
    return family in {rt.AF_INET, rt.AF_INET6} and protocol > _LAST_OF_THE_SYSTEM


def _nexthops(namespace: NetworkNamespace) -> list[Request]:
    found = []
    try:
        for body in namespace.socket.dump(_RTM_GETNEXTHOP, _NHMSG.pack(0, 0, 0, 0)):
            _, _, protocol, _ = _NHMSG.unpack_from(body)
            if protocol > _LAST_OF_THE_SYSTEM:
                own = attribute(_NHA_ID, attributes(body, _NHMSG.size)[_NHA_ID])
                found.append(Request(_RTM_DELNEXTHOP, 0, _NHMSG.pack(0, 0, 0, 0) + own))
    except OSError:  # kernels before 5.3 know none
        return []
    return found
