"""From a file to a `Config`, or to everything that is wrong with it at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from collector.config import checks
from collector.config.files import Tree, read_files
from collector.config.model import AdminConfig, Config, LoggingConfig, StateConfig, TenantConfig
from collector.config.references import Resolved, Unresolved
from collector.config.report import Report
from collector.config.validate import texts, validate, validate_part
from collector.errors import ConfigError
from collector.plugins import Plugins, PluginTable, installed
from collector.settings import Location, Settings
from collector.sinks.base import SinkPlugin
from collector.sinks.config import SinkConfig
from collector.sources.base import SourcePlugin
from collector.sources.config import SourceConfig

Section = TypeVar("Section", bound=Settings)
Plugin = TypeVar("Plugin", SourcePlugin, SinkPlugin)

# A source's own `sweep: {every: 1m}` leaves the default's window in force.
_MERGED_BY_KEY = ("sweep", "rate_limit", "tls")
_NO_DEFAULTS = ("type", "name", "renamed_from")


def load_config(path: Path, *, plugins: Plugins | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Read, resolve and check a configuration with everything it includes. Blocking: reads files.

    `plugins` and `environ` default to what is installed and to the process's environment.

    Raises:
        ConfigError: everything wrong with it, one line each: `FILE:LINE: key.path: what is wrong; what is allowed`.
    """
    plugins = installed() if plugins is None else plugins
    report = Report()
    tree = read_files(path, os.environ if environ is None else environ, report)
    if not tree:
        report.raise_problems()
    return _Loader(path, plugins, tree, report).load()


