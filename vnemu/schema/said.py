"""An entry of a timeline as text, of words that were given one by one; and as it was said."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

_PLAIN = re.compile(r"\d+|[\[{].*", re.DOTALL)


def entry_text(entry: Mapping[str, str | None]) -> str:
    """An entry of a timeline, of what is not None; lists and mappings are in flow style."""
    said = (f"{key}: {_quoted(value)}" for key, value in entry.items() if value is not None)
    return f"{{{', '.join(said)}}}"


def listed(names: str | None) -> str | None:
    """A list in flow style, of names with commas between them; None of None."""
    return None if names is None else json.dumps(names.split(","))


def written(doc: BaseModel) -> dict[str, Any]:
    """A document as plain data, of what its author wrote; what is its own stands first."""
    data = doc.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude_none=True)
    fields = type(doc).model_fields
    own = {fields[name].alias or name for name in type(doc).__annotations__ if name in fields}
    return {key: data[key] for key in sorted(data, key=lambda key: key not in own)}


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value)
