"""Files whose parts do not fit together: all messages, exactly, each at its line.

To accept new messages after reading them, run this file with VNEMU_GOLDEN=write.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vnemu.embedding.strategies import embed
from vnemu.errors import InputError
from vnemu.model.resolve import resolve
from vnemu.schema.load import load_topology

BAD = Path(__file__).parents[1] / "golden" / "bad_model"


@pytest.mark.parametrize("name", sorted(file.name for file in BAD.glob("*.yaml")))
def test_messages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(BAD)
    loaded = load_topology(Path(name))
    with pytest.raises(InputError) as caught:
        embed(resolve(loaded))
    expected = Path(name).with_suffix(".txt")
    if os.environ.get("VNEMU_GOLDEN") == "write":
        expected.write_text(f"{caught.value}\n", encoding="utf-8")
    assert f"{caught.value}\n" == expected.read_text(encoding="utf-8")
    assert caught.value.exit_status == 2
