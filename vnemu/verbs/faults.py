"""The verbs that break things, and mend them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vnemu.model.faults import with_carrier, with_cut, with_failure
from vnemu.verbs.remap import remapped
from vnemu.verbs.state import State


@dataclass(frozen=True)
class Down:
    """Take the carrier of a VL away: both VRs see their cable unplugged."""

    link: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=with_carrier(state.topology, self.link, False))

    def __str__(self) -> str:
        return f"down {self.link}"


@dataclass(frozen=True)
class Up:
    """Give a VL its carrier back."""

    link: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=with_carrier(state.topology, self.link, True))

    def __str__(self) -> str:
        return f"up {self.link}"


@dataclass(frozen=True)
class Cut:
    """Let nothing pass a link, silently: the carrier stays.

    Parameters:
        link: a VL (network/link) or a physical link.
        direction: END>END; None: both.
    """

    link: str
    direction: str | None = None

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=with_cut(state.topology, self.link, self.direction, True))

    def __str__(self) -> str:
        return _words("cut", self.link, self.direction)


@dataclass(frozen=True)
class Mend:
    """Let frames pass a link again, in a direction or both."""

    link: str
    direction: str | None = None

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=with_cut(state.topology, self.link, self.direction, False))

    def __str__(self) -> str:
        return _words("mend", self.link, self.direction)


@dataclass(frozen=True)
class Fail:
    """Let a physical link, in a direction or both, or an RM fail.

    VLs on it that ask for it (``on_failure: remap``) get another path at once.

    Parameters:
        name: of a physical link or an RM.
    """

    name: str
    direction: str | None = None

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        topology = with_failure(state.topology, self.name, self.direction, True)
        return remapped(replace(state, topology=topology), f"{self.name} failed")

    def __str__(self) -> str:
        return _words("fail", self.name, self.direction)


@dataclass(frozen=True)
class Repair:
    """Repair a physical link or an RM.

    VLs that were remapped stay where they are; those that found no other path then,
    and ask for one, get it now if there is one.
    """

    name: str
    direction: str | None = None

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        topology = with_failure(state.topology, self.name, self.direction, False)
        return remapped(replace(state, topology=topology), f"{self.name} was repaired")

    def __str__(self) -> str:
        return _words("repair", self.name, self.direction)


def _words(verb: str, name: str, direction: str | None) -> str:
    return f"{verb} {name} {direction}" if direction else f"{verb} {name}"
