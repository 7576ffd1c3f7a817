"""Captures on a running lab for somebody outside: the lab's end of it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from vnemu.drivers.capture import Chosen
from vnemu.errors import InputError
from vnemu.plan.taps import taps_of
from vnemu.sessions.protocol import Connection, Message
from vnemu.sessions.running import RunningLab, text_of

_DESCRIPTORS = 3


def answer(
    running: RunningLab, connection: Connection, request: Message, descriptors: list[int]
) -> Message:
    """Capture as a request says, until it is over or whoever asked has gone.

    Parameters:
        descriptors: standard input, output and error, of which the output is written to
            and all are closed; none: it is only said what would be captured.

    Returns:
        ``interfaces``: their names; or, of a capture, with ``packets`` and ``dropped`` each.

    Raises:
        InputError: if there is no such thing to capture at, or the filter is none.
        MissingCapability: if there is no libpcap for a filter.
        ExperimentFailed: if it cannot be begun, or could not go on.
    """
    what, chosen = text_of(request, "at"), _chosen(request)
    chosen.program()
    names = [tap.name for tap in taps_of(running.lab.topology, what)]
    if not descriptors:
        return {"interfaces": names}
    if len(descriptors) != _DESCRIPTORS:
        raise InputError(f"capture needs {_DESCRIPTORS} descriptors, or none")
    capture = running.capture(what, descriptors[1], chosen)
    try:
        while descriptors:
            os.close(descriptors.pop())
        connection.send({"capturing": names})
        threading.Thread(target=_obey, args=(connection, capture.end), daemon=True).start()
        found = capture.wait()
    finally:
        capture.close()  # whoever asked may have gone already
    return {"interfaces": {name: asdict(counts) for name, counts in found.items()}}


def _chosen(request: Message) -> Chosen:
    expression = request.get("filter") or ""
    count, seconds = request.get("count"), request.get("seconds")
    fine = isinstance(expression, str) and isinstance(count, int | None)
    if not fine or not isinstance(seconds, int | float | None):
        raise InputError("filter is a text, count and seconds are numbers")
    return Chosen(expression, count, seconds)


def _obey(orders: Iterable[Mapping[str, Any]], end: Callable[[], None]) -> None:
    """End a capture when that is asked for, or nobody is there to ask any more."""
    for order in orders:
        if "stop" in order:
            break
    end()
