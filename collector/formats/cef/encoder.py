"""Format `cef`: one line of CEF:0 for any event, by tables that are compiled at start.

    CEF:0|Device Vendor|Device Product|Device Version|Signature ID|Name|Severity|key=value key=value …

Each key stands there at most once and never without a value. What no key tells whole (there is none, or the value is
longer or of another type than the key allows, or holds characters that can't be sent) is JSON in `cs6` (`Details`);
`flexString2` (`Flags`) holds the event's flags, with `truncated` where a value did not fit its key. An event is known
by `externalId`, which is its uid.

A table becomes a few closures for each of the vendor's sorts of events; each looks up its fields and adds its pairs.
Pairs are joined with a separator that no value holds and escaped together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from collector.formats.cef import base, keys
from collector.formats.cef.details import to_json
from collector.formats.cef.table import CefHeader, CefTable, Pair, Signature
from collector.formats.cef.text import SEPARATOR, clean, cut, extension, header
from collector.formats.cef.text import field as header_field
from collector.formats.cef.values import CONVERTERS
from collector.model import Event

TRUNCATED = "truncated"

_DETAILS = f" cs6Label{SEPARATOR}Details cs6{SEPARATOR}"
_FLAGS = f" flexString2Label{SEPARATOR}Flags flexString2{SEPARATOR}"
_HEADERS = 4096


@dataclass(slots=True)
class _Line:
    """A line in the making: its pairs, the names whose values they tell whole, those they tell in part."""

    told: set[str]
    pairs: list[str] = field(default_factory=list)
    short: set[str] = field(default_factory=set)

    def add_text(self, prefix: str, most: int, said: str, names: tuple[str, ...]) -> bool:
        """Add a pair of text, cleaned and cut, unless there is nothing to be seen in it."""
        cleaned = clean(said if len(said) <= most else said.strip()[: 2 * most + 1])
        if not cleaned:
            return False
        if len(cleaned) > most:
            cleaned = cut(cleaned, most)
            self.short.update(names)
        elif cleaned == said:
            self.told.update(names)
        self.pairs += (prefix, cleaned)
        return True


_Step = Callable[[dict[str, Any], _Line], None]
_Steps = tuple[_Step, ...]


@dataclass(frozen=True, slots=True)
class _Vendor:
    """A table, compiled."""

    variant: str
    product: str
    version: str
    signature: Signature
    signatures: Mapping[str, str]
    names: Mapping[str, str]
    steps: _Steps
    variants: Mapping[str, _Steps]
    severities: Mapping[str, int]


def compile_encoder(
    tables: Mapping[str, tuple[CefTable, Mapping[str, int]]],
    wanted: CefHeader,
    time: Literal["occurred", "fetched"],
) -> Callable[[Event], bytes]:
    """The function that writes events; `tables` has each vendor's table and severity numbers (by its own words).

    Raises:
        ValueError: a template of a signature is wrong.
    """
    vendors = {name: _compile(table, numbers, wanted, time) for name, (table, numbers) in tables.items()}
    others = _compile(CefTable(), {}, wanted, time)

    @lru_cache(maxsize=_HEADERS)
    def head(vendor: str, product: str, words: tuple[str, ...], otherwise: str, name: str, severity: int) -> str:
        compiled = vendors.get(vendor, others)
        return "|".join(
            [
                "CEF:0",
                header(wanted.vendor or vendor, keys.MAX_VENDOR),
                header(wanted.product or compiled.product or product, keys.MAX_PRODUCT),
                header(compiled.version, keys.MAX_VERSION),
                header(compiled.signature.fill(words), keys.MAX_SIGNATURE) or otherwise,
                header(name, keys.MAX_NAME),
                str(severity),
                "",
            ]
        )

    def encode(event: Event) -> bytes:
        vendor = vendors.get(event.vendor, others)
        values = _values(event)
        variant = _variant(values.get(vendor.variant))
        sort = variant.lower() or event.kind
        values["name"] = name = vendor.names.get(sort) or variant or base.KIND_NAMES[event.kind]
        line = _Line(set(base.DERIVED))
        for step in vendor.variants.get(sort, vendor.steps):
            step(values, line)
        _close(values, line, event.flags)
        severity = vendor.severities.get(event.severity_vendor.lower())
        if severity is None:  # of a word without a number: the vendor's for the scale's word, else ours
            severity = vendor.severities.get(event.severity, base.SEVERITY_NUMBERS[event.severity])
        literal = vendor.signatures.get(sort)
        words = () if literal else vendor.signature.words(values)
        first = head(event.vendor, event.product, words, literal or event.kind, name, severity)
        return (first + extension("".join(line.pairs)[1:])).encode()

    return encode


def _variant(value: object) -> str:
    return header_field(value, keys.MAX_NAME) if isinstance(value, str) else ""


def _compile(table: CefTable, severities: Mapping[str, int], wanted: CefHeader, time: str) -> _Vendor:
    common = _by_key([base.TIMES[time], *base.PAIRS, *table.pairs])
    return _Vendor(
        variant=table.variant,
        product=table.product,
        version=wanted.version or table.version,
        signature=Signature(wanted.signature or table.signature),
        # A template that an operator asks for is meant for all.
        signatures={} if wanted.signature else _signatures(table),
        names={name.lower(): title for name, title in table.names.items()},
        steps=_steps(common.values()),
        variants={name.lower(): _steps((common | _by_key(own)).values()) for name, own in table.variants.items()},
        severities=severities,
    )


def _signatures(table: CefTable) -> dict[str, str]:
    return {name.lower(): header(literal, keys.MAX_SIGNATURE) for name, literal in table.signatures.items()}


def _by_key(pairs: Iterable[Pair]) -> dict[str, Pair]:
    return {pair.key: pair for pair in pairs}


def _steps(pairs: Iterable[Pair]) -> _Steps:
    known = list(pairs)
    made = [_made(pair) for pair in known if pair.make is not None]
    return (*made, _taken([pair for pair in known if pair.make is None]))


def _values(event: Event) -> dict[str, Any]:
    values = dict(event.fields)
    values["uid"] = event.uid
    values["id"] = event.id
    values["tenant"] = event.tenant
    values["title"] = event.title
    values["source"] = event.source
    values["feed"] = event.feed
    values["occurred_at"] = event.occurred_at
    values["fetched_at"] = event.fetched_at
    if event.recorded_at is not None:
        values["recorded_at"] = event.recorded_at
    if event.organization_id:
        values["organization.id"] = event.organization_id
    if event.organization_name:
        values["organization.name"] = event.organization_name
    if event.labels:
        values["labels"] = dict(event.labels)
    if event.kind != "security_event":
        values["kind"] = event.kind
    if event.kind == "unparsed":
        values["raw"] = event.raw.decode("utf-8", "replace")  # the fields say nothing: the record itself has to
    return values


def _prefix(pair: Pair) -> str:
    label = f" {pair.key}Label{SEPARATOR}{clean(pair.label)}" if pair.label else ""
    return f"{label} {pair.key}{SEPARATOR}"


def _taken(pairs: Iterable[Pair]) -> _Step:
    """All pairs with names in one step: a call for each would be the dearest thing in the program."""
    rows = [
        (_prefix(pair), keys.LENGTHS.get(pair.key, 0), CONVERTERS[keys.KEYS[pair.key]], pair.sources) for pair in pairs
    ]

    def step(values: dict[str, Any], line: _Line) -> None:
        added, told, get = line.pairs, line.told, values.get
        for prefix, most, convert, names in rows:
            for name in names:
                value = get(name)
                if value is None:
                    continue
                # What most values are, told without a call.
                if type(value) is str and 0 < len(value) <= most and value.isprintable() and value.strip() == value:
                    added += (prefix, value)
                    told.add(name)
                    break
                said = convert(value)
                if not said:
                    continue
                if most:
                    if line.add_text(prefix, most, said, (name,)):
                        break
                    continue
                added += (prefix, said)
                if type(value) is not list or len(value) == 1:  # of several addresses one is told
                    told.add(name)
                break

    return step


def _made(pair: Pair) -> _Step:
    convert, prefix, make = CONVERTERS[keys.KEYS[pair.key]], _prefix(pair), pair.make
    most = keys.LENGTHS.get(pair.key)

    def step(values: dict[str, Any], line: _Line) -> None:
        made = make(values) if make is not None else None
        said = convert(made[0]) if made is not None else None
        if made is None or not said:
            return
        if most is not None:
            line.add_text(prefix, most, said, made[1])
        else:
            line.pairs += (prefix, said)
            line.told.update(made[1])

    return step


def _close(values: dict[str, Any], line: _Line, flags: tuple[str, ...]) -> None:
    """Add the flags, and what the pairs have not told whole: last, so that what a receiver cuts off is some of that."""
    told = line.told
    rest = {name: value for name, value in values.items() if name not in told}
    details, lossy = to_json(rest, keys.LENGTHS["cs6"]) if rest else ("", False)
    if TRUNCATED not in flags and (lossy or not line.short <= told):
        flags = (*flags, TRUNCATED)
    if flags:
        line.add_text(_FLAGS, keys.LENGTHS["flexString2"], ",".join(flags), ())
    if details:
        line.pairs += (_DETAILS, details)
