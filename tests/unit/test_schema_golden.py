"""Bad input files: each has its messages beside it, all of them, in the file's order.

To accept new messages after reading them, run this file with VNEMU_GOLDEN=write.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from vnemu.errors import InputError
from vnemu.schema.load import load_experiment, load_topology

BAD = Path(__file__).parents[1] / "golden" / "bad"
# The words of these come from the YAML library.
OF_LIBYAML = {"syntax.yaml", "tab.yaml"}


@pytest.mark.parametrize("name", sorted(file.name for file in BAD.glob("*.yaml")))
def test_messages(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name in OF_LIBYAML and not yaml.__with_libyaml__:
        pytest.skip("PyYAML without libyaml has other words for it")
    monkeypatch.chdir(BAD)
    load = load_experiment if name.startswith("experiment") else load_topology
    with pytest.raises(InputError) as caught:
        load(Path(name))
    expected = Path(name).with_suffix(".txt")
    if os.environ.get("VNEMU_GOLDEN") == "write":
        expected.write_text(f"{caught.value}\n", encoding="utf-8")
    assert f"{caught.value}\n" == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("file", sorted(BAD.glob("*.txt")), ids=lambda file: file.name)
def test_messages_are_in_the_words_of_the_file(file: Path) -> None:
    text = file.read_text(encoding="utf-8").lower()
    for jargon in ("input should", "pydantic", "value error", "validation", "instance of", "doc."):
        assert jargon not in text
