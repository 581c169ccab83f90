from __future__ import annotations

import json
import uuid
from collections import Counter
from datetime import timedelta

import orjson
import pytest

from collector.simulator import CONTOSO, Mix, generate
from collector.simulator.catalogue import SHAPES
from collector.simulator.hostile import HARSH, MILD
from collector.simulator.vendor_event import VendorEvent, canonical_sha256
from collector.simulator.vendor_time import parse_us, to_ms
from tests.unit.simulator.reader import NOON

START = NOON - timedelta(hours=6)
CALM = Mix(hostile=0.0, harsh=0.0, legacy=0.0)


def read(event: VendorEvent) -> dict[str, object]:
    record: dict[str, object] = json.loads(event.raw)
    return record


def test_same_seed_gives_the_same_bytes_and_another_seed_other_ids() -> None:
    first, again, other = (generate(seed, 300, START, NOON) for seed in (1, 1, 2))

    assert [event.raw for event in first] == [event.raw for event in again]
    assert not {event.key for event in first} & {event.key for event in other}


def test_ids_are_distinct_name_based_uuids_with_an_index() -> None:
    events = generate(1, 2000, START, NOON)

    assert len({event.key for event in events}) == 2000
    for event in events:
        name, _, index = event.key.partition("_")
        assert uuid.UUID(name).version == 3
        assert index == "" or index.isdigit()


def test_every_engine_comes_with_each_field_of_the_catalogue() -> None:
    fields: dict[str, set[str]] = {}

    for event in generate(1, 6000, START, NOON, mix=CALM):
        details = read(event)["details"]
        assert isinstance(details, dict)
        assert all(isinstance(value, str) for value in details.values())
        fields.setdefault(event.engine, set()).update(details)

    for shape in SHAPES:
        assert {*shape.always, *shape.sometimes} <= fields[shape.engine], shape.engine
    assert {event.group for event in generate(1, 500, START, NOON)} == {"epp", "edr", "ecp", "xm"}


def test_stamps_lie_in_the_range_in_order_and_agree_with_the_bytes() -> None:
    events = generate(3, 1000, START, NOON, mix=CALM)

    stamps = [event.stamp_ms for event in events]
    assert stamps == sorted(stamps)
    assert to_ms(START) <= stamps[0]
    assert stamps[-1] < to_ms(NOON)
    for event in events:
        assert parse_us(str(read(event)["persistenceTimestamp"])) == event.stamp_ms * 1000


def test_times_come_with_and_without_a_fraction() -> None:
    records = [read(event) for event in generate(3, 2000, START, NOON, mix=CALM)]

    for name in ("persistenceTimestamp", "serverTimestamp", "clientTimestamp"):
        with_fraction = Counter("." in str(record[name]) for record in records if name in record)
        assert with_fraction[True] > 20, name
        assert with_fraction[False] > 20, name


def test_up_to_five_events_share_a_millisecond_and_a_tie_lies_over_each_page_border() -> None:
    events = generate(4, 1000, START, NOON)

    sizes = Counter(Counter(event.stamp_ms for event in events).values())
    assert {2, 3, 4, 5} <= set(sizes)
    for border in range(200, 1000, 200):
        assert events[border - 1].stamp_ms == events[border].stamp_ms


def test_equal_bounds_give_one_tie() -> None:
    assert {event.stamp_ms for event in generate(5, 500, NOON, NOON)} == {to_ms(NOON)}


def test_sizes_reach_from_600_bytes_to_20_kilobytes() -> None:
    sizes = [len(event.raw) for event in generate(6, 5000, START, NOON)]

    assert 500 < min(sizes) < 800
    assert 15_000 < max(sizes) < 30_000
    assert 900 < sum(sizes) / len(sizes) < 1800


def test_each_hostile_text_appears_as_its_own_bytes() -> None:
    events = generate(7, 3000, START, NOON, mix=Mix(hostile=0.5, harsh=0.2))

    for name, text in {**MILD, **HARSH}.items():
        found = [event for event in events if name in event.traits]
        assert found, name
        assert all(text in event.raw for event in found), name
    assert not any(b"@@" in event.raw for event in events)


def test_mild_texts_are_valid_json_and_harsh_ones_break_strict_readers() -> None:
    for event in generate(8, 2000, START, NOON, mix=Mix(hostile=0.5, harsh=0.3)):
        if set(HARSH) & set(event.traits):
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(event.raw)
        else:
            orjson.loads(event.raw)


def test_legacy_events_carry_the_old_envelope() -> None:
    event = next(event for event in generate(9, 50, START, NOON, mix=Mix(legacy=1.0)) if "legacy" in event.traits)

    record = read(event)
    assert record["persistenceTimestamp"] == event.stamp_ms
    assert record["account"] == {
        "uuid": CONTOSO.id,
        "name": CONTOSO.name,
        "orgPath": f"{uuid.UUID(int=0)}/{CONTOSO.id}/",
    }
    assert "organization" not in record


def test_events_without_id_have_a_key_all_the_same() -> None:
    events = generate(10, 50, START, NOON, mix=Mix(without_id=1.0, hostile=0, harsh=0))

    assert all("id" not in read(event) and event.key for event in events)


def test_late_events_become_visible_after_their_stamp_and_others_at_it() -> None:
    events = generate(11, 1000, START, NOON, mix=Mix(late=0.2, late_seconds=(5, 540)))

    for event in events:
        delay = event.visible_ms - event.stamp_ms
        assert 5000 <= delay <= 540_000 if "late" in event.traits else delay == 0
    assert 100 < sum("late" in event.traits for event in events) < 300


def test_served_again_it_keeps_id_and_content_but_not_stamp_and_flag() -> None:
    for event in generate(12, 500, START, NOON, mix=Mix(hostile=0.3, harsh=0.2, legacy=0.3)):
        again = event.moved(event.stamp_ms + 60_007, event.stamp_ms + 60_007)

        assert canonical_sha256(again.raw) == canonical_sha256(event.raw)
        assert again.raw != event.raw
        assert again.key == event.key
        assert again.acknowledged is True
        if "legacy" in event.traits:
            assert b'"persistenceTimestamp":%d' % again.stamp_ms in again.raw
        else:
            assert b'"acknowledged":true' in again.raw
            assert b'"acknowledged":false' not in again.raw


def test_served_again_without_an_id_nothing_but_stamp_and_flag_differs() -> None:
    for event in generate(14, 300, START, NOON, mix=Mix(without_id=1.0, legacy=0, hostile=0, harsh=0)):
        first, again = read(event), json.loads(event.moved(event.stamp_ms + 1, event.stamp_ms + 1).raw)

        changed = {name for name in first if first[name] != again[name]}
        assert changed == {"acknowledged", "persistenceTimestamp"}


def test_canonical_hash_differs_when_content_differs() -> None:
    first, second = generate(13, 2, START, NOON)

    assert canonical_sha256(first.raw) != canonical_sha256(second.raw)
    assert canonical_sha256(first.raw) != canonical_sha256(first.raw.replace(b'"engine":"', b'"engine":"x'))
