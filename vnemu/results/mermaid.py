"""A drawing as mermaid text, for pages that render it (Markdown on code forges)."""

from __future__ import annotations

from collections.abc import Iterator

from vnemu.results.runinfo import Drawing, DrawnNetwork, DrawnVirtualLink


def to_mermaid(drawing: Drawing) -> str:
    """Return underlay, overlays and mapping as a mermaid flowchart."""
    return "\n".join(_lines(drawing)) + "\n"


def link_terms(link: DrawnVirtualLink) -> list[str]:
    """Return what distinguishes a VL, in words: limit, guarantee, the RMs on its way."""
    terms = []
    if link.limit:
        terms.append(f"limit {link.limit}")
    if link.guarantee:
        terms.append(f"guarantee {link.guarantee}")
    between = [", ".join(path[1:-1]) for path in (link.path, *link.beside) if path[1:-1]]
    if between:
        terms.append(f"via {' and via '.join(between)}")
    return terms


def _lines(drawing: Drawing) -> Iterator[str]:
    machines = {name: f"m{index}" for index, name in enumerate(drawing.underlay.machines)}
    yield "flowchart BT"
    yield '  subgraph underlay["underlay"]'
    for name, mark in machines.items():
        yield f"    {mark}[{_quoted(name)}]"
    for link in drawing.underlay.links:
        yield f"    {machines[link.a]} ===|{_quoted(link.rate)}| {machines[link.b]}"
    yield "  end"
    for index, network in enumerate(drawing.networks):
        yield from _network(network, f"n{index}", machines)


def _network(network: DrawnNetwork, mark: str, machines: dict[str, str]) -> Iterator[str]:
    routers = {name: f"{mark}r{index}" for index, name in enumerate(network.routers)}
    yield f"  subgraph {mark}[{_quoted(f'virtual network {network.name}')}]"
    for name, router in routers.items():
        yield f"    {router}(({_quoted(name)}))"
    for index, (host, at) in enumerate(network.hosts.items()):
        yield f"    {mark}h{index}[{_quoted(host)}] --- {routers[at]}"
    for link in network.links:
        words = ", ".join([link.name, *link_terms(link)])
        yield f"    {routers[link.a]} ---|{_quoted(words)}| {routers[link.b]}"
    yield "  end"
    for name, machine in network.routers.items():
        yield f"  {machines[machine]} -.- {routers[name]}"


def _quoted(text: str) -> str:
    return '"' + text.replace("&", "#amp;").replace('"', "#quot;") + '"'
