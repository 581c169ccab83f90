"""The configuration of a Splunk HEC sink."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator, model_validator

from collector.routing import Template
from collector.settings import Location, Proxy, Settings, is_loopback, parse_origin
from collector.sinks.config import SinkConfig
from collector.units import PositiveDuration, Size

# Splunk Cloud documents 1 MB, and Enterprise before 7.x took 1,000,000 bytes.
_MOST_BODY = 900_000
_LEAST_BODY = 2048


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _url_is_usable(text: str) -> str:
    template = Template(text)
    return parse_origin(text) if template.is_constant else text.strip()


class HecTlsConfig(Settings):
    """Whom to trust, and how to show who we are."""

    ca_file: Path | None = Field(default=None, json_schema_extra={"path": True, "must_exist": True})
    """PEM file of the authorities to trust instead of the system's."""

    cert_file: Path | None = Field(default=None, json_schema_extra={"path": True, "must_exist": True})
    """PEM file of our own certificate and its chain, for receivers that ask for one."""

    key_file: Path | None = Field(default=None, json_schema_extra={"path": True, "must_exist": True})
    """PEM file of its key, not encrypted; default: the key stands in `cert_file`."""

    verify: bool = True
    """false: take any certificate. Whoever sits in between then reads the events and the token."""

    @model_validator(mode="after")
    def _key_needs_certificate(self) -> Self:
        if self.cert_file is None and self.key_file is not None:
            raise ValueError("key_file needs a cert_file")
        return self


class HecConfig(SinkConfig):
    """A Splunk HTTP Event Collector, or what speaks its protocol."""

    type: Literal["splunk_hec"] = "splunk_hec"
    """Which kind of receiver."""

    url: Annotated[
        tuple[Annotated[str, AfterValidator(_url_is_usable)], ...],
        BeforeValidator(_one_or_more, json_schema_input_type=str | list[str]),
        Field(min_length=1),
    ]
    """`https://host:8088`, or a list of them that take turns; paths are appended. A template such as
    https://{tenant}.example.com:8088 is possible."""

    token: SecretStr = Field(min_length=1)
    """The token of the input. A template such as {label.hec_token} is possible."""

    index: str | None = Field(default=None, min_length=1)
    """The index to write to, a template such as edr_{tenant} too; default: that of the token."""

    acknowledge: bool = False
    """true: a batch counts when the indexers have acknowledged it; the token must have acknowledgement enabled. false:
    when Splunk has received it."""

    ack_timeout: PositiveDuration = Field(default=timedelta(seconds=60), le=timedelta(minutes=4))
    """How long an acknowledgement may take before the batch is sent again; at most 4m."""

    sourcetype: str | None = Field(default=None, min_length=1)
    """A template; default: `edr:collector:json` and so on by format, with format raw by vendor and kind of event."""

    source: str = Field(default="{tenant}/{source}/{feed}", min_length=1)
    """What Splunk shows as source, a template."""

    host: str | None = Field(default=None, min_length=1)
    """What Splunk shows as host, a template; default: the event's `host.name`, where it has none its tenant."""

    compression: Literal["gzip", "none"] = "gzip"
    """How bodies are sent."""

    max_body: Size = Field(default=_MOST_BODY, ge=_LEAST_BODY, le=800_000_000)
    """The longest body that the receiver takes, before compression."""

    timeout: PositiveDuration = timedelta(seconds=30)
    """How long one request may take."""

    tls: HecTlsConfig = HecTlsConfig()
    """Certificates, for https."""

    proxy: Proxy | None = Field(default=None, repr=False)
    """HTTP proxy, `http://[user:password@]host:port`; null: none (the environment is not asked)."""

    @property
    def destination(self) -> str:
        """The template of what has a cursor of its own: the keys that are templates, or one of several."""
        texts = (*self.url, self.token.get_secret_value(), self.index or "")
        return " ".join(text for text in texts if not Template(text).is_constant)

    @field_validator("index", "sourcetype", "source", "host")
    @classmethod
    def _is_a_template(cls, value: str | None) -> str | None:
        if value is not None:
            Template(value)
        return value

    @field_validator("token")
    @classmethod
    def _token_fits_a_header(cls, value: SecretStr) -> SecretStr:
        token = value.get_secret_value()
        Template(token)
        if not token.isascii() or not token.isprintable() or token != token.strip():
            raise ValueError("must be printable ASCII without spaces around it")
        return value

    @model_validator(mode="after")
    def _keys_fit_together(self) -> Self:
        if self.tls != HecTlsConfig() and not any(url.startswith("https://") for url in self.url):
            raise ValueError("tls: is for https:// urls")
        if len(set(self.url)) < len(self.url):
            raise ValueError("url: one of them stands there twice")
        return self

    def remarks(self) -> Iterator[tuple[Location, str]]:
        """What can be read by others, or lost unseen."""
        for url in self.url:
            if url.startswith("http://") and not is_loopback(url):
                yield ("url",), "the token and the events travel without encryption"
                break
        if not self.tls.verify:
            yield ("tls", "verify"), "certificates are not verified: whoever sits in between reads events and token"
