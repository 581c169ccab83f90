"""Invented but plausible values for event fields, drawn from a seeded random source."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from random import Random

Value = str | tuple[str, ...] | Callable[[Random], str]
"""A constant, a choice, or a function of the random source."""

_FOLDERS = (
    "Users\\a.virtanen\\Downloads",
    "Users\\k.laine\\AppData\\Local\\Temp",
    "Tools",
    "Windows\\System32",
    "Data",
)
_STEMS = ("invoice", "setup", "report_2026", "stage", "updater", "pöytäkirja", "enc", "rmm", "plan", "kontoutdrag")
_ENDINGS = ("exe", "dll", "js", "docm", "ps1", "zip", "scr")
_HOSTS = ("bad.example.org", "cdn.example.net", "casino.example.com", "login.example.org", "files.example.net")
_ORIGINAL_XML = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System><EventID>{id}</EventID>"
    "<Computer>CN-FS-01.contoso.example</Computer></System><EventData>{rows}</EventData></Event>"
)


def draw(value: Value, rng: Random) -> str:
    """One value of a field."""
    if isinstance(value, str):
        return value
    return pick(rng, value) if isinstance(value, tuple) else value(rng)


def pick(rng: Random, choices: tuple[str, ...]) -> str:
    """One of them; several times as quick as `Random.choice`, which counts for 200,000 events."""
    return choices[int(rng.random() * len(choices))]


def number(low: int, high: int) -> Callable[[Random], str]:
    """Whole numbers of [low, high), as the text the vendor sends them in."""
    return lambda rng: str(low + int(rng.random() * (high - low)))


def hexadecimal(digits: int) -> Callable[[Random], str]:
    """Lower-case hex digits: hashes and fingerprints."""
    return lambda rng: f"{rng.getrandbits(4 * digits):0{digits}x}"


def identity(rng: Random) -> str:
    """A random UUID."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def path(rng: Random) -> str:
    """A Windows path, now and then with the long prefix or outside ASCII."""
    prefix = "\\\\?\\C:\\" if rng.random() < 0.1 else "C:\\"
    return f"{prefix}{pick(rng, _FOLDERS)}\\{pick(rng, _STEMS)}.{pick(rng, _ENDINGS)}"


def unix_path(rng: Random) -> str:
    """A path of macOS or Linux."""
    return f"{pick(rng, ('/Users/k.laine', '/srv/share', '/etc/ssh', '/opt/app'))}/{pick(rng, _STEMS)}"


def command_line(rng: Random) -> str:
    """A program with arguments; one in ten is several KB of encoded script, as attacks are."""
    encoded = f" -enc {rng.randbytes(1500).hex()}" if rng.random() < 0.1 else " --service"
    return f'"{path(rng)}"{encoded}'


def defanged_url(rng: Random) -> str:
    """A URL as the vendor writes harmful ones."""
    return f"hxxps://{pick(rng, _HOSTS)}/{pick(rng, _STEMS)}?q={rng.getrandbits(24)}"


def url(rng: Random) -> str:
    """A URL with query and port."""
    return f"http://{pick(rng, _HOSTS)}:80/{pick(rng, _STEMS)}?a=1&b={rng.getrandbits(24)}"


def address(rng: Random) -> str:
    """An IPv4 address of the documentation ranges."""
    return f"{pick(rng, ('192.0.2', '198.51.100', '203.0.113'))}.{1 + int(rng.random() * 254)}"


def host_addresses(rng: Random) -> str:
    """What `hostIpAddress` holds: one or several addresses with prefix, IPv4 and link-local IPv6 mixed."""
    first = f"{address(rng)}/24"
    return first if rng.random() < 0.6 else f"{first} {address(rng)}/26 fe80::1c2d:3e4f:{rng.getrandbits(16):x}:7c8d/64"


def event_xml(rng: Random) -> str:
    """A whole Windows event: 1 to 18 KB."""
    rows = "".join(
        f"<Data Name='Field{index}'>{rng.getrandbits(96):024x}</Data>"
        for index in range(20 + int(rng.random() ** 4 * 340))
    )
    return _ORIGINAL_XML.format(id=4625, rows=rows)


def file_list(rng: Random) -> str:
    """A JSON array inside a string, as the vendor sends `affectedFiles`."""
    files = (
        f'"D:\\\\projects\\\\{pick(rng, _STEMS)}{index}.docx"' for index in range(1 + int(rng.random() ** 3 * 150))
    )
    return f"[{','.join(files)}]"


def attachments(rng: Random) -> str:
    """A JSON array of objects inside a string, as the vendor sends e-mail attachments."""
    rows = (
        f'{{"filename":"{pick(rng, _STEMS)}.zip","sha1":"{rng.getrandbits(160):040x}","size":"{rng.getrandbits(20)}",'
        '"verdict":"Unsafe","reputation":"unsafe_file","reputationScore":"-100","prevalence":"rare",'
        '"prevalenceScore":"1","detonation":"false"}'
        for _ in range(1 + int(rng.random() ** 3 * 30))
    )
    return f"[{','.join(rows)}]"


def unsafe_urls(rng: Random) -> str:
    """A JSON array of objects inside a string, as the vendor sends an e-mail's links."""
    return (
        f'[{{"sha1":"{rng.getrandbits(160):040x}","verdict":"HarmfulUrl","reputation":"unsafe_url",'
        f'"reputationScore":"-100","url":"https://{pick(rng, _HOSTS)}/x"}}]'
    )
