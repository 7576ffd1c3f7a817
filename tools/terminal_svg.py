"""A terminal's screen as an SVG picture that needs no other file, nor a font of the network."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from xml.sax.saxutils import escape

import pyte
from pyte.screens import Char

_COLUMN, _ROW, _MARGIN, _TITLE = 8.4, 18.0, 14.0, 30.0
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_PAPER, _INK, _FAINT = "#1b1f27", "#d7dae0", "#8a919e"
_COLOURS = {
    "black": "#5c6370",
    "red": "#f07178",
    "green": "#98c379",
    "brown": "#e5c07b",
    "blue": "#61afef",
    "magenta": "#c678dd",
    "cyan": "#56b6c2",
    "white": _INK,
}


def picture(screen: pyte.Screen, title: str) -> str:
    """The screen without the empty lines at its end.

    Parameters:
        title: what stands above it.
    """
    rows = len("\n".join(screen.display).rstrip().splitlines())
    width = screen.columns * _COLUMN + 2 * _MARGIN
    height = _TITLE + rows * _ROW + _MARGIN
    body = "\n".join(line for y in range(rows) for line in _line(screen, y))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}">
<style>
text {{ font: 14px {_FONTS}; white-space: pre; fill: {_INK}; }}
</style>
<rect width="100%" height="100%" rx="8" fill="{_PAPER}"/>
<text x="{width / 2:g}" y="20" text-anchor="middle" style="fill: {_FAINT}">{escape(title)}</text>
{body}
</svg>
"""


def _line(screen: pyte.Screen, y: int) -> Iterator[str]:
    """Each run of equal characters by itself, as wide as its cells are."""
    cells = [screen.buffer[y][x] for x in range(screen.columns)]
    x = 0
    for (colour, bold), run in groupby(cells, _look):
        text = "".join(cell.data for cell in run)
        shown = text.rstrip()
        start = x + len(shown) - len(shown.lstrip())
        x += len(text)
        if shown := shown.strip():
            weight = "bold" if bold else "normal"
            yield _text(shown, start, y, f"fill: {colour}; font-weight: {weight}")


def _look(cell: Char) -> tuple[str, bool]:
    return _COLOURS.get(cell.fg.removeprefix("bright"), _INK), cell.bold


def _text(text: str, x: int, y: int, look: str) -> str:
    left, base = _MARGIN + x * _COLUMN, _TITLE + y * _ROW + 14
    return (
        f'<text x="{left:g}" y="{base:g}" textLength="{len(text) * _COLUMN:g}" '
        f'lengthAdjust="spacingAndGlyphs" style="{look}">{escape(text)}</text>'
    )
