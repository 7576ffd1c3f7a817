"""The processes of VRs and hosts, for `vnemu.lab`: what the kernel batch of a change cannot do.

`Lab` asks in this order, for each change between two states:

    check            before anything is touched: can this machine do it?
    before_batch     what must rest or end before frames are switched: freeze
    (the batch)      the network part: plan, difference, apply, observe
    after_batch      what wants the network there: start, copy, thaw, limits; and, last of
                     all, what cannot be taken back: the ends of what was stopped or destroyed
    take_back        if the batch or `after_batch` failed: all is as it was `before`
"""

from __future__ import annotations

from typing import Protocol

from vnemu.model.overlay import Topology
from vnemu.verbs.state import State


class Routers(Protocol):
    """What a kind of VR (namespaces, virtual machines) does when a change concerns its processes.

    All calls get the states before and after the change. Nodes that concern it differ
    in `Node.state` or in their resources, or are new (perhaps with `Node.copied_from`),
    or gone.
    """

    def prepare(self, topology: Topology) -> None:
        """Get ready for the nodes of a new lab: what limits them is there before they run.

        Raises:
            ExperimentFailed: if the kernel refuses a limit.
        """

    def close(self) -> None:
        """Leave nothing on the machine, after all processes of the lab have ended."""

    def check(self, before: State, after: State) -> None:
        """See whether this machine can do it; nothing is touched.

        Raises:
            MissingCapability: naming the VR, what is missing and a way out.
        """

    def before_batch(self, before: State, after: State) -> None:
        """Freeze what is paused, stopped or destroyed by the change.

        Raises:
            ExperimentFailed: if that does not work; what it did is taken back.
        """

    def after_batch(self, before: State, after: State) -> None:
        """Start what is new or started, thaw what is resumed, set limits; then end what ends.

        What can fail comes first, what cannot be taken back last.

        Raises:
            ExperimentFailed: if a program did not start. `take_back` is called then.
        """

    def take_back(self, before: State, after: State) -> None:
        """Make all that `before_batch` and `after_batch` did undone.

        The kernel objects of `before` are there again. Goes on after errors, and
        raises them together.
        """


class NoProcesses:
    """VRs without processes: nothing to do for them."""

    def prepare(self, topology: Topology) -> None:
        """See `Routers`."""

    def close(self) -> None:
        """See `Routers`."""

    def check(self, before: State, after: State) -> None:
        """See `Routers`."""

    def before_batch(self, before: State, after: State) -> None:
        """See `Routers`."""

    def after_batch(self, before: State, after: State) -> None:
        """See `Routers`."""

    def take_back(self, before: State, after: State) -> None:
        """See `Routers`."""
