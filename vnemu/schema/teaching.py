"""The checks of a teaching lab: its questions, and what must be so in each step (docs/labs.md)."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator

from vnemu.schema.entry import LinkName
from vnemu.schema.fields import Name, NodePath, Span, Strict, check_rate
from vnemu.units import Duration, Rate

_SEAL = re.compile(r"[0-9a-f]{64}")
_KEPT_GOING = Duration(60 * 10**9)


def _seal(text: str) -> str:
    if not _SEAL.fullmatch(text):
        raise ValueError("is no SHA-256 in hexadecimal: it has 64 of 0-9 and a-f")
    return text


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"'{text[:80]}' is no regular expression: {error}") from None
    return text


def _short_enough(value: Duration) -> Duration:
    if value > _KEPT_GOING:
        raise ValueError(f"{value} is too long: a check takes at most {_KEPT_GOING}")
    return value


Seal = Annotated[str, AfterValidator(_seal)]
Pattern = Annotated[str, AfterValidator(_pattern)]
CheckSpan = Annotated[Span, AfterValidator(_short_enough)]
FlowRate = Annotated[Rate, AfterValidator(check_rate)]
Pair = Annotated[list[NodePath], Field(min_length=2, max_length=2)]
Version = Literal[4, 6]
Texts = Annotated[list[str], Field(min_length=1)]


class CheckDoc(Strict):
    """What all checks have in common."""

    look: str | None = Field(None, description="where to look if it is not so")


class PatientDoc(CheckDoc):
    """What becomes so some time after a change."""

    within: CheckSpan = Field(
        Duration(2 * 10**9), description="after the lab's last change; later it must be so at once"
    )


class ReachDoc(PatientDoc):
    """One node gets answers from another."""

    reach: Pair
    version: Version | None = Field(None, description="of IP; default: 4 if there are addresses")


class ReachAllDoc(PatientDoc):
    """All nodes of a network get answers from each other."""

    reach_all: Name
    version: Version | None = None


class UnreachableDoc(PatientDoc):
    """One node gets no answer from another."""

    unreachable: Pair
    version: Version | None = None


class RouteDoc(PatientDoc):
    """The next hop of a node on its way to another."""

    route: Pair
    via: NodePath = Field(description="the neighbour that packets are given to")
    version: Version | None = None


class PathDoc(PatientDoc):
    """The way from a node to another, by the routing tables of all on it."""

    path: Pair
    through: list[NodePath] = Field(description="all between the two, in order")
    version: Version | None = None


class MeasuredFlowDoc(Strict):
    """A flow of TCP, and what it must carry."""

    from_: NodePath = Field(alias="from")
    to: NodePath
    at_least: FlowRate | None = Field(None, description="of goodput")
    at_most: FlowRate | None = None


class FlowsDoc(CheckDoc):
    """The goodput of flows that run at the same time."""

    flows: Annotated[list[MeasuredFlowDoc], Field(min_length=1, max_length=8)]
    for_: CheckSpan = Field(
        Duration(10**9), alias="for", description="after one second that does not count"
    )


class MeasuredOutageDoc(Strict):
    """A stream of pings, and what it may or must lose."""

    from_: NodePath = Field(alias="from")
    to: NodePath
    at_least: Duration | None = Field(None, description="of the longest gap")
    at_most: Duration | None = None
    lost_at_most: Annotated[int, Field(ge=0)] | None = Field(None, description="pings")
    version: Version | None = None


class OutagesDoc(CheckDoc):
    """How long packets are lost around a change that the check makes, and takes back."""

    outages: Annotated[list[MeasuredOutageDoc], Field(min_length=1, max_length=8)]
    when: Texts = Field(description="entries of a timeline, without at:")
    for_: CheckSpan = Field(
        Duration(2 * 10**9), alias="for", description="between the change and what takes it back"
    )
    afterwards: list[str] = Field([], description="what takes the change back")
    interval: CheckSpan = Field(Duration(20 * 10**6), description="between two pings")
    quiet: CheckSpan | None = Field(
        None, description="measured when the lab's last change is so long ago, at the earliest"
    )


Wanted = str | int | bool | list[str] | None


class StateDoc(CheckDoc):
    """What `vnemu inspect --json` says of a node, a link, a network or a physical link."""

    state: LinkName
    is_: dict[str, Wanted] = Field(alias="is", description="key of inspect -> value")


class ShowsDoc(PatientDoc):
    """What a command in a node prints."""

    shows: NodePath
    command: Texts
    match: Pattern = Field(description="regular expression that is found in the output")


class HappenedDoc(CheckDoc):
    """An event that the lab has seen since it was started or reset."""

    happened: Pattern = Field(description="regular expression that is found in vnemu events")
    kind: Literal["change", "refused", "ended"] = "change"


class AnswerDoc(CheckDoc):
    """The answer to a question is right."""

    answer: Name


CHECKS: dict[str, type[CheckDoc]] = {
    "reach": ReachDoc,
    "reach_all": ReachAllDoc,
    "unreachable": UnreachableDoc,
    "route": RouteDoc,
    "path": PathDoc,
    "flows": FlowsDoc,
    "outages": OutagesDoc,
    "state": StateDoc,
    "shows": ShowsDoc,
    "happened": HappenedDoc,
    "answer": AnswerDoc,
}


def _kind(value: Any) -> str | None:
    for kind, doc in CHECKS.items():
        if isinstance(value, doc) or (isinstance(value, dict) and kind in value):
            return kind
    return None


AnyCheck = Annotated[
    Annotated[ReachDoc, Tag("reach")]
    | Annotated[ReachAllDoc, Tag("reach_all")]
    | Annotated[UnreachableDoc, Tag("unreachable")]
    | Annotated[RouteDoc, Tag("route")]
    | Annotated[PathDoc, Tag("path")]
    | Annotated[FlowsDoc, Tag("flows")]
    | Annotated[OutagesDoc, Tag("outages")]
    | Annotated[StateDoc, Tag("state")]
    | Annotated[ShowsDoc, Tag("shows")]
    | Annotated[HappenedDoc, Tag("happened")]
    | Annotated[AnswerDoc, Tag("answer")],
    Discriminator(
        _kind,
        custom_error_type="unknown_check",
        custom_error_message=f"a check has one of the keys {', '.join(CHECKS)}",
    ),
]


class QuestionDoc(Strict):
    """A question, and its solution: a number, one of some choices, or a text."""

    ask: str
    number: float | None = None
    within: Annotated[float, Field(ge=0)] = Field(0.0, description="how far a number may be off")
    unit: str = Field("", description="of the number, for the student")
    choices: dict[str, str] | None = Field(None, description="key -> what it stands for")
    text: Texts | None = Field(None, description="texts, or the keys of choices, that are right")
    sealed: Annotated[list[Seal], Field(min_length=1)] | None = Field(
        None, description="in place of text: SHA-256 of LAB/QUESTION/ANSWER"
    )

    @property
    def kind(self) -> Literal["number", "choice", "text"]:
        """What an answer is."""
        if self.number is not None:
            return "number"
        return "text" if self.choices is None else "choice"

    @model_validator(mode="after")
    def _whole(self) -> QuestionDoc:
        said = [k for k in ("number", "text", "sealed") if getattr(self, k) is not None]
        if len(said) != 1:
            raise ValueError("has one solution: number, text or sealed")
        if self.number is None and (self.within or self.unit):
            raise ValueError("within: and unit: are of a number")
        if self.number is not None and self.choices is not None:
            raise ValueError("has a number or choices, not both")
        wrong = [k for k in self.text or () if self.choices is not None and k not in self.choices]
        if wrong:
            raise ValueError(f"'{wrong[0]}' is none of its choices")
        return self


class StepDoc(Strict):
    """A step of a lab; it is done when all its checks are met at the same time."""

    name: Name
    title: str
    points: Annotated[int, Field(ge=0, le=1000)] = 1
    checks: Annotated[list[AnyCheck], Field(min_length=1)]
    hints: list[str] = []


class LabDoc(Strict):
    """The checks of a teaching lab (checks.yaml)."""

    title: str
    level: Annotated[int, Field(ge=1, le=100)] = Field(description="its rung on the ladder")
    minutes: Annotated[int, Field(ge=1, le=10_000)] = Field(description="that it takes a student")
    creates: list[str] = Field(
        [], description="networks and nodes that students make: the topology has them not"
    )
    questions: dict[Name, QuestionDoc] = {}
    ready: list[AnyCheck] = Field([], description="what start and reset wait for")
    steps: Annotated[list[StepDoc], Field(min_length=1)]
