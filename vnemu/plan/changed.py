"""Which fragments of a plan differ between two states, found by comparing the states.

The values of a state are frozen: what is the same object has not changed. So of a
thousand VLs only those are planned again that a change touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from vnemu.embedding.mapping import has_carrier, ports
from vnemu.model.overlay import VirtualLink
from vnemu.model.quality import Quality
from vnemu.model.underlay import PhysicalLink
from vnemu.plan.build import share_key
from vnemu.plan.diff import Action, FragmentKey
from vnemu.plan.objects import Waiting
from vnemu.verbs.state import State, changed_links, touched


def changed_fragments(before: State, after: State) -> list[FragmentKey]:
    """The fragments to plan again; those of what is gone among them."""
    return list(dict.fromkeys(_Changes(before, after).fragments()))


def draining(actions: Sequence[Action], before: State, after: State) -> tuple[list[Waiting], float]:
    """What must be empty before it is removed: queues that nothing comes to any more.

    They are those on paths that VLs have left, and those of VRs whose capacity is no limit
    any more.

    Returns:
        The queues, and the seconds that a frame takes at most between them.
    """
    moved = [
        path
        for path, way in after.mapping.paths.items()
        if before.mapping.paths.get(path, way) is not way
    ]
    left, stays = set(moved), after.topology.nodes
    queues: list[Waiting] = []
    for action in reversed(actions):
        if action.new is not None:
            break
        kind, name = action.reason
        is_left = name in stays if kind == "node" else name.rpartition(" ")[2] in left
        if is_left and isinstance(action.old, Waiting):
            queues.append(action.old)
    return queues, max((_flight(before, after, path) for path in moved), default=0.0)


def _flight(before: State, after: State, path: str) -> float:
    """How long frames are on the path that a VL leaves at most, in seconds.

    On its physical links; and, where its impairments act on another cable now, on the old one.
    """
    topology, way = before.topology, before.mapping.paths[path]
    found: list[PhysicalLink | VirtualLink] = [topology.underlay.links[n] for n in way.all_links]
    if way.number != after.mapping.paths[path].number:
        found.append(topology.links[path])
    longest = (
        max(each.forward.impairment.longest, each.backward.impairment.longest) for each in found
    )
    return sum(delay.seconds for delay in longest)


class _Changes:
    """What differs between two states."""

    def __init__(self, before: State, after: State) -> None:
        self._before = before
        self._after = after

    def fragments(self) -> Iterator[FragmentKey]:
        """The keys, in the order of the plan; some more than once."""
        before, after = self._before, self._after
        for wire in self._wires:
            yield ("wire", wire)
        for path in self._nodes():
            yield ("node", path)
        again = dict.fromkeys(self._links())
        for path in again:
            yield ("link", path)
            for state in (before, after):
                if path in state.mapping.paths:
                    for physical in state.mapping.paths[path].all_links:
                        yield share_key(physical, path)
        for physical in touched(before, after):
            yield from self._shares(physical)

    @cached_property
    def _toggled(self) -> frozenset[str]:
        """The RMs that failed or were repaired."""
        failed = self._after.topology.underlay.failed_machines
        return failed ^ self._before.topology.underlay.failed_machines

    @cached_property
    def _wires(self) -> list[str]:
        """The physical links that are otherwise, or at an RM that is."""
        old, new = self._before.topology.underlay, self._after.topology.underlay
        if old is new:
            return []
        return [
            name
            for name, wire in new.links.items()
            if wire is not old.links[name] or not self._toggled.isdisjoint((wire.a, wire.b))
        ]

    @cached_property
    def _changed(self) -> list[str]:
        return changed_links(self._before, self._after)

    def _crossing(self, wires: Iterable[str]) -> Iterator[VirtualLink]:
        links = self._after.topology.links
        for wire in wires:
            for path in self._after.mapping.crossing.get(wire, ()):
                yield links[path]

    def _nodes(self) -> Iterator[str]:
        """The nodes with other NICs, or NICs with another carrier."""
        old, new = self._before.topology, self._after.topology
        if old.nodes is not new.nodes:
            yield from self._other_nodes
        links = [new.links[path] for path in self._changed if path in new.links]
        links += [link for link in self._crossing(self._wires) if link.on_failure == "carrier"]
        links += [new.links[path] for path in self._at_other_states()]
        for link in links:
            if self._carrier_differs(link):
                yield from (link.a, link.b)

    @cached_property
    def _other_nodes(self) -> list[str]:
        """The nodes that are new, gone or otherwise."""
        old, new = self._before.topology.nodes, self._after.topology.nodes
        found = [path for path, node in new.items() if node is not old.get(path)]
        return found + [path for path in old if path not in new]

    def _at_other_states(self) -> Iterator[str]:
        """The VLs with an end that was paused, resumed, stopped or started."""
        old, new = self._before.topology, self._after.topology
        if old.nodes is new.nodes:
            return
        for path in self._other_nodes:
            here, there = old.nodes.get(path), new.nodes.get(path)
            if here is not None and there is not None and here.state != there.state:
                yield from (nic.link for nic in there.nics if nic.link in new.links)

    def _carrier_differs(self, link: VirtualLink) -> bool:
        old = self._before.topology.links.get(link.path)
        if old is None:
            return False  # its NICs are new, or otherwise
        nodes = self._before.topology.nodes, self._after.topology.nodes
        if any(nodes[0][end].state != nodes[1][end].state for end in (link.a, link.b)):
            return True
        if old.on_failure == link.on_failure != "carrier":
            return old.carrier is not link.carrier
        was = has_carrier(self._before.topology, self._before.mapping, old)
        return was is not has_carrier(self._after.topology, self._after.mapping, link)

    def _links(self) -> Iterator[str]:
        """The VLs of which more is to be planned again than rates on physical links."""
        yield from (path for path in self._changed if not self._only_rates_differ(path))
        yield from self._at_other_states()
        old, new = self._before.topology, self._after.topology
        slower = [
            name
            for name in self._wires
            if not _same_quality(old.underlay.links[name], new.underlay.links[name])
        ]
        yield from (link.path for link in self._crossing(slower))
        if self._toggled:
            machines = self._after.mapping.machines
            yield from (
                path
                for path, link in new.links.items()
                if not self._toggled.isdisjoint((machines[link.a], machines[link.b]))
            )

    def _only_rates_differ(self, path: str) -> bool:
        """Whether nothing but shares of physical links can differ for a VL."""
        old = self._before.topology.links.get(path)
        new = self._after.topology.links.get(path)
        if old is None or new is None:
            return False
        way = self._after.mapping.paths[path]
        return (
            way is self._before.mapping.paths[path]
            and bool(way.links)
            and old.cut == new.cut
            and old.spread == new.spread
            and _same_but_rates(old.forward, new.forward)
            and _same_but_rates(old.backward, new.backward)
        )

    def _shares(self, physical: str) -> Iterator[FragmentKey]:
        """The VLs that are granted another share of a physical link."""
        before, after = self._before, self._after
        found: dict[str, None] = {}
        for port in ports(after.topology.underlay.links[physical]):
            old, new = before.granted[port], after.granted[port]
            found.update((path, None) for path, share in new.items() if share != old.get(path))
        return (share_key(physical, path) for path in found)


def _same_quality(old: PhysicalLink, new: PhysicalLink) -> bool:
    return old is new or (old.forward == new.forward and old.backward == new.backward)


def _same_but_rates(old: Quality, new: Quality) -> bool:
    """Whether only the limit or the guarantee differs, and no queue's room follows from it."""
    return old is new or (
        old.impairment is new.impairment and old.queue is new.queue and new.queue.time is None
    )
