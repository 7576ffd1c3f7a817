"""Make a run folder's results: result.json, the plots, the drawing and report.html."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2

from vnemu.results import words
from vnemu.results.adaptation import fixed, outage, stream_name
from vnemu.results.adaptation_page import AdaptationParts, adaptation_parts
from vnemu.results.analysis import analyse
from vnemu.results.canvas import inline_svg, save
from vnemu.results.drawing import draw_planes
from vnemu.results.files import write_atomic
from vnemu.results.path_drawing import draw_paths
from vnemu.results.plots import plot_goodput, plot_links
from vnemu.results.reader import Run, read_run
from vnemu.results.schema import LinkInPhase, PhaseResult, Result
from vnemu.results.timeline_plot import plot_timeline
from vnemu.results.trust import trust

MADE = ("result.json", "report.html", "goodput.png", "goodput.svg", "underlay.svg")
MADE_OF_ADAPTATION = ("timeline.png", "timeline.svg")
MOST_LINK_ROWS = 200

LinkRow = tuple[str, str, int, LinkInPhase]


def build_report(folder: Path) -> Result:
    """Make all that `MADE` names from what a run left in `folder`, and return the result.

    Each file is replaced at once; nothing else in the folder is touched.

    Raises:
        InputError: if `folder` is no run folder.
    """
    run = read_run(folder)
    result = analyse(run)
    write_atomic(folder / "result.json", result.model_dump_json(by_alias=True, indent=2) + "\n")
    goodput = save(plot_goodput(run, result), [folder / "goodput.png", folder / "goodput.svg"])
    planes = save(draw_planes(run.info.drawing), [folder / "underlay.svg"])
    links_plot = plot_links(run, result)
    page = render_page(
        run,
        result,
        plot=inline_svg(goodput[".svg"], "goodput of each flow over time"),
        adaptation=_adaptation(run, result),
        links_plot=inline_svg(links_plot, "rate on each virtual link") if links_plot else "",
        drawing=inline_svg(planes[".svg"], "underlay, overlays and the mapping between them")
        if run.info.drawing.underlay.machines
        else "",
    )
    write_atomic(folder / "report.html", page)
    return result


def _adaptation(run: Run, result: Result) -> AdaptationParts:
    """Draw what there is to draw of adaptation, as files too, and return it for the page."""
    timeline = plot_timeline(run, result)
    if timeline is None:
        return adaptation_parts(run, result)
    drawn = save(timeline, [run.folder / name for name in MADE_OF_ADAPTATION])
    paths = draw_paths(run, result)
    return adaptation_parts(
        run,
        result,
        inline_svg(
            drawn[".svg"], "goodput, lost probes, changed routes and routing messages over time"
        ),
        {
            name: inline_svg(figure, f"paths in network {name} before and after events")
            for name, figure in paths.items()
        },
    )


def render_page(
    run: Run,
    result: Result,
    *,
    plot: str,
    adaptation: AdaptationParts,
    links_plot: str,
    drawing: str,
) -> str:
    """Return report.html, one page that needs no other file.

    Parameters:
        run, result: what it tells of.
        adaptation: what it tells of routers and streams.
        plot, links_plot, drawing: SVG elements, empty where there is none.
    """
    rows = sorted(_link_rows(result), key=lambda row: row[:3])
    return page_template("report.html.j2").render(
        r=result,
        a=adaptation,
        plot=plot,
        links_plot=links_plot,
        drawing=drawing,
        links=rows[:MOST_LINK_ROWS],
        several_paths=any(part.paths_percent for *_, part in rows),
        links_left_out=max(0, len(rows) - MOST_LINK_ROWS),
        command=shlex.join(result.conditions.command),
        trust=trust(run),
        files=_files(run.folder),
    )


def page_template(name: str) -> jinja2.Template:
    """Return the template of a page of this package."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vnemu.results", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    filters: dict[str, Any] = {
        "rate": lambda mbit: "?" if mbit is None else words.rate(mbit),
        "percent": lambda value: "" if value is None else words.percent(value),
        "seconds": words.seconds,
        "total": phase_total,
        "octets": words.octets,
        "outage": outage,
        "fixed": fixed,
        "stream": stream_name,
    }
    environment.filters.update(filters)
    return environment.get_template(name)


def phase_total(phase: PhaseResult) -> tuple[float | None, float, float | None]:
    """Return (ideal, goodput, error) of a phase's flows together, in Mbit/s and percent."""
    goodput = sum(flow.goodput_mbit for flow in phase.flows.values())
    ideals = [flow.ideal_mbit for flow in phase.flows.values()]
    known = [ideal for ideal in ideals if ideal is not None]
    ideal = sum(known) if len(known) == len(ideals) else None
    return ideal, goodput, 100 * (goodput / ideal - 1) if ideal else None


def _link_rows(result: Result) -> Iterator[LinkRow]:
    for number, phase in enumerate(result.phases, 1):
        for link, directions in phase.links.items():
            for direction, part in directions.items():
                yield link, direction, number, part


def _files(folder: Path) -> list[str]:
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith(".")
    }
    return sorted(there | set(MADE))
