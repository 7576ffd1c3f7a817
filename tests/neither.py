"""Which tests ran in no turn of `make test`: a test that is skipped everywhere tests nothing.

    python tests/neither.py

A turn is one call of pytest with ``--turn NAME``, natively or in the private kernel.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

KEY = "vnemu/turns"
_CACHE = Path(__file__).parents[1] / ".pytest_cache" / "v" / KEY


def main() -> int:
    """Print the tests that ran in no turn; the status says whether there are any."""
    turns = {path.name: json.loads(path.read_text()) for path in sorted(_CACHE.iterdir())}
    ran = {test for turn in turns.values() for test, did in turn.items() if did}
    missed = sorted({test for turn in turns.values() for test in turn} - ran)
    counts = ", ".join(f"{sum(turn.values())} in {name}" for name, turn in turns.items())
    print(f"tests that ran: {counts}; in none of them: {len(missed) or 'none'}")
    print("\n".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
