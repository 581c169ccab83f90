"""The configuration of a file sink."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, field_validator

from collector.settings import Settings
from collector.sinks.config import SinkConfig
from collector.sinks.file.paths import PathTemplate
from collector.units import PositiveDuration, Size

_MODE = re.compile(r"0?[0-7]{3}")


def parse_mode(value: object) -> int:
    """Read `"0640"` as permission bits.

    Raises:
        ValueError: it is something else, also a number without quotes: YAML reads 0640 as 416 and 640 as 640.
    """
    if not isinstance(value, str) or not _MODE.fullmatch(value):
        raise ValueError('must be octal digits in quotes, such as "0640"')
    mode = int(value, 8)
    if mode & 0o600 != 0o600:
        raise ValueError('its owner must read and write it, as in "0640" or "0600"')
    return mode


class RotateConfig(Settings):
    """When a file is given a final name, so that what follows goes to a new one; default: never."""

    max_size: Size | None = Field(default=None, gt=0)
    """Size a file does not exceed, but for a single batch that is larger."""

    every: PositiveDuration | None = None
    """Time a file does not exceed, counted in whole spans of UTC: `1h` changes with the hour, `1d` at midnight."""

    compress: Literal["none", "gzip"] = "none"
    """What becomes of a rotated file."""


class FileConfig(SinkConfig):
    """Files of one line per event, each durable before it counts as delivered."""

    type: Literal["file"] = "file"
    """Which kind of receiver."""

    path: str = Field(json_schema_extra={"path": True})
    """Template of the files' names: {tenant} {organization} {source} {feed} {label.X} {date} {hour} (of fetching, UTC).
    A relative one is relative to the file it stands in."""

    rotate: RotateConfig = RotateConfig()
    """When a file is full."""

    mode: Annotated[
        int,
        BeforeValidator(parse_mode),
        PlainSerializer(lambda mode: f"{mode:04o}", when_used="json"),
        WithJsonSchema({"type": "string", "pattern": "^0?[0-7]{3}$", "examples": ["0640"]}),
    ] = 0o640
    """Permissions of the files, in octal digits and quotes: "0640" (default), "0600". Who may read the files may enter
    the directories made for them."""

    @field_validator("path")
    @classmethod
    def _path_is_usable(cls, value: str) -> str:
        PathTemplate(value)
        return value
