"""Every record becomes an event, whatever it holds and whatever the vendor's module makes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.formats import FORMATS
from collector.model import Event, Normalized, Record, StreamId, event_uid
from collector.pipeline.normalizing import make_event

FETCHED = datetime(2026, 3, 2, 9, 16, tzinfo=UTC)
RECORDED = datetime(2026, 3, 2, 9, 15, 7, tzinfo=UTC)
OCCURRED = datetime(2026, 3, 2, 9, 14, 58, tzinfo=UTC)
RECORD = Record(id="a_0", bucket=0, recorded_at=RECORDED, raw=b'{"id":"a_0"}')
SEEN = Normalized(
    id="a_0",
    kind="security_event",
    severity="high",
    severity_vendor="error",
    title="something happened",
    occurred_at=OCCURRED,
    recorded_at=RECORDED,
    organization_id="org-1",
    organization_name="Contoso Nordics Oy",
    fields={"host.name": "CN-LT-0417"},
    flags=("severity_unknown",),
    unknown=("details.new@firewall",),
)


def make(record: Record = RECORD, seen: Normalized | Exception = SEEN, **other: Any) -> tuple[Event, tuple[str, ...]]:
    def normalize(feed: str, given: Record) -> Normalized:
        if isinstance(seen, Exception):
            raise seen
        return seen

    arguments: dict[str, Any] = {
        "stream": StreamId("acme", "withsecure", "security_events"),
        "vendor": "WithSecure",
        "product": "Elements",
        "labels": {"customer": "Acme Oy"},
        "organizations": {},
        "fetched_at": FETCHED,
        "normalize": normalize,
    }
    return make_event(record, **{**arguments, **other})


def test_an_event_carries_what_the_vendor_and_the_stream_say() -> None:
    event, unknown = make()

    assert event == Event(
        uid=event_uid("WithSecure", "security_events", "a_0"),
        id="a_0",
        vendor="WithSecure",
        product="Elements",
        tenant="acme",
        labels={"customer": "Acme Oy"},
        organization_id="org-1",
        organization_name="Contoso Nordics Oy",
        source="withsecure",
        feed="security_events",
        kind="security_event",
        severity="high",
        severity_vendor="error",
        occurred_at=OCCURRED,
        recorded_at=RECORDED,
        fetched_at=FETCHED,
        title="something happened",
        fields={"host.name": "CN-LT-0417"},
        flags=("severity_unknown",),
        raw=b'{"id":"a_0"}',
    )
    assert event.raw is RECORD.raw
    assert unknown == ("details.new@firewall",)


def test_the_uid_comes_of_the_record_id_and_the_id_of_the_vendor() -> None:
    event, _ = make(replace(RECORD, id="a_0@2026#1f"))

    assert event.uid == event_uid("WithSecure", "security_events", "a_0@2026#1f")
    assert event.id == "a_0"


def test_no_name_of_ours_is_in_the_uid() -> None:
    renamed, _ = make(stream=StreamId("other", "second", "security_events"), labels={})

    assert renamed.uid == make()[0].uid


def test_a_partners_customer_gets_its_own_tenant() -> None:
    assert make(organizations={"org-1": "acme-fi"})[0].tenant == "acme-fi"
    assert make(organizations={"org-2": "acme-se"})[0].tenant == "acme"


@pytest.mark.parametrize(
    ("claimed", "believed"),
    [
        (RECORDED - timedelta(days=30), RECORDED - timedelta(days=30)),
        (FETCHED + timedelta(minutes=5), FETCHED + timedelta(minutes=5)),
    ],
)
def test_a_time_within_bounds_is_believed(claimed: datetime, believed: datetime) -> None:
    event, _ = make(seen=replace(SEEN, occurred_at=claimed))

    assert event.occurred_at == believed
    assert event.flags == ("severity_unknown",)
    assert "edr.occurred_at_original" not in event.fields


@pytest.mark.parametrize(
    ("claimed", "believed", "original"),
    [
        (RECORDED - timedelta(days=30, milliseconds=1), RECORDED - timedelta(days=30), "2026-01-31T09:15:06.999Z"),
        (FETCHED + timedelta(minutes=5, seconds=1), FETCHED + timedelta(minutes=5), "2026-03-02T09:21:01.000Z"),
        (datetime.min.replace(tzinfo=UTC), RECORDED - timedelta(days=30), "0001-01-01T00:00:00.000Z"),
        (datetime.max.replace(tzinfo=UTC), FETCHED + timedelta(minutes=5), "9999-12-31T23:59:59.999Z"),
    ],
)
def test_a_time_out_of_bounds_is_clamped_and_kept(claimed: datetime, believed: datetime, original: str) -> None:
    event, _ = make(seen=replace(SEEN, occurred_at=claimed))

    assert event.occurred_at == believed
    assert event.flags == ("severity_unknown", "clock")
    assert event.fields == {"host.name": "CN-LT-0417", "edr.occurred_at_original": original}


def test_without_a_time_of_the_device_the_vendors_stands_in() -> None:
    event, _ = make(seen=replace(SEEN, occurred_at=None))

    assert event.occurred_at == RECORDED
    assert "clock" not in event.flags


def test_without_any_time_of_the_vendor_ours_stands_in() -> None:
    event, _ = make(replace(RECORD, recorded_at=None), replace(SEEN, occurred_at=None, recorded_at=None))

    assert event.occurred_at == FETCHED
    assert event.recorded_at is None


def test_the_records_own_recording_time_stands_in_for_the_vendor_modules() -> None:
    assert make(seen=replace(SEEN, recorded_at=None))[0].recorded_at == RECORDED


@pytest.mark.parametrize("recorded", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_an_impossible_recording_time_breaks_nothing(recorded: datetime) -> None:
    event, _ = make(seen=replace(SEEN, recorded_at=recorded))

    assert event.kind == "security_event"
    assert event.occurred_at in {OCCURRED, FETCHED + timedelta(minutes=5)}


def test_repaired_bytes_are_flagged_and_are_what_the_vendor_module_reads() -> None:
    given_raw: list[bytes] = []

    def normalize(feed: str, record: Record) -> Normalized:
        given_raw.append(record.raw)
        return SEEN

    event, _ = make(replace(RECORD, raw=b'{"id":"a\x00"}'), normalize=normalize)

    assert event.raw == rb'{"id":"a\u0000"}'
    assert given_raw == [event.raw]
    assert event.flags == ("severity_unknown", "repaired")


def test_newlines_between_tokens_are_no_repair() -> None:
    event, _ = make(replace(RECORD, raw=b'{\n"id":"a_0"}\n'))

    assert event.raw == b'{ "id":"a_0"} '
    assert event.flags == ("severity_unknown",)


@pytest.mark.parametrize("error", [ValueError("secret text"), KeyError("x"), RecursionError(), MemoryError()])
def test_a_record_no_one_understands_goes_out_unparsed(error: Exception) -> None:
    event, unknown = make(seen=error)

    assert (event.kind, event.severity, event.title) == ("unparsed", "medium", "unparsed record")
    assert event.flags == ("unparsed",)
    assert event.raw is RECORD.raw
    assert event.id == "a_0"
    assert event.uid == event_uid("WithSecure", "security_events", "a_0")
    assert event.occurred_at == RECORDED
    assert event.fields == {"error.type": type(error).__name__}
    assert unknown == ()


def test_a_record_without_organization_stays_with_its_tenant() -> None:
    assert make(seen=replace(SEEN, organization_id=""), organizations={"org-1": "x"})[0].tenant == "acme"


def test_a_record_that_is_no_json_goes_out_as_text() -> None:
    event, _ = make(replace(RECORD, raw=b"<html>\n", recorded_at=None), ValueError())

    assert event.raw == b'"<html>\\n"'
    assert event.flags == ("unparsed", "repaired")
    assert event.occurred_at == FETCHED


def test_nonsense_from_a_vendor_module_goes_out_unparsed() -> None:
    naive = replace(SEEN, occurred_at=datetime(2026, 3, 2))  # noqa: DTZ001 -- the mistake under test

    assert make(seen=naive)[0].kind == "unparsed"
    assert make(normalize=lambda feed, record: None)[0].kind == "unparsed"


@given(st.binary(), st.none() | st.datetimes(timezones=st.just(UTC)), st.none() | st.datetimes(timezones=st.just(UTC)))
def test_any_bytes_and_times_become_one_line(raw: bytes, occurred: datetime | None, recorded: datetime | None) -> None:
    event, _ = make(replace(RECORD, raw=raw), replace(SEEN, occurred_at=occurred, recorded_at=recorded))

    line = FORMATS["json"].encode(event)

    assert b"\n" not in line
    assert orjson.loads(line)["id"] == "a_0"
    assert event.occurred_at <= FETCHED + timedelta(minutes=5)
