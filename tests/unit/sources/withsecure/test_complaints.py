from __future__ import annotations

import pytest

from collector.http import Answer
from collector.sources.withsecure.complaints import read_complaint, read_json, transaction_of


def answer(header: str | None, body: bytes = b"") -> Answer:
    return Answer(500, {} if header is None else {"x-transaction": header}, body, None)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("0000-abc", "0000-abc"),
        (b"caf\xe9".decode(errors="surrogateescape"), "caf?"),
        ("a\tb\x7f\u2028c", "a b  c"),
        ("caf\u00e9", "caf\u00e9"),
        ("x" * 5000, "x" * 200),
    ],
)
def test_a_transaction_can_be_stored_and_logged_whatever_bytes_it_came_as(header: str, told: str) -> None:
    assert transaction_of(answer(header)) == told
    assert told in str(read_complaint(answer(header), ()))


def test_the_bodys_transaction_is_cleaned_likewise() -> None:
    assert transaction_of(answer(None, b'{"transactionId":"a\\nb"}')) == "a b"


def test_a_byte_order_mark_ahead_of_an_object_is_no_part_of_it() -> None:
    assert read_json(b'\xef\xbb\xbf{"access_token":"x"}') == {"access_token": "x"}
