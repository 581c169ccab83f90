"""One mapping of the configuration against its model: problems in our words, at the user's lines."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from collector.config.messages import explain
from collector.config.references import Resolved, Unresolved
from collector.config.report import Report
from collector.settings import Location, Settings, passwords_in

Model = TypeVar("Model", bound=Settings)


def validate(model: type[Model], value: Any, location: Location, report: Report) -> Model | None:
    """Read a mapping, paths made absolute, what is wrong with it reported.

    None: it can't be used, which is reported. A reference that led nowhere was reported before and counts as empty.
    """
    checked = _validate(model, value, location, report)
    if checked is not None:
        _warn_about_literals(model, value, location, report)
        for where, message in checked.remarks():
            report.warn((*location, *where), message)
    return checked


def validate_part(model: type[Model], value: Any, location: Location, report: Report) -> None:
    """Report what is wrong with a mapping that gives only some of a model's keys."""
    _validate(model, value, location, report, complete=False)


def _validate(
    model: type[Model], value: Any, location: Location, report: Report, *, complete: bool = True
) -> Model | None:
    if not isinstance(value, dict):
        report.add(location, "must be a mapping, one `key: value` a line")
        return None
    prepared = _prepare(model, value, location, report)
    try:
        return model.model_validate(prepared)
    except ValidationError as exc:
        errors = exc.errors(include_url=False, include_input=False)
        # Misspelt keys first: what they mean is not missing besides.
        for error in sorted(errors, key=lambda error: error["type"] != "extra_forbidden"):
            if complete or error["type"] != "missing":
                _report_error(model, value, location, error, report)
        return None


def texts(value: Any) -> Iterator[str]:
    """Every text in a tree of values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from texts(child)
    elif isinstance(value, list | tuple):
        for child in value:
            yield from texts(child)


# -- before validation: paths, nulls ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Setting:
    """One key of a mapping that the model knows."""

    key: str
    field: FieldInfo
    value: Any
    submodel: type[BaseModel] | None


def _settings(model: type[BaseModel], value: Mapping[str, Any]) -> Iterator[_Setting]:
    for key, field in model.model_fields.items():
        if key in value:
            yield _Setting(key, field, value[key], submodel_of(field.annotation))


def submodel_of(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, also where it may be null instead."""
    if get_origin(annotation) is Annotated:
        return submodel_of(get_args(annotation)[0])
    if get_origin(annotation) in {Union, UnionType}:
        found = [submodel_of(choice) for choice in get_args(annotation)]
        return next((one for one in found if one is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _prepare(model: type[BaseModel], value: Mapping[str, Any], location: Location, report: Report) -> dict[str, Any]:
    prepared = dict(value)
    for setting in _settings(model, value):
        here = (*location, setting.key)
        if setting.submodel is not None and isinstance(setting.value, dict):
            prepared[setting.key] = _prepare(setting.submodel, setting.value, here, report)
        elif setting.value is None and setting.submodel is setting.field.annotation and not setting.field.is_required():
            # A section whose keys are all commented out.
            del prepared[setting.key]
        elif _extra(setting.field).get("path") and isinstance(setting.value, str) and setting.value:
            prepared[setting.key] = _absolute(setting, here, report)
    return prepared


def _extra(field: FieldInfo) -> Mapping[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _absolute(setting: _Setting, location: Location, report: Report) -> str:
    if isinstance(setting.value, Unresolved):
        return setting.value
    directory = str(report.place(location).directory)
    if setting.field.annotation is str:  # a template, where a brace of the directory's own is no placeholder
        directory = directory.replace("{", "{{").replace("}", "}}")
    path = os.path.join(directory, setting.value)  # noqa: PTH118 -- a template is no path yet
    if _extra(setting.field).get("must_exist") and not os.access(path, os.R_OK):
        problem = "can't be read" if os.path.exists(path) else "no such file"  # noqa: PTH110 -- likewise
        report.add(location, problem)
    return path


# -- after validation: what to say ------------------------------------------------------------------


def _report_error(
    model: type[BaseModel], value: dict[str, Any], location: Location, error: ErrorDetails, report: Report
) -> None:
    where, wrong = _deepest(value, error["loc"])
    if isinstance(wrong, Unresolved):
        return
    here = (*location, *where)
    if error["type"] == "missing":
        report.missing_key((*location, *error["loc"]), "required key is missing")
    elif error["type"] == "extra_forbidden":
        report.unknown_key(report.place(here), here, _keys_around(model, where))
    else:
        report.add(here, _without_references(explain(error, wrong), wrong))


def _without_references(message: str, wrong: Any) -> str:
    for text in texts(wrong):
        for value in text.values if isinstance(text, Resolved) else ():
            message = message.replace(value, "***")
    return message


def _deepest(value: Any, loc: Location) -> tuple[Location, Any]:
    """The part of an error's location that stands in the file, with its value.

    Pydantic puts names of its own into locations of unions and keys; they end the part that counts.
    """
    for length, step in enumerate(loc):
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return loc[:length], value
    return loc, value


def _keys_around(model: type[BaseModel], where: Location) -> list[str]:
    """The keys that the mapping around the last step may hold, as far as models alone lead there."""
    around: type[BaseModel] | None = model
    for step in where[:-1]:
        field = around.model_fields.get(str(step)) if around else None
        around = submodel_of(field.annotation) if field else None
    return list(around.model_fields) if around else []


def _warn_about_literals(model: type[BaseModel], value: Mapping[str, Any], location: Location, report: Report) -> None:
    advice = "use ${env:NAME}, ${file:PATH} or ${credential:NAME}"
    for setting in _settings(model, value):
        here = (*location, setting.key)
        if setting.submodel is not None and isinstance(setting.value, dict):
            _warn_about_literals(setting.submodel, setting.value, here, report)
        elif not isinstance(setting.value, str | int | float) or isinstance(setting.value, Resolved):
            continue
        elif SecretStr in {setting.field.annotation, *get_args(setting.field.annotation)}:
            report.warn(here, f"the secret stands in the file; {advice}")
        elif isinstance(setting.value, str) and passwords_in(setting.value):
            report.warn(here, f"a password stands in the file; {advice}")
