"""Quantities with their units: a rate is never a bare number.

The spellings are those of tc(8): ``32mbit``, ``10ms``, ``1514b``, ``0.1%``.
tc's ``mbps`` means mega*bytes* a second, which most people do not expect, so it
is refused with both readings offered.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

_NUMBER = re.compile(
    r"\s*([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?)\s*(.*?)\s*"
)


def _split(text: str, kind: str, example: str) -> tuple[Decimal, str]:
    if len(text) > 40:
        raise ValueError(f"'{text[:37]}...' is not a {kind}: write it like {example}")
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is not a {kind}: write it like {example}")
    try:
        return Decimal(match[1]), match[2]
    except InvalidOperation:  # pragma: no cover - the pattern admits numbers only
        raise ValueError(f"'{text}' is not a {kind}: write it like {example}") from None


class Written:
    """What a file says in one text."""

    json_pattern: ClassVar[str | None] = None

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read the text.

        Raises:
            ValueError: with a message that shows the right form.
        """
        raise NotImplementedError

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(str),
            json_schema_input_schema=core_schema.str_schema(pattern=cls.json_pattern),
        )


@dataclass(frozen=True, order=True)
class Quantity(Written):
    """An exact amount in a base unit, read from and written as text with a unit."""

    amount: int
    kind: ClassVar[str] = "quantity"
    example: ClassVar[str] = ""
    usual: ClassVar[str] = ""
    units: ClassVar[dict[str, int]] = {}
    shown: ClassVar[tuple[str, ...]] = ()
    json_pattern = ".*"

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read text such as ``32mbit``.

        Raises:
            ValueError: with a message that shows the right form.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"a {cls.kind} is written like {cls.example}")
        if isinstance(value, int | float):
            raise ValueError(f"a {cls.kind} needs a unit: write it like {cls._suggest(value)}")
        number, unit = _split(value, cls.kind, cls.example)
        if not unit:
            raise ValueError(f"'{value}' has no unit: write it like {cls._suggest(value)}")
        factor = cls._factor(value, number, unit)
        amount = number * factor
        if amount < 0:
            raise ValueError(f"'{value}' is negative: a {cls.kind} is not")
        whole = int(amount.to_integral_value())
        if whole >= 2**63:
            raise ValueError(f"'{value}' is out of range for a {cls.kind}")
        return cls(whole)

    @classmethod
    def _suggest(cls, value: object) -> str:
        text = str(value).strip()
        is_likely = len(text) < 12 and text.strip("0.") and text[0].isdigit()
        return f"{text}{cls.usual}" if is_likely else cls.example

    @classmethod
    def _factor(cls, value: str, number: Decimal, unit: str) -> int:
        factor = cls.units.get(unit.lower())
        if factor is None:
            raise ValueError(
                f"'{value}' has the unknown unit '{unit}': a {cls.kind} is written "
                f"with one of {', '.join(cls.shown)}"
            )
        return factor

    def __str__(self) -> str:
        for unit in self.shown:
            factor = self.units[unit]
            if self.amount >= factor:
                text = format((Decimal(self.amount) / factor).normalize(), "f")
                if len(text) <= 9:
                    return f"{text}{unit}"
        unit = self.shown[-1]
        return f"{format((Decimal(self.amount) / self.units[unit]).normalize(), 'f')}{unit}"


