"""Incidents of WithSecure and their detections as CEF: every shape is read back equal, whatever it holds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.formats.hostile import HOSTILE
from tests.unit.sources.withsecure.incident_events import DOCUMENTS, NAMES, event_of, hostile_event_of
from tests.unit.sources.withsecure.test_cef import assert_told


@pytest.mark.parametrize("document", DOCUMENTS, ids=NAMES)
def test_every_shape_is_read_back_equal(document: dict[str, Any]) -> None:
    assert_told(event_of(document))


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("instead", [False, True], ids=["behind", "instead"])
def test_every_shape_is_read_back_equal_with_hostile_text_in_every_field(text: str, instead: bool) -> None:
    for document in DOCUMENTS:
        assert_told(hostile_event_of(document, text, instead=instead))
