"""The record of the probe streams: streams.bin of a run folder, and the datagrams themselves.

The file is `MAGIC` and then records of 24 bytes, little-endian (`RECORD`), in the order
in which they were taken in. It grows while the run goes on; a record that was cut off at
the end is left out by whoever reads it.

Each stream has two directions, numbered in the order of the experiment file: 0 and 1 are
there and back of the first one. Times are nanoseconds since the start of the experiment
(t0). What a record says depends on its kind:

- `SENT`: all directions with the interval of direction `stream` sent their probe `seq`
  at `sent_ns`, one after another;
- `ARRIVED`: the probe `seq` of direction `stream`, sent at `sent_ns`, arrived at
  `received_ns` (once more, if it was duplicated);
- `OVERFLOWED`: in all, `seq` datagrams were dropped by the observer's own sockets;
- `END`: the last record; all that was on its way had a second to arrive.
"""

from __future__ import annotations

import numpy as np

MAGIC = b"vnemu streams 1\n"
RECORD = np.dtype(
    [
        ("kind", "<u2"),
        ("stream", "<u2"),
        ("seq", "<u4"),
        ("sent_ns", "<i8"),
        ("received_ns", "<i8"),
    ]
)
SENT, ARRIVED, OVERFLOWED, END = range(4)

PROBE = np.dtype([("mark", "<u2"), ("stream", "<u2"), ("seq", "<u4"), ("sent_ns", "<i8")])
"""What a datagram begins with; its time is that of CLOCK_MONOTONIC."""
MARK = 0x766E
