"""Reads a JSON object of ESET by a table of its keys: what has an ECS name gets it, the rest keeps the vendor's.

A table has an entry for each key: a rule of `field_rules`, `Code` for an enumeration, another table for an object,
`Each` for a list of objects, `KEPT` for what has no ECS name. What no field tells whole stands under `eset.<path>`,
where `<path>` joins the keys of the objects around it. Values that say nothing (null, empty, `nil`, the enumerations'
UNSPECIFIED) are left out, as protobuf's JSON may leave them out itself. Keys and codes no table knows pass, and are
told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from collector.sources.field_rules import Apply, Fields, put

MAX_UNKNOWN = 16
MAX_WORD = 64
PREFIX = "eset."

_NOTHING = frozenset({"", "nil"})
_UNSPECIFIED = "UNSPECIFIED"
_MAX_LISTED = 100


@dataclass(frozen=True, slots=True)
class Code:
    """An enumeration: the prefixes its values have in the API, the words behind them, the field it gets, if any.

    A field gets the word in lower case (`INCIDENT_STATUS_IN_PROGRESS`: `in_progress`); a value no table knows is kept
    as it is under the vendor's name, and its word has the field nevertheless.
    """

    prefixes: tuple[str, ...]
    words: frozenset[str]
    target: str = ""

    def word(self, value: Any) -> str:
        """The word without its prefix; "" for what says nothing."""
        if not isinstance(value, str):
            return ""
        for prefix in self.prefixes:
            if value.upper().startswith(prefix):
                value = value[len(prefix) :]
                break
        return "" if value.upper() in {_UNSPECIFIED, "NIL"} else value

    def known(self, value: Any) -> bool:
        """Whether the table has this value, or it says nothing."""
        return is_nothing(value) or (
            isinstance(value, str) and ((word := self.word(value)) == "" or word.upper() in self.words)
        )


@dataclass(frozen=True, slots=True)
class Each:
    """A list of objects that is kept whole; `keys` are known in them, `apply` may read what has ECS names."""

    keys: Mapping[str, Code | None]
    apply: Apply | None = None


KEPT = None
"""Known, without an ECS name."""

Entry = Apply | Code | Each | Mapping[str, Any] | None
Table = Mapping[str, Entry]


@dataclass(slots=True)
class Reading:
    """The fields of one event in the making, and the names of what no table knows."""

    fields: Fields = field(default_factory=dict)
    _unknown: dict[str, None] = field(default_factory=dict)

    @property
    def unknown(self) -> tuple[str, ...]:
        """Names of keys and codes no table knows, each once, at most `MAX_UNKNOWN`."""
        return tuple(self._unknown)

    def tell_unknown(self, name: str, value: Any = None) -> None:
        """Note a key, or a code of a key."""
        if len(self._unknown) < MAX_UNKNOWN:
            self._unknown[_printable(name) if value is None else f"{_printable(name)}:{_printable(str(value))}"] = None

    def keep(self, path: str, value: Any) -> None:
        """Keep a value under the vendor's name, whatever else has that name already."""
        name = PREFIX + path
        while name in self.fields:
            name += "_"
        self.fields[name] = value

    def read(self, document: Mapping[str, Any], table: Table, *, path: str = "", skip: Iterable[str] = ()) -> None:
        """Read an object in the table's order; keys in `skip` are read elsewhere."""
        for key, entry in table.items():
            if key in document:
                self._entry(path + key, document[key], entry)
        elsewhere = frozenset(skip)
        for key, value in document.items():
            if key not in table and key not in elsewhere:
                self.keep(path + key, value)
                self.tell_unknown(path + key)

    def _entry(self, path: str, value: Any, entry: Entry) -> None:
        if is_nothing(value):
            return
        if isinstance(entry, Code):
            self._code(path, value, entry)
        elif isinstance(entry, Each):
            self._each(path, value, entry)
        elif isinstance(entry, Mapping):
            self._part(path, value, entry)
        elif entry is None or not entry(value, self.fields):
            self.keep(path, value)

    def _part(self, path: str, value: Any, table: Table) -> None:
        if isinstance(value, Mapping):
            self.read(value, table, path=f"{path}.")
        else:
            self.keep(path, value)

    def _code(self, path: str, value: Any, code: Code) -> None:
        word, known = code.word(value), code.known(value)
        if not known:
            self.tell_unknown(path, value)
        told = bool(word and code.target) and put(self.fields, code.target, word.lower())
        if not known or (word and not told):
            self.keep(path, value)

    def _each(self, path: str, value: Any, entry: Each) -> None:
        if entry.apply is None or not entry.apply(value, self.fields):
            self.keep(path, value)
        for one in islice(value, _MAX_LISTED) if isinstance(value, Sequence) and not isinstance(value, str) else ():
            for key, inner in one.items() if isinstance(one, Mapping) else ():
                code = entry.keys.get(key)
                if key not in entry.keys:
                    self.tell_unknown(f"{path}.{key}")
                elif code is not None and not code.known(inner):
                    self.tell_unknown(f"{path}.{key}", inner)


def is_nothing(value: Any) -> bool:
    """Null, an empty text, list or object, the vendor's `nil`."""
    if isinstance(value, str):
        return value.strip() in _NOTHING
    return value is None or (isinstance(value, list | dict) and not value)


def words(*lines: str) -> frozenset[str]:
    """The words of an enumeration, written as text with spaces between."""
    return frozenset(" ".join(lines).split())


def _printable(word: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in word[:MAX_WORD])
