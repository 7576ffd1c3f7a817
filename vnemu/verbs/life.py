"""The verbs on the life of VRs: they come and go, rest and go on, and live elsewhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from vnemu.embedding.mapping import Mapping, admit
from vnemu.embedding.paths import rerouted
from vnemu.embedding.strategies import extended, places_for
from vnemu.errors import InputError, Problem
from vnemu.model.life import node_of, with_node, with_state
from vnemu.model.members import copied, created, destroyed
from vnemu.model.overlay import Node, VirtualLink
from vnemu.schema.texts import Texts
from vnemu.schema.topology import RouterDoc
from vnemu.verbs.places import check_known, out_of_order
from vnemu.verbs.state import State


@dataclass(frozen=True)
class Pause:
    """Let a VR or host rest: no program of it runs, nothing passes its VLs; its carrier stays.

    Parameters:
        node: network/name.
    """

    node: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=with_state(state.topology, self.node, "pause"))

    def __str__(self) -> str:
        return f"pause {self.node}"


@dataclass(frozen=True)
class Resume:
    """Let a paused VR or host go on."""

    node: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return replace(state, topology=with_state(state.topology, self.node, "resume"))

    def __str__(self) -> str:
        return f"resume {self.node}"


@dataclass(frozen=True)
class Stop:
    """Switch a VR or host off: its programs end, its peers see no carrier; its files stay."""

    node: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        return state.without(self.node, with_state(state.topology, self.node, "stop"))

    def __str__(self) -> str:
        return f"stop {self.node}"


@dataclass(frozen=True)
class Start:
    """Switch a stopped VR or host on: its Router OS starts with the files as they are now."""

    node: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        state.check_not_ended(self.node, "stopped", "started")
        return replace(state, topology=with_state(state.topology, self.node, "start"))

    def __str__(self) -> str:
        return f"start {self.node}"


@dataclass(frozen=True)
class Create:
    """Add a VR, which no VL leads to yet; its Router OS starts at once.

    Parameters:
        router: network/name.
        doc: what a file would say of it.
        files: that it names for its Router OS, if they have been read; others are seen from
            the working directory.
        written_at: file:line of what says so.
    """

    router: str
    doc: RouterDoc = field(hash=False)
    files: Texts = field(default_factory=dict, hash=False)
    written_at: str = field(default="", compare=False)

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        state.check_not_ended(self.router, "destroyed", "created")
        topology = created(
            state.topology, self.router, self.doc, self.files, written_at=self.written_at
        )
        mapping = extended(topology, state.mapping, state.topology.underlay.failed_machines)
        return replace(state, topology=topology, mapping=mapping)

    def __str__(self) -> str:
        return f"create {self.router}" + (f" on {self.doc.on}" if self.doc.on else "")


@dataclass(frozen=True)
class Destroy:
    """Take a VR or host away for good, and its VLs with the NICs at both ends."""

    node: str

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        topology = destroyed(state.topology, self.node)
        return replace(state.without(self.node, topology), mapping=state.mapping.within(topology))

    def __str__(self) -> str:
        return f"destroy {self.node}"


@dataclass(frozen=True)
class Copy:
    """Make a second VR like one that is there: resources, files, configuration and NICs.

    Its NICs are unplugged until a VL is added. What its programs know (routes they learned,
    connections) is not copied: it is started afresh.

    Parameters:
        router: network/name of the original.
        new: network/name of the copy, in the same network.
        on: the RM for it; None: that of the original.
    """

    router: str
    new: str
    on: str | None = None

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        state.check_not_ended(self.new, "destroyed", "created")
        check_known(state, (), (self.on,) if self.on else ())
        topology = copied(state.topology, self.router, self.new)
        here = self.on or state.mapping.machines[self.router]
        old = state.mapping
        why = {**old.why, self.new: f"a copy of {self.router}"}
        mapping = replace(old, machines={**old.machines, self.new: here}, why=why)
        return replace(state, topology=topology, mapping=mapping)

    def __str__(self) -> str:
        return f"copy {self.router} as {self.new}" + (f" on {self.on}" if self.on else "")


@dataclass(frozen=True)
class MoveRouter:
    """Let a VR live on another RM, with its hosts; nothing in it notices, no frame is lost.

    Its VLs get new paths from there. A declared path begins or ends at the RM that the VR
    leaves, so another is chosen then, and `State.notes` says which.

    Parameters:
        router: network/name.
        to: the RM; None: the best of the others that its VLs find paths from.
        avoid: RMs that are not to be chosen.
    """

    router: str
    to: str | None = None
    avoid: tuple[str, ...] = ()

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`."""
        node = self._router(state)
        here = state.mapping.machines[self.router]
        if self.to == here:
            return state
        _check_in_order(state, self.router, here)
        if self.to is not None:
            return self._moved(state, node, self.to)
        return self._to_the_best(state, node, here)

    def _router(self, state: State) -> Node:
        check_known(state, self.avoid, (self.to,) if self.to else ())
        node = node_of(state.topology, self.router)
        if node.at is not None:
            message = f"{node.path} is a host: it lives with its router {node.at}"
            raise InputError([Problem("", message, f"move: {node.at}")])
        if self.to is not None and self.to in state.topology.underlay.failed_machines:
            raise InputError([Problem("", f"{self.to} has failed", f"repair: {self.to}")])
        return node

    def _to_the_best(self, state: State, node: Node, here: str) -> State:
        """The state with the VR on the first RM, from the best on, that all finds room on."""
        avoid = {here, *self.avoid, *state.topology.underlay.failed_machines}
        reasons = []
        for machine in places_for(state.topology, state.mapping, node.path, avoid):
            try:
                after = self._moved(state, node, machine)
                admit(after.topology, after.mapping, _crossed(after, _links_of(after, node)))
            except InputError as error:
                reasons.append(f"{machine}: {error.problems[0].message}")
            else:
                return after
        message = f"no other machine can host {node.path}"
        found = f" ({'; '.join(reasons)})" if reasons else ""
        raise InputError([Problem("", f"{message}{found}", "lower guarantees, or avoid less")])

    def _moved(self, state: State, node: Node, machine: str) -> State:
        links = _links_of(state, node)
        unfit = {link.path: replace(link, paths=()) for link in links if link.paths}
        topology = with_node(state.topology.with_links(unfit), replace(node, on=self.to))
        old = state.mapping
        hosts = [host.path for host in topology.nodes.values() if host.at == node.path]
        mapping = replace(
            old,
            machines={**old.machines, **dict.fromkeys([node.path, *hosts], machine)},
            why={**old.why, node.path: "as moved" if self.to else "chosen when it was moved"},
        )
        moved = replace(state, topology=topology, mapping=mapping)
        mapping = _around_failures(moved, [link.path for link in links])
        notes = tuple(_rechosen(self, mapping, path) for path in unfit)
        return replace(moved, mapping=mapping, notes=(*state.notes, *notes))

    def __str__(self) -> str:
        to = f" to {self.to}" if self.to else ""
        around = f" but not to {', '.join(self.avoid)}" if self.avoid else ""
        return f"move {self.router}{to}{around}"


