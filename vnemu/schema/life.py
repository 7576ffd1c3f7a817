"""The timeline's entries on the life of VRs and networks: they come and go, rest and go on."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from vnemu.schema.entry import EntryDoc, link_or_name
from vnemu.schema.fields import Name, NodePath
from vnemu.schema.resources import LimitsDoc
from vnemu.schema.topology import RouterDoc

NetworkSource = tuple[str, str, str | None]
"""The name that a network gets, a file, and the network's name there."""
NodeOrNetwork = Annotated[str, AfterValidator(link_or_name)]
"""A VR or host (network/name), or a network."""


class PauseDoc(EntryDoc):
    """A VR or host rests, or all of a network: nothing runs, nothing passes."""

    pause: NodeOrNetwork = Field(description="network/node, or a network")


class ResumeDoc(EntryDoc):
    """Ends a pause."""

    resume: NodeOrNetwork = Field(description="network/node, or a network")


class StopDoc(EntryDoc):
    """A VR or host is switched off: its programs end, its peers see no carrier."""

    stop: NodePath


class StartDoc(EntryDoc):
    """A stopped VR or host is switched on."""

    start: NodePath


class CreateDoc(RouterDoc, EntryDoc):
    """A VR appears, which no VL leads to yet."""

    create: NodePath = Field(
        description="network/router; the other keys are as of a router in a file"
    )

    @property
    def router(self) -> RouterDoc:
        """The router as a topology file would say it."""
        keys = RouterDoc.model_fields.keys() & self.model_fields_set
        return RouterDoc(**{key: getattr(self, key) for key in keys})


class DestroyDoc(EntryDoc):
    """A VR or host disappears for good, and its VLs."""

    destroy: NodePath


class CopyDoc(EntryDoc):
    """A second VR like one that is there appears; its NICs are unplugged."""

    copy_: NodePath = Field(alias="copy", description="network/router: the original")
    as_: NodePath = Field(alias="as", description="network/router: the copy")
    on: Name | None = Field(None, description="the machine; default: that of the original")


class LimitDoc(LimitsDoc, EntryDoc):
    """What a VR or host may use of its machine changes; what is not named stays."""

    limit: NodePath

    @property
    def limits(self) -> LimitsDoc:
        """The limits, without the rest."""
        keys = LimitsDoc.model_fields.keys() & self.model_fields_set
        return LimitsDoc(**{key: getattr(self, key) for key in keys})


class CreateNetworkDoc(EntryDoc):
    """A network appears, with its VRs, hosts and VLs."""

    create_network: Name = Field(description="the name that it gets")
    file: str = Field(description="a topology file, or one of a network alone, seen from this one")
    network: Name | None = Field(
        None, description="which of the file's networks; default: that of the name, or the only one"
    )

    @property
    def source(self) -> NetworkSource:
        """What it reads, apart from what other entries read."""
        return self.create_network, self.file, self.network


class DestroyNetworkDoc(EntryDoc):
    """A network disappears, with all that is in it."""

    destroy_network: Name
