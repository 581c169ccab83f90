"""The JSON Schema, its command, and the reference of keys."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.cli import schema as command
from collector.config import config_schema
from collector.config.starter import STARTER
from collector.plugins import Plugins

REFERENCE = Path(__file__).parents[3] / "docs/configuration.md"


def keys_of(schema: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every key a user may write, with the model it belongs to."""
    yield from (("the top level", key) for key in schema["properties"])
    for name, definition in schema["$defs"].items():
        yield from ((name, key) for key in definition.get("properties", ()))


def refs_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"]
        for value in schema.values():
            yield from refs_of(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from refs_of(value)


def test_the_schema_knows_every_section_and_every_plugin() -> None:
    schema = config_schema()

    assert list(schema["properties"]) == ["include", "state", "admin", "logging", "defaults", "tenants", "sinks"]
    definitions = schema["$defs"]
    assert definitions["WithSecureConfig"]["required"] == ["type", "client_id", "client_secret"]
    assert definitions["WithSecureConfig"]["properties"]["type"]["const"] == "withsecure"
    assert definitions["WithSecureConfig"]["additionalProperties"] is False
    assert definitions["FileConfig"]["required"] == ["type", "path"]
    assert definitions["TenantConfig"]["properties"]["sources"]["items"] == {
        "oneOf": [{"$ref": "#/$defs/EsetConfig"}, {"$ref": "#/$defs/WithSecureConfig"}]
    }
    assert schema["additionalProperties"] is False


def test_every_reference_inside_the_schema_leads_somewhere() -> None:
    schema = config_schema()

    assert {ref for ref in refs_of(schema) if ref.removeprefix("#/$defs/") not in schema["$defs"]} == set()


def test_defaults_need_no_key_and_take_none_that_belongs_to_one_source() -> None:
    defaults = config_schema()["$defs"]["WithSecureConfigDefaults"]

    assert "required" not in defaults
    assert "client_id" in defaults["properties"]
    assert "name" not in defaults["properties"]


def test_a_secret_is_text_and_every_key_has_a_description() -> None:
    schema = config_schema()

    secret = schema["$defs"]["WithSecureConfig"]["properties"]["client_secret"]
    assert secret["type"] == "string"
    undescribed = [
        f"{name}.{key}"
        for name, definition in schema["$defs"].items()
        for key, value in definition.get("properties", {}).items()
        if "description" not in value
    ]
    assert undescribed == []


def test_a_reference_may_stand_where_a_number_or_a_truth_value_is_expected() -> None:
    verify = config_schema()["$defs"]["TlsConfig"]["properties"]["verify"]

    assert verify["anyOf"][0] == {"type": "boolean"}
    assert re.search(verify["anyOf"][1]["pattern"], "${env:VERIFY}")


def test_the_short_form_of_a_way_out_is_text() -> None:
    for model in ("WithSecureConfig", "WithSecureConfigDefaults"):
        egress = config_schema()["$defs"][model]["properties"]["egress"]

        assert {"type": "string"} in egress["anyOf"]


def test_a_schema_without_plugins_has_its_sections_still() -> None:
    assert "StateConfig" in config_schema(Plugins({}, {}))["$defs"]


def test_the_command_prints_the_schema_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    command.register(parser.add_subparsers())
    args = parser.parse_args(["schema"])

    status = args.func(args)

    assert status == 0
    assert json.loads(capsys.readouterr().out) == config_schema()


def test_every_key_is_in_the_reference() -> None:
    text = REFERENCE.read_text()

    missing = [f"{model}: {key}" for model, key in keys_of(config_schema()) if f"`{key}`" not in text]

    assert missing == []


def test_the_reference_speaks_of_no_key_that_does_not_exist() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|", REFERENCE.read_text(), re.MULTILINE)
    known = {key for _, key in keys_of(config_schema())}

    assert rows
    assert set(rows) - known == set()


def test_the_reference_shows_the_starter_as_it_is() -> None:
    assert STARTER in REFERENCE.read_text()
