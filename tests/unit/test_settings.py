"""Names, origins and proxies: what is taken, what is refused without being repeated."""

from __future__ import annotations

import pytest

from collector.settings import each_once, is_loopback, parse_name, parse_origin, parse_proxy, passwords_in


@pytest.mark.parametrize("name", ["acme", "A", "0", "a.b-c_d", "x" * 64])
def test_ordinary_names_are_names(name: str) -> None:
    assert parse_name(name) == name


@pytest.mark.parametrize("name", ["", ".", "-a", "_a", "a b", "a\n", "é", "x" * 65])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="must be 1 to 64"):
        parse_name(name)


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://API.example.com", "https://api.example.com"),
        ("https://api.example.com/", "https://api.example.com"),
        (" http://localhost:8080 ", "http://localhost:8080"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_an_origin_loses_its_last_slash_and_its_capitals(text: str, origin: str) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "api.example.com",
        "ftp://hunter2",
        "https://",
        "https://hunter2/path",
        "https://hunter2?query",
        "https://hunter2#part",
        "https://hunter2:99999",
        "https://[hunter2",
        "https://user:hunter2@host",
        "https://a b",
    ],
)
def test_what_is_no_origin_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match="must") as caught:
        parse_origin(text)

    assert "hunter2" not in str(caught.value)


def test_a_proxy_may_hold_a_password() -> None:
    assert parse_proxy("http://User:Pass@PROXY:3128/") == "http://User:Pass@proxy:3128"
    with pytest.raises(ValueError, match="must be an origin"):
        parse_proxy("socks5://proxy:1080")


def test_passwords_are_found_in_urls_alone() -> None:
    assert passwords_in("http://user:pw@proxy") == {"pw"}
    assert passwords_in("http://user@proxy") == set()
    assert passwords_in("a@b") == set()
    assert passwords_in("https://[@x") == set()


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:1", True),
        ("http://[::1]", True),
        ("http://localhost", True),
        ("http://api.localhost:8080", True),
        ("http://10.0.0.1", False),
        ("http://localhost.example.com", False),
    ],
)
def test_loopback_is_this_machine_alone(url: str, loopback: object) -> None:
    assert is_loopback(url) is loopback


def test_a_list_of_words_has_each_once() -> None:
    assert each_once(("a", "b")) == ("a", "b")
    with pytest.raises(ValueError, match="a stands here twice"):
        each_once(("a", "b", "a"))
    with pytest.raises(ValueError, match="must not be empty"):
        each_once(())
