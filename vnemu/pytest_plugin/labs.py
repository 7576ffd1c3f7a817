"""The labs of a pytest run: each lives as long as the test, class or module that it is for."""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from vnemu.errors import InputError, MissingCapability, VnemuError
from vnemu.pytest_plugin.wanted import Wanted, failed, wanted_by
from vnemu.sessions import (
    client,
    lookup,
    questions,
    remote,
    remote_nodes,
    remote_programs,
    remote_verbs,
)
from vnemu.sessions.launch import up
from vnemu.sessions.remote import RemoteLab
from vnemu.sessions.remote_nodes import RemoteNode

_number = itertools.count(1)


def _is_told(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    return isinstance(excinfo.value, VnemuError)


# pytest asks the modules of a traceback's frames. Where an error was raised on purpose, those
# of the test are enough.
for _module in (
    *(client, lookup, questions, remote),
    *(remote_nodes, remote_programs, remote_verbs),
):
    _module.__dict__["__tracebackhide__"] = _is_told


class Vnet(RemoteLab):
    """A lab that notes which nodes a test works with, for the report if it fails.

    Parameters:
        lab: the lab, as it was started.
        file: its topology file.
    """

    def __init__(self, lab: RemoteLab, file: Path) -> None:
        super().__init__(lab.name, lab.process)
        self.file = file
        self.used: dict[str, None] = {}

    def __getitem__(self, path: str) -> RemoteNode:
        node = super().__getitem__(path)
        self.used[path] = None
        return node

    def is_alive(self) -> bool:
        """Whether it still answers."""
        try:
            self.about()
        except VnemuError:
            return False
        return True


_OWN = pytest.StashKey[dict[Wanted, Vnet]]()
CURRENT = pytest.StashKey[Vnet]()
"""The lab that a test was given."""


def lab_for(request: pytest.FixtureRequest) -> Vnet:
    """The lab that a test asks for, set up now if its scope has none yet."""
    node = request.node
    wanted = wanted_by(node)
    holder = _holder(node, wanted.scope)
    own = holder.stash.setdefault(_OWN, {})
    lab = own.get(wanted)
    fresh = lab is None or not lab.is_alive()
    if lab is None or fresh:
        lab = own[wanted] = _started(request, wanted)
        holder.addfinalizer(partial(_end, lab))
    lab.used.clear()
    node.stash[CURRENT] = lab
    if fresh and wanted.converge_s is not None:
        _converge(lab, wanted.converge_s)
    return lab


def _converge(lab: Vnet, within_s: float) -> None:
    try:
        lab.converge(within_s)
    except VnemuError as error:
        raise failed(f"vnet: {error}") from None


def _holder(node: pytest.Item, scope: str) -> pytest.Item | pytest.Collector:
    """What a lab of this scope lives as long as; a class, of a function in none: itself."""
    kinds: dict[str, type[pytest.Collector]] = {
        "class": pytest.Class,
        "module": pytest.Module,
        "package": pytest.Package,
        "session": pytest.Session,
    }
    return (node.getparent(kinds[scope]) if scope in kinds else None) or node


def _started(request: pytest.FixtureRequest, wanted: Wanted) -> Vnet:
    file = _file(request, wanted)
    name = f"pytest-{os.getpid()}-{next(_number)}"
    options = request.config.option
    try:
        lab = up(file, name, options.vnet_kernel, wanted.overrides)
    except MissingCapability as missing:
        message = f"this machine cannot run {file.name}: {missing}"
        if options.vnet_required:
            raise failed(message) from None
        pytest.skip(message)
    except VnemuError as error:
        raise failed(f"vnet: {error}") from None
    return Vnet(lab, file)


def _file(request: pytest.FixtureRequest, wanted: Wanted) -> Path:
    if wanted.inline:
        folder: Path = request.getfixturevalue("tmp_path_factory").mktemp("vnet")
        file = folder / "topology.yaml"
        file.write_text(wanted.topology, encoding="utf-8")
        return file
    places = (request.path.parent, request.config.rootpath)
    candidates = [place / wanted.topology for place in places]
    return next((file for file in candidates if file.exists()), candidates[0])


def _end(lab: Vnet) -> None:
    with suppress(InputError):  # the test has ended it
        lab.end()
