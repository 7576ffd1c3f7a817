"""A lab as a notebook shows it: the drawing and tables, from its plain data (docs/cli.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vnemu.results.runinfo import (
    Drawing,
    DrawnNetwork,
    DrawnPhysicalLink,
    DrawnUnderlay,
    DrawnVirtualLink,
)

Data = Mapping[str, Any]

_LABEL = "underlay, overlays and the mapping between them"
_QUALITY = (
    *("rate", "limit", "guarantee", "delay", "jitter", "distribution", "delay_correlation"),
    *("loss", "duplicate", "corrupt", "reorder", "queue"),
)


def lab_page(data: Data) -> str:
    """Return a piece of HTML that needs no other file.

    Parameters:
        data: what ``vnemu inspect --json`` prints of a running lab, or ``vnemu plan --json``
            of one that is not there yet.
    """
    from vnemu.results.report import page_template

    return page_template("lab.html.j2").render(
        name=data.get("lab", data)["name"],
        about=data.get("lab"),
        drawing=lab_drawing(data) if data["machines"] else "",
        nodes=list(_nodes(data)),
        links=list(_links(data)),
    )


def lab_drawing(data: Data) -> str:
    """Return the drawing of a lab as an SVG element; `data` as of `lab_page`."""
    from vnemu.results.canvas import inline_svg
    from vnemu.results.drawing import draw_planes

    return inline_svg(draw_planes(drawing_of(data)), _LABEL)


def drawing_of(data: Data) -> Drawing:
    """Return what a picture of a lab needs; `data` as of `lab_page`."""
    physical = tuple(
        DrawnPhysicalLink(name=name, a=link["ends"][0], b=link["ends"][1], rate=_text(link["rate"]))
        for name, link in data["physical_links"].items()
    )
    networks = dict.fromkeys(path.partition("/")[0] for path in data["nodes"])
    return Drawing(
        underlay=DrawnUnderlay(machines=tuple(data["machines"]), links=physical),
        networks=tuple(_drawn(name, data) for name in networks),
    )


def _drawn(network: str, data: Data) -> DrawnNetwork:
    own = {p: n for p, n in data["nodes"].items() if p.partition("/")[0] == network}
    routers = {_name(p): n["machine"] for p, n in own.items() if n["at"] is None}
    hosts = {_name(p): _name(n["at"]) for p, n in own.items() if n["at"] is not None}
    links = (
        _drawn_link(path, link)
        for path, link in data["links"].items()
        if path.partition("/")[0] == network and _joins_routers(link, data)
    )
    return DrawnNetwork(name=network, routers=routers, hosts=hosts, links=tuple(links))


def _drawn_link(path: str, link: Data) -> DrawnVirtualLink:
    return DrawnVirtualLink(
        name=_name(path),
        a=_name(link["ends"][0]),
        b=_name(link["ends"][1]),
        limit=_text(link["limit"]) or None,
        guarantee=_text(link["guarantee"]) or None,
        path=tuple(link["machines"]),
        beside=tuple(tuple(way) for way in link["beside"]),
    )


def _joins_routers(link: Data, data: Data) -> bool:
    return all(data["nodes"][end]["at"] is None for end in link["ends"])


def _name(path: str) -> str:
    return path.partition("/")[2]


def _text(value: object) -> str:
    """A property in words, by direction if these differ."""
    if isinstance(value, Mapping):
        return ", ".join(f"{way} {text or 'none'}" for way, text in value.items())
    return "" if value is None else str(value)


def _nodes(data: Data) -> Iterator[tuple[str, str, str, str]]:
    for path, node in data["nodes"].items():
        nics = (text for nic in node["nics"].values() for text in nic["addresses"])
        yield path, node["machine"], node.get("state", ""), ", ".join([*node["loopbacks"], *nics])


def _links(data: Data) -> Iterator[tuple[str, str, str, str]]:
    for path, link in data["links"].items():
        if not _joins_routers(link, data):
            continue
        over = " + ".join(" - ".join(way) for way in (link["machines"], *link["beside"]))
        said = ((key, _text(link.get(key))) for key in _QUALITY)
        quality = ", ".join(f"{key} {text}" for key, text in said if text)
        yield path, over, _state(link), quality


def _state(link: Data) -> str:
    if not link.get("carrier", True):
        return "unplugged"
    return f"cut {', '.join(link['cut'])}" if link.get("cut") else "up"
