"""Single values as vendors write them, read into what they mean.

All 617 values of WithSecure's own fixtures are strings, numbers and epochs too; ESET's 64-bit numbers are strings or
numbers; peers saw other JSON types. Every function takes any JSON value and answers None where it can't be read: the
vendor's word is then kept as it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import orjson

from collector.timestamps import from_epoch_millis, parse_rfc3339

# What vendors write where they know nothing: quarantineId "null" and versions of files without one (WithSecure),
# typeName "nil" (ESET).
_NOTHING = frozenset({"", "null", "nil", "-1.-1.-1.-1"})
_DIGITS = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_HEX = re.compile(r"[0-9a-fA-F]+", re.ASCII)
_DIGEST_BY_LENGTH = {32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}
_BETWEEN_ADDRESSES = re.compile(r"[\s,;]+")
_MAX_ADDRESS = 64
# Seconds and milliseconds since the epoch coexist, even under one key (`created`): 10^11 is the year 5138 in seconds
# and 1973 in milliseconds.
_FIRST_MILLIS = 100_000_000_000


def text(value: Any) -> str | None:
    """A text that says something; numbers as they are written."""
    if type(value) is str:
        return None if value in _NOTHING else value
    if type(value) is int:
        return str(value)
    return None


def number(value: Any) -> int | None:
    """A whole number, also as text."""
    if type(value) is int:
        return value if abs(value) < 10**18 else None
    if type(value) is str and _DIGITS.fullmatch(value):
        return int(value)
    return None


def moment(value: Any) -> datetime | None:
    """A point in time: RFC 3339, or seconds or milliseconds since the epoch as number or text; 0 is none."""
    count = int(value) if type(value) is float and abs(value) < 10**18 else number(value)
    try:
        if count is not None:
            return from_epoch_millis(count if count >= _FIRST_MILLIS else count * 1000) if count > 0 else None
        return parse_rfc3339(value) if type(value) is str and len(value) <= _MAX_ADDRESS else None
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def _canonical_address(candidate: str) -> str | None:
    try:
        return str(ipaddress.ip_address(candidate))
    except ValueError:
        return None


def address(value: Any) -> str | None:
    """An IPv4 or IPv6 address without prefix and zone, as an `ip`-typed field takes it."""
    if type(value) is not str or not 0 < len(value) <= _MAX_ADDRESS:
        return None
    return _canonical_address(value.strip().partition("/")[0].partition("%")[0])


def addresses(value: Any) -> list[str]:
    """`hostIpAddress`: several, separated by spaces, each with `/prefix`, v4 and link-local v6 mixed."""
    parts = value if isinstance(value, list) else _BETWEEN_ADDRESSES.split(value) if type(value) is str else ()
    found = (address(part) for part in parts[:256])
    return list(dict.fromkeys(one for one in found if one is not None))


def digest(value: Any) -> tuple[str, str] | None:
    """The algorithm, told by the length, and the hash in lower case."""
    if type(value) is not str:
        return None
    algorithm = _DIGEST_BY_LENGTH.get(len(value))
    if algorithm is None or not _HEX.fullmatch(value):
        return None
    return algorithm, value.lower()


def file_name(path: str) -> str:
    """The last part of a path; a backslash separates unless the path is a Unix one."""
    last = path.rsplit("/", 1)[-1]
    return last if path.startswith("/") else last.rsplit("\\", 1)[-1]


def user(value: Any) -> tuple[str, str, str] | None:
    r"""Domain, name and address out of `DOMAIN\user`, `HOST/user` (edr), `user@domain` or a bare name."""
    name = text(value)
    if name is None:
        return None
    for separator in "\\/":
        domain, found, account = name.partition(separator)
        if found and domain and account:
            return domain, account, ""
    account, _, domain = name.rpartition("@")
    if account and domain and "@" not in account and " " not in name:
        return domain, name, name
    return "", name, ""


def json_list(value: Any) -> Sequence[Any] | None:
    """A list, also as JSON text inside a string (affectedFiles, urls, attachments, ...)."""
    if isinstance(value, list):
        return value
    if type(value) is str and value[:1] == "[":
        try:
            parsed = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
        return parsed if isinstance(parsed, list) else None
    return None
