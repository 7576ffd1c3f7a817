"""vnemu: virtual networks on a shared underlay, emulated on one machine."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Named, not imported: `import vnemu` stays quick, and imports run downwards.
_OFFERED = {
    "up": "vnemu.sessions.launch",
    "run": "vnemu.sessions.launch",
    "connect": "vnemu.sessions.launch",
    "labs": "vnemu.sessions.launch",
    "RemoteLab": "vnemu.sessions.remote",
    "open_run": "vnemu.results.run_view",
    "RunView": "vnemu.results.run_view",
}


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module 'vnemu' has no attribute '{name}'")
    return getattr(import_module(_OFFERED[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_OFFERED})
