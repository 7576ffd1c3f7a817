"""The queues of shaped classes: requests for each discipline, and what the kernel answers.

Source of the formats: the kernel's include/uapi/linux/pkt_sched.h. Limits are in bytes,
times in ns. The kernel counts otherwise in two places:

- fq_codel and cake limit the memory that frames take up (skb->truesize), which for a full
  frame of 1514 bytes is 2304: a limit is scaled by that;
- codel counts packets: a limit is taken as so many full frames.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from vnemu.drivers import red
from vnemu.drivers.netlink import NEW, SET, U32, Request, attribute, attributes, text, u32
from vnemu.drivers.tc import (
    HTB,
    RTM_GETQDISC,
    RTM_NEWQDISC,
    TC_H_ROOT,
    TCA_KIND,
    TCA_OPTIONS,
    TCMSG,
    tc_body,
)

Options = Mapping[str, int]

_FRAME, _FRAME_MEMORY = 1514, 2304
_CODEL_TARGET, _CODEL_LIMIT, _CODEL_INTERVAL, _CODEL_ECN = 1, 2, 3, 4
_FQ_CODEL_MEMORY = 9
_CAKE_RTT, _CAKE_TARGET, _CAKE_MEMORY = 7, 8, 10
_RED_PARMS = 1


def _handle(minor: int) -> int:
    return (minor + 1) << 16  # 1: is the root's


def queue(
    index: int,
    minor: int,
    limit: int,
    discipline: str = "bfifo",
    options: Options | None = None,
    new: bool = True,
) -> Request:
    """Create (`new`) or change the queue of class 1:`minor`.

    What waits stays as long as the discipline does; red, however, drops it whenever it
    is changed (the kernel gives it a fresh queue each time), and so does another discipline.

    Parameters:
        limit: at most as many bytes wait.
        discipline: bfifo, codel, fq_codel, cake or red.
        options: all of the discipline: `target` and `interval` (codel, fq_codel, cake),
            `ecn` (codel, fq_codel, red), `rate` (bit/s; red).
    """
    # Another discipline cannot have the handle of the one that it replaces: the kernel
    # chooses one if none is named. With one named, what is there is not replaced.
    content = u32(limit) if discipline == "bfifo" else _CONTENTS[discipline](limit, options or {})
    body = tc_body(index, _handle(minor) if new else 0, HTB | minor) + _kind(discipline)
    return Request(RTM_NEWQDISC, NEW if new else SET, body + attribute(TCA_OPTIONS, content))


@cache
def _kind(discipline: str) -> bytes:
    return text(TCA_KIND, discipline)


def get_queue(index: int, minor: int) -> Request:
    """Ask for the queue of class 1:`minor`."""
    return Request(RTM_GETQDISC, 0, tc_body(index, 0, HTB | minor))


def get_root(index: int) -> Request:
    """Ask for the root queue of a device."""
    return Request(RTM_GETQDISC, 0, tc_body(index, 0, TC_H_ROOT))


def _codel(limit: int, options: Options) -> bytes:
    return _controlled(options) + attribute(_CODEL_LIMIT, u32(max(limit // _FRAME, 1)))


def _fq_codel(limit: int, options: Options) -> bytes:
    packets = attribute(_CODEL_LIMIT, u32(limit))  # so that only the bytes count
    return _controlled(options) + packets + attribute(_FQ_CODEL_MEMORY, u32(_memory(limit)))


def _controlled(options: Options) -> bytes:
    # codel and fq_codel number these alike; the kernel takes µs.
    return b"".join(
        (
            attribute(_CODEL_TARGET, u32(options["target"] // 1000)),
            attribute(_CODEL_INTERVAL, u32(options["interval"] // 1000)),
            attribute(_CODEL_ECN, u32(options["ecn"])),
        )
    )


def _cake(limit: int, options: Options) -> bytes:
    return b"".join(
        (
            attribute(_CAKE_RTT, u32(options["interval"] // 1000)),
            attribute(_CAKE_TARGET, u32(options["target"] // 1000)),
            attribute(_CAKE_MEMORY, u32(_memory(limit))),
        )
    )


def _red(limit: int, options: Options) -> bytes:
    return red.red(limit, bool(options["ecn"]), options["rate"])


def _memory(limit: int) -> int:
    return min(-(-limit * _FRAME_MEMORY // _FRAME), 1 << 31)


def _limit(memory: int) -> int:
    return memory * _FRAME // _FRAME_MEMORY


_CONTENTS: dict[str, Callable[[int, Options], bytes]] = {
    "codel": _codel,
    "fq_codel": _fq_codel,
    "cake": _cake,
    "red": _red,
}


def queue_state(answer: bytes) -> tuple[str | int, ...]:
    """Discipline, limit and options, as `vnemu.plan.facts` has them."""
    found = attributes(answer, TCMSG.size)
    discipline = found.get(TCA_KIND, b"").rstrip(b"\0").decode()
    read = _READERS.get(discipline)
    return (discipline, *read(found.get(TCA_OPTIONS, b""))) if read else (discipline,)


def _read_bfifo(content: bytes) -> tuple[int, ...]:
    return (_number(content),)


def _read_codel(content: bytes) -> tuple[int, ...]:
    found = attributes(content)
    return (_number(found[_CODEL_LIMIT]), *_read_controlled(found))


def _read_fq_codel(content: bytes) -> tuple[int, ...]:
    found = attributes(content)
    return (_limit(_number(found[_FQ_CODEL_MEMORY])), *_read_controlled(found))


def _read_controlled(found: Mapping[int, bytes]) -> tuple[int, ...]:
    # The kernel shows µs, rounded down, of what it keeps in units of 1024 ns.
    times = (_number(found[kind]) for kind in (_CODEL_TARGET, _CODEL_INTERVAL))
    return (*(-(-us * 1000 // 1024) for us in times), _number(found[_CODEL_ECN]))


def _read_cake(content: bytes) -> tuple[int, ...]:
    found = attributes(content)
    times = (_number(found[kind]) for kind in (_CAKE_TARGET, _CAKE_RTT))
    return (_limit(_number(found[_CAKE_MEMORY])), *(us * 1000 // 1024 for us in times))


def _read_red(content: bytes) -> tuple[int, ...]:
    limit, *_, flags = red.PARMS.unpack_from(attributes(content)[_RED_PARMS])
    return limit, flags


def _number(data: bytes) -> int:
    return int(U32.unpack_from(data)[0])


_READERS: dict[str, Callable[[bytes], tuple[int, ...]]] = {
    "bfifo": _read_bfifo,
    "codel": _read_codel,
    "fq_codel": _read_fq_codel,
    "cake": _read_cake,
    "red": _read_red,
}