def _links_of(state: State, node: Node) -> list[VirtualLink]:
    """The VLs of a VR; those to its hosts among them."""
    links = state.topology.links
    return [links[nic.link] for nic in state.topology.nodes[node.path].nics if nic.link]


def _crossed(state: State, links: Iterable[VirtualLink]) -> Iterator[str]:
    for link in links:
        yield from state.mapping.paths[link.path].all_links


def _around_failures(state: State, links: Collection[str]) -> Mapping:
    """New paths for VLs: around what has failed, unless they are without service already."""
    mapping = state.mapping
    broken = set(out_of_order(state))
    for path in links:
        try:
            mapping = rerouted(state.topology, mapping, [path], broken)
        except InputError:
            ways = mapping.paths[path].ways
            if broken.isdisjoint(name for way in ways for name in (*way.links, *way.machines)):
                raise
            mapping = rerouted(state.topology, mapping, [path])
    return mapping


def _rechosen(verb: MoveRouter, mapping: Mapping, path: str) -> str:
    over = "-".join(mapping.paths[path].machines)
    return f"{verb}: {path} goes over {over} now, since its declared path ends elsewhere"


def _check_in_order(state: State, router: str, machine: str) -> None:
    if machine in state.topology.underlay.failed_machines:
        message = f"{router} is on {machine}, which has failed: it cannot be taken from there"
        raise InputError([Problem("", message, f"repair: {machine}")])
