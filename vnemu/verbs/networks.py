"""The verbs on whole virtual networks (VNs) of a running lab."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vnemu.embedding.strategies import extended
from vnemu.model.networks import created, destroyed, paused, resumed
from vnemu.schema.networks import WrittenNetwork
from vnemu.verbs.places import out_of_order
from vnemu.verbs.state import State


@dataclass(frozen=True)
class CreateNetwork:
    """Add a network: its VRs, hosts and VLs, mapped where the others leave room.

    Parameters:
        written: its name, and what a file says of it.
    """

    written: WrittenNetwork = field(hash=False)

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        state.check_not_ended(self.written.name, "destroyed", "created")
        topology = created(state.topology, self.written)
        mapping = extended(topology, state.mapping, out_of_order(state))
        return replace(state, topology=topology, mapping=mapping)

    def __str__(self) -> str:
        return f"create network {self.written.name}"


@dataclass(frozen=True)
class DestroyNetwork:
    """Take a network away, with all that is in it."""

    network: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        topology = destroyed(state.topology, self.network)
        return replace(
            state.without(self.network, topology), mapping=state.mapping.within(topology)
        )

    def __str__(self) -> str:
        return f"destroy network {self.network}"


@dataclass(frozen=True)
class PauseNetwork:
    """Pause all nodes of a network; others have what it was guaranteed, until it resumes."""

    network: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=paused(state.topology, self.network))

    def __str__(self) -> str:
        return f"pause network {self.network}"


@dataclass(frozen=True)
class ResumeNetwork:
    """Let a paused network go on; refused where others have taken the room of its guarantees."""

    network: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=resumed(state.topology, self.network))

    def __str__(self) -> str:
        return f"resume network {self.network}"
