"""MITRE ATT&CK in what vendors say: tactics by name or number, techniques by the numbers in a text.

Names and numbers are those of the Enterprise matrix with its fourteen tactics. ECS wants lists: `threat.tactic.id` and
`threat.tactic.name` are of one length and order; a technique with a sub-technique (`T1059.001`) stands whole in
`threat.technique.subtechnique.id` and by its first part in `threat.technique.id`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from types import MappingProxyType
from typing import Any

FRAMEWORK = "MITRE ATT&CK"

TACTICS: Mapping[str, str] = MappingProxyType(
    {
        "TA0043": "Reconnaissance",
        "TA0042": "Resource Development",
        "TA0001": "Initial Access",
        "TA0002": "Execution",
        "TA0003": "Persistence",
        "TA0004": "Privilege Escalation",
        "TA0005": "Defense Evasion",
        "TA0006": "Credential Access",
        "TA0007": "Discovery",
        "TA0008": "Lateral Movement",
        "TA0009": "Collection",
        "TA0011": "Command and Control",
        "TA0010": "Exfiltration",
        "TA0040": "Impact",
    }
)
"""The name of each tactic by its number, in the order of the matrix."""

# Other words for a tactic, as vendors' categories have them; compared by letters alone.
_OTHER_WORDS = {
    "recon": "TA0043",
    "reconactivities": "TA0007",  # seen on hosts that are already in use by an attacker: discovery, not TA0043
    "reconnaissanceactivities": "TA0007",
    "credentialtheft": "TA0006",
    "credentialdumping": "TA0006",
    "commandandcontrol": "TA0011",
    "commandcontrol": "TA0011",
    "c2": "TA0011",
    "cnc": "TA0011",
    "dataexfiltration": "TA0010",
    "dataexfil": "TA0010",
    "ransomware": "TA0040",
    "datadestruction": "TA0040",
    "defenceevasion": "TA0005",
    "evasion": "TA0005",
    "persistency": "TA0003",
    "datacollection": "TA0009",
}
_NOT_LETTERS = re.compile(r"[^a-z0-9]+")
_TACTIC = re.compile(r"(?<![A-Za-z0-9])TA00[0-9]{2}(?![A-Za-z0-9])", re.ASCII)
_TECHNIQUE = re.compile(r"(?<![A-Za-z0-9])T1[0-9]{3}(?:\.[0-9]{3})?(?![A-Za-z0-9]|\.[0-9])", re.ASCII)
_MAX_TEXT = 10_000
_MAX_FOUND = 32
_MAX_WORDS = 256


def _letters(word: str) -> str:
    return _NOT_LETTERS.sub("", word[:100].lower())


_BY_WORD = {_letters(name): number for number, name in TACTICS.items()} | _OTHER_WORDS


def tactics_of(words: Iterable[object]) -> tuple[str, ...]:
    """Numbers of the tactics that a vendor's words name, each once; words that name none are passed over.

    `LATERAL_MOVEMENT`, `Lateral movement`, `lateralMovement` and `TA0008` are the same.
    """
    found = {}
    for word in islice(words, _MAX_WORDS):
        if not isinstance(word, str):
            continue
        number = word if word in TACTICS else _BY_WORD.get(_letters(word))
        if number is not None:
            found[number] = True
    return tuple(found)


def tactics_in(text: str) -> tuple[str, ...]:
    """Numbers of known tactics that stand in a text, each once, in the text's order."""
    return tuple(dict.fromkeys(number for number in _TACTIC.findall(text[:_MAX_TEXT]) if number in TACTICS))


def techniques_in(text: str) -> tuple[str, ...]:
    """Numbers of techniques that stand in a text (`T1059`, `T1059.001`), each once, in the text's order."""
    return tuple(dict.fromkeys(_TECHNIQUE.findall(text[:_MAX_TEXT])))[:_MAX_FOUND]


def threat_fields(tactics: Iterable[str] = (), techniques: Iterable[str] = ()) -> dict[str, Any]:
    """The `threat.*` fields of ECS for numbers of tactics and techniques; nothing for none."""
    numbers = [number for number in dict.fromkeys(tactics) if number in TACTICS]
    whole = list(dict.fromkeys(techniques))
    fields: dict[str, Any] = {}
    if numbers:
        fields["threat.tactic.id"] = numbers
        fields["threat.tactic.name"] = [TACTICS[number] for number in numbers]
    if whole:
        fields["threat.technique.id"] = list(dict.fromkeys(number.partition(".")[0] for number in whole))
        if below := [number for number in whole if "." in number]:
            fields["threat.technique.subtechnique.id"] = below
    return {"threat.framework": FRAMEWORK, **fields} if fields else {}
