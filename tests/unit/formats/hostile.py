"""Texts that try to break out of a line, to forge pairs or events, or that no line may hold."""

from __future__ import annotations

HOSTILE = {
    "pairs": "x act=forged externalId=forged cs1Label=a cs1=b",
    "event": "x\r\nCEF:0|Forged|Event|1|1|second|10|externalId=forged\n",
    "escapes": "C:\\temp\\|\\=\\\\server\\share\\n\\",
    "controls": "nul\x00 one\x01two\x02 tab\t esc\x1b[31m del\x7f nel\x85",
    "separators": "\u2028line\u2029paragraph\ufeff\u202egnp.exe",
    "spaces": "  =  around  ",
    "signs": "日本語 Ää \U0001f469\u200d\U0001f4bb|🎉=",
    "surrogate": "half \ud800 of a pair",
    "long": "=\\|é" * 3000,
}
