"""What every configuration model is made of: the base class, names, origins.

Two conventions reach the loader through here. A field with `json_schema_extra={"path": True}` holds a path, which is
relative to the file it stands in (a field of type `str` is a template, one of type `Path` a plain path);
`"must_exist": True` besides makes the loader look whether it can be read. A field of type `SecretStr` is never shown,
and warned about when it is written into the file literally.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict

Location = tuple[str | int, ...]
"""Where inside a model: keys and list positions, outermost first."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HOST = re.compile(r"[\w.:-]+")


class Settings(BaseModel):
    """Base of all configuration models: frozen, unknown keys are errors, input is never repeated in an error.

    Docstrings under fields become the descriptions of the JSON Schema.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,  # `client_id: 1234` is text without quotes, too
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """What is legal but should be known: where in this model, and a sentence. Becomes a warning at load."""
        yield from ()


def parse_name(text: str) -> str:
    """Check the name of a tenant, source or sink.

    Raises:
        ValueError: it has other characters, or is empty, or too long.
    """
    if not _NAME.fullmatch(text):
        raise ValueError("must be 1 to 64 of A-Z a-z 0-9 . _ - and begin with a letter or digit")
    return text


def parse_origin(text: str) -> str:
    """Read `https://host[:port]`, give it back without a slash at the end and in lower case.

    Raises:
        ValueError: it is no origin. The message does not repeat it: it might hold a password.
    """
    url, host = _split(text)
    if url.username is not None or url.password is not None:
        raise ValueError("must not hold a user name or password; they have their own keys")
    return f"{url.scheme}://{host}"


def parse_proxy(text: str) -> str:
    """Read `http://[user:password@]host[:port]`.

    Raises:
        ValueError: it is none. The message does not repeat it: it might hold a password.
    """
    url, host = _split(text)
    userinfo, at, _ = url.netloc.rpartition("@")
    return f"{url.scheme}://{userinfo}{at}{host}"


def passwords_in(text: str) -> set[str]:
    """The password inside a URL, as written; nothing for any other text."""
    if "://" not in text or "@" not in text:
        return set()
    try:
        password = urlsplit(text).password
    except ValueError:
        return set()
    return {password} if password else set()


def is_loopback(url: str) -> bool:
    """Whether a URL's host is this machine, so that no encryption is needed."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def each_once(values: tuple[str, ...]) -> tuple[str, ...]:
    """Check a list of words: at least one, none twice.

    Raises:
        ValueError: it is empty or repeats a word.
    """
    if not values:
        raise ValueError("must not be empty; leave the key out for the default")
    repeated = _first_repeated(values)
    if repeated is not None:
        raise ValueError(f"{repeated} stands here twice")
    return values


def _first_repeated(values: Iterable[str]) -> str | None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


def _split(text: str) -> tuple[SplitResult, str]:
    expected = "must be an origin such as https://host.example.com or http://localhost:8080"
    try:
        url = urlsplit(text.strip())
        _ = url.port
    except ValueError:
        raise ValueError(expected) from None
    if url.scheme not in {"http", "https"} or not url.hostname or not _HOST.fullmatch(url.hostname):
        raise ValueError(expected)
    if url.path not in {"", "/"} or url.query or url.fragment:
        raise ValueError(f"{expected}, without a path: paths are appended")
    return url, url.netloc.rpartition("@")[2].lower()


Name = Annotated[str, AfterValidator(parse_name)]
Origin = Annotated[str, AfterValidator(parse_origin)]
Proxy = Annotated[str, AfterValidator(parse_proxy)]
Words = Annotated[tuple[str, ...], AfterValidator(each_once)]
"""A list of distinct words; where nothing is given the field's default `()` stands for everything."""
