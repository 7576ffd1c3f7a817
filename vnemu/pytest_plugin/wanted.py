"""Which lab a test asks for, read from its marker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SCOPES = ("function", "class", "module", "package", "session")


@dataclass(frozen=True)
class Wanted:
    """A lab as a marker describes it.

    Parameters:
        topology: path of a file, or the text of one.
        scope: one of `SCOPES`.
        overrides: values to change, each PATH=VALUE.
        converge_s: within how many seconds its routing must have converged; None: it is
            not waited for.
    """

    topology: str
    scope: str = "function"
    overrides: tuple[str, ...] = ()
    converge_s: float | None = None

    @property
    def inline(self) -> bool:
        """Whether the topology is a text."""
        return "\n" in self.topology or self.topology.lstrip().startswith("{")


def wanted_by(node: pytest.Item) -> Wanted:
    """The lab that a test asks for; the test fails if that cannot be understood."""
    marker = node.get_closest_marker("vnet")
    if marker is None:
        raise failed('the fixture vnet needs @pytest.mark.vnet("topology.yaml")')
    try:
        return _read(*marker.args, **marker.kwargs)
    except TypeError as error:
        message = str(error).removeprefix("_read() ")
        raise failed(f"@pytest.mark.vnet: {message}") from None


def failed(message: str) -> BaseException:
    """What a test raises that cannot begin: the message is all that is reported."""
    return pytest.fail.Exception(message, pytrace=False)


def _read(
    topology: str | Path | Mapping[str, Any],
    *,
    scope: str = "function",
    set: str | tuple[str, ...] | list[str] = (),  # noqa: A002  # as the option of the commands
    converge: float | None = None,
) -> Wanted:
    if scope not in SCOPES:
        raise TypeError(f"scope is '{scope}'; it can be {', '.join(SCOPES)}")
    overrides = (set,) if isinstance(set, str) else tuple(set)
    return Wanted(_text(topology), scope, overrides, converge)


def _text(topology: str | Path | Mapping[str, Any]) -> str:
    if isinstance(topology, Mapping):
        import yaml

        return yaml.safe_dump(dict(topology), sort_keys=False) + "\n"
    return str(topology)
