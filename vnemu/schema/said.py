"""An entry of a timeline as text, of words that were given one by one."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

_PLAIN = re.compile(r"\d+|[\[{].*", re.DOTALL)


def entry_text(entry: Mapping[str, str | None]) -> str:
    """An entry of a timeline, of what is not None; lists and mappings are in flow style."""
    said = (f"{key}: {_written(value)}" for key, value in entry.items() if value is not None)
    return f"{{{', '.join(said)}}}"


def listed(names: str | None) -> str | None:
    """A list in flow style, of names with commas between them; None of None."""
    return None if names is None else json.dumps(names.split(","))


def _written(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value)
