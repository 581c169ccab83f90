"""The configuration as the program sees it: checked, complete, frozen."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel, Field, PrivateAttr, SecretStr, SerializeAsAny, StringConstraints, field_validator

from collector.settings import Name, Settings, passwords_in
from collector.sinks.config import SinkConfig
from collector.sources.config import Organizations, SourceConfig
from collector.units import PositiveDuration, Size

_MEBIBYTE = 1 << 20

LabelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$")]


class StateConfig(Settings):
    """Where the durable log lives, how much it may hold and for how long."""

    path: Path = Field(default=Path("/var/lib/collector/collector.db"), json_schema_extra={"path": True})
    """The SQLite file; one daemon each."""

    remember_ids: PositiveDuration = timedelta(days=30)
    """How long an id is known after it was first seen; at least twice the largest sweep window."""

    keep_delivered: PositiveDuration = timedelta(days=7)
    """How long delivered pages stay for replay, as long as there is room; not longer than remember_ids."""

    max_size: Size = 10 << 30
    """The log, its journal and the dead letters together; at least 1MiB."""

    @field_validator("max_size")
    @classmethod
    def _holds_something(cls, value: int) -> int:
        if value < _MEBIBYTE:
            raise ValueError("must be at least 1MiB")
        return value


class AdminConfig(Settings):
    """How the running daemon is watched and told things."""

    listen: str | None = "127.0.0.1:9650"
    """`host:port` of the status page, /metrics, /livez and /readyz; null: off."""

    control: Path = Field(default=Path("collector.sock"), json_schema_extra={"path": True})
    """Unix socket of the operator commands, mode 0600; default: beside the state."""

    @field_validator("listen")
    @classmethod
    def _listen_parses(cls, value: str | None) -> str | None:
        if value is not None:
            parse_listen(value)
        return value

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of `listen`, None when it is off. Port 0: any free one."""
        return None if self.listen is None else parse_listen(self.listen)


class LoggingConfig(Settings):
    """What the daemon says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """The least important messages to write."""

    format: Literal["auto", "console", "json"] = "auto"
    """auto: console on a terminal, JSON otherwise."""


class TenantConfig(Settings):
    """One customer: whose events they are."""

    labels: dict[LabelName, str] = Field(default_factory=dict)
    """Put on every event of this tenant."""

    organizations: Organizations = Field(default_factory=dict)
    """Vendor's organization id to the tenant name to put on its events, for partner credentials; others keep ours."""

    sources: tuple[SerializeAsAny[SourceConfig], ...] = ()
    """The accounts to read; at least one."""

    renamed_from: Name | None = None
    """The name under which the state knows this tenant."""

    @property
    def mapped(self) -> dict[str, str]:
        """`organization_key` to tenant name, of the tenant itself and of its sources."""
        mapped = dict(self.organizations)
        for source in self.sources:
            mapped |= source.own_organizations or {}
        return mapped

    @property
    def names(self) -> frozenset[str]:
        """Every tenant name that events of this tenant may carry, without the tenant's own unless it is mapped to."""
        return frozenset(self.mapped.values())


class Config(Settings):
    """Everything that was configured. Paths are absolute; every name, reference and default is resolved."""

    path: Path
    """The file it was read from."""

    state: StateConfig
    admin: AdminConfig
    logging: LoggingConfig
    tenants: dict[str, TenantConfig]
    sinks: dict[str, SerializeAsAny[SinkConfig]]
    warnings: tuple[str, ...] = ()
    """What is legal but should be known, one line each with file, line and key."""

    _referenced: frozenset[str] = PrivateAttr(default=frozenset())
    _files: Mapping[Path, str] = PrivateAttr(default_factory=dict)

    def secret_values(self) -> set[str]:
        """Every text that must never be shown: secrets, what files and credentials gave, passwords inside URLs."""
        return set(self._referenced).union(*_secrets_in(self.tenants), *_secrets_in(self.sinks))

    @property
    def files(self) -> Mapping[Path, str]:
        """The files that `${file:}` and `${credential:}` name, with what stood there."""
        return self._files

    def with_referenced(self, secrets: frozenset[str], files: Mapping[Path, str]) -> Config:
        """The same, knowing also these texts as secret, and where secrets were read from."""
        copy = self.model_copy()
        copy._referenced, copy._files = secrets, dict(files)  # noqa: SLF001 -- our own copy
        return copy

    def with_secrets_of(self, fresh: Config, chosen: Collection[tuple[str, str]]) -> Config:
        """The same, with the secrets that these sources (tenant, name) have in a newer reading, and nothing else of it.

        A source that differs in more than its secrets, or is not there, stays as it is.
        """
        tenants, taken = dict(self.tenants), set[str]()
        for name, tenant in self.tenants.items():
            newer = {source.name: source for source in fresh.tenants[name].sources} if name in fresh.tenants else {}
            sources = tuple(
                _renewed(source, newer.get(source.name)) if (name, source.name) in chosen else source
                for source in tenant.sources
            )
            if sources != tenant.sources:
                tenants[name] = tenant.model_copy(update={"sources": sources})
                taken = taken.union(*_secrets_in(sources))
        known = {
            file: fresh.files[file] if fresh.files.get(file) in taken else text for file, text in self.files.items()
        }
        copy = self.model_copy(update={"tenants": tenants})
        return copy.with_referenced(self._referenced | fresh._referenced, known)

    def max_backlog(self, sink: str) -> int:
        """Undelivered bytes at which that sink pauses its feeds."""
        own = self.sinks[sink].max_backlog
        return self.state.max_size // 4 if own is None else own


def parse_listen(text: str) -> tuple[str, int]:
    """Split `host:port`, `[v6]:port`.

    Raises:
        ValueError: it is none; `0.0.0.0` must be said where it is meant.
    """
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise ValueError("must be host:port such as 127.0.0.1:9650, 0.0.0.0:9650 or [::1]:9650, or null for off")
    return host.strip("[]") if bracketed else host, int(port)


def _renewed(source: SourceConfig, newer: SourceConfig | None) -> SourceConfig:
    if newer is None or type(newer) is not type(source):
        return source
    fields = type(source).model_fields
    secrets = {key: getattr(newer, key) for key in fields if isinstance(getattr(newer, key), SecretStr)}
    renewed = source.model_copy(update=secrets)
    return renewed if renewed == newer else source


def _secrets_in(value: Any) -> Iterator[set[str]]:
    if isinstance(value, SecretStr):
        yield {value.get_secret_value()}
    elif isinstance(value, str):
        passwords = passwords_in(value)
        yield passwords | {unquote(password) for password in passwords}
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets_in(getattr(value, name))
    elif isinstance(value, Mapping):
        for child in value.values():
            yield from _secrets_in(child)
    elif isinstance(value, tuple | list):
        for child in value:
            yield from _secrets_in(child)
