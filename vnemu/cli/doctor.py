"""What this machine can do, on which kernel, and what to install.

As a program (``python -m vnemu.cli.doctor WAY``) it goes the way that a lab would go,
probes the kernel there and prints what it found as JSON; the command runs that for
each way and shows the answers side by side.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

from vnemu import capsule
from vnemu.capsule import private
from vnemu.drivers import limits
from vnemu.drivers.probe import BY_NAME, probe
from vnemu.drivers.programs import INSTALL, program
from vnemu.drivers.router_os import DAEMONS, version
from vnemu.errors import MissingCapability, VnemuError
from vnemu.model.routing import Daemon

NATIVE, USER, PRIVATE = "native (root)", "user namespace", "private kernel"
WAYS = (NATIVE, USER, PRIVATE)
YES, NO, UNKNOWN = "yes", "no", "-"

_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")
_USER_NAMESPACES = Path("/proc/sys/user/max_user_namespaces")
_OPTIONAL = ("ipv6", "ifb", "tbf", "netem", "gre")
_PROGRAMS = {"iperf3": "flows", "ping": "probes", "nsenter": "programs in virtual routers"}
_CGROUP = "cgroup "
_TIMEOUT_SECONDS = 60
# Root in a user namespace that maps it to another id is an ordinary user to the kernel.
_AS_USER = ("unshare", "--user", "--map-user=1000", "--map-group=1000")


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table.

    Parameters:
        ways: yes, no or - (cannot be told) by way.
        remedy: what to do about a no.
    """

    what: str
    needed_for: str
    ways: dict[str, str]
    optional: bool = False
    remedy: str = ""


@dataclass
class _Way:
    """What was found on one way: what the kernel lacks, or why it cannot be gone."""

    missing: dict[str, str] = field(default_factory=dict)
    refusal: str = ""
    known: bool = True

    def has(self, feature: str) -> str:
        """Whether it has a feature."""
        if not self.known:
            return UNKNOWN
        return NO if self.refusal or self.missing.get(feature) else YES


def examine() -> list[Finding]:
    """Look at everything that vnemu may need on this machine."""
    root = os.geteuid() == 0
    ways = {
        NATIVE: _go(NATIVE, ()) if root else _Way(known=False),
        USER: _go(USER, _AS_USER if root else ()),
        PRIVATE: _go(PRIVATE, ()) if private.installed() else _Way(refusal="not installed"),
    }
    return [_capsule_finding(ways), *_features(ways), *_limits(ways), *_programs()]


