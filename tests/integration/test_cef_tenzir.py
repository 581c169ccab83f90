"""An independent reader of CEF finds in our lines what we wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration import tenzir
from tests.unit.formats.cef_reader import read_strict
from tests.unit.formats.hostile import HOSTILE
from tests.unit.sources.withsecure.cef_events import DOCUMENTS, encoder, event_of, spoiled

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ENCODE = encoder()


def assert_same(lines: list[bytes], folder: Path) -> None:
    found = tenzir.read_cef(lines, folder)
    assert len(found) == len(lines)
    for line, seen in zip(lines, found, strict=True):
        ours = read_strict(line)
        header = [seen[key] for key in ("device_vendor", "device_product", "device_version", "signature_id", "name")]
        # It leaves an escaped backslash of the header doubled.
        assert [field.replace("\\\\", "\\") for field in header] == ours.header[:5]
        assert str(seen["severity"]) == ours.header[5]
        assert set(seen["extension"]) == set(ours.pairs)
        assert {key: value for key, value in ours.pairs.items() if not same(value, seen["extension"][key])} == {}


def same(ours: str, theirs: Any) -> bool:
    """What looks like a number or a truth value comes back as one."""
    if isinstance(theirs, float):
        return float(ours) == theirs
    return theirs == ours if isinstance(theirs, str) else str(theirs).lower() == ours.lower()


def test_every_shape_is_read_back_equal(tmp_path: Path) -> None:
    assert_same([ENCODE(event_of(document)) for document in DOCUMENTS], tmp_path)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("instead", [False, True], ids=["behind", "instead"])
def test_every_shape_is_read_back_equal_with_hostile_text_in_every_field(
    text: str, instead: bool, tmp_path: Path
) -> None:
    assert_same([ENCODE(event_of(spoiled(document, text, instead=instead))) for document in DOCUMENTS], tmp_path)
