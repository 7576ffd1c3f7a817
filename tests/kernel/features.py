"""What the running kernel must have for a test."""

from __future__ import annotations

import pytest

from vnemu.drivers.probe import probe


def need(*features: str) -> None:
    """Skip the test if the kernel lacks one of `features`, and say which."""
    for name, why in probe(features).items():
        if why:
            pytest.skip(f"this kernel has no {name}: {why}")
