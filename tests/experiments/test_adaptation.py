"""Experiments whose routers adapt, as a user runs them."""

from __future__ import annotations

import pytest

from .conftest import EXPERIMENTS, Host
from .test_experiments import ADAPTATION, KERNELS, run_and_check


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ADAPTATION)
def test_routers_adapt_as_expected(host: Host, name: str, kernel: str) -> None:
    run_and_check(host, EXPERIMENTS / f"{name}.yaml", "--kernel", kernel)
