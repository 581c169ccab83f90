"""Where things stand in the files, which of them are wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from collector.errors import ConfigError
from collector.settings import Location
from collector.suggest import did_you_mean, hint

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, slots=True)
class Place:
    """One key or list item as the user wrote it: the file as named to the user, the line from 1, the path of keys."""

    file: str
    line: int
    path: Location

    @property
    def directory(self) -> Path:
        """What relative paths written here are relative to."""
        return Path(self.file).absolute().parent

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Report:
    """Collects every problem and warning of one load, so that the user gets them all at once.

    `places` maps locations in the merged configuration to where they were written; a value that comes from
    `defaults:` or from an included file keeps the place it was written at.
    """

    def __init__(self) -> None:
        self.places: dict[Location, Place] = {}
        self._misspelt: set[Location] = set()
        self._files: dict[str, int] = {}
        self._problems: dict[Place, list[str]] = {}
        self._warnings: dict[Place, list[str]] = {}

    def place(self, location: Location) -> Place:
        """Where that location is written; what is not written has the line of the nearest thing around it."""
        for length in range(len(location), -1, -1):
            found = self.places.get(location[:length])
            if found is not None:
                missing = location[length:]
                return Place(found.file, found.line, (*found.path, *missing)) if missing else found
        raise LookupError("no document was read")

    def add(self, location: Location, message: str) -> None:
        """Something at a location of the merged configuration is wrong."""
        self.add_at(self.place(location), message)

    def add_at(self, place: Place, message: str) -> None:
        """Something is wrong there; the same said twice (by two sources of one default) counts once."""
        _note(self._problems, place, message)

    def unknown_key(self, place: Place, location: Location, allowed: Iterable[str]) -> None:
        """A key that nothing knows; if another was meant, that one is not missing besides."""
        allowed = list(allowed)
        self.add_at(place, f"unknown key; {hint(str(location[-1]), allowed)}")
        meant = did_you_mean(str(location[-1]), allowed)
        if meant is not None:
            self._misspelt.add((*location[:-1], meant))

    def missing_key(self, location: Location, message: str) -> None:
        """A key that must be there is not, unless it is there in another spelling."""
        if location not in self._misspelt:
            self.add(location, message)

    def warn(self, location: Location, message: str) -> None:
        """Something is legal, but should be known."""
        _note(self._warnings, self.place(location), message)

    def saw_file(self, file: str) -> None:
        """Fix the order in which files are reported on."""
        self._files.setdefault(file, len(self._files))

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line each, in the order of the files."""
        return tuple(self._lines(self._warnings))

    def raise_problems(self) -> None:
        """Raises ConfigError with everything found, in the order of the files; returns if nothing was."""
        if self._problems:
            raise ConfigError(self._lines(self._problems))

    def _lines(self, notes: Mapping[Place, list[str]]) -> list[str]:
        # Several messages on one place come from the alternatives of one value: they are one mistake.
        ordered = sorted(notes, key=lambda place: (self._files.get(place.file, len(self._files)), place.line))
        return [_line(place, " or ".join(notes[place])) for place in ordered]


def _note(notes: dict[Place, list[str]], place: Place, message: str) -> None:
    messages = notes.setdefault(place, [])
    if message not in messages:
        messages.append(message)


def _line(place: Place, message: str) -> str:
    where = str(place) if place.line else place.file
    path = key_path(place.path)
    return f"{where}: {path}: {message}" if path else f"{where}: {message}"


def key_path(location: Location) -> str:
    """`tenants.acme.sources[0].client_id`; keys with other characters in brackets and quotes."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step)}]"
    return text
