r"""Two readers of CEF, written from the specification and from how receivers read, not from the encoder.

`read_strict` goes letter by letter and takes nothing that the specification does not allow; `read_loosely` finds pairs
with regular expressions, as log shippers do. `SPEC` is what the dictionary says of each key.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from collector.model import Event

INTEGERS = [
    "cn1",
    "cn2",
    "cn3",
    "cnt",
    "dpid",
    "spid",
    "dvcpid",
    "fsize",
    "in",
    "out",
    "type",
    "dpt",
    "spt",
    "deviceDirection",
]
IPV4 = ["src", "dst", "dvc"]
IPV6 = ["c6a1", "c6a2", "c6a3", "c6a4"]
TIMES = ["rt", "start", "end", "deviceCustomDate1", "deviceCustomDate2", "fileCreateTime", "fileModificationTime"]
TEXTS: dict[str, int] = {
    "act": 63,
    "cat": 1023,
    "deviceExternalId": 255,
    "deviceFacility": 1023,
    "dproc": 1023,
    "dvchost": 100,
    "externalId": 40,
    "fileHash": 255,
    "filePath": 1023,
    "flexString1": 1023,
    "flexString2": 1023,
    "fname": 1023,
    "msg": 1023,
    "outcome": 63,
    "proto": 31,
    "reason": 1023,
    "request": 1023,
    "shost": 1023,
    "sntdom": 255,
    "sproc": 1023,
    "suid": 1023,
    "suser": 1023,
    **{f"cs{number}": 4000 for number in range(1, 10)},
    "ESETProtectDeviceOsName": 1023,
    "deviceProcessName": 1023,
    "fileType": 1023,
    "sprod": 1023,
}
LABELLED = re.compile(r"(cs[1-9]|cn[1-3]|c6a[1-4]|deviceCustomDate[12]|flexString[12])Label")
FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
HEADER_LENGTHS = (63, 63, 31, 1023, 512)


@dataclass(frozen=True)
class Line:
    """Vendor, product, version, signature, name, severity; the pairs."""

    header: list[str]
    pairs: dict[str, str]


def read_strict(line: bytes) -> Line:
    text = line.decode("utf-8")
    if found := FORBIDDEN.search(text):
        raise ValueError(f"{found.group()!r} at {found.start()}")
    if not text.startswith("CEF:0|"):
        raise ValueError("no CEF:0")
    fields, position = [""], len("CEF:0|")
    while len(fields) < 7:
        letter = text[position]
        position += 1
        if letter == "\\":
            if text[position] not in "\\|":
                raise ValueError(f"an escape that is none in the header: {text[position]!r}")
            fields[-1] += text[position]
            position += 1
        elif letter == "|":
            fields.append("")
        else:
            fields[-1] += letter
    if fields.pop():
        raise ValueError("something behind the header")
    if [field for field in fields if not field or field != field.strip()]:
        raise ValueError("a field of the header is empty or has space around it")
    return Line(fields, _strict_pairs(text[position:]))


def _strict_pairs(text: str) -> dict[str, str]:
    # First the places of the equals signs that nothing escapes: each ends a key.
    signs, escaped = [], False
    for position, letter in enumerate(text):
        if not escaped and letter == "=":
            signs.append(position)
        elif escaped and letter not in "\\=nr":
            raise ValueError(f"an escape that is none: {letter!r}")
        escaped = letter == "\\" and not escaped
    if escaped:
        raise ValueError("a backslash at the end")
    starts = [text.rfind(" ", 0, sign) + 1 for sign in signs] + [len(text) + 1]
    pairs: dict[str, str] = {}
    if starts[0] != 0:
        raise ValueError("text before the first key")
    for number, sign in enumerate(signs):
        key, value = text[starts[number] : sign], text[sign + 1 : starts[number + 1] - 1]
        if not re.fullmatch("[A-Za-z0-9]+", key):
            raise ValueError(f"no key: {key!r}")
        if key in pairs:
            raise ValueError(f"{key} stands there twice")
        if not value or value != value.strip(" "):
            raise ValueError(f"{key} is empty or has space around its value")
        pairs[key] = _unescape(value)
    return pairs


def _unescape(value: str) -> str:
    letters, out = iter(value), ""
    for letter in letters:
        if letter == "\\":
            after = next(letters)
            out += {"n": "\n", "r": "\r"}.get(after, after)
        else:
            out += letter
    return out


def read_loosely(line: bytes) -> Line:
    match = re.fullmatch(r"CEF:[01]\|" + r"((?:[^|\\]|\\.)*)\|" * 6 + "(.*)", line.decode(), re.DOTALL)
    if match is None:
        raise ValueError("no header")
    *header, extension = match.groups()
    found = re.findall(r"(?:^|\s)([\w.\[\]]+)=((?:\\.|[^\\])*?)(?=\s[\w.\[\]]+=|\s*$)", extension, re.DOTALL | re.ASCII)
    names = {"\\n": "\n", "\\r": "\r"}
    return Line(
        [re.sub(r"\\(.)", r"\1", field) for field in header],
        {key: re.sub(r"\\.", lambda escape: names.get(escape[0], escape[0][1]), value) for key, value in found},
    )


def assert_sound(line: bytes, event: Event) -> Line:
    """Everything that holds for every line: both readers agree, types, lengths, labels, one event."""
    parsed = read_strict(line)
    assert read_loosely(line) == parsed
    assert [len(field) <= most for field, most in zip(parsed.header, HEADER_LENGTHS, strict=False)] == [True] * 5
    assert 0 <= int(parsed.header[5]) <= 10
    for key, value in parsed.pairs.items():
        assert fits(key, value), (key, value)
        if labelled := LABELLED.fullmatch(key):
            assert labelled[1] in parsed.pairs
    assert {
        key for key in parsed.pairs if f"{key}Label" not in parsed.pairs and LABELLED.fullmatch(f"{key}Label")
    } == set()
    assert parsed.pairs["externalId"] == event.uid
    assert int(parsed.pairs["end"]) >= 0
    return parsed


def fits(key: str, value: str) -> bool:
    if key in INTEGERS:
        most = {"spt": 65_535, "dpt": 65_535, "deviceDirection": 1}.get(key, (1 << 63) - 1)
        return re.fullmatch("-?[0-9]+", value, re.ASCII) is not None and int(value) <= most
    if key in IPV4 or key in IPV6:
        return ipaddress.ip_address(value).version == (4 if key in IPV4 else 6)
    if key in TIMES:
        return re.fullmatch("[0-9]+", value, re.ASCII) is not None
    if key in TEXTS:
        return 0 < len(value) <= TEXTS[key]
    return LABELLED.fullmatch(key) is not None and len(value) <= (128 if key.startswith("flex") else 1023)


def canonical(value: Any) -> str:
    """What of a text can stand in a line: the rule the documentation states, in other words than the encoder's."""
    whole = value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    kept = "".join(
        " "
        if (ord(letter) < 32 and letter not in "\r\n") or 127 <= ord(letter) < 160 or letter in "\u2028\u2029"
        else letter
        for letter in whole
    )
    return kept.strip()
