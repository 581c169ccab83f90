"""Durations and sizes: what is read, what is refused, in which words."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from collector.suggest import did_you_mean, hint
from collector.units import Duration, PositiveDuration, Size, format_duration, format_size, parse_duration, parse_size


class Example(BaseModel):
    wait: Duration = timedelta(seconds=1)
    every: PositiveDuration = timedelta(seconds=1)
    room: Size | None = 1


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("10m", 600),
        ("24h", 86_400),
        ("30d", 30 * 86_400),
        ("2w", 14 * 86_400),
        ("500ms", 0.5),
        ("1h30m", 5_400),
        ("1m500ms", 60.5),
        ("0s", 0),
        (" 5m ", 300),
    ],
)
def test_durations_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "-5m", "10 minutes", "1.5h", "30m1h", "5m5m", "10M", "1e3s", "٣s"])
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 90s"):
        parse_duration(text)


@pytest.mark.parametrize("value", [60, "60", 1.5])
def test_a_bare_number_as_duration_is_refused_with_the_units_to_choose_from(value: object) -> None:
    with pytest.raises(ValueError, match=f"no unit; write {value}s, {value}m"):
        parse_duration(value)


@pytest.mark.parametrize("value", [None, True, [], {}])
def test_values_of_other_types_are_neither_durations_nor_sizes(value: object) -> None:
    with pytest.raises(ValueError, match="must be a duration such as"):
        parse_duration(value)
    with pytest.raises(ValueError, match="must be a size such as"):
        parse_size(value)


@pytest.mark.parametrize("text", ["36501d", "9" * 5000 + "s"])
def test_a_duration_beyond_all_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="longest duration"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=10**11))
def test_a_formatted_duration_reads_back_as_itself(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)

    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512KiB", 512 * 1024),
        ("10GiB", 10 << 30),
        ("20MiB", 20 << 20),
        ("1TiB", 1 << 40),
        ("10 gib", 10 << 30),
        ("10GB", 10**10),
        ("5kb", 5_000),
        ("100B", 100),
        ("0B", 0),
    ],
)
def test_sizes_are_read_with_their_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1GiB", "1.5GiB", "10G", "10Gib/s", "10 GiB 1MiB"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="write it like 512KiB"):
        parse_size(text)


@pytest.mark.parametrize("value", [12, "12"])
def test_a_bare_number_as_size_is_refused_with_the_units_to_choose_from(value: object) -> None:
    with pytest.raises(ValueError, match="no unit; write 12B, 12KiB"):
        parse_size(value)


@pytest.mark.parametrize("text", ["2000PiB", "9" * 5000 + "B", "1048577TiB"])
def test_a_size_beyond_all_bounds_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"largest size|is not a size"):
        parse_size(text)


@given(st.integers(min_value=0, max_value=1 << 60))
def test_a_formatted_size_reads_back_as_itself(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_models_take_units_and_give_them_back_as_text() -> None:
    example = Example.model_validate({"wait": "1h30m", "room": "2KiB"})

    assert example.room == 2048
    assert example.model_dump(mode="json") == {"wait": "1h30m", "every": "1s", "room": "2KiB"}
    assert Example.model_validate({"room": None, "wait": timedelta(seconds=3)}).wait == timedelta(seconds=3)


def test_a_duration_of_nothing_is_refused_where_something_must_pass() -> None:
    with pytest.raises(ValidationError, match="longer than 0s"):
        Example.model_validate({"every": "0s"})


def test_the_schema_of_units_is_text_with_examples() -> None:
    properties = Example.model_json_schema()["properties"]

    assert properties["wait"]["examples"] == ["90s", "24h"]
    assert properties["every"]["type"] == "string"
    assert properties["room"]["anyOf"][0]["type"] == "string"


def test_typing_errors_are_guessed_and_strangers_are_not() -> None:
    assert did_you_mean("client_idd", ["client_id", "client_secret"]) == "client_id"
    assert did_you_mean("INFO", ["debug", "info"]) == "info"
    assert did_you_mean("banana", ["client_id"]) is None


def test_a_hint_tells_everything_that_is_allowed() -> None:
    assert hint("filee", ["file", "syslog"]) == "did you mean file? allowed: file, syslog"
    assert hint("x", []) == "nothing is allowed here"
