"""The texts of Router OSs are Jinja2 templates; one way to render them."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def environment() -> Environment:
    """Jinja2 for our templates: line statements stand for themselves, nothing is left out."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    # These are no web pages: nothing is to be escaped.
    return Environment(  # noqa: S701
        loader=PackageLoader("vnemu.routing", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def rendered(template: str, **values: object) -> str:
    """Render one of our templates."""
    return environment().get_template(template).render(**values)
