"""What the user is told when a run is over."""

from __future__ import annotations

import sys
from pathlib import Path

from vnemu.errors import ExperimentFailed


def judge(folder: Path, status: int, *, report: bool = True) -> int:
    """Build a run's report, print its summary and return the exit status.

    Parameters:
        status: what the run itself ended with; 0 leaves it to the expectations.
        report: whether to; if not, nobody has looked at the expectations yet.
    """
    if not (folder / "run.json").exists():
        # The run never began: its folder holds nothing that anyone would miss.
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        return status
    if not report:
        return status
    from vnemu.results.report import build_report
    from vnemu.results.terminal import summary_lines, summary_table

    result = build_report(folder)
    if sys.stdout.isatty():
        from rich.console import Console

        console = Console()
        for part in summary_table(result):
            console.print(part)
    else:
        print("\n".join(summary_lines(result)))
    print(f"report: {folder / 'report.html'}")
    if status:
        return status
    return 0 if result.met else ExperimentFailed.exit_status


def report_on(folder: Path) -> None:
    """Build the report of a run that has begun."""
    from vnemu.results.report import build_report

    if (folder / "run.json").exists():
        build_report(folder)


def judge_sweep(folder: Path, status: int, *, report: bool = True, again: bool = False) -> int:
    """Build a sweep's summary, print it in short and return the exit status.

    Parameters:
        status: what the sweep itself ended with; 0 leaves it to its runs.
        report: whether to; if not, nobody has looked at the expectations yet.
        again: whether the runs' results are to be made anew.
    """
    from vnemu.results.sweep_record import is_sweep

    if not report or not is_sweep(folder):
        return status
    from vnemu.results.summary import build_summary, summary_lines

    summary = build_summary(folder, again=again)
    print("\n".join(summary_lines(summary)))
    print(f"summary: {folder / 'summary.html'}")
    if status:
        return status
    return 0 if summary.met else ExperimentFailed.exit_status
