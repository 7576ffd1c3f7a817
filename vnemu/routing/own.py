"""The user's own configuration of a Router OS: a text, or a Jinja2 template of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from vnemu.errors import InputError, Problem
from vnemu.model.routing import DEFAULTS, OwnText
from vnemu.routing.view import Port, View


def own_text(view: View, own: OwnText) -> str:
    """The user's text; a template gets what docs/routing.md says.

    Raises:
        InputError: if the template is wrong, with its file and line.
    """
    return own.text if own.kind == "config" else _rendered(view, own)


def _rendered(view: View, own: OwnText) -> str:
    from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    sandbox = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    try:
        return sandbox.from_string(own.text).render(**values(view))
    except TemplateSyntaxError as error:
        raise _wrong(own, error, error.lineno) from None
    except (TemplateError, ArithmeticError, TypeError, ValueError, LookupError) as error:
        raise _wrong(own, error, _line_of(error)) from None


def _wrong(own: OwnText, error: Exception, line: int | None) -> InputError:
    where = f"{own.file}:{line}" if line else own.file
    hint = "docs/routing.md lists what a template gets"
    return InputError([Problem(where, f"cannot be rendered: {error}", hint)])


def _line_of(error: BaseException) -> int | None:
    """The line of the template in which an error arose; Jinja2 puts it in the traceback."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def values(view: View) -> dict[str, Any]:
    """What a template gets: plain texts, numbers, lists and mappings."""
    node, os = view.node, view.os
    return {
        "node": {
            "name": node.name,
            "id": str(os.router_id),
            "as": os.asn,
            "area": str(os.area),
            "protocols": list(os.protocols),
            "loopbacks": [str(i) for i in node.loopbacks],
        },
        "network": {
            "name": view.network.name,
            "versions": list(view.versions),
            "ipv4": str(view.network.ipv4 or ""),
            "ipv6": str(view.network.ipv6 or ""),
        },
        "links": [_link(port) for port in view.ports],
        "sessions": [{key: _plain(v) for key, v in asdict(s).items()} for s in view.sessions()],
        "timers": {
            protocol: {name: view.os.timers.of(protocol, name).seconds for name in timers}
            for protocol, timers in DEFAULTS.items()
        },
        "bfd": os.bfd and {"interval": os.bfd.interval.seconds, "multiplier": os.bfd.multiplier},
    }


def _link(port: Port) -> dict[str, Any]:
    peer = port.peer
    return {
        "nic": port.name,
        "addresses": [str(i) for i in port.nic.addresses],
        "peer": peer.name if peer else "",
        "peer_kind": peer.kind if peer else "",
        "peer_as": peer.os.asn if peer else None,
        "peer_addresses": [str(i.ip) for i in port.far.addresses] if port.far else [],
        "area": str(port.area),
        "cost": port.link.cost if port.link else None,
        "protocols": [p for p in port.os.protocols if peer and port.speaks(p)],
    }


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | None) else str(value)
