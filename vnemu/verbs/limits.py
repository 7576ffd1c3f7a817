"""The verb that changes what a VR may use of its machine."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from vnemu.errors import InputError, Problem
from vnemu.model.life import node_of, with_node
from vnemu.schema.resources import LimitsDoc
from vnemu.verbs.state import State

_HINT = "limit its link (reshape: network/link, limit: 100mbit) or its router"


@dataclass(frozen=True)
class Limit:
    """Change the limits of a VR or host; what is not named keeps its value.

    Parameters:
        node: network/name.
    """

    node: str
    limits: LimitsDoc = field(hash=False)

    def carried_out(self, state: State) -> State:
        """See `Verb.carried_out`.

        Raises:
            InputError: if there is no such node, or it is a host and has nothing to forward.
        """
        node = node_of(state.topology, self.node)
        if not self._named():
            hint = f"give any of {', '.join(LimitsDoc.model_fields)}"
            raise InputError([Problem("", f"no limit of {self.node} is named", hint)])
        changed: Any = {
            key: None if value == "none" else value for key, value in self._named().items()
        }
        if node.kind == "host" and changed.get("forwarding"):
            raise InputError([Problem("", f"{self.node} is a host: it forwards nothing", _HINT)])
        resources = replace(node.resources, **changed, written_at="")
        return replace(
            state, topology=with_node(state.topology, replace(node, resources=resources))
        )

    def _named(self) -> dict[str, Any]:
        limits = self.limits
        return {key: getattr(limits, key) for key in sorted(limits.model_fields_set)}

    def __str__(self) -> str:
        named = (f"{key} {value}" for key, value in self._named().items())
        return f"limit {self.node} {' '.join(named)}"
