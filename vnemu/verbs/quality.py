"""The verb that changes the quality of VLs and physical links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from vnemu.model.change import Change, reshaped
from vnemu.verbs.state import State


@dataclass(frozen=True)
class Reshape:
    """Change the quality of one link; what is not named keeps its value.

    Parameters:
        name: a VL (network/link) or a physical link.
    """

    name: str
    change: Change

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return ReshapeAll({self.name: self.change}).carried_out(state)

    def __str__(self) -> str:
        return f"reshape {self.name} {self.change}"


@dataclass(frozen=True)
class ReshapeAll:
    """Change the quality of several links: as many `Reshape`, but as quick as one.

    Parameters:
        changes: by VL (network/link) or physical link.
    """

    changes: Mapping[str, Change] = field(hash=False)

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=reshaped(state.topology, self.changes))

    def __str__(self) -> str:
        return ", ".join(f"reshape {name} {change}" for name, change in self.changes.items())