def _go(way: str, before: tuple[str, ...]) -> _Way:
    argv = [*before, sys.executable, "-m", "vnemu.cli.doctor", way]
    try:
        result = subprocess.run(
            argv, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _Way(refusal=str(error))
    if result.returncode != 0:
        last = result.stderr.strip().splitlines()[-1:] or [f"status {result.returncode}"]
        return _Way(refusal=last[0])
    return _Way(missing=json.loads(result.stdout))


def _capsule_finding(ways: dict[str, _Way]) -> Finding:
    shown = {n: UNKNOWN if not w.known else NO if w.refusal else YES for n, w in ways.items()}
    remedies = [
        f"{name}: {_capsule_remedy(name, way.refusal)}" for name, way in ways.items() if way.refusal
    ]
    return Finding("a lab's capsule", "every lab", shown, remedy="; ".join(remedies))


def _capsule_remedy(way: str, refusal: str) -> str:
    if way == PRIVATE and not private.installed():
        return private.INSTALL
    if way == USER and _APPARMOR.exists() and _APPARMOR.read_text().strip() == "1":
        return "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    if way == USER and _USER_NAMESPACES.exists() and _USER_NAMESPACES.read_text().strip() == "0":
        return "sudo sysctl user.max_user_namespaces=10000"
    return refusal


def _features(ways: dict[str, _Way]) -> list[Finding]:
    findings = []
    for name, feature in BY_NAME.items():
        shown = {way_name: way.has(name) for way_name, way in ways.items()}
        remedy = ""
        if NO in (shown[NATIVE], shown[USER]):
            remedy = f"sudo modprobe {feature.module}"
            remedy += "" if shown[PRIVATE] == NO else ", or --kernel private"
        optional = name in _OPTIONAL
        findings.append(Finding(f"kernel: {name}", feature.needed_for, shown, optional, remedy))
    return findings


def _groups() -> dict[str, str]:
    """The control groups for limits: name -> empty, or why they are missing."""
    there = limits.places()
    needed = limits.NEEDS.values()
    return {f"{_CGROUP}{name}": "" if name in there else "none can be made" for name in needed}


def _limits(ways: dict[str, _Way]) -> list[Finding]:
    """What can be limited of a VR on each way."""
    findings = []
    for key, name in limits.NEEDS.items():
        shown = {way_name: way.has(f"{_CGROUP}{name}") for way_name, way in ways.items()}
        if os.geteuid() == 0:  # who owns root's files in that way, so what a user may is not seen
            shown[USER] = UNKNOWN
        remedy = "run as root, or let the system give your session control groups"
        findings.append(Finding(f"cgroup: {name}", f"resources: {key}", shown, True, remedy))
    return findings


def _programs() -> list[Finding]:
    findings = [
        Finding(f"program: {name}", purpose, _everywhere(_installed(name)), False, INSTALL[name])
        for name, purpose in _PROGRAMS.items()
    ]
    findings += [_router_os(daemon) for daemon in DAEMONS]
    tcpdump = _everywhere(_installed("tcpdump"))
    lines = "captures as lines to read, and their filters"
    findings.append(Finding("program: tcpdump", lines, tcpdump, True, INSTALL["tcpdump"]))
    scapy = _everywhere(find_spec("scapy") is not None)
    remedy = "pip install 'vnemu[proof]'"
    return [*findings, Finding("Python: scapy", "the proof of isolation", scapy, True, remedy)]


def _router_os(daemon: Daemon) -> Finding:
    found = version(daemon)
    shown = f"Router OS: {daemon}" + (f" {found}" if found else "")
    protocols = f"routing protocols (daemon: {daemon})"
    return Finding(shown, protocols, _everywhere(bool(found)), True, INSTALL[DAEMONS[daemon]])


def _everywhere(there: bool) -> dict[str, str]:
    return dict.fromkeys(WAYS, YES if there else NO)


def _installed(name: str) -> bool:
    try:
        program(name)
    except MissingCapability:
        return False
    return True


def usable(findings: list[Finding]) -> list[str]:
    """The ways that have all that every lab needs."""
    return [w for w in WAYS if all(f.optional or f.ways[w] == YES for f in findings)]


def as_json(findings: list[Finding]) -> str:
    """The findings for programs."""
    system = {"kernel": platform.release(), "python": platform.python_version()}
    return json.dumps(
        {**system, "usable": usable(findings), "findings": [asdict(f) for f in findings]}, indent=2
    )


_STYLES = {YES: "[green]yes[/]", NO: "[red]no[/]", UNKNOWN: "[dim]-[/]"}


def show(findings: list[Finding]) -> None:
    """Print the findings as a table, and under it what to do about each no."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"vnemu on kernel {platform.release()}", title_justify="left")
    for column in ("", "needed for", *WAYS):
        table.add_column(column)
    for finding in findings:
        table.add_row(finding.what, finding.needed_for, *(_STYLES[finding.ways[w]] for w in WAYS))
    console = Console()
    console.print(table)
    for finding in findings:
        if NO in finding.ways.values():
            console.print(f"{finding.what}: {finding.remedy}", highlight=False, soft_wrap=True)
    ways = usable(findings)
    if ways:
        where = " or ".join(ways)
        console.print(
            f"A lab can run here ({where}). Try: vnemu run experiments/fig6-guarantee.yaml"
        )
    else:
        console.print("A lab cannot run here yet: see the lines above.")


def _main() -> int:
    try:
        capsule.enter()
        if sys.argv[1] == PRIVATE and not private.inside():
            private.boot("the doctor asked", private.LEAST_MEMORY * 2, enclosed=True)
        print(json.dumps({**probe(), **_groups()}))
    except (VnemuError, OSError) as error:
        print(error, file=sys.stderr)
        return MissingCapability.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(_main())
