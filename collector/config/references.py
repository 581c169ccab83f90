"""`${env:NAME}`, `${file:PATH}`, `${credential:NAME}` inside values, and what they stand for.

A message about a reference names it, never what it stands for. What was resolved stays recognizable (`Resolved`), so
that later messages can leave it out and a literal secret can be told from a referenced one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from collector.config.report import Report
from collector.config.yaml_lines import Document
from collector.settings import Location
from collector.suggest import did_you_mean

KINDS = ("env", "file", "credential")

_REFERENCE = re.compile(r"(?P<escaped>\$\$\{)|\$\{(?P<kind>[^{}:]*):(?P<name>[^{}]*)\}|(?P<broken>\$\{)")
_CREDENTIAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]*")
_MAX_BYTES = 64 << 10


class Resolved(str):
    """A value with references in it.

    `values`: what they stand for; `secrets`: those among them that are secrets; `files`: where those that are read from
    files stand, credentials included, with what stood there.
    """

    __slots__ = ("files", "secrets", "values")
    files: tuple[tuple[Path, str], ...]
    values: tuple[str, ...]
    secrets: tuple[str, ...]


class Unresolved(str):
    """A value whose reference led nowhere, which has been reported: nothing else should be said about it."""

    __slots__ = ()


class _NoValueError(Exception):
    """The reference leads nowhere; the message names it and says why."""


def resolve_references(document: Document, environ: Mapping[str, str], report: Report) -> None:
    """Replace every reference in the document's values, in place; what leads nowhere goes to the report."""
    _Resolver(document, environ, report).walk(document.value, ())


class _Resolver:
    def __init__(self, document: Document, environ: Mapping[str, str], report: Report) -> None:
        self._document = document
        self._environ = environ
        self._report = report
        self._directory = Path(document.file).absolute().parent

    def walk(self, value: Any, path: Location) -> Any:
        if isinstance(value, dict):
            value.update({key: self.walk(child, (*path, key)) for key, child in value.items()})
        elif isinstance(value, list):
            value[:] = [self.walk(child, (*path, index)) for index, child in enumerate(value)]
        elif isinstance(value, str) and "${" in value:
            return self._text(value, path)
        return value

    def _text(self, text: str, path: Location) -> str:
        problems: list[str] = []
        values: list[str] = []
        secrets: list[str] = []
        files: list[tuple[Path, str]] = []

        def replace(match: re.Match[str]) -> str:
            if match["escaped"]:
                return "${"
            try:
                value, file = self._value(match)
            except _NoValueError as exc:
                problems.append(str(exc))
                return ""
            values.append(value)
            if file is not None:
                secrets.append(value)
                files.append((file, value))
            return value

        resolved = Resolved(_REFERENCE.sub(replace, text))
        for problem in problems:
            self._report.add_at(self._document.places[path], problem)
        if problems:
            return Unresolved()
        if not values:
            return str(resolved)
        resolved.values, resolved.secrets, resolved.files = tuple(values), tuple(secrets), tuple(files)
        return resolved

    def _value(self, match: re.Match[str]) -> tuple[str, Path | None]:
        """What a reference stands for, and the file that says so."""
        kind, name = match["kind"], match["name"]
        if kind == "env":
            return self._from_environment(name), None
        if kind == "file":
            file = self._directory / name
            return _from_file(f"${{file:{name}}}", file), file
        if kind == "credential":
            return self._from_credential(name)
        # Nothing of it is repeated unless it is nearly a reference: it may be a password with odd characters.
        guess = did_you_mean(kind, KINDS) if kind else None
        known = "${env:NAME}, ${file:PATH} or ${credential:NAME}"
        said = (
            f"${{{kind}:...}} is no reference; did you mean ${{{guess}:...}}?" if guess else "${ begins no reference;"
        )
        raise _NoValueError(f"{said} write {known}, or $${{ for the two characters")

    def _from_environment(self, name: str) -> str:
        value = self._environ.get(name)
        if not value:
            state = "not set" if value is None else "empty"
            raise _NoValueError(f"${{env:{name}}}: the environment variable is {state}")
        return value

    def _from_credential(self, name: str) -> tuple[str, Path]:
        reference = f"${{credential:{name}}}"
        if not _CREDENTIAL.fullmatch(name):
            raise _NoValueError(f"{reference}: the name of a credential is that of a file, without directories")
        directory = self._environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise _NoValueError(f"{reference}: $CREDENTIALS_DIRECTORY is not set; systemd sets it for LoadCredential=")
        file = Path(directory) / name
        return _from_file(reference, file), file


def have_changed(files: Mapping[Path, str]) -> bool:
    """Whether something else stands in one of these files by now; what can't be read has not changed. Blocking."""
    for file, before in files.items():
        try:
            if _from_file("", file) != before:
                return True
        except _NoValueError:
            continue
    return False


def _from_file(reference: str, file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as exc:
        raise _NoValueError(f"{reference}: {exc.strerror}") from None
    except ValueError:  # a NUL in the name
        raise _NoValueError(f"{reference}: no such file") from None
    if len(content) > _MAX_BYTES:
        raise _NoValueError(f"{reference}: the file is larger than {_MAX_BYTES >> 10}KiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _NoValueError(f"{reference}: the file is not UTF-8 text") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise _NoValueError(f"{reference}: the file is empty")
    return text