class Rate(Quantity):
    """A rate in bit/s."""

    kind = "rate"
    example = "32mbit"
    usual = "mbit"
    units: ClassVar[dict[str, int]] = {
        "tbit": 10**12,
        "gbit": 10**9,
        "mbit": 10**6,
        "kbit": 10**3,
        "bit": 1,
        "tibit": 2**40,
        "gibit": 2**30,
        "mibit": 2**20,
        "kibit": 2**10,
    }
    shown = ("tbit", "gbit", "mbit", "kbit", "bit")
    json_pattern = r"^\s*[0-9.]+([eE][0-9]+)?\s*([kmgtKMGT]i?)?[bB]it(/s)?\s*$"

    @classmethod
    def _factor(cls, value: str, number: Decimal, unit: str) -> int:
        name = unit.lower()
        bytes_a_second = re.fullmatch(r"([kmgt]i?)?bps", name)
        if bytes_a_second:
            bits = f"{number}{bytes_a_second[1] or ''}bit"
            octets = f"{(number * 8).normalize():f}{bytes_a_second[1] or ''}bit"
            raise ValueError(
                f"'{value}' is ambiguous (tc reads {unit} as bytes a second): "
                f"write {bits} for bits or {octets} for bytes"
            )
        return super()._factor(value, number, name.removesuffix("/s"))

    @property
    def bps(self) -> int:
        """Bits a second."""
        return self.amount

    @property
    def mbit(self) -> float:
        """Mega (10^6) bits a second."""
        return self.amount / 1e6


class PacketRate(Quantity):
    """A number of packets a second."""

    kind = "packet rate"
    example = "10kpps"
    usual = "pps"
    units: ClassVar[dict[str, int]] = {"mpps": 10**6, "kpps": 10**3, "pps": 1}
    shown = ("mpps", "kpps", "pps")
    json_pattern = r"^\s*[0-9.]+([eE][0-9]+)?\s*([kmKM])?[pP]{2}[sS]\s*$"

    @property
    def pps(self) -> int:
        """Packets a second."""
        return self.amount


class Duration(Quantity):
    """A span of time, exact to the nanosecond."""

    kind = "duration"
    example = "10ms"
    usual = "s"
    units: ClassVar[dict[str, int]] = {
        "h": 3600 * 10**9,
        "min": 60 * 10**9,
        "s": 10**9,
        "ms": 10**6,
        "us": 10**3,
        "ns": 1,
    }
    shown = ("s", "ms", "us", "ns")
    json_pattern = r"^\s*[0-9.]+\s*(ns|us|ms|s|min|h)\s*$"

    @property
    def seconds(self) -> float:
        """The span in seconds."""
        return self.amount / 1e9


class Size(Quantity):
    """An amount of data in bytes."""

    kind = "size"
    example = "1500b"
    usual = "b"
    units: ClassVar[dict[str, int]] = {
        "mb": 10**6,
        "kb": 10**3,
        "b": 1,
        "mib": 2**20,
        "kib": 2**10,
    }
    shown = ("mb", "kb", "b")
    json_pattern = r"^\s*[0-9.]+\s*([kmKM]i?)?[bB]\s*$"

    @property
    def bytes(self) -> int:
        """Bytes."""
        return self.amount


class Share(Quantity):
    """A part of a whole between 0% and 100%, kept in millionths (ppm)."""

    kind = "percentage"
    example = "0.1%"
    usual = "%"
    units: ClassVar[dict[str, int]] = {"%": 10**4, "ppm": 1}
    shown = ("%",)
    json_pattern = r"^\s*[0-9.]+\s*(%|ppm)\s*$"

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read text such as ``0.1%``.

        Raises:
            ValueError: with a message that shows the right form, or above 100%.
        """
        share = super().parse(value)
        if share.amount > 10**6:
            raise ValueError(f"'{value}' is more than 100%")
        return share

    @classmethod
    def _suggest(cls, value: object) -> str:
        suggestion = super()._suggest(value)
        if isinstance(value, float) and 0 < value < 1 and suggestion != cls.example:
            return f"{value * 100:.6g}% (or {suggestion}, if that is meant)"
        return suggestion

    @property
    def fraction(self) -> float:
        """The part as a number from 0 to 1."""
        return self.amount / 1e6


class ProcessorTime(Share):
    """Time of processors, in parts of one: 150% is one and a half."""

    kind = "share of a processor"
    example = "50%"

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read text such as ``50%``.

        Raises:
            ValueError: with a message that shows the right form.
        """
        return super(Share, cls).parse(value)

    @classmethod
    def _suggest(cls, value: object) -> str:
        return super(Share, cls)._suggest(value)
