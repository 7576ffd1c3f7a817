"""What this machine can do, and what to install.

As a program (``python -m vnemu.cli.doctor``) it enters a capsule, probes the
kernel there and prints what it found as JSON; the command runs that and shows it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from vnemu import capsule
from vnemu.drivers.probe import BY_NAME, probe
from vnemu.drivers.processes import INSTALL, program
from vnemu.errors import MissingCapability, VnemuError

_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
_OPTIONAL_FEATURES = ("gre", "ifb", "netem")
_PROGRAMS = {"iperf3": "flows", "ping": "probes", "nsenter": "programs in virtual routers"}
_MODULES = {"scapy": ("the proof of isolation", "pip install 'vnemu[proof]'")}


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table."""

    what: str
    there: bool
    needed_for: str
    optional: bool = False
    remedy: str = ""


def examine() -> list[Finding]:
    """Look at everything that vnemu may need on this machine."""
    features, reason = _probe_in_capsule()
    who = "as root" if os.geteuid() == 0 else "as an ordinary user"
    findings = [
        Finding(f"capsule {who}", not reason, "every lab", remedy=_capsule_remedy(reason)),
    ]
    for name, feature in BY_NAME.items():
        why = features.get(name, "not probed: no capsule")
        remedy = f"{why}; sudo modprobe {feature.module}" if why else ""
        optional = name in _OPTIONAL_FEATURES
        findings.append(Finding(f"kernel: {name}", not why, feature.needed_for, optional, remedy))
    for name, purpose in _PROGRAMS.items():
        findings.append(
            Finding(f"program: {name}", _installed(name), purpose, False, INSTALL[name])
        )
    for name, (purpose, remedy) in _MODULES.items():
        there = find_spec(name) is not None
        findings.append(Finding(f"Python: {name}", there, purpose, True, remedy))
    return findings


def _installed(name: str) -> bool:
    try:
        program(name)
    except MissingCapability:
        return False
    return True


def _probe_in_capsule() -> tuple[dict[str, str], str]:
    """What the kernel lacks, by feature; or why there is no capsule to find out in."""
    result = subprocess.run(
        [sys.executable, "-m", "vnemu.cli.doctor"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if result.returncode != 0:
        return {}, result.stderr.strip() or f"status {result.returncode}"
    found: dict[str, str] = json.loads(result.stdout)
    return found, ""


def _capsule_remedy(reason: str) -> str:
    if not reason:
        return ""
    if _APPARMOR.exists() and _APPARMOR.read_text().strip() == "1":
        return "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run as root"
    if _USER_NAMESPACES.exists() and _USER_NAMESPACES.read_text().strip() == "0":
        return "sudo sysctl user.max_user_namespaces=10000, or run as root"
    return f"{reason.splitlines()[-1]}; try as root"


def essential(findings: list[Finding]) -> bool:
    """Whether all that every lab needs is there."""
    return all(finding.there or finding.optional for finding in findings)


def as_json(findings: list[Finding]) -> str:
    """The findings for programs."""
    system = {"kernel": platform.release(), "python": platform.python_version()}
    return json.dumps({**system, "findings": [asdict(f) for f in findings]}, indent=2)


def show(findings: list[Finding]) -> None:
    """Print the findings as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"vnemu on kernel {platform.release()}", title_justify="left")
    for column in ("what", "", "needed for", "what to do"):
        table.add_column(column, overflow="fold")
    for finding in findings:
        mark = (
            "[green]yes[/]"
            if finding.there
            else "[yellow]no[/]"
            if finding.optional
            else "[red]no[/]"
        )
        remedy = "" if finding.there else finding.remedy
        table.add_row(finding.what, mark, finding.needed_for, remedy)
    console = Console()
    console.print(table)
    missing = [f for f in findings if not f.there and not f.optional]
    if missing:
        console.print("A lab cannot run here yet: see the lines in red.")
    else:
        console.print("A lab can run here. Try: vnemu run experiments/fig6-guarantee.yaml")


def _main() -> int:
    try:
        capsule.enter()
        print(json.dumps(probe()))
    except (VnemuError, OSError) as error:
        print(error, file=sys.stderr)
        return MissingCapability.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(_main())
