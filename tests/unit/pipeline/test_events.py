from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from collector.model import StreamId
from collector.pipeline.events import Events, TenantView, Vendor
from collector.store import DeadLetter, LogPage
from collector.testing import make_record
from collector.testing.clock import START
from tests.unit.pipeline.workbench import ACME, BETA, VENDORS, normalize

MADE: list[str] = []


def page(seq: int = 1, count: int = 3, stream: StreamId = ACME, raw: bytes | None = None) -> LogPage:
    changes = {} if raw is None else {"raw": raw}
    records = [make_record(seq * 1000 + number, **changes) for number in range(count)]
    return LogPage(seq, stream, "withsecure", START, records, 100)


def counting(tenants: dict[str, TenantView] | None = None, kept_bytes: int = 1 << 20) -> tuple[Events, list[str]]:
    made: list[str] = []

    def note(feed: str, record: object) -> object:
        made.append(record.id)  # type: ignore[attr-defined]
        return normalize(feed, record)  # type: ignore[arg-type]

    vendor = Vendor("WithSecure", "Elements", note)  # type: ignore[arg-type]
    return Events({"withsecure": vendor}, tenants or {}, kept_bytes), made


def test_event_of_a_page_is_made_once_however_many_sinks_ask() -> None:
    events, made = counting()

    first, second = list(events.of_page(page())), list(events.of_page(page()))

    assert all(a is b for a, b in zip(first, second, strict=True))
    assert len(made) == 3


def test_event_that_nobody_asks_for_is_not_made() -> None:
    events, made = counting()

    assert len(events.of_page(page())) == 3
    assert events.of_page(page())[1].id == "event-1001"
    assert made == ["event-1001"]


def test_oldest_pages_are_let_go_when_their_events_take_too_much_memory() -> None:
    events, made = counting(kept_bytes=10_000)
    for seq in range(1, 11):
        list(events.of_page(page(seq, 1)))

    list(events.of_page(page(10, 1)))
    assert len(made) == 10
    list(events.of_page(page(1, 1)))
    assert len(made) == 11
    assert events._bytes <= 10_000


def test_page_larger_than_all_the_memory_can_still_be_read() -> None:
    events, made = counting(kept_bytes=3_000)
    large = events.of_page(page(1, 10))

    assert [event.id for event in large] == [f"event-{1000 + number}" for number in range(10)]
    assert len(made) == 10
    assert events._bytes == 0
    assert len(events._kept) == 0


def test_many_small_pages_are_not_kept_for_ever() -> None:
    events, _ = counting()
    for seq in range(1, 1000):
        events.of_page(page(seq, 1))

    assert len(events._kept) <= 256


def test_tenants_labels_and_names_change_with_the_configuration() -> None:
    events, _ = counting({"acme": TenantView({"customer": "Acme"}, {})})
    assert events.of_page(page())[0].labels == {"customer": "Acme"}

    events.set_tenants({"acme": TenantView({"customer": "Acme Oy"}, {})})

    assert events.of_page(page())[0].labels == {"customer": "Acme Oy"}
    assert events.of_page(replace(page(2), stream=BETA))[0].labels == {}


def test_unparsed_records_and_unknown_names_count_once_also_for_a_sink_that_is_behind() -> None:
    events = Events(VENDORS, {}, kept_bytes=0)
    unparsed: list[StreamId] = []
    unknown: list[tuple[StreamId, Sequence[str]]] = []
    events.on_unparsed = lambda stream, count: unparsed.extend([stream] * count)
    events.on_unknown = lambda stream, names: unknown.append((stream, names))
    broken, strange = page(1, 2, raw=b'{"id":"broken"}'), page(2, 2, raw=b'{"id":"surprise"}')
    other = page(1, 1, stream=BETA, raw=b'{"id":"broken"}')

    for _ in range(3):
        assert [event.kind for event in events.of_page(broken)] == ["unparsed"] * 2
        list(events.of_page(strange))
    list(events.of_page(other))

    assert unparsed == [ACME, ACME, BETA]
    assert unknown == [(ACME, ("surprise",))] * 2
    assert events.unknown == {"withsecure:surprise": 2}


def test_unparsed_and_unknown_without_anybody_to_tell() -> None:
    events = Events(VENDORS, {})

    assert events.of_page(page(1, 1, raw=b'{"id":"broken"}'))[0].kind == "unparsed"
    assert events.of_page(page(2, 1, raw=b'{"id":"surprise"}'))[0].kind == "security_event"


def test_names_that_no_table_knows_are_bounded() -> None:
    def invent(feed: str, record: object) -> object:
        return replace(normalize(feed, record), unknown=(record.id, "always"))  # type: ignore[attr-defined,arg-type]

    events = Events({"withsecure": Vendor("WithSecure", "Elements", invent)}, {})  # type: ignore[arg-type]

    list(events.of_page(page(1, 1500)))

    assert len(events.unknown) == 1000
    assert events.unknown["withsecure:always"] == 1500


def test_records_of_a_plugin_that_is_gone_are_delivered_unparsed() -> None:
    events = Events({}, {})

    event = events.of_page(page())[0]

    assert (event.kind, event.vendor, event.raw) == ("unparsed", "withsecure", make_record(1000).raw)


def test_dead_letter_becomes_the_event_it_was() -> None:
    events = Events(VENDORS, {})
    record = make_record(7)
    letter = DeadLetter(1, "archive", "", ACME, "withsecure", "uid", "event-7", START, "too long", START, 1, record)

    event = events.of_dead_letter(letter)

    assert event == events.of_page(LogPage(9, ACME, "withsecure", START, [record], 0))[0]
    assert len(events._kept) == 1