class _Loader:
    """One load: the merged tree in, a `Config` out."""

    def __init__(self, path: Path, plugins: Plugins, tree: Tree, report: Report) -> None:
        self._path = path
        self._plugins = plugins
        self._tree = tree
        self._report = report
        self._defaults: dict[str, Tree] = {}
        self._parts: dict[Settings, Settings] = {}

    def load(self) -> Config:
        state = self._state()
        admin = self._admin(state)
        logging = self._section("logging", LoggingConfig)
        self._read_defaults()
        tenants = {
            name: tenant
            for name, value in self._tree["tenants"].items()
            if (tenant := self._tenant(value, ("tenants", name))) is not None
        }
        sinks = {
            name: sink
            for name, value in self._tree["sinks"].items()
            if (sink := self._sink(value, ("sinks", name))) is not None
        }
        checks.check_names(self._tree, self._report)
        checks.check_tenants(tenants, state, self._report)
        checks.check_sinks(sinks, tenants, state, self._report)
        self._report.raise_problems()
        if state is None or admin is None or logging is None:
            raise RuntimeError("a section was refused without a reason")
        config = Config(
            path=self._path.absolute(),
            state=state,
            admin=admin,
            logging=logging,
            tenants=tenants,
            sinks=sinks,
            warnings=self._report.warnings,
        )
        return config.with_referenced(self._referenced(), self._files())

    def _section(self, name: str, model: type[Section]) -> Section | None:
        value = self._tree.get(name)
        return validate(model, {} if value is None else value, (name,), self._report)

    def _state(self) -> StateConfig | None:
        state = self._section("state", StateConfig)
        if state and state.keep_delivered > state.remember_ids and "keep_delivered" not in state.model_fields_set:
            return state.model_copy(update={"keep_delivered": state.remember_ids})
        return state

    def _admin(self, state: StateConfig | None) -> AdminConfig | None:
        value = self._tree.get("admin") or {}
        if isinstance(value, dict) and value.get("control") is None:
            beside = (state or StateConfig()).path.parent / "collector.sock"
            value = {**value, "control": str(beside)}
        return validate(AdminConfig, value, ("admin",), self._report)

    # -- tenants and their sources -----------------------------------------------------------------

    def _read_defaults(self) -> None:
        value = self._tree.get("defaults") or {}
        if not isinstance(value, dict):
            self._report.add(("defaults",), "must be a mapping of source types to settings")
            return
        for kind, settings in value.items():
            here: Location = ("defaults", kind)
            plugin = self._plugin(self._plugins.sources, kind, here)
            if plugin is None or settings is None:
                continue
            if not isinstance(settings, dict):
                self._report.add(here, "must be a mapping, one `key: value` a line")
                continue
            for key in _NO_DEFAULTS:
                if settings.pop(key, None) is not None:
                    self._report.add((*here, key), "belongs to one source, it can't be a default")
            validate_part(_source_model(plugin), {"type": kind, **settings}, here, self._report)
            self._defaults[kind] = settings

    def _tenant(self, value: Any, location: Location) -> TenantConfig | None:
        if not isinstance(value, dict):
            self._report.add(location, "must be a mapping with the key sources:")
            return None
        own = {key: child for key, child in value.items() if key != "sources"}
        tenant = validate(TenantConfig, own, location, self._report)
        sources = self._sources(value, (*location, "sources"))
        return tenant.model_copy(update={"sources": sources}) if tenant else None

    def _sources(self, tenant: Tree, location: Location) -> tuple[SourceConfig, ...]:
        """The sources that are as they should be; a tenant without any is reported."""
        values = tenant.get("sources")
        if isinstance(values, list) and values:
            loaded = {
                index: source
                for index, value in enumerate(values)
                if (source := self._source(value, (*location, index))) is not None
            }
            checks.check_source_names(loaded, location, self._report)
            return tuple(loaded.values())
        if "sources" not in tenant:
            self._report.missing_key(location, "required key is missing")
        else:
            self._report.add(location, "must be a list of at least one source")
        return ()

    def _source(self, value: Any, location: Location) -> SourceConfig | None:
        plugin = self._plugin_of(self._plugins.sources, value, location)
        if plugin is None:
            return None
        merged = self._with_defaults(value, location)
        source = validate(_source_model(plugin), merged, location, self._report)
        return None if source is None else self._with_available_feeds(source, plugin, merged, location)

    def _with_defaults(self, value: Tree, location: Location) -> Tree:
        kind = value["type"]
        defaults = self._defaults.get(kind, {})
        merged = dict(value)
        for key, default in defaults.items():
            if key not in value:
                merged[key] = default
                self._graft(("defaults", kind, key), (*location, key), default)
            elif key in _MERGED_BY_KEY and isinstance(default, dict) and isinstance(value[key], dict):
                merged[key] = {**default, **value[key]}
                for inner in default.keys() - value[key].keys():
                    self._graft(("defaults", kind, key, inner), (*location, key, inner), default[inner])
        return merged

    def _graft(self, origin: Location, location: Location, value: Any) -> None:
        """A value from `defaults:` keeps the place where it was written."""
        self._report.places[location] = self._report.place(origin)
        children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in children:
            self._graft((*origin, key), (*location, key), child)

    def _with_available_feeds(
        self, source: SourceConfig, plugin: SourcePlugin, value: Tree, location: Location
    ) -> SourceConfig:
        """The source with the feeds that can be read; what was listed besides is a warning."""
        wanted = source.feeds or plugin.feeds
        if value.get("feeds") is not None:
            for index, feed in enumerate(wanted):
                if feed not in plugin.feeds:
                    available = ", ".join(plugin.feeds)
                    message = f"feed {feed} is not available in this version and is not read; available: {available}"
                    self._report.warn((*location, "feeds", index), message)
        feeds = tuple(feed for feed in wanted if feed in plugin.feeds)
        return source.model_copy(update={**self._shared_parts(source), "feeds": feeds})

    def _shared_parts(self, source: SourceConfig) -> dict[str, Settings]:
        """What is the same for most sources is kept once: with thousands of them it is much of what they cost."""
        parts = {name: part for name, part in source if isinstance(part, Settings)}
        return {name: self._parts.setdefault(part, part) for name, part in parts.items()}

    # -- sinks -------------------------------------------------------------------------------------

    def _sink(self, value: Any, location: Location) -> SinkConfig | None:
        plugin = self._plugin_of(self._plugins.sinks, value, location)
        if plugin is None:
            return None
        if value.get("format") is None:
            value = {**value, "format": plugin.default_format}
        model = plugin.config
        if not issubclass(model, SinkConfig):
            raise TypeError(f"{model} is no SinkConfig")
        return validate(model, value, location, self._report)

    # -- plugins -----------------------------------------------------------------------------------

    def _plugin_of(self, table: PluginTable[Plugin], value: Any, location: Location) -> Plugin | None:
        if not isinstance(value, dict):
            self._report.add(location, "must be a mapping with the key type:")
            return None
        if "type" not in value:
            known = ", ".join(table.names)
            self._report.add((*location, "type"), f"required key is missing; known types: {known}")
            return None
        return self._plugin(table, value["type"], (*location, "type"))

    def _plugin(self, table: PluginTable[Plugin], name: Any, location: Location) -> Plugin | None:
        if isinstance(name, Unresolved):
            return None
        try:
            return table.get(str(name))
        except ConfigError as exc:
            for problem in exc.problems:
                self._report.add(location, problem)
            return None

    def _files(self) -> dict[Path, str]:
        return {file: value for text in texts(self._tree) if isinstance(text, Resolved) for file, value in text.files}

    def _referenced(self) -> frozenset[str]:
        found = (text for text in texts(self._tree) if isinstance(text, Resolved))
        return frozenset(secret for text in found for secret in text.secrets)


def _source_model(plugin: SourcePlugin) -> type[SourceConfig]:
    model = plugin.config
    if not issubclass(model, SourceConfig):
        raise TypeError(f"{model} is no SourceConfig")
    return model
