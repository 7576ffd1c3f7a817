"""Field types that topology and experiment files share."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from vnemu.units import Duration, Rate

# HOST_NAME_MAX is 64 on Linux; a name becomes a router's host name.
NAME_LIMIT = 63
NAME_PATTERN = rf"^[A-Za-z0-9_][A-Za-z0-9_.-]{{0,{NAME_LIMIT - 1}}}$"
_NAME = re.compile(NAME_PATTERN)

SLOWEST = Rate(1_000)
FASTEST = Rate(10**12)
LONGEST_DELAY = Duration(60 * 10**9)
LARGEST_JITTER = Duration(2 * 10**9)
"""netem silently takes 2^31 - 1 ns for any more."""


class Strict(BaseModel):
    """A mapping of a file: unknown keys are errors, values are never coerced, and it is frozen."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        populate_by_name=True,
        defer_build=True,  # of all the kinds of files, a command reads one
    )


def check_name(text: str) -> str:
    """Return `text` if it is a safe name.

    Raises:
        ValueError: if it is empty, too long or has a character that a host name,
            a path or a command line could trip over.
    """
    shown = text if len(text) <= 40 else f"{text[:37]}..."
    if not text or len(text) > NAME_LIMIT:
        raise ValueError(f"'{shown}' has {len(text)} characters: a name has 1 to {NAME_LIMIT}")
    if not _NAME.match(text) or text.endswith("\n"):
        bad = re.sub(r"[A-Za-z0-9_.-]", "", text)
        reason = f"the character {bad[0]!r}" if bad else f"the first character {text[0]!r}"
        raise ValueError(
            f"'{shown}' is not a name because of {reason}: use letters, digits, "
            "'_', '.' and '-', and begin with a letter, a digit or '_'"
        )
    return text


def check_node_path(text: str) -> str:
    """Return `text` if it reads ``network/node`` or ``network/link``.

    Raises:
        ValueError: if it does not.
    """
    network, slash, node = text.partition("/")
    if not slash:
        raise ValueError(f"'{text}' names no network: write it like NETWORK/{text}")
    check_name(network)
    check_name(node)
    return text


def check_rate(rate: Rate) -> Rate:
    """Return `rate` if a link can have it.

    Raises:
        ValueError: if it is zero or absurd.
    """
    if not SLOWEST <= rate <= FASTEST:
        raise ValueError(f"{rate} is out of range: a link's rate is {SLOWEST} to {FASTEST}")
    return rate


def _check_delay(delay: Duration) -> Duration:
    if delay > LONGEST_DELAY:
        raise ValueError(f"{delay} is out of range: a delay is at most {LONGEST_DELAY}")
    return delay


def _check_jitter(jitter: Duration) -> Duration:
    if jitter > LARGEST_JITTER:
        raise ValueError(f"{jitter} is out of range: jitter is at most {LARGEST_JITTER}")
    return jitter


def _positive(value: Duration) -> Duration:
    if value.amount == 0:
        raise ValueError("must be more than 0s")
    return value


_PREFIX_EXAMPLES = {4: "10.0.0.0/16", 6: "fd00::/48"}


def _prefix(version: int, optional: bool = False) -> Any:
    needed = f"an IPv{version} prefix, like {_PREFIX_EXAMPLES[version]}"
    if optional:
        needed += f", or false to do without IPv{version}"

    def read(value: object) -> object:
        if value is False and optional:
            return False
        if not isinstance(value, str):
            raise ValueError(f"write {needed}")
        try:
            network = ipaddress.ip_network(value)
        except ValueError as error:
            reason = "has host bits set" if "host bits" in str(error) else "is no prefix"
            raise ValueError(f"'{value[:50]}' {reason}: write {needed}") from None
        if network.version != version:
            raise ValueError(f"'{value}' is IPv{network.version}: write {needed}")
        if "/" not in value:
            raise ValueError(f"'{value}' has no prefix length: write {needed}")
        return network

    return BeforeValidator(read)


Name = Annotated[
    str, AfterValidator(check_name), Field(json_schema_extra={"pattern": NAME_PATTERN})
]
NodePath = Annotated[str, AfterValidator(check_node_path)]
LinkRate = Annotated[Rate, AfterValidator(check_rate)]
NONE = "none"
Span = Annotated[Duration, AfterValidator(_positive)]
Delay = Annotated[Duration, AfterValidator(_check_delay)]
Jitter = Annotated[Duration, AfterValidator(_check_jitter)]
IPv4Prefix = Annotated[
    ipaddress.IPv4Network | Literal[False],
    _prefix(4, optional=True),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"const": False}]}),
]
IPv6Prefix = Annotated[
    ipaddress.IPv6Network | Literal[False],
    _prefix(6, optional=True),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"const": False}]}),
]
IPv4Subnet = Annotated[ipaddress.IPv4Network, _prefix(4), WithJsonSchema({"type": "string"})]
IPv6Subnet = Annotated[ipaddress.IPv6Network, _prefix(6), WithJsonSchema({"type": "string"})]
Endpoints = Annotated[list[Name], Field(min_length=2, max_length=2)]
