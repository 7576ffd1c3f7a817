"""The verbs of a running lab as methods: each is one line over `do`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vnemu.errors import InputError
from vnemu.model.change import Change
from vnemu.model.overlay import Topology
from vnemu.schema.networks import load_network, network_from
from vnemu.schema.resources import LimitsDoc
from vnemu.schema.topology import NetworkDoc, RouterDoc, VirtualLinkDoc
from vnemu.schema.violations import read
from vnemu.verbs.existence import Add, AddNic, Remove
from vnemu.verbs.faults import Cut, Down, Fail, Mend, Repair, Up
from vnemu.verbs.life import Copy, Create, Destroy, MoveRouter, Pause, Resume, Start, Stop
from vnemu.verbs.limits import Limit
from vnemu.verbs.networks import CreateNetwork, DestroyNetwork, PauseNetwork, ResumeNetwork
from vnemu.verbs.paths import Move
from vnemu.verbs.quality import ReshapeAll
from vnemu.verbs.state import State, Verb, moved_links


class LabVerbs(ABC):
    """What can be done to a running lab.

    All methods raise InputError if they name what is not there or ask for what cannot
    be, and MissingCapability if this machine lacks what it takes; nothing is changed then.
    """

    state: State

    @property
    @abstractmethod
    def topology(self) -> Topology:
        """What the lab is now."""

    @abstractmethod
    def do(self, *verbs: Verb) -> State:
        """Carry out verbs as one change; the state before them."""

    def reshape(self, link: str, *, direction: str | None = None, **quality: object) -> None:
        """Change the quality of a VL or a physical link; what is not named keeps its value.

        Parameters:
            link: network/link, or the name of a physical link.
            direction: END>END, as in ``"r1>r2"``; None: both.
            quality: any of the file's keys: `limit`, `guarantee` and `queue` of a VL,
                `rate` of a physical link, `delay`, `jitter`, `distribution`,
                `delay_correlation`, `loss`, `duplicate`, `corrupt`, `reorder` of both;
                with a text as in the file, or ``"none"`` or None to take it away.

        Raises:
            InputError: as `do`.
        """
        self.reshape_all({link: Change.parse(direction, **quality)})

    def reshape_all(self, changes: Mapping[str, Change]) -> None:
        """Change the quality of several links in one batch; all or none of it happens.

        Raises:
            InputError: as `do`.
        """
        self.do(ReshapeAll(changes))

    def down(self, link: str) -> None:
        """Take a VL's carrier away: both VRs see their cable unplugged.

        Raises:
            InputError: as `do`; so do all that follow.
        """
        self.do(Down(link))

    def up(self, link: str) -> None:
        """Give a VL its carrier back."""
        self.do(Up(link))

    def cut(self, link: str, direction: str | None = None) -> None:
        """Let nothing pass a VL any more, in one direction or both; its carrier stays."""
        self.do(Cut(link, direction))

    def mend(self, link: str, direction: str | None = None) -> None:
        """Let frames pass a VL again."""
        self.do(Mend(link, direction))

    def fail(self, name: str, direction: str | None = None) -> list[str]:
        """Let a physical link or an RM fail.

        Returns:
            The VLs that were remapped at once, since they ask for it.
        """
        return self._moved_by(Fail(name, direction))

    def repair(self, name: str, direction: str | None = None) -> list[str]:
        """Repair a physical link or an RM.

        Returns:
            The VLs that were remapped: those whose failed path could not be left before.
        """
        return self._moved_by(Repair(name, direction))

    def _moved_by(self, verb: Verb) -> list[str]:
        return moved_links(self.do(verb), self.state)

    def move(
        self,
        name: str,
        path: Sequence[str] | None = None,
        avoid: Sequence[str] = (),
        paths: Sequence[Sequence[str]] = (),
        to: str | None = None,
    ) -> None:
        """Let a VL take another path, or a VR live on another RM, without a lost frame.

        Parameters:
            name: of the VL or the VR (network/name); where both are called so, the VL is
                meant unless `to` is given.
            path: the RMs for a VL to cross, in order; None to have one chosen.
            avoid: RMs and physical links that a VL must not use; RMs for a VR not to go to.
            paths: several paths for a VL to be aggregated over, instead of `path`.
            to: the RM for a VR; None to have one chosen.
        """
        if sum(bool(way) for way in (path, avoid, paths, to)) > 1:
            raise InputError(f"move {name}: give one of path=, paths=, avoid= and to=")
        if to is not None:
            self.do(MoveRouter(name, to))
            return
        one = None if path is None else tuple(path)
        several = tuple(tuple(way) for way in paths)
        self.do(Move(name, one, tuple(avoid), several))

    def pause(self, node: str) -> None:
        """Let a VR or host rest: nothing of it runs, nothing passes its VLs; its carrier stays."""
        self.do(Pause(node))

    def resume(self, node: str) -> None:
        """Let a paused VR or host go on."""
        self.do(Resume(node))

    def stop(self, node: str) -> None:
        """Switch a VR or host off: its programs end, and its peers see no carrier."""
        self.do(Stop(node))

    def start(self, node: str) -> None:
        """Switch a stopped VR or host on again."""
        self.do(Start(node))

    def create(self, router: str, **keys: object) -> None:
        """Add a VR, which `add` can join to others then.

        Parameters:
            router: network/name.
            keys: as of a router in a file: `on`, `nics`, `routing` and so on.
        """
        self.do(Create(router, read(RouterDoc, keys)))

    def destroy(self, node: str) -> None:
        """Take a VR or host away for good, and its VLs with the NICs at both ends."""
        self.do(Destroy(node))

    def copy(self, router: str, new: str, on: str | None = None) -> None:
        """Make a second VR with the resources, files, configuration and NICs of another.

        Its NICs are unplugged: `add` plugs VLs in.

        Parameters:
            new: network/name of the copy, in the same network.
            on: the RM for it; None: that of its original.
        """
        self.do(Copy(router, new, on))

    def add(self, link: str, endpoints: Sequence[str], **keys: object) -> None:
        """Join two running VRs by a new VL, each with a NIC that is free or a new one.

        Parameters:
            link: network/link, a name that is not there yet.
            endpoints: names of two routers of that network.
            keys: as of a link in a file: its quality, `path`, `ipv4`, `ipv6` and so on.
        """
        written = {"endpoints": list(endpoints), **keys}
        self.do(Add(link, read(VirtualLinkDoc, written)))

    def remove(self, link: str) -> None:
        """Take a VL away, and the NICs at its ends."""
        self.do(Remove(link))

    def add_nic(self, node: str) -> str:
        """Give a running VR one more NIC, which no VL is plugged in.

        Returns:
            The NIC's name, as the VR sees it.
        """
        self.do(AddNic(node))
        return self.topology.nodes[node].nics[-1].name

    def create_network(
        self,
        source: str | Path | NetworkDoc | Mapping[str, Any],
        name: str | None = None,
        of: str | None = None,
    ) -> None:
        """Add a network while the others run: its VRs, hosts and VLs, and its Router OSs.

        Its VRs are placed, and its VLs mapped, as in a file, around what has failed.
        `converge` waits for its routing.

        Parameters:
            source: a topology file, or one of a network alone; or what that says, as
                a document or plain data.
            name: that it gets; of a file the default is `of`, or the name of the file.
            of: which of a topology file's networks it is; default: that of its name, or
                the only one.
        """
        if isinstance(source, str | Path):
            called = name or of or Path(source).stem
            written = load_network(Path(source), called, of)
        else:
            if name is None:
                raise InputError("a network needs a name: create_network(…, name='c')")
            written = network_from(source, name)
        self.do(CreateNetwork(written))

    def destroy_network(self, network: str) -> None:
        """Take a network away, with all that is in it and all that runs there."""
        self.do(DestroyNetwork(network))

    def pause_network(self, network: str) -> None:
        """Pause all nodes of a network; until it resumes, others have what it was guaranteed."""
        self.do(PauseNetwork(network))

    def resume_network(self, network: str) -> None:
        """Let a paused network go on, with all that it was guaranteed.

        Refused where others have taken that room meanwhile.
        """
        self.do(ResumeNetwork(network))

    def limit(self, node: str, **limits: object) -> None:
        """Change what a VR or host may use of its machine; what is not named keeps its value.

        Parameters:
            node: network/name.
            limits: any of `cpu` (``"50%"``), `cpus`, `memory` (``"64mb"``), `disk` and, of
                a VR, `forwarding` (``"100mbit"``, ``"10kpps"``), as in a file; ``"none"`` to
                take one away.
        """
        self.do(Limit(node, read(LimitsDoc, limits)))
