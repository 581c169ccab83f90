"""From a type to its plugin: built-in, registered by others, colliding, broken."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, EntryPoints
from types import ModuleType

import pytest
from pydantic import BaseModel

from collector import plugins
from collector.errors import ConfigError
from collector.sinks.base import SinkPlugin
from collector.sinks.config import SinkConfig


def open_nothing(*_: object) -> None:
    """Stands where a plugin's `open` would."""


class ForeignConfig(SinkConfig):
    """The model of somebody else's sink."""


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("foreign_sink")
    module.PLUGIN = SinkPlugin(config=ForeignConfig, open=open_nothing)  # type: ignore[attr-defined, arg-type]  # a module made by hand
    module.NO_PLUGIN = 5  # type: ignore[attr-defined]  # likewise
    module.ODD = SinkPlugin(config=BaseModel, open=open_nothing)  # type: ignore[attr-defined, arg-type]  # likewise
    monkeypatch.setitem(sys.modules, "foreign_sink", module)
    return module


def register(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    monkeypatch.setattr(plugins, "entry_points", lambda group: EntryPoints(entries).select(group=group))


def test_what_is_built_in_is_found_by_its_name() -> None:
    known = plugins.installed()

    assert known.sources.get("withsecure").vendor == "WithSecure"
    assert known.sinks.get("file").default_format == "json"
    assert "withsecure" in known.sources.names


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    table = plugins.Plugins({}, {"lazy": "module_that_is_not_there:PLUGIN"}).sinks

    assert table.names == ("lazy",)
    with pytest.raises(ConfigError, match=r"plugin lazy .* can't be loaded: No module named"):
        table.get("lazy")


def test_an_unknown_type_gets_a_guess_and_the_list() -> None:
    table = plugins.Plugins({}, {"file": "x:Y", "syslog": "x:Y"}).sinks

    with pytest.raises(ConfigError) as caught:
        table.get("filee")

    assert caught.value.problems == ["unknown type; did you mean file? allowed: file, syslog"]


def test_others_register_theirs_by_entry_points(monkeypatch: pytest.MonkeyPatch, foreign: ModuleType) -> None:
    register(monkeypatch, EntryPoint("foreign", "foreign_sink:PLUGIN", plugins.SINK_GROUP))

    known = plugins.installed()

    assert known.sinks.get("foreign") is foreign.PLUGIN
    assert "foreign" not in known.sources.names


def test_a_name_that_two_plugins_claim_is_an_error_that_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    register(
        monkeypatch,
        EntryPoint("file", "foreign_sink:PLUGIN", plugins.SINK_GROUP),
        EntryPoint("new", "one:PLUGIN", plugins.SOURCE_GROUP),
        EntryPoint("new", "two:PLUGIN", plugins.SOURCE_GROUP),
    )

    with pytest.raises(ConfigError) as caught:
        plugins.installed()

    assert caught.value.problems == [
        "two source plugins are named new: of one:PLUGIN and of two:PLUGIN",
        "two sink plugins are named file: of edr-collector and of foreign_sink:PLUGIN",
    ]


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("foreign_sink:NOTHING", "can't be loaded"),
        ("foreign_sink:NO_PLUGIN", "is no SinkPlugin"),
        ("foreign_sink:ODD", "its config model is no SinkConfig"),
    ],
)
def test_what_is_registered_must_be_a_plugin_of_that_kind(target: str, expected: str) -> None:
    table = plugins.Plugins({}, {"foreign": target}).sinks

    with pytest.raises(ConfigError, match=expected):
        table.get("foreign")
