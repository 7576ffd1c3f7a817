"""The processes of VRs and hosts, for `vnemu.lab`: what the kernel batch of a change cannot do.

`Lab` asks in this order, for each change between two states:

    check            before anything is touched: can this machine do it?
    before_batch     what must rest or end before frames are switched: freeze
    (the batch)      the network part: plan, difference, apply, but for what is removed
    begin            limits, and what is new: start, copy; should that fail, nothing was
                     removed yet that somebody would miss
    (its end)        the removals; observe
    after_batch      what wants all of it: start again, thaw; and, last of all, what cannot
                     be taken back: the ends of what was stopped or destroyed
    take_back        if any of it failed: all is as it was `before`
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

    def begin(self, before: State, after: State) -> None:
        """Set limits, and start what is new.

        Raises:
            ExperimentFailed: if a program did not start, or the kernel refused a limit.
                `take_back` is called then, as after the next.
        """

    def after_batch(self, before: State, after: State) -> None:
        """Start again what is started, thaw what is resumed; then end what ends.

        What can fail comes first, what cannot be taken back last.

        Raises:
            ExperimentFailed: if a program did not start, or does not end.
        """

    def take_back(self, before: State, after: State) -> None:
        """Make undone all that was done, or a part of it.

        The kernel objects of `before` are there again. Goes on after errors, and
        raises them together.

        Raises:
            ExperimentFailed: saying what is not as it was before.
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

    def begin(self, before: State, after: State) -> None:
        """See `Routers`."""

    def after_batch(self, before: State, after: State) -> None:
        """See `Routers`."""

    def take_back(self, before: State, after: State) -> None:
        """See `Routers`."""
