"""The names of a file sink's files: below one fixed directory, whatever the events say.

The fixed directory is the path template up to the last slash before its first name in braces; everything after it is
rendered from events. Rendered names are relative to it and can't leave it: values hold no slash and are never `.` or
`..` (`collector.routing.path_value`), and literal `..` behind the fixed part is refused. Symbolic links are the
operator's business.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from hashlib import blake2b

from collector.model import Event
from collector.routing import Name, Template, path_value

# Room below the 255 bytes of a name for what rotation adds: `-20261122T101112.345Z-99` and `.gz.0123456789abcdef.tmp`.
_COMPONENT_BYTES = 190
_EXTENSION_BYTES = 16
_VALUE_BYTES = {"date": 10, "hour": 13}
_LONGEST_VALUE = 80
_ANY_VALUE = "[A-Za-z0-9._%-]+"
_STAMP = r"-[0-9]{8}T[0-9]{6}\.[0-9]{3}Z(?:-[0-9]+)?"


class PathTemplate:
    """A compiled `path:`.

    `base` is the fixed directory, absolute; `longest` the bytes of the longest name possible; `canonical` the same text
    for every way of writing the same template.

    Raises:
        ValueError: what is wrong with the template, for the user.
    """

    def __init__(self, text: str) -> None:
        if "\0" in text:
            raise ValueError("a path has no NUL in it")
        parts = list(Template(text, times=True).parts)
        first = parts.pop(0) if parts and isinstance(parts[0], str) else ""
        fixed, slash, begin = str(first).rpartition("/")
        self.base = os.path.abspath(fixed + slash or ".")  # noqa: PTH100 -- names are handled as text, millions of times
        self._components = _components([begin, *parts])
        if not self._components:
            raise ValueError("names a directory, not a file")
        if any(component[0] in {".", ".."} for component in self._components if len(component) == 1):
            raise ValueError("'.' and '..' stand only before the first name in braces, and never at the end")
        self.longest = sum(min(_longest(component), _COMPONENT_BYTES) + 1 for component in self._components) - 1
        last = self._components[-1][-1]
        self.canonical = "/".join([self.base.rstrip("/"), *map(_shown, self._components)])
        self._extension = os.path.splitext(f"x{last}")[1] if isinstance(last, str) else ""  # noqa: PTH122

    def render(self, event: Event) -> str:
        """The name of this event's file, relative to `base`."""
        return "/".join(
            [
                _bounded("".join([part if isinstance(part, str) else path_value(part.of(event)) for part in component]))
                for component in self._components
            ]
        )

    def absolute(self, name: str) -> str:
        return f"{self.base}/{name}"

    def rotated(self, path: str, stamp: str, counter: int) -> str:
        """The name a full file gets: stamp (and counter, if any) before the extension, so that globs still catch it."""
        stem = path.removesuffix(self._extension)
        return f"{stem}-{stamp}{f'-{counter}' if counter else ''}{self._extension}"

    def rotated_files(self) -> Iterator[str]:
        """Every file on disk that looks like one made by rotation of this template: plain, `.gz` or temporary."""
        *directories, last = self._components
        stem = [*last[:-1], str(last[-1]).removesuffix(self._extension)] if self._extension else last
        shape = _pattern(stem) + _STAMP + re.escape(self._extension)
        final = re.compile(rf"{shape}(?:\.gz)?|\.{shape}\.gz\.[0-9a-f]+\.tmp")
        found = [self.base]
        for component in directories:
            pattern = re.compile(_pattern(component))
            found = [entry.path for path in found for entry in _entries(path) if pattern.fullmatch(entry.name)]
        for path in found:
            yield from (entry.path for entry in _entries(path) if final.fullmatch(entry.name) and entry.is_file())


def _components(parts: list[str | Name]) -> list[list[str | Name]]:
    """Cut at slashes; doubled slashes count once, a slash at the end leaves no file name."""
    components: list[list[str | Name]] = [[]]
    for part in parts:
        if isinstance(part, Name):
            components[-1].append(part)
            continue
        head, *others = part.split("/")
        if head:
            components[-1].append(head)
        components += [[text] if text else [] for text in others]
    if not components[-1]:
        return []
    return [component for component in components if component]


def _longest(component: list[str | Name]) -> int:
    return sum(
        len(part.encode()) if isinstance(part, str) else _VALUE_BYTES.get(part.name, _LONGEST_VALUE)
        for part in component
    )


def _bounded(component: str) -> str:
    """Several long values in one name are too much for a file system: cut, with a hash, the extension kept."""
    encoded = component.encode()
    if len(encoded) <= _COMPONENT_BYTES:
        return component
    stem, extension = os.path.splitext(component)  # noqa: PTH122
    if len(extension.encode()) > _EXTENSION_BYTES:
        stem, extension = component, ""
    digits = blake2b(encoded, digest_size=6).hexdigest()
    kept = stem.encode()[: _COMPONENT_BYTES - len(extension.encode()) - len(digits) - 1]
    return f"{kept.decode(errors='ignore')}-{digits}{extension}"


def _shown(component: list[str | Name]) -> str:
    return "".join(part if isinstance(part, str) else f"{{{part.name}}}" for part in component)


def _pattern(component: list[str | Name]) -> str:
    return "".join(re.escape(part) if isinstance(part, str) else _ANY_VALUE for part in component)


def _entries(path: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
