"""The JSON Schema of a configuration, for editors: all sections, with the keys of every plugin installed."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from collector.config.model import AdminConfig, LoggingConfig, StateConfig, TenantConfig
from collector.plugins import Plugins, installed
from collector.sources.config import SourceConfig

Schema = dict[str, Any]
Model = type[BaseModel]

_SECTIONS: tuple[Model, ...] = (StateConfig, AdminConfig, LoggingConfig, TenantConfig)

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME = {"pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"}
_REFERENCE = {"type": "string", "pattern": r"\$\{(env|file|credential):"}
_INCLUDE = {
    "type": "array",
    "items": {"type": "string"},
    "description": "Files or patterns, relative to this file; each holds more tenants and sinks.",
}
_NOT_TEXT = {"integer", "number", "boolean"}


def config_schema(plugins: Plugins | None = None) -> Schema:
    """The schema of the main file; an included file is one with `tenants` and `sinks` alone.

    Raises:
        ConfigError: a plugin can't be loaded.
    """
    plugins = installed() if plugins is None else plugins
    sources = {name: plugins.sources.get(name).config for name in plugins.sources.names}
    sinks = {name: plugins.sinks.get(name).config for name in plugins.sinks.names}
    refs, definitions = _definitions([*_SECTIONS, *sources.values(), *sinks.values()])
    for name, model in (*sources.items(), *sinks.items()):
        _require_type(definitions[refs[model]], name)
    definitions.pop(SourceConfig.__name__, None)  # what a tenant's model knows of its sources
    _fill_tenant(definitions[refs[TenantConfig]], [_ref(refs[model]) for model in sources.values()])
    defaults = {name: f"{refs[model]}Defaults" for name, model in sources.items()}
    definitions |= {defaults[name]: _optional(definitions[refs[model]]) for name, model in sources.items()}
    properties = {
        "include": _INCLUDE,
        "state": _ref(refs[StateConfig]),
        "admin": _ref(refs[AdminConfig]),
        "logging": _ref(refs[LoggingConfig]),
        "defaults": _object({name: _ref(ref) for name, ref in defaults.items()})
        | {"description": "For every source of that type, unless it says otherwise."},
        "tenants": _named(_ref(refs[TenantConfig]), "The customers, by the name their events carry."),
        "sinks": _named({"oneOf": [_ref(refs[model]) for model in sinks.values()]}, "The receivers, by name."),
    }
    head = {"$schema": _DIALECT, "title": "edr-collector configuration"}
    whole = head | _object(properties) | {"$defs": definitions}
    return {key: _with_references(value) for key, value in whole.items()}


def _definitions(models: list[Model]) -> tuple[dict[Model, str], Schema]:
    """The name of every model's definition, which is longer where two plugins gave a model the same name."""
    refs, schema = models_json_schema([(model, "validation") for model in models])
    names = {model: refs[model, "validation"]["$ref"].rpartition("/")[2] for model in models}
    return names, dict(schema["$defs"])


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _require_type(definition: Schema, name: str) -> None:
    definition["properties"]["type"] |= {"const": name}
    definition["required"] = ["type", *(key for key in definition.get("required", ()) if key != "type")]


def _fill_tenant(definition: Schema, sources: list[Schema]) -> None:
    """A tenant's sources are those of the plugins, which its model can't know."""
    listed = definition["properties"]["sources"]
    listed.pop("default", None)
    listed |= {"items": {"oneOf": sources}, "minItems": 1}
    definition["required"] = ["sources"]


def _optional(definition: Schema) -> Schema:
    single = {"type", "name", "renamed_from"}
    properties = {key: value for key, value in definition["properties"].items() if key not in single}
    return {key: value for key, value in definition.items() if key != "required"} | {"properties": properties}


def _named(value: Schema, description: str) -> Schema:
    return {"type": "object", "description": description, "propertyNames": _NAME, "additionalProperties": value}


def _with_references(schema: Any) -> Any:
    """A reference is text and may stand where something else is expected; an editor should not object."""
    if isinstance(schema, list):
        return [_with_references(child) for child in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {key: _with_references(child) for key, child in schema.items()}
    kind = changed.get("type")
    if not isinstance(kind, str) or kind not in _NOT_TEXT:
        return changed
    kept = {key: changed.pop(key) for key in ("title", "description", "default") if key in changed}
    return {**kept, "anyOf": [changed, _REFERENCE]}
