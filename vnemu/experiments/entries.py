"""An entry of the timeline as verbs, and in words; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from vnemu.drivers.capture import Chosen
from vnemu.errors import InternalError
from vnemu.model.change import Change
from vnemu.schema.entry import EntryDoc
from vnemu.schema.life import (
    CopyDoc,
    CreateDoc,
    CreateNetworkDoc,
    DestroyDoc,
    DestroyNetworkDoc,
    LimitDoc,
    NetworkSource,
    PauseDoc,
    ResumeDoc,
    StartDoc,
    StopDoc,
)
from vnemu.schema.networks import WrittenNetwork
from vnemu.schema.observing import CaptureDoc, ProveIsolationDoc
from vnemu.schema.quality import QualityDoc
from vnemu.schema.texts import Texts
from vnemu.schema.timeline import (
    AddDoc,
    BatchDoc,
    CutDoc,
    DownDoc,
    FailDoc,
    FlapDoc,
    MendDoc,
    MoveDoc,
    RemoveDoc,
    RepairDoc,
    ReplayDoc,
    ReshapeDoc,
    UpDoc,
)
from vnemu.verbs.existence import Add, Remove
from vnemu.verbs.faults import Cut, Down, Fail, Mend, Repair, Up
from vnemu.verbs.life import Copy, Create, Destroy, MoveRouter, Pause, Resume, Start, Stop
from vnemu.verbs.limits import Limit
from vnemu.verbs.networks import CreateNetwork, DestroyNetwork, PauseNetwork, ResumeNetwork
from vnemu.verbs.paths import Move
from vnemu.verbs.quality import Reshape
from vnemu.verbs.state import Verb


def reshape(link: str, values: dict[str, Any], direction: str | None) -> Reshape:
    """The change of a link to `values`, by the keys of its quality."""
    return Reshape(link, Change.of(QualityDoc(**values), direction))


@dataclass(frozen=True)
class Beside:
    """What was read beside the file that an entry is in.

    Parameters:
        networks: those that it creates.
        files: the texts that it names for VRs, by their names there.
        written_at: file:line of the entry.
    """

    networks: Mapping[NetworkSource, WrittenNetwork] = field(default_factory=dict)
    files: Texts = field(default_factory=dict)
    written_at: str = ""


def verbs_of(doc: EntryDoc, beside: Beside) -> tuple[Verb, ...]:
    """The verbs of an entry that happens at once."""
    match doc:
        case BatchDoc():
            return tuple(verb for part in doc.batch for verb in verbs_of(part, beside))
        case ReshapeDoc():
            return (reshape(doc.reshape, doc.quality, doc.direction),)
        case DownDoc():
            return (Down(doc.down),)
        case UpDoc():
            return (Up(doc.up),)
        case CutDoc():
            return (Cut(doc.cut, doc.direction),)
        case MendDoc():
            return (Mend(doc.mend, doc.direction),)
        case FailDoc():
            return (Fail(doc.fail, doc.direction),)
        case RepairDoc():
            return (Repair(doc.repair, doc.direction),)
        case MoveDoc():
            return (_move(doc),)
        case AddDoc():
            return (Add(doc.add, doc.link),)
        case RemoveDoc():
            return (Remove(doc.remove),)
        case CreateNetworkDoc():
            return (CreateNetwork(beside.networks[doc.source]),)
        case DestroyNetworkDoc():
            return (DestroyNetwork(doc.destroy_network),)
        case CreateDoc():
            return (Create(doc.create, doc.router, beside.files, beside.written_at),)
        case _:
            return (_verb_of_node(doc),)


def _verb_of_node(doc: EntryDoc) -> Verb:
    """The verb of an entry on the life of a VR, host or network."""
    match doc:
        case PauseDoc(pause=name):
            return Pause(name) if "/" in name else PauseNetwork(name)
        case ResumeDoc(resume=name):
            return Resume(name) if "/" in name else ResumeNetwork(name)
        case StopDoc():
            return Stop(doc.stop)
        case StartDoc():
            return Start(doc.start)
        case DestroyDoc():
            return Destroy(doc.destroy)
        case CopyDoc():
            return Copy(doc.copy_, doc.as_, doc.on)
        case LimitDoc():
            return Limit(doc.limit, doc.limits)
        case _:
            raise InternalError(f"{type(doc).__name__} is not done at once")


def _move(doc: MoveDoc) -> Move | MoveRouter:
    if doc.to is not None:
        return MoveRouter(doc.move, doc.to)
    path = None if doc.path is None else tuple(doc.path)
    paths = tuple(tuple(path) for path in doc.paths or ())
    return Move(doc.move, path, tuple(doc.avoid or ()), paths)


def flap_verbs(doc: FlapDoc, name: str) -> tuple[Verb, Verb]:
    """What the flapping link `name` does first, and then."""
    if "/" not in name:
        return Fail(name), Repair(name)
    if doc.silent:
        return Cut(name), Mend(name)
    return Down(name), Up(name)


def words(doc: EntryDoc, beside: Beside) -> str:
    """An entry in words."""
    match doc:
        case ProveIsolationDoc():
            return f"prove isolation {' -> '.join(doc.prove_isolation)}"
        case CaptureDoc():
            return f"capture {doc.capture}" + (f" ({doc.filter})" if doc.filter else "")
        case ReplayDoc():
            return f"replay {doc.trace} on {doc.replay}"
        case FlapDoc():
            return f"flap {doc.flap}, {doc.down_for} of {doc.every}"
        case ReshapeDoc() if doc.over:
            return f"ramp {doc.reshape} {_of_ramp(doc)} in {doc.over}"
    text = ", ".join(str(verb) for verb in verbs_of(doc, beside))
    return text if doc.every is None else f"every {doc.every}: {text}"


def _of_ramp(doc: ReshapeDoc) -> str:
    return ", ".join(f"{key} {ramp.from_} to {ramp.to}" for key, ramp in doc.ramps.items())


@dataclass(frozen=True)
class Taken:
    """A capture of a run.

    Parameters:
        name: of its file.
        at: where, as the file says it.
        what: it in words.
        chosen: which frames, and for how long.
    """

    name: str
    at: str
    what: str
    chosen: Chosen


def taken(doc: CaptureDoc, number: int, scale: float) -> Taken:
    """The capture of the entry of that number, its time scaled."""
    seconds = doc.for_.seconds * scale if doc.for_ else None
    chosen = Chosen(doc.filter or "", doc.count, seconds)
    return Taken(doc.name or str(number), doc.capture, words(doc, Beside()), chosen)
