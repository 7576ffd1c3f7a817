"""Filters: what class a frame belongs to, and where one that arrived goes.

Arriving frames meet, in the order of the filters' preferences: a block, if there is one;
the programs that send a part of them to other targets of a patch; and the patch's target.
Leaving frames meet a detour, if there is one.

Source of the formats: the kernel's include/uapi/linux/{pkt_cls,tc_act/tc_mirred}.h.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from vnemu.drivers import bpf
from vnemu.drivers.netlink import NEW, SET, U32, Request, attribute, attributes, nested, text, u32
from vnemu.drivers.tc import ARRIVING, HTB, LEAVING, TCA_KIND, TCA_OPTIONS, TCMSG, tc_body

_RTM_NEWTFILTER, _RTM_DELTFILTER, _RTM_GETTFILTER = 44, 45, 46
_U32_CLASSID, _U32_HASH, _U32_LINK, _U32_DIVISOR, U32_SEL, _U32_ACT = 1, 2, 3, 4, 5, 7
_BPF_ACT, BPF_OPS_LEN, BPF_OPS, BPF_FLAGS = 1, 4, 5, 8
_ACT_KIND, _ACT_OPTIONS, _MIRRED_PARMS = 1, 2, 2
_TC_ACT_STOLEN, _EGRESS_REDIRECT = 4, 1
_BPF_DIRECT_ACTION = 1
_U32_TERMINAL = 1
_ETH_P_ALL, _ETH_P_IP = 0x0003, 0x0800
_MIRRED = struct.Struct("=IIiiiiI")

_U32_FIRST = 0x80000001
"""Handle of the first filter in u32's first hash table (800::1)."""
_U32_BUCKETS = 256
_U32_TABLE = 1

_CLASSIFY, _BLOCK, _DETOUR, _PATCH = 1, 1, 1, 0x100
"""Preferences: the lowest is asked first."""
MOST_WAYS = _PATCH - _BLOCK
"""Among so many targets a patch can spread frames: each but the last asked has a preference."""


