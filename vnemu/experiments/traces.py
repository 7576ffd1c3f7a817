"""The traces that an experiment replays, as part of its run folder."""

from __future__ import annotations

import re
from dataclasses import replace

from vnemu.schema.load import LoadedExperiment


def with_own_traces(loaded: LoadedExperiment) -> tuple[LoadedExperiment, dict[str, bytes]]:
    """The experiment with its traces at their places in the run folder, and those files."""
    timeline = list(loaded.doc.timeline)
    files: dict[str, bytes] = {}
    for index, trace in loaded.traces.items():
        safe = re.sub(r"[^A-Za-z0-9_.-]", "-", trace.name)[-60:].lstrip("-.")
        place = f"traces/{index + 1}-{safe}"
        files[place] = trace.raw
        timeline[index] = timeline[index].model_copy(update={"trace": place})
    doc = loaded.doc.model_copy(update={"timeline": timeline})
    return replace(loaded, doc=doc), files
