"""An independent reader of CEF finds in our lines what we wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration import tenzir
from tests.unit.formats.cef_reader import read_strict
from tests.unit.formats.hostile import HOSTILE
from tests.unit.sources.eset import cef_events as eset
from tests.unit.sources.withsecure import cef_events as withsecure
from tests.unit.sources.withsecure import incident_events as incidents

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@dataclass(frozen=True)
class Vendor:
    """The lines of every shape of one vendor's records, as they are or spoiled by a text."""

    as_they_are: Callable[[], list[bytes]]
    spoiled: Callable[[str, bool], list[bytes]]


def _of_withsecure(text: str, instead: bool) -> list[bytes]:
    encode = withsecure.encoder()
    spoiled = [withsecure.spoiled(document, text, instead=instead) for document in withsecure.DOCUMENTS]
    return [encode(withsecure.event_of(document)) for document in spoiled]


def _of_incidents(text: str, instead: bool) -> list[bytes]:
    encode = withsecure.encoder()
    return [encode(incidents.hostile_event_of(one, text, instead=instead)) for one in incidents.DOCUMENTS]


def _of_eset(text: str, instead: bool) -> list[bytes]:
    encode = eset.encoder()
    return [encode(eset.event_of(eset.spoiled(shape, text, instead=instead))) for shape in eset.SHAPES]


VENDORS = {
    "withsecure": Vendor(
        lambda: [withsecure.encoder()(withsecure.event_of(document)) for document in withsecure.DOCUMENTS],
        _of_withsecure,
    ),
    "withsecure incidents": Vendor(
        lambda: [withsecure.encoder()(incidents.event_of(document)) for document in incidents.DOCUMENTS],
        _of_incidents,
    ),
    "eset": Vendor(lambda: [eset.encoder()(eset.event_of(shape)) for shape in eset.SHAPES], _of_eset),
}


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


@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
def test_every_shape_is_read_back_equal(vendor: Vendor, tmp_path: Path) -> None:
    assert_same(vendor.as_they_are(), tmp_path)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("instead", [False, True], ids=["behind", "instead"])
@pytest.mark.parametrize("vendor", VENDORS.values(), ids=VENDORS)
def test_every_shape_is_read_back_equal_with_hostile_text_in_every_field(
    vendor: Vendor, text: str, instead: bool, tmp_path: Path
) -> None:
    assert_same(vendor.spoiled(text, instead), tmp_path)
