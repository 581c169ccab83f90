"""The main file and what it includes, as one tree of values with one map of places."""

from __future__ import annotations

import os
from collections.abc import Mapping
from glob import escape, glob, has_magic
from pathlib import Path
from typing import Any

from collector.config.references import Unresolved, resolve_references
from collector.config.report import Report
from collector.config.yaml_lines import Document, read_document

SECTIONS = ("include", "state", "admin", "logging", "defaults", "tenants", "sinks")
INCLUDED_SECTIONS = ("tenants", "sinks")

Tree = dict[str, Any]


def read_files(path: Path, environ: Mapping[str, str], report: Report) -> Tree:
    """The sections of all files together, references resolved; `tenants` and `sinks` are mappings for certain.

    Empty if the main file can't be read at all. What is wrong is in the report, as are the places.
    """
    main = _read(path, environ, report)
    if main is None:
        return {}
    report.places.update(main.places)
    if not isinstance(main.value, dict):
        what = "the file is empty" if main.value is None else "must be a mapping with keys such as tenants: and sinks:"
        report.add((), f"{what}; `collector init` writes an example")
        return {}
    tree: Tree = {key: main.value[key] for key in _known_keys(main, SECTIONS, report)}
    for section in INCLUDED_SECTIONS:
        tree[section] = _mapping(main, section, report)
    for file in _included(main, report):
        document = _read(file, environ, report)
        if document is not None:
            _add(document, tree, report)
    return tree


def _read(file: Path, environ: Mapping[str, str], report: Report) -> Document | None:
    document = read_document(file, report)
    if document is not None:
        resolve_references(document, environ, report)
    return document


def _known_keys(document: Document, allowed: tuple[str, ...], report: Report) -> list[str]:
    known = []
    for key in document.value:
        if key in allowed:
            known.append(key)
        elif key in SECTIONS:
            report.add_at(document.places[key,], f"an included file holds only {' and '.join(allowed)}")
        else:
            report.unknown_key(document.places[key,], (key,), allowed)
    return known


def _mapping(document: Document, section: str, report: Report) -> Tree:
    value = document.value.get(section)
    if isinstance(value, dict):
        return value
    if value is not None:
        report.add_at(document.places[section,], "must be a mapping of names to settings")
    return {}


def _add(document: Document, tree: Tree, report: Report) -> None:
    """Put an included document's tenants and sinks among the others."""
    if document.value is None:
        return
    if not isinstance(document.value, dict):
        report.add_at(document.places[()], "must be a mapping with the keys tenants: or sinks:")
        return
    sections = _known_keys(document, INCLUDED_SECTIONS, report)
    doubles = set()
    for section in sections:
        for name, value in _mapping(document, section, report).items():
            if name in tree[section]:
                first = report.places[section, name]
                report.add_at(document.places[section, name], f"stands already in {first}")
                doubles.add((section, name))
            else:
                tree[section][name] = value
    for location, place in document.places.items():
        if len(location) > 1 and location[0] in INCLUDED_SECTIONS and location[:2] not in doubles:
            report.places[location] = place


def _included(main: Document, report: Report) -> list[Path]:
    patterns = main.value.get("include")
    if patterns is None:
        return []
    if not isinstance(patterns, list):
        report.add(("include",), "must be a list of files or patterns, such as [tenants.d/*.yaml]")
        return []
    files: dict[str, Path] = {}
    for index, pattern in enumerate(patterns):
        for file in _matches(main.file, pattern, ("include", index), report):
            files.setdefault(os.path.realpath(file), file)
    # A pattern such as *.yaml may catch the main file, which is read already.
    files.pop(os.path.realpath(main.file), None)
    return list(files.values())


def _matches(main: str, pattern: Any, location: tuple[str, int], report: Report) -> list[Path]:
    if isinstance(pattern, Unresolved):
        return []
    if not isinstance(pattern, str) or not pattern:
        report.add(location, "must be a file or a pattern, such as tenants.d/*.yaml")
        return []
    if not has_magic(pattern):
        return [Path(main).parent / pattern]  # a file that is named must be there: reading it says if not
    directory = escape(str(Path(main).parent))
    found = sorted(glob(os.path.join(directory, pattern), recursive=True))  # noqa: PTH118, PTH207 -- may be absolute
    if not found:
        report.warn(location, "no file matches")
    return [Path(file) for file in found]
