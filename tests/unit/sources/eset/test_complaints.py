from __future__ import annotations

import pytest

from collector.http import Answer
from collector.sources.eset.complaints import read_complaint, read_json, request_id_of


def answer(status: int = 500, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, {key.replace("_", "-"): value for key, value in headers.items()}, body, None)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "status 500"),
        (b"null", "status 500"),
        (b"[1]", "status 500"),
        (b"<html>x</html>", "status 500"),
        (b"\xff", "status 500"),
        (b'{"code":3,"message":"invalid token","details":[{"@type":"x"}]}', "status 500: 3 invalid token"),
        (b'{"error":"invalid_grant","error_description":"no"}', "status 500: invalid_grant no"),
        (b'{"error":{"code":14,"message":"idp"},"message":"outer"}', "status 500: 14 idp outer"),
        (b'{"code":true,"message":["x"],"error":null}', "status 500"),
    ],
    ids=["empty", "null", "list", "page", "bytes", "rpc", "oauth", "nested", "odd"],
)
def test_a_complaint_is_the_status_and_the_vendors_words_if_any(body: bytes, words: str) -> None:
    assert str(read_complaint(answer(body=body), ())) == words


def test_a_complaint_names_the_request_for_the_vendors_support() -> None:
    assert str(read_complaint(answer(503, request_id="77aa"), ())) == "status 503 (request 77aa)"


@pytest.mark.parametrize(
    ("header", "told"), [("\udcff", "?"), ("a\x00b\x1bc", "a b c"), (" x ", "x"), ("é", "é"), ("x" * 999, "x" * 200)]
)
def test_a_request_id_can_be_stored_and_logged_whatever_bytes_it_came_as(header: str, told: str) -> None:
    assert request_id_of(answer(request_id=header)) == told


def test_long_words_are_cut_and_secrets_go_first() -> None:
    secret = "p@ss-word" * 3
    said = read_complaint(answer(body=b'{"message":"%s %s"}' % (b"x" * 290, secret.encode())), (secret, ""))

    assert len(said.words) <= 300
    assert "p@ss" not in said.words
    assert said.words.endswith("***")


def test_a_gateways_page_is_told_from_the_vendors_words() -> None:
    assert read_complaint(answer(body=b" \r\n<!doctype html>"), ()).is_page
    assert not read_complaint(answer(body=b"{}"), ()).is_page
    assert not read_complaint(answer(), ()).is_page


def test_a_byte_order_mark_ahead_of_an_object_is_no_part_of_it() -> None:
    assert read_json(b'\xef\xbb\xbf{"access_token":"x"}') == {"access_token": "x"}
