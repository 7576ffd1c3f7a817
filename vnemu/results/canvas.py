"""What plots and drawings share: colours, and figures as files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vnemu.results.files import write_atomic

# Okabe and Ito, "Color Universal Design" (2008), without its yellow, too pale on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")
GREY = "#666666"
DPI = 150


def colour(index: int) -> str:
    """Return the colour of the flow or network with this index."""
    return COLOURS[index % len(COLOURS)]


def new_figure(width_in: float, height_in: float) -> Figure:
    """Return a white figure of a size in inches, drawn without a display."""
    figure = Figure(figsize=(width_in, height_in), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure, suffix: str) -> bytes:
    """Return a figure as a PNG (150 dpi) or SVG file, the same bytes every time.

    Parameters:
        figure: the figure.
        suffix: ``.png`` or ``.svg``.
    """
    # Without salt and date, two SVGs of the same data would differ.
    settings: Any = {"svg.hashsalt": "vnemu", "svg.fonttype": "path"}
    metadata = {"Date": None, "Creator": None} if suffix == ".svg" else None
    buffer = io.BytesIO()
    with matplotlib.rc_context(settings):
        figure.savefig(buffer, format=suffix.removeprefix("."), dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def save(figure: Figure, paths: Sequence[Path]) -> dict[str, bytes]:
    """Write a figure to files, each in the format of its suffix, and return them by suffix."""
    written = {}
    for path in paths:
        written[path.suffix] = render(figure, path.suffix)
        write_atomic(path, written[path.suffix])
    return written


def inline_svg(drawn: Figure | bytes, label: str) -> str:
    """Return a figure as an SVG element for an HTML page, with `label` for screen readers.

    Parameters:
        drawn: the figure, or the SVG file that was made of it.
    """
    from html import escape

    text = (drawn if isinstance(drawn, bytes) else render(drawn, ".svg")).decode()
    element = text[text.index("<svg") :]
    return element.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
