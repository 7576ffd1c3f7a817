"""The verbs of a lab that another process runs: the methods of Lab, each an entry of a timeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

Entry = Mapping[str, object]


class RemoteVerbs(ABC):
    """What can be done to a running lab, as `vnemu.lab_verbs.LabVerbs` describes it.

    All methods raise InputError if they name what is not there or ask for what cannot be,
    and MissingCapability if the machine lacks what it takes; nothing is changed then.
    """

    @abstractmethod
    def do(self, *changes: str | Entry) -> dict[str, Any]:
        """Carry out entries of a timeline as one change."""

    @abstractmethod
    def inspect(self) -> dict[str, Any]:
        """What the lab is now."""

    def reshape(self, link: str, *, direction: str | None = None, **quality: object) -> None:
        """Change the quality of a VL or a physical link; what is not named keeps its value.

        Parameters:
            link: network/link, or the name of a physical link.
            direction: END>END, as in ``"r1>r2"``; None: both.
            quality: any of the file's keys; ``"none"`` or None to take it away.
        """
        self.do(_reshaping(link, quality, direction))

    def reshape_all(self, changes: Mapping[str, Entry]) -> None:
        """Change the quality of several links in one batch; all or none of it happens.

        Parameters:
            changes: as of `reshape`, by link: ``{"a/core": {"limit": "10mbit"}}``.
        """
        self.do(*(_reshaping(link, quality) for link, quality in changes.items()))

    def down(self, link: str) -> None:
        """Take a VL's carrier away: both VRs see their cable unplugged."""
        self.do({"down": link})

    def up(self, link: str) -> None:
        """Give a VL its carrier back."""
        self.do({"up": link})

    def cut(self, link: str, direction: str | None = None) -> None:
        """Let nothing pass a VL any more, in one direction or both; its carrier stays."""
        self.do({"cut": link, "direction": direction})

    def mend(self, link: str, direction: str | None = None) -> None:
        """Let frames pass a VL again."""
        self.do({"mend": link, "direction": direction})

    def fail(self, name: str, direction: str | None = None) -> list[str]:
        """Let a physical link or an RM fail; return the VLs that were remapped at once."""
        return self._moved_by({"fail": name, "direction": direction})

    def repair(self, name: str, direction: str | None = None) -> list[str]:
        """Repair a physical link or an RM; return the VLs that were remapped."""
        return self._moved_by({"repair": name, "direction": direction})

    def _moved_by(self, entry: Entry) -> list[str]:
        before = self._ways()
        self.do(entry)
        return [path for path, way in self._ways().items() if before.get(path, way) != way]

    def _ways(self) -> dict[str, object]:
        links = self.inspect()["links"]
        return {path: [link["machines"], link["beside"]] for path, link in links.items()}

    def move(
        self,
        name: str,
        path: Sequence[str] | None = None,
        avoid: Sequence[str] = (),
        paths: Sequence[Sequence[str]] = (),
        to: str | None = None,
    ) -> None:
        """Let a VL take another path, or a VR live on another RM, without a lost frame."""
        self.do(
            {
                "move": name,
                "path": None if path is None else list(path),
                "avoid": list(avoid) or None,
                "paths": [list(way) for way in paths] or None,
                "to": to,
            }
        )

    def pause(self, node: str) -> None:
        """Let a VR or host rest: nothing of it runs, nothing passes its VLs; its carrier stays."""
        self.do({"pause": node})

    def resume(self, node: str) -> None:
        """Let a paused VR or host go on."""
        self.do({"resume": node})

    def stop(self, node: str) -> None:
        """Switch a VR or host off: its programs end, and its peers see no carrier."""
        self.do({"stop": node})

    def start(self, node: str) -> None:
        """Switch a stopped VR or host on again."""
        self.do({"start": node})

    def create(self, router: str, **keys: object) -> None:
        """Add a VR, which `add` can join to others then; `keys` as of a router in a file."""
        self.do({"create": router, **keys})

    def destroy(self, node: str) -> None:
        """Take a VR or host away for good, and its VLs with the NICs at both ends."""
        self.do({"destroy": node})

    def copy(self, router: str, new: str, on: str | None = None) -> None:
        """Make a second VR with the resources, files, configuration and NICs of another."""
        self.do({"copy": router, "as": new, "on": on})

    def add(self, link: str, endpoints: Sequence[str], **keys: object) -> None:
        """Join two running VRs by a new VL; `keys` as of a link in a file."""
        self.do({"add": link, "endpoints": list(endpoints), **keys})

    def remove(self, link: str) -> None:
        """Take a VL away, and the NICs at its ends."""
        self.do({"remove": link})

    def create_network(
        self, source: str | Path, name: str | None = None, of: str | None = None
    ) -> None:
        """Add a network from a file while the others run; as the method of Lab."""
        called = name or of or Path(source).stem
        self.do({"create_network": called, "file": str(source), "network": of})

    def destroy_network(self, network: str) -> None:
        """Take a network away, with all that is in it and all that runs there."""
        self.do({"destroy_network": network})

    def pause_network(self, network: str) -> None:
        """Pause all nodes of a network; until it resumes, others have what it was guaranteed."""
        self.do({"pause": network})

    def resume_network(self, network: str) -> None:
        """Let a paused network go on, with all that it was guaranteed."""
        self.do({"resume": network})

    def limit(self, node: str, **limits: object) -> None:
        """Change what a VR or host may use of its machine; what is not named keeps its value."""
        self.do({"limit": node, **limits})


def _reshaping(link: str, quality: Entry, direction: str | None = None) -> Entry:
    said = {key: "none" if value is None else value for key, value in quality.items()}
    return {"reshape": link, "direction": direction, **said}
