from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.redaction import MASK, Redactor, is_sensitive

SECRET = 'c4n4ry/+"\\ äö=&%'


@pytest.mark.parametrize(
    "text",
    [
        f"login with {SECRET} failed",
        f"{SECRET}",
        json.dumps({"why": f"sent {SECRET}"}),
        json.dumps({"why": f"sent {SECRET}"}, ensure_ascii=False),
        json.dumps({"why": json.dumps({"inner": SECRET})}),
        json.dumps({"why": repr(SECRET.encode())}),
        repr({"why": SECRET}),
        repr(SECRET.encode()),
        "https://vendor.example/?" + urlencode({"x": SECRET}),
        "https://vendor.example/" + quote(SECRET),
        *(base64.b64encode(f"{name}:{SECRET}".encode()).decode() for name in ("a", "ab", "abc", "fusion_0123")),
        base64.urlsafe_b64encode(f"name:{SECRET}".encode()).decode(),
        base64.b64encode(f"{SECRET}:behind".encode()).decode(),
    ],
)
def test_known_secret_is_taken_out_in_every_form(text: str) -> None:
    redactor = Redactor()
    redactor.hide(SECRET)

    redacted = redactor.redact(text)

    assert MASK in redacted
    for piece in ("c4n4ry", "YzRuNHJ5", "M0bjRye", "jNG40cnk"):
        assert piece not in redacted


@pytest.mark.parametrize(
    ("text", "canary"),
    [
        ("Authorization: Bearer canary", "canary"),
        ("{'Authorization': 'Basic canary=='}", "canary"),
        ('{"authorization": "canary"}', "canary"),
        (r'{"error": "{\"Authorization\": \"Splunk canary\"}"}', "canary"),
        ("Proxy-Authorization: Basic canary", "canary"),
        ("sent Bearer canary0123456789", "canary"),
        ("sent basic Y2FuYXJ5OmNhbmFyeQ==", "Y2FuYXJ5"),
        ("POST body client_secret=canary&scope=x", "canary"),
        ("password: canary", "canary"),
        ("password: the", "the"),
        ("password=not canary", "not"),
        ("password: canary is wrong", "canary"),
        ("/oauth/token=canary", "canary"),
        ("/oauth/token: password=canary", "canary"),
        ("/oauth/token:canary", "canary"),
        ("db_password=canary", "canary"),
        ('{"password": "canary with blanks"}', "canary"),
        (r'{"error": "{\"access_token\":\"canary\",\"expires_in\":1}"}', "canary"),
        ("{'api_key': 'can\"ary'}", "ary"),
        ("refresh_token=canary", "canary"),
        ("through http://someone:canary@proxy.example:3128", "canary"),
        ("through http://canary@proxy.example:3128", "canary"),
        ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.canary_-x here", "canary"),
    ],
)
def test_what_looks_like_a_credential_is_taken_out_unknown(text: str, canary: str) -> None:
    redacted = Redactor().redact(text)

    assert MASK in redacted
    assert canary not in redacted


@pytest.mark.parametrize(
    "text",
    [
        "page token refused, the run begins again",
        "basic authentication is not supported",
        "GET https://vendor.example:443/path?limit=200 gave 503",
        "password expired",
        "token_type=bearer",
        "/oauth/token: the login is refused: status 400: invalid_grant",
        "/oauth/token: status 503",
        "a.yaml:7: tenants.acme.sources[0].client_secret: must not be empty",
        "a.yaml:7: tenants.acme.sources[0].client_secret: the secret stands in the file; use ${env:NAME}",
        "a.yaml:7: tenants.acme.sources[0].password: ${env:ACME}: the environment variable is not set",
        "a.yaml:7: tenants.acme.sources[0].password: required key is missing",
        '{"last_error":"/oauth/token: the login is refused"}',
        "",
        "***",
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    redactor = Redactor()
    redactor.hide("a known secret")

    assert redactor.redact(text) == text


def test_longest_of_two_secrets_with_one_beginning_is_taken_out() -> None:
    redactor = Redactor()
    redactor.hide("canary", "canary-yellow")

    assert redactor.redact("canary-yellow and canary") == f"{MASK} and {MASK}"


def test_lines_of_a_secret_file_are_secrets_too() -> None:
    redactor = Redactor()
    redactor.hide("-----BEGIN KEY-----\nMIIcanarycanarycanary\n-----END KEY-----\n")

    assert "canary" not in redactor.redact("can't decode MIIcanarycanarycanary")


def test_too_short_a_secret_does_not_garble_the_log() -> None:
    redactor = Redactor()
    redactor.hide("", "e", "abc")

    assert redactor.redact("the abc of everything") == "the abc of everything"


@pytest.mark.parametrize("key", ["password", "client_secret", "access_token", "Authorization", "http.api_key"])
def test_name_of_a_credential_is_known(key: str) -> None:
    assert is_sensitive(key)


@pytest.mark.parametrize("key", ["token_type", "tenant", "keyboard", "secrets_found", "event"])
def test_other_names_are_no_credentials(key: str) -> None:
    assert not is_sensitive(key)


@given(
    secret=st.text(min_size=4).filter(lambda text: text.strip() not in MASK and len(text.strip()) >= 4),
    before=st.text(),
    behind=st.text(),
)
def test_no_known_secret_survives(secret: str, before: str, behind: str) -> None:
    redactor = Redactor()
    redactor.hide(secret)

    redacted = redactor.redact(before + secret + behind)

    assert secret not in redacted.replace(MASK, "\x00")


def test_cost_of_a_line_does_not_grow_with_the_number_of_secrets() -> None:
    redactor = Redactor()
    redactor.hide(*(f"{number:08x}-secret-of-a-tenant" for number in range(2000)))
    line = "sink unavailable, sent again in 2.0 seconds " * 20

    begun = time.thread_time()
    redactor.redact(line)

    assert time.thread_time() - begun < 0.05


def test_a_known_secret_behind_a_path_or_a_word_is_taken_out() -> None:
    redactor = Redactor()
    redactor.hide("the canary", "c4n4ry-0")

    redacted = redactor.redact("/oauth/token: c4n4ry-0 and password: the canary")

    assert redacted == f"/oauth/token: {MASK} and password: {MASK}"
