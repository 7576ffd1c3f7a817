"""The timeline's entries that change nothing and look at the lab."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from vnemu.schema.entry import EntryDoc, link_or_name
from vnemu.schema.fields import Endpoints, Span, check_name


def _place(text: str) -> str:
    name, colon, part = text.partition(":")
    return f"{link_or_name(name)}:{check_name(part)}" if colon else link_or_name(name)


class ProveIsolationDoc(EntryDoc):
    """Send marked odd frames from all of one network and look for them in the other."""

    prove_isolation: Endpoints = Field(description="[the network that sends, the one that listens]")


class CaptureDoc(EntryDoc):
    """Keep the frames at a link or at NICs, in captures/NAME.pcapng of the run folder."""

    capture: Annotated[str, AfterValidator(_place)] = Field(
        description="network/link, network/node, a physical link or a machine; one end or NIC of "
        "it: network/link:r1, network/node:eth0, rm1-rm2:rm1"
    )
    for_: Span | None = Field(None, alias="for", description="default: to the end")
    filter: str | None = Field(None, min_length=1, description="as tcpdump takes it: icmp")
    count: Annotated[int, Field(ge=1)] | None = Field(None, description="of frames, at most")

    @model_validator(mode="after")
    def _once(self) -> CaptureDoc:
        if self.every is not None:
            raise ValueError("a capture has no every: it goes on by itself, as long as for: says")
        return self