def _selector(flags: int, keys: bytes, hash_offset: int = 0, hash_mask: int = 0) -> bytes:
    # struct tc_u32_sel mixes byte orders: masks and values are the network's,
    # offsets are the machine's.
    head = struct.pack("=BBBxHHhh", flags, 0, len(keys) // 16, 0, 0, 0, hash_offset)
    return attribute(U32_SEL, head + struct.pack(">I", hash_mask) + keys)


def _key(mask: int, value: int, offset: int) -> bytes:
    return struct.pack(">II", mask, value) + struct.pack("=ii", offset, 0)


def _filter(
    index: int, preference: int, handle: int, parent: int, protocol: int, rest: bytes = b""
) -> bytes:
    swapped = struct.unpack("=H", struct.pack(">H", protocol))[0]
    return tc_body(index, handle, parent, preference << 16 | swapped) + rest


def _u32_filter(index: int, handle: int, protocol: int, options: bytes) -> bytes:
    rest = text(TCA_KIND, "u32") + attribute(TCA_OPTIONS, options)
    return _filter(index, _CLASSIFY, handle, HTB, protocol, rest)


_IPV4_DESTINATION = 16  # its offset in the IPv4 header
_MATCH_ALL = _selector(_U32_TERMINAL, _key(0, 0, 0))


def _to(target: int) -> bytes:
    """The action list that sends a frame out of `target`."""
    mirred = _MIRRED.pack(0, 0, _TC_ACT_STOLEN, 0, 0, _EGRESS_REDIRECT, target)
    action = text(_ACT_KIND, "mirred") + attribute(_ACT_OPTIONS, attribute(_MIRRED_PARMS, mirred))
    return attribute(1, action)


def redirect(index: int, target: int, new: bool = False) -> Request:
    """Send every frame that arrives on `index` out of `target`; replaces in one step.

    With `new` there must be none before.

    This is u32 with an empty match, since matchall is a module that some
    kernels lack.
    """
    rest = text(TCA_KIND, "u32")
    rest += attribute(TCA_OPTIONS, _MATCH_ALL + attribute(_U32_ACT, _to(target)))
    body = _filter(index, _PATCH, _U32_FIRST, ARRIVING, _ETH_P_ALL, rest)
    return Request(_RTM_NEWTFILTER, NEW if new else SET, body)


def _bpf(
    index: int, preference: int, program: bytes, options: bytes, new: bool, way: int = ARRIVING
) -> Request:
    length = attribute(BPF_OPS_LEN, struct.pack("=H", len(program) // 8))
    rest = text(TCA_KIND, "bpf")
    rest += attribute(TCA_OPTIONS, length + attribute(BPF_OPS, program) + options)
    body = _filter(index, preference, 1, way, _ETH_P_ALL, rest)
    return Request(_RTM_NEWTFILTER, NEW if new else SET, body)


def divert(index: int, way: int, ways: int, target: int, by_flow: bool) -> Request:
    """Send one of `ways` parts of what arrives on `index` out of `target`.

    `redirect` takes what no diversion does; `way` counts from 1, and the highest is asked
    first. So by chance it takes one frame of way + 1: of the frames that are left for
    as many targets. There or not, and whatever it was, it is so afterwards.
    """
    program = bpf.flows(ways, way) if by_flow else bpf.one_in(way + 1)
    return _bpf(index, _PATCH - way, program, attribute(_BPF_ACT, _to(target)), new=False)


def block(index: int) -> Request:
    """Drop every frame that arrives on `index`.

    Classic BPF can do it in every kernel that has cls_bpf; gact, police and matchall are
    modules that some lack.
    """
    direct = attribute(BPF_FLAGS, u32(_BPF_DIRECT_ACTION))
    return _bpf(index, _BLOCK, bpf.drop(), direct, new=True)


def detour(index: int, over: int) -> Request:
    """Send every frame that is to leave by `index` out of the ifb `over` first.

    The ifb sends it on by `index`, past this filter: the actions of filters let pass once
    what an ifb has sent (skb->tc_skip_classify); a program that acted by itself would not.
    It is no u32, whose handles here would be those of the filters for arriving frames.
    """
    to = attribute(_BPF_ACT, _to(over))
    return _bpf(index, _DETOUR, bpf.match(), to, new=True, way=LEAVING)


def _delete(index: int, preference: int, way: int = ARRIVING) -> Request:
    return Request(_RTM_DELTFILTER, 0, _filter(index, preference, 0, way, _ETH_P_ALL))


def unblock(index: int) -> Request:
    """Remove what `block` made."""
    return _delete(index, _BLOCK)


def end_redirect(index: int) -> Request:
    """Remove what `redirect` made."""
    return _delete(index, _PATCH)


def end_detour(index: int) -> Request:
    """Remove what `detour` made."""
    return _delete(index, _DETOUR, LEAVING)


def end_diversion(index: int, way: int) -> Request:
    """Remove what `divert` made."""
    return _delete(index, _PATCH - way)


def new_classifier_table(index: int) -> list[Request]:
    """A hash table over the last byte of the outer destination, for `classify`."""
    divisor = attribute(_U32_DIVISOR, u32(_U32_BUCKETS))
    table = _u32_filter(index, _U32_TABLE << 20, _ETH_P_IP, divisor)
    selector = _selector(0, _key(0, 0, 0), _IPV4_DESTINATION, 0x000000FF)
    link = attribute(_U32_LINK, u32(_U32_TABLE << 20)) + selector
    entry = _u32_filter(index, _U32_FIRST, _ETH_P_IP, link)
    return [Request(_RTM_NEWTFILTER, NEW, table), Request(_RTM_NEWTFILTER, NEW, entry)]


def _classifier_handle(destination: IPv4Address) -> int:
    # Hash table, bucket (the last byte) and a number in the bucket that is not 0,
    # for which the kernel would choose one.
    within = ((int(destination) >> 8) + 1) & 0xFFF
    return _U32_TABLE << 20 | (int(destination) & 0xFF) << 12 | within


def classify(index: int, destination: IPv4Address, minor: int) -> Request:
    """Put what goes to the outer address `destination` into class 1:`minor`."""
    bucket = _U32_TABLE << 20 | (int(destination) & 0xFF) << 12
    key = _key(0xFFFFFFFF, int(destination), _IPV4_DESTINATION)
    options = b"".join(
        (
            attribute(_U32_CLASSID, u32(HTB | minor)),
            attribute(_U32_HASH, u32(bucket)),
            _selector(_U32_TERMINAL, key),
        )
    )
    handle = _classifier_handle(destination)
    return Request(_RTM_NEWTFILTER, NEW, _u32_filter(index, handle, _ETH_P_IP, options))


def declassify(index: int, destination: IPv4Address) -> Request:
    """Remove what `classify` made."""
    handle = _classifier_handle(destination)
    return Request(_RTM_DELTFILTER, 0, _u32_filter(index, handle, _ETH_P_IP, b""))


def _get(index: int, preference: int, handle: int, way: int = ARRIVING) -> Request:
    body = _filter(index, preference, handle, way, _ETH_P_ALL)
    return Request(_RTM_GETTFILTER, 0, body)


def get_redirect(index: int) -> Request:
    """Ask for what `redirect` made."""
    return _get(index, _PATCH, _U32_FIRST)


def get_detour(index: int) -> Request:
    """Ask for what `detour` made."""
    return _get(index, _DETOUR, 1, LEAVING)


def get_diversion(index: int, way: int) -> Request:
    """Ask for what `divert` made."""
    return _get(index, _PATCH - way, 1)


def get_block(index: int) -> Request:
    """Ask for what `block` made."""
    return _get(index, _BLOCK, 1)


def get_classifier(index: int, destination: IPv4Address) -> Request:
    """Ask for what `classify` made."""
    body = _u32_filter(index, _classifier_handle(destination), _ETH_P_IP, b"")
    return Request(_RTM_GETTFILTER, 0, body)


def _options(answer: bytes) -> dict[int, bytes]:
    return attributes(attributes(answer, TCMSG.size).get(TCA_OPTIONS, b""))


def _target(actions: bytes) -> int:
    mirred = nested(actions, 1, _ACT_OPTIONS, _MIRRED_PARMS)
    return int(_MIRRED.unpack_from(mirred)[6]) if mirred else 0


def redirect_target(answer: bytes) -> int:
    """The device index that a redirect leads to; 0 if it is none."""
    return _target(_options(answer).get(_U32_ACT, b""))


def detour_target(answer: bytes) -> int:
    """The device index that a detour leads to; 0 if it is none."""
    return _target(_options(answer).get(_BPF_ACT, b""))


def diversion(answer: bytes) -> tuple[int, str, int]:
    """The device index that a diversion leads to, by what ("flow", "packet"), of how many."""
    options = _options(answer)
    program = options[BPF_OPS]
    spread = "packet" if bpf.is_random(program) else "flow"
    return _target(options.get(_BPF_ACT, b"")), spread, bpf.ways(program)


def is_block(answer: bytes) -> bool:
    """Whether a filter drops every frame."""
    options = _options(answer)
    flags = U32.unpack(options.get(BPF_FLAGS, bytes(4)))[0]
    return options.get(BPF_OPS) == bpf.drop() and bool(flags & _BPF_DIRECT_ACTION)


def classifier_minor(answer: bytes) -> int:
    """The minor number of the class that a filter leads to."""
    return int(U32.unpack(_options(answer)[_U32_CLASSID])[0]) & 0xFFFF
