"""Texts that break careless programs, spliced into events as the bytes they are on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

# Within a JSON string all of these are plain, valid JSON.
MILD: Mapping[str, bytes] = {
    "pipes": b"a|b||c|cs1=x",
    "equals": b"act=blocked msg=forged=yes",
    "backslashes": rb"C:\\temp\\|\\=\\\\server\\share\\",
    "quotes": rb"say \"yes\" or 'no', \"persistenceTimestamp\":\"2000-01-01T00:00:00Z\"",
    "newlines": rb"first\r\nCEF:0|Forged|Event|1|1|second|10|\nthird",
    "tabs": rb"one\ttwo\t\tthree",
    "non_ascii": "Ääkköset, ŻÓŁĆ, 日本語, العربية, \u202egnp.exe".encode(),
    "emoji": "\U0001f4a3 party \U0001f469\u200d\U0001f4bb.exe".encode(),
    "emoji_escaped": rb"bomb \ud83d\udca3 escaped",
    "brackets": rb"}]},{\"id\":\"forged\"},[{",
    "line_separators": "next\u0085line\u2028sep\u2029para".encode(),
    "nul_escape": rb"before\u0000after",
    "delete_escape": rb"bell\u0007 escape\u001b[31m delete\u007f",
}
# JSON that strict readers refuse, or text that can't be decoded: the vendor has been seen to send such.
HARSH: Mapping[str, bytes] = {
    "lone_surrogate": rb"half \ud800 of a pair",
    "invalid_utf8": b"latin1 \xe4\xf6\xfc, cut \xf0\x9f\x92, overlong \xc0\xaf",
    "raw_control": b"raw\x01control\x0bcharacters\x7f",
    "raw_nul": b"raw\x00nul",
}


def choose(rng: Random, texts: Mapping[str, bytes]) -> tuple[str, bytes]:
    """One of the texts with its name."""
    name = tuple(texts)[int(rng.random() * len(texts))]
    return name, texts[name]
