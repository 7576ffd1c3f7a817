"""Whole plans of small topologies, read once by a person.

To accept new plans after reading them, run this file with VNEMU_GOLDEN=write.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.random_topologies import plan
from vnemu.drivers.fake import FakeKernel
from vnemu.model.resolve import resolve
from vnemu.plan.diff import Plan, diff
from vnemu.schema.load import load_topology

PLANS = Path(__file__).parents[1] / "golden" / "plans"
NAMES = sorted(file.name for file in PLANS.glob("*.yaml"))


def planned(name: str) -> Plan:
    return plan(resolve(load_topology(PLANS / name)))


def shown(found: Plan) -> str:
    lines = []
    for (kind, name), fragment in found.fragments.items():
        lines.append(f"{kind} {name}".rstrip() + ":")
        lines += [f"  {item}" for item in fragment.values()]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", NAMES)
def test_plan(name: str) -> None:
    text = shown(planned(name))
    expected = (PLANS / name).with_suffix(".txt")
    if os.environ.get("VNEMU_GOLDEN") == "write":
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_a_kernel_takes_it(name: str) -> None:
    kernel = FakeKernel()
    kernel.apply(diff(planned(name).fragments, {}))
    assert kernel.objects == planned(name).objects()
