"""From configuration to the parts of the pipeline: the only place that knows both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from pydantic import SecretStr

from collector.config import Config, TenantConfig
from collector.formats import FORMATS, Encode, FormatSetup, VendorTables
from collector.formats.cef import CefHeader
from collector.model import StreamId
from collector.pipeline.batching import Stage
from collector.pipeline.events import TenantView, Vendor
from collector.pipeline.naming import Naming, Tenants
from collector.pipeline.receiver import Receiver
from collector.plugins import Plugins
from collector.routing import Route
from collector.sinks.config import SinkConfig
from collector.sources.base import SourcePlugin
from collector.sources.config import SourceConfig


@dataclass(frozen=True, slots=True)
class Account:
    """A configured source: one account of one tenant at one vendor."""

    tenant: str
    name: str
    plugin: SourcePlugin
    config: SourceConfig

    @property
    def key(self) -> tuple[str, str]:
        """What makes it the same account after a reload."""
        return (self.tenant, self.name)

    @property
    def identity(self) -> str:
        """The account at the vendor as a hash, "" where the configuration names none."""
        named = (self.config.type, *self.config.account)
        return blake2b("\x1f".join(named).encode(), digest_size=16).hexdigest() if self.config.account else ""

    @property
    def streams(self) -> list[StreamId]:
        """Its feeds that this version can read."""
        wanted = self.config.feeds
        return [StreamId(self.tenant, self.name, feed) for feed in self.plugin.feeds if feed in wanted]


def accounts(config: Config, plugins: Plugins) -> dict[tuple[str, str], Account]:
    """Every configured source by its key."""
    found = [
        Account(tenant, source.name or source.type, plugins.sources.get(source.type), source)
        for tenant, tenant_config in config.tenants.items()
        for source in tenant_config.sources
    ]
    return {account.key: account for account in found}


def tenants(config: Config) -> dict[str, TenantView]:
    """What each tenant puts on its events.

    One that a partner's organizations are mapped to and that is configured as well has its labels on these events, too;
    the partner's stand where it has none of that name.
    """
    return {name: _view(tenant, config.tenants) for name, tenant in config.tenants.items()}


def _view(tenant: TenantConfig, known: Mapping[str, TenantConfig]) -> TenantView:
    mapped = {name: {**tenant.labels, **known[name].labels} for name in tenant.names if name in known}
    by_owner = any(source.own_organizations is not None for source in tenant.sources)
    return TenantView(tenant.labels, tenant.mapped, mapped, by_owner)


def vendors(plugins: Plugins) -> Mapping[str, Vendor]:
    """What reading records of each type of source needs; also of types that no account uses any more."""
    loaded = {name: plugins.sources.get(name) for name in plugins.sources.names}
    return {name: Vendor(plugin.vendor, plugin.product, plugin.normalize) for name, plugin in loaded.items()}


def receiver(name: str, config: Config, plugins: Plugins) -> Receiver:
    """A configured sink."""
    sink = config.sinks[name]
    route = Route(sink.route)
    mapped = {tenant: tenant_config.names for tenant, tenant_config in config.tenants.items()}
    stage = Stage(
        takes_stream=lambda stream: route.takes_stream(stream, mapped.get(stream.tenant, frozenset())),
        takes=route.takes,
        encode=FORMATS[sink.format].encoder(_setup(sink, plugins)),
    )
    return Receiver(name, plugins.sinks.get(sink.type), sink, stage, sink.required)


def naming(name: str, config: Config, plugins: Plugins, tenants_now: Tenants) -> Naming:
    """Where a sink's events go. Secrets that are templates stand in no destination's name."""
    sink = config.sinks[name]
    key = plugins.sinks.get(sink.type).destination_key
    value = None if key is None else getattr(sink, key)
    text = _plain(value) or ""
    held = (_plain(getattr(sink, field)) for field in type(sink).model_fields if _is_secret(getattr(sink, field)))
    return Naming(text, tenants_now, [secret for secret in held if secret and "{" in secret and secret in text])


def _is_secret(value: object) -> bool:
    return isinstance(value, SecretStr)


def _plain(value: object) -> str | None:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return value if isinstance(value, str) else None


def encoder(form: str, plugins: Plugins) -> Encode:
    """A format as no sink has changed it."""
    return FORMATS[form].encoder(FormatSetup(_tables(plugins)))


def _setup(sink: SinkConfig, plugins: Plugins) -> FormatSetup:
    wanted = sink.cef
    header = CefHeader(wanted.vendor, wanted.product, wanted.version, wanted.signature)
    return FormatSetup(_tables(plugins), header, sink.time)


def _tables(plugins: Plugins) -> Mapping[str, VendorTables]:
    loaded = (plugins.sources.get(name) for name in plugins.sources.names)
    return {plugin.vendor: VendorTables(plugin.cef, plugin.severity_numbers) for plugin in loaded}


def renamed_streams(config: Config, plugins: Plugins) -> Iterator[tuple[StreamId, StreamId]]:
    """(old, new) for every stream whose tenant or source says `renamed_from`."""
    for account in accounts(config, plugins).values():
        tenant = config.tenants[account.tenant].renamed_from or account.tenant
        source = account.config.renamed_from or account.name
        for new in account.streams:
            old = StreamId(tenant, source, new.feed)
            if old != new:
                yield old, new
