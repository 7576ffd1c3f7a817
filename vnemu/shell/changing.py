"""Commands that change the lab: the verbs, and Mininet's link."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from vnemu.errors import InputError
from vnemu.shell.forms import FORMS, Form, entry_of
from vnemu.shell.lines import Line, Misused, between
from vnemu.shell.names import Names
from vnemu.shell.registry import CHANGE, COMMANDS, Command

if TYPE_CHECKING:
    from vnemu.shell.session import Shell


def _verb(form: Form, shell: Shell, line: Line) -> int:
    return shell.do_entries(entry_of(form, line.words, shell.names()))


for _name, _form in FORMS.items():
    COMMANDS[_name] = Command(
        _name,
        _form.written(_name),
        _form.help,
        CHANGE,
        partial(_verb, _form),
        tuple(_form.takes.values()),
        _form.options,
    )


@COMMANDS.command("link A B up|down", CHANGE, "node or machine,node or machine,up or down")
def _link(shell: Shell, line: Line) -> int:
    """Plug or unplug the virtual links between two nodes; fail or repair those of machines."""
    one, other, way = between(line.words, 3)
    if way not in ("up", "down"):
        raise Misused(f"'{way}' is neither up nor down")
    return shell.do_entries(*link_entries(shell.names(), one, other, way))


def link_entries(names: Names, one: str, other: str, way: str) -> Iterator[dict[str, str | None]]:
    """What ``link A B up|down`` says in a timeline's words.

    Raises:
        InputError: if nothing joins the two.
    """
    a = names.node_or(one, names.machines, "node or machine")
    b = names.node_or(other, names.machines, "node or machine")
    found = names.between(a, b)
    if not found:
        raise InputError(f"no link joins {a} and {b}")
    for name in found:
        physical = {"up": "repair", "down": "fail"}[way]
        yield {way if name in names.links else physical: name}
