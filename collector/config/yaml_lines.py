"""A YAML file as plain values, together with the line of every key.

Scalars follow YAML 1.2, not 1.1: `no`, `on` and `0640` are text (a tenant may be called `no`; a truth value is still
read from them where one is expected). Keys are text always. Anchors, aliases and merge keys work; tags do not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from collector.config.report import Place, Report
from collector.settings import Location

# libyaml's parser is some ten times faster, which matters with hundreds of tenants.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_MAX_BYTES = 16 << 20
_MAX_VALUES = 500_000
_MAX_DEPTH = 50

_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + name for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")}
_MERGE = _TAG + "merge"
_NULLS = {"", "~", "null", "Null", "NULL"}
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")
_FLOAT = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}")
_UNPRINTABLE = re.compile("[^\x09\x0a\x0d\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_QUOTED = re.compile(r"'(?!<)[^']{2,}'")


@dataclass(slots=True)
class Document:
    """One file. `value` is None for an empty one; `places` has the place of every key and list item in it."""

    file: str
    value: Any
    places: dict[Location, Place] = field(default_factory=dict)


def read_document(file: Path, report: Report) -> Document | None:
    """Read one file; what is wrong with it goes to the report, None when nothing could be read."""
    name = str(file)
    report.saw_file(name)
    text = _read_text(file, report)
    if text is None:
        return None
    try:
        _check_depth(text)
        root = yaml.compose(text, Loader=_Loader)
        document = Document(name, None, {(): Place(name, 1, ())})
        if root is not None:
            document.value = _Values(document, report).read(root, ())
    except yaml.MarkedYAMLError as exc:
        line = exc.problem_mark.line + 1 if exc.problem_mark else 1
        report.add_at(Place(name, line, ()), _explain(exc, text, line))
    except (yaml.YAMLError, RecursionError):
        report.add_at(Place(name, 0, ()), "not valid YAML")
    except _TooMuchError as exc:
        report.add_at(Place(name, 0, ()), str(exc))
    else:
        return document
    return None


class _TooMuchError(Exception):
    """Aliases unfold to more than any configuration holds."""


class _Values:
    """Turns the nodes of one document into values, noting places on the way."""

    def __init__(self, document: Document, report: Report) -> None:
        self._document = document
        self._report = report
        self._left = _MAX_VALUES

    def read(self, node: yaml.Node, path: Location) -> Any:
        self._count()
        if len(path) > _MAX_DEPTH:
            raise _TooMuchError(f"nested deeper than {_MAX_DEPTH} levels")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return self._list(node, path)
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return _scalar(node)
        # The tag itself is not shown: it may be the first half of a password.
        self._problem(node, path, "YAML tags are not supported; a value that begins with ! needs quotes")
        return None

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _TooMuchError(f"more than {_MAX_VALUES} values, aliases unfolded")

    def _list(self, node: yaml.SequenceNode, path: Location) -> list[Any]:
        values = []
        for index, child in enumerate(node.value):
            self._note(child, (*path, index))
            values.append(self.read(child, (*path, index)))
        return values

    def _mapping(self, node: yaml.MappingNode, path: Location) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, child in self._own_pairs(node, path):
            self._note(key, (*path, key.value))
            values[key.value] = self.read(child, (*path, key.value))
        for key, child in self._merged_pairs(node, path, len(path)):
            if key.value not in values:
                self._note(key, (*path, key.value))
                values[key.value] = self.read(child, (*path, key.value))
        return values

    def _own_pairs(self, node: yaml.MappingNode, path: Location | None) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """What is written in this mapping itself; without a path its mistakes are reported elsewhere already."""
        pairs: dict[str, tuple[yaml.ScalarNode, yaml.Node]] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self._problem(key, path, "a key must be a word")
            elif key.tag == _MERGE:
                continue
            elif key.value in pairs:
                first = pairs[key.value][0].start_mark.line + 1
                self._problem(
                    key, path if path is None else (*path, key.value), f"stands here twice, first in line {first}"
                )
            else:
                pairs[key.value] = (key, child)
        return list(pairs.values())

    def _merged_pairs(
        self, node: yaml.MappingNode, path: Location, depth: int
    ) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
        """What `<<` brings in; of several mappings the first has precedence."""
        if depth > _MAX_DEPTH:
            raise _TooMuchError(f"nested deeper than {_MAX_DEPTH} levels")
        pairs = []
        for key, child in node.value:
            if key.tag != _MERGE:
                continue
            parents = child.value if isinstance(child, yaml.SequenceNode) else [child]
            for parent in parents:
                self._count()
                if not isinstance(parent, yaml.MappingNode):
                    self._problem(key, path, "<< takes an alias of a mapping, or a list of them")
                    continue
                own = self._own_pairs(parent, None)
                self._left -= len(own)
                pairs += own
                pairs += self._merged_pairs(parent, path, depth + 1)
        return pairs

    def _note(self, node: yaml.Node, path: Location) -> None:
        self._document.places[path] = Place(self._document.file, node.start_mark.line + 1, path)

    def _problem(self, node: yaml.Node, path: Location | None, message: str) -> None:
        if path is not None:
            self._report.add_at(Place(self._document.file, node.start_mark.line + 1, path), message)


def _check_depth(text: str) -> None:
    """Composing nodes is recursive and without a limit: libyaml would take the process down with it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise _TooMuchError(f"nested deeper than {_MAX_DEPTH} levels")


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.style in {"'", '"', "|", ">"} or node.tag == _TAG + "str":
        return text
    if text in _NULLS:
        return None
    if text in _TRUTHS:
        return _TRUTHS[text]
    # A number only where its text is the one way to write it, so that it can become text again unharmed.
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and repr(float(text)) == text:
        return float(text)
    return text


def _read_text(file: Path, report: Report) -> str | None:
    def fail(message: str, line: int = 0) -> None:
        report.add_at(Place(str(file), line, ()), message)

    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except OSError as exc:
        fail(f"can't be read: {exc.strerror}")
        return None
    if len(content) > _MAX_BYTES:
        fail(f"larger than {_MAX_BYTES >> 20}MiB")
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        fail("not UTF-8 text", content.count(b"\n", 0, exc.start) + 1)
        return None
    control = _UNPRINTABLE.search(text)
    if control:
        fail(f"control character U+{ord(control[0]):04X}", text.count("\n", 0, control.start()) + 1)
        return None
    return text


def _explain(exc: yaml.MarkedYAMLError, text: str, line: int) -> str:
    # What stands between quotes in these messages may come from the file, thus be part of a secret.
    problem = _QUOTED.sub("'...'", exc.problem or "syntax error")
    return f"not valid YAML: {problem}{_advice(problem, text, line)}"


def _advice(problem: str, text: str, line: int) -> str:
    lines = text.splitlines()
    source = lines[line - 1] if line <= len(lines) else ""
    if "\t" in source[: len(source) - len(source.lstrip())]:
        return "; indent with spaces, not with tabs"
    if "cannot start any token" in problem:
        return "; a value that begins with @ ` or % needs quotes"
    if "alias" in problem:
        return "; a value that begins with * needs quotes"
    if "mapping values are not allowed" in problem:
        return "; a value that holds a colon followed by a space needs quotes"
    return ""
