"""Waiting until the routing of a running lab has converged, with a look at how far it is."""

from __future__ import annotations

from vnemu.cli.progress import shown
from vnemu.events import Progress
from vnemu.sessions.client import asked


def converge(lab: str, within_s: float) -> None:
    """Wait until the routing of all networks of a lab has converged.

    Raises:
        InputError: if no such lab runs.
        ExperimentFailed: if it takes longer than `within_s` seconds, saying who does not
            reach whom; or if the lab ends meanwhile.
    """
    with shown() as sink:
        for message in asked(lab, "converge", within_s=within_s):
            if "progress" in message:
                sink(Progress("routing", *message["progress"]))
