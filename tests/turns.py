"""How the tests of `make test` ended: a test that is skipped in every turn tests nothing.

    python tests/turns.py

A turn is one call of pytest with ``--turn`` and a cache of its own, natively or in the
private kernel; a turn that is called again goes on with its record.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

KEY = "vnemu/outcomes"
_CACHES = Path(__file__).parents[1] / ".pytest_cache"


def main() -> int:
    """Print what ran in no turn and what failed at first; the status says if any never ran."""
    found = {path.parts[-4]: json.loads(path.read_text()) for path in _CACHES.glob(f"*/v/{KEY}")}
    turns: dict[str, dict[str, list[str]]] = dict(sorted(found.items()))
    ran = {
        name: {_anywhere(test) for test, outcomes in tests.items() if set(outcomes) != {"skipped"}}
        for name, tests in turns.items()
    }
    known = {_anywhere(test) for tests in turns.values() for test in tests}
    missed = sorted(known.difference(*ran.values()))
    counts = ", ".join(f"{len(tests)} in {name}" for name, tests in ran.items())
    print(f"tests that ran: {counts}; in none of them: {len(missed) or 'none'}")
    print("\n".join(missed))
    for name, tests in turns.items():
        for test in sorted(test for test, outcomes in tests.items() if "failed" in outcomes):
            print(f"failed at first in {name}, passed alone: {test}")
    return 1 if missed else 0


def _anywhere(test: str) -> str:
    """A test that chooses its kernel by a parameter, in whichever it ran."""
    return test.replace("-native]", "]").replace("-private]", "]")


if __name__ == "__main__":
    sys.exit(main())
