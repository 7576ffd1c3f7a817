"""The whole of pytest goes into a capsule when tests of the kernel side are chosen."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from vnemu import capsule
from vnemu.capsule import private
from vnemu.errors import MissingCapability

from . import turns

TESTS = Path(__file__).parent
NEED_NO_KERNEL = (TESTS / "unit", TESTS / "golden")
NEED_KERNEL = (TESTS / "kernel", TESTS / "experiments")

MEMORY = 4 << 30
_OUTCOMES = pytest.StashKey[dict[str, str]]()
_REFUSED = pytest.StashKey[str]()

# How long an example takes depends on who else uses the machine; the same
# examples in every run make a failure one that can be repeated.
settings.register_profile("vnemu", deadline=None, derandomize=True, database=None, max_examples=25)
settings.load_profile("vnemu")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--private-kernel", action="store_true", help="run in the private kernel")
    parser.addoption(
        "--turn", action="store_true", help="record how tests ended, for tests/turns.py"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Enter before any plugin has been configured, so that all of them live inside."""
    if config.option.collectonly or not _chosen(config):
        return
    # Inside, an ordinary user is root: pytest's temporary folder is named after
    # the user, and root's is not theirs.
    if os.geteuid() != 0:
        os.environ["LOGNAME"] = f"uid{os.geteuid()}"
    try:
        capsule.enter()
        if config.option.private_kernel and not private.inside():
            private.boot("the tests asked for it", MEMORY, enclosed=True)
    except MissingCapability as missing:
        config.stash[_REFUSED] = str(missing)


def _chosen(config: pytest.Config) -> bool:
    """Whether any of the chosen paths is not known to do without the kernel."""
    paths = [config.invocation_params.dir / arg.split("::")[0] for arg in config.args]
    return not all(any(p.resolve().is_relative_to(u) for u in NEED_NO_KERNEL) for p in paths)


def pytest_report_header(config: pytest.Config) -> str:
    return f"capsule: {capsule.kind() or config.stash.get(_REFUSED, 'none')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if capsule.inside():
        return
    skip = pytest.mark.skip(reason=config.stash.get(_REFUSED, "not in a capsule"))
    for item in items:
        if any(item.path.is_relative_to(folder) for folder in NEED_KERNEL):
            item.add_marker(skip)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_OUTCOMES] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" or not report.passed:
        item.config.stash[_OUTCOMES][item.nodeid] = report.outcome
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Add how the tests ended to what is known of this turn."""
    cache = session.config.cache
    if session.config.option.turn and cache is not None:
        known = cache.get(turns.KEY, {})
        for test, outcome in session.config.stash[_OUTCOMES].items():
            known.setdefault(test, []).append(outcome)
        cache.set(turns.KEY, known)
