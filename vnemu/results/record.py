"""The run folder: what `vnemu run` leaves behind, and all that the report is made from.

```
run.json                       what was known at the start (`RunInfo`)
topology.yaml experiment.yaml  the resolved files, defaults and overrides included
plan.txt                       the plan, in words
traces/                        what the timeline replays, if it does
journal.jsonl                  ideals, events, proofs, captures and the end, as they happened
flows.csv links.csv paths.csv probes.csv   raw samples
routes.csv control.csv         routes of the nodes, routing messages at the vifs
control.pcapng                 those messages, if the experiment asks for them
captures/                      what the timeline captures
streams.bin                    each UDP probe (`vnemu.results.stream_record`)
logs/                          the programs' own logs
result.json report.html goodput.png goodput.svg underlay.svg   made from the above
```

Times are seconds since the start of the experiment (t0).
"""

from vnemu.results.reader import (
    FlowSamples,
    LinkSamples,
    PathSamples,
    ProbeSamples,
    Run,
    read_run,
)
from vnemu.results.runinfo import (
    Drawing,
    DrawnNetwork,
    DrawnPhysicalLink,
    DrawnUnderlay,
    DrawnVirtualLink,
    EndEntry,
    EventEntry,
    FlowInfo,
    IdealEntry,
    Machine,
    NodePlace,
    PlannedEvent,
    ProbeInfo,
    ProofEntry,
    RunInfo,
    Status,
    StreamInfo,
)
from vnemu.results.writer import RunWriter, claim_folder

__all__ = [
    "Drawing",
    "DrawnNetwork",
    "DrawnPhysicalLink",
    "DrawnUnderlay",
    "DrawnVirtualLink",
    "EndEntry",
    "EventEntry",
    "FlowInfo",
    "FlowSamples",
    "IdealEntry",
    "LinkSamples",
    "Machine",
    "NodePlace",
    "PathSamples",
    "PlannedEvent",
    "ProbeInfo",
    "ProbeSamples",
    "ProofEntry",
    "Run",
    "RunInfo",
    "RunWriter",
    "Status",
    "StreamInfo",
    "claim_folder",
    "read_run",
]
