"""How a vendor's events are written as CEF: what a vendor module declares, and the names it may use.

A pair takes its value from the event's `fields` by their dotted names, and from the envelope by these: `uid`, `id`,
`tenant`, `labels`, `organization.id`, `organization.name`, `source`, `feed`, `kind`, `severity_vendor`, `occurred_at`,
`recorded_at`, `fetched_at`, `title`; `name` is the header's Name. Where both have one, the envelope's counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from collector.formats.cef.keys import KEYS, LABELS, MAX_SIGNATURE
from collector.formats.cef.text import clean

Values = Mapping[str, Any]
Made = tuple[Any, tuple[str, ...]]

_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_.-]+)\}")


@dataclass(frozen=True, slots=True, init=False)
class Pair:
    """One key and where its value comes from.

    `sources` are names, of which the first counts that has a value fit for the key; or `make` is a function that gives
    the value together with the names of what it tells, None where there is nothing to tell. What no pair tells in full
    goes into the pair `cs6`. `label` is required where the dictionary has one.
    """

    key: str
    sources: tuple[str, ...]
    label: str
    make: Callable[[Values], Made | None] | None

    def __init__(
        self, key: str, *sources: str, label: str = "", make: Callable[[Values], Made | None] | None = None
    ) -> None:
        if key not in KEYS:
            raise ValueError(f"{key} is no key of the dictionary")
        if (key in LABELS) != bool(label) or len(label) > LABELS.get(key, 0):
            raise ValueError(f"{key} needs a label" if key in LABELS else f"{key} takes no label")
        if bool(sources) == bool(make):
            raise ValueError(f"{key} needs either names or a function")
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "sources", sources)
        object.__setattr__(self, "label", label)
        object.__setattr__(self, "make", make)


@dataclass(frozen=True, slots=True)
class CefTable:
    """What one vendor adds to the pairs that all events have; a pair here takes the place of one with the same key.

    `variant` names the field that tells the vendor's sorts of events apart, compared without regard to case; an event
    without it is of the sort that its kind names (`incident`). `names` gives the header's Name by the sort (an unknown
    variant is its own name), `variants` the pairs of that sort alone, `signatures` the header's Signature ID of sorts
    that have a plain one. `signature` is the template of all others, with names in braces. `product` is the header's
    Device Product where it is not the envelope's; `version` its Device Version.
    """

    variant: str = "event.provider"
    signature: str = "{event.provider}.{event.action}"
    signatures: Mapping[str, str] = field(default_factory=dict)
    product: str = ""
    version: str = "1.0"
    names: Mapping[str, str] = field(default_factory=dict)
    pairs: tuple[Pair, ...] = ()
    variants: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CefHeader:
    """What an operator wants in the header instead of what the vendor's table says; None: as the table says."""

    vendor: str | None = None
    product: str | None = None
    version: str | None = None
    signature: str | None = None


class Signature:
    """The template of the header's Signature ID, parsed once.

    What an event has not leaves no separator at the ends; an event that has none of it has no signature.

    Raises:
        ValueError: no name in braces, or a brace that stands alone.
    """

    def __init__(self, template: str) -> None:
        self.names: tuple[str, ...] = tuple(_PLACEHOLDER.findall(template))
        self._literals: list[str] = _PLACEHOLDER.split(template)[::2]
        if not self.names or any("{" in literal or "}" in literal for literal in self._literals):
            raise ValueError("must hold the name of a field in braces, such as {event.action}, and no other brace")

    def words(self, values: Values) -> tuple[str, ...]:
        """What of an event goes into its signature."""
        return tuple([_word(values.get(name)) for name in self.names])

    def fill(self, words: tuple[str, ...]) -> str:
        """The signature; "" where the event has nothing for it."""
        if not any(words):
            return ""
        filled = [piece for pair in zip(self._literals, words, strict=False) for piece in pair]
        return "".join([*filled, self._literals[-1]]).strip(" .:_-/")


def _word(value: object) -> str:
    if isinstance(value, str):
        return clean(value[: 2 * MAX_SIGNATURE])
    return str(value) if type(value) is int and abs(value) < 10**18 else ""
