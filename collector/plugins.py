"""From a `type:` in the configuration to the plugin behind it: built-in tables and entry points, imported on use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from collector.errors import ConfigError
from collector.sinks import BUILTIN as SINKS
from collector.sinks.base import SinkPlugin
from collector.sinks.config import SinkConfig
from collector.sources import BUILTIN as SOURCES
from collector.sources.base import SourcePlugin
from collector.sources.config import SourceConfig
from collector.suggest import hint

Plugin = TypeVar("Plugin", SourcePlugin, SinkPlugin)

SOURCE_GROUP = "collector.sources"
SINK_GROUP = "collector.sinks"


class PluginTable(Generic[Plugin]):
    """The plugins of one kind by the name users write as `type:`; each is imported when first asked for.

    `targets` maps a name to "module:attribute"; `kind` and `base` say what the attribute and its `config` must be.
    """

    def __init__(self, kind: type[Plugin], base: type[SourceConfig | SinkConfig], targets: Mapping[str, str]) -> None:
        self._kind: type[Plugin] = kind
        self._base = base
        self._targets = dict(targets)
        self._loaded: dict[str, Plugin] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._targets))

    def get(self, name: str) -> Plugin:
        """The plugin of that name.

        Raises:
            ConfigError: there is none (with a guess), or it can't be imported, or is no plugin of this kind.
        """
        if name not in self._loaded:
            if name not in self._targets:
                raise ConfigError([f"unknown type; {hint(name, self.names)}"])
            self._loaded[name] = self._load(name, self._targets[name])
        return self._loaded[name]

    def _load(self, name: str, target: str) -> Plugin:
        module, _, attribute = target.partition(":")
        try:
            plugin: object = getattr(import_module(module), attribute)
        except (ImportError, AttributeError) as exc:
            raise ConfigError([f"plugin {name} ({target}) can't be loaded: {exc}"]) from exc
        if not isinstance(plugin, self._kind):
            raise ConfigError([f"plugin {name} ({target}) is no {self._kind.__name__}"])
        if not issubclass(plugin.config, self._base):
            raise ConfigError([f"plugin {name} ({target}): its config model is no {self._base.__name__}"])
        return plugin


class Plugins:
    """Every source and sink that this installation knows."""

    def __init__(self, sources: Mapping[str, str], sinks: Mapping[str, str]) -> None:
        self.sources = PluginTable(SourcePlugin, SourceConfig, sources)
        self.sinks = PluginTable(SinkPlugin, SinkConfig, sinks)


def installed() -> Plugins:
    """What is built in, together with what other distributions register by entry points.

    Raises:
        ConfigError: two plugins share a name, so that nobody could say which of them a configuration means.
    """
    problems: list[str] = []
    sources = _merge("source", SOURCES, entry_points(group=SOURCE_GROUP), problems)
    sinks = _merge("sink", SINKS, entry_points(group=SINK_GROUP), problems)
    if problems:
        raise ConfigError(problems)
    return Plugins(sources, sinks)


def _merge(kind: str, builtin: Mapping[str, str], found: Iterable[EntryPoint], problems: list[str]) -> dict[str, str]:
    targets = dict(builtin)
    owners = dict.fromkeys(builtin, "edr-collector")
    for entry in sorted(found, key=lambda entry: (entry.name, entry.value)):
        owner = entry.dist.name if entry.dist else entry.value
        if entry.name in targets:
            problems.append(f"two {kind} plugins are named {entry.name}: of {owners[entry.name]} and of {owner}")
            continue
        targets[entry.name] = entry.value
        owners[entry.name] = owner
    return targets
