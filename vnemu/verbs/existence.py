"""The verbs that add VLs and NICs to running VRs, and take them away."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from vnemu.embedding.mapping import Mapping
from vnemu.embedding.paths import rerouted
from vnemu.model.existence import added, removed, with_new_nic
from vnemu.schema.topology import VirtualLinkDoc
from vnemu.verbs.places import out_of_order
from vnemu.verbs.state import State


@dataclass(frozen=True)
class Add:
    """Join two running VRs by a new VL: each gets a NIC for it, unless it has a free one.

    Parameters:
        link: network/link.
        doc: its endpoints, quality, path and addresses, as a file would say them.
    """

    link: str
    doc: VirtualLinkDoc = field(hash=False)

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        topology = added(state.topology, self.link, self.doc)
        avoid = () if topology.links[self.link].paths else out_of_order(state)
        mapping = rerouted(topology, state.mapping, [self.link], avoid)
        return replace(state, topology=topology, mapping=mapping)

    def __str__(self) -> str:
        return f"add {self.link} between {' and '.join(self.doc.endpoints)}"


@dataclass(frozen=True)
class Remove:
    """Take a VL away, and the NICs at its ends."""

    link: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        topology = removed(state.topology, self.link)
        old = state.mapping
        paths = {path: way for path, way in old.paths.items() if path != self.link}
        why = {path: reason for path, reason in old.why.items() if path != self.link}
        return replace(state, topology=topology, mapping=Mapping(old.machines, paths, why))

    def __str__(self) -> str:
        return f"remove {self.link}"


@dataclass(frozen=True)
class AddNic:
    """Give a running node one more NIC, which no VL is plugged in yet.

    Parameters:
        node: network/name.
    """

    node: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=with_new_nic(state.topology, self.node))

    def __str__(self) -> str:
        return f"add a NIC to {self.node}"
