"""Page bodies come back byte for byte, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from collector.model import Record
from collector.store.codec import decode, encode
from collector.testing import make_record

_RECORDS = st.lists(
    st.builds(
        Record,
        id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        bucket=st.integers(-(2**40), 2**40),
        recorded_at=st.none() | st.datetimes(timezones=st.just(UTC)),
        raw=st.binary(),
        extra=st.none() | st.binary(),
    )
)


@given(_RECORDS)
def test_records_come_back_as_they_were(records: list[Record]) -> None:
    assert decode(encode(records)) == records


def test_a_time_in_another_zone_comes_back_as_the_same_moment() -> None:
    at = datetime.fromisoformat("2026-03-02T09:15:07.123456+05:30")
    assert decode(encode([make_record(recorded_at=at)]))[0].recorded_at == at


def test_an_id_that_is_no_text_is_refused() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode([make_record(id="\udfff")])


@pytest.mark.parametrize("where", [0, 4, 20, -5, -1])
def test_a_changed_byte_is_noticed(where: int) -> None:
    body = bytearray(encode([make_record(number) for number in range(9)]))
    body[where] ^= 0x55
    with pytest.raises((zstandard.ZstdError, msgspec.MsgspecError)):
        decode(bytes(body))


def test_a_body_of_repetitive_records_takes_a_tenth_of_them() -> None:
    records = [make_record(number, raw=make_record(number).raw * 20) for number in range(200)]
    assert len(encode(records)) < sum(len(record.raw) for record in records) / 10


def test_microseconds_survive() -> None:
    at = datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) + timedelta(microseconds=3)
    assert decode(encode([make_record(recorded_at=at)]))[0].recorded_at == at
