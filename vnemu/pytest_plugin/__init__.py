"""The pytest plugin: tests of one's own routing software on virtual networks (docs/pytest.md).

What it needs is imported by the first test that asks for a network, and labs are
processes of their own: a pytest that uses none pays nothing.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from vnemu.pytest_plugin.labs import Vnet

_MARKER = (
    "vnet(topology, *, scope='function', set=(), converge=None): the network of the fixture "
    "vnet: a topology file as seen from the test's, or its text or content. scope: whether "
    "each function, class, module, package or session has a lab of its own. set: values to "
    "change in it, PATH=VALUE. converge: seconds in which its routing must have converged."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the plugin."""
    group = parser.getgroup("vnet", "virtual networks (vnemu)")
    group.addoption(
        "--vnet-kernel",
        choices=("auto", "native", "private"),
        default="auto",
        help="which kernel runs labs; auto: a private one if the running one lacks a feature",
    )
    group.addoption(
        "--vnet-artifacts",
        metavar="DIR",
        help="where the state of the network, events and logs of failed tests are saved",
    )
    group.addoption(
        "--vnet-required",
        action="store_true",
        help="let tests fail, and not be skipped, where this machine cannot run their labs",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker, for ``--strict-markers`` and ``--markers``."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def vnet(request: pytest.FixtureRequest) -> Vnet:
    """The running lab of the marker `vnet`: a `vnemu.RemoteLab`."""
    from vnemu.pytest_plugin.labs import lab_for

    return lab_for(request)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the state of the network to the report of a test that failed."""
    report = yield
    if report.failed and "vnet" in getattr(item, "fixturenames", ()):
        from vnemu.pytest_plugin.failures import attach

        attach(item, report)
    return report
