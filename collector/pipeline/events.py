"""Events of log pages, made once for all sinks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from collector.model import OWNER_UNKNOWN, Event, Normalized, Record, StreamId, organization_key
from collector.pipeline.normalizing import make_event
from collector.store import DeadLetter, LogPage, Position

KEPT_BYTES = 8 * 1024 * 1024
_KEPT_PAGES = 256
# What an event takes in memory beside the vendor's bytes, roughly.
_EVENT_BYTES = 2000
_MAX_UNKNOWN_NAMES = 1000


@dataclass(frozen=True, slots=True)
class Vendor:
    """What of a source plugin is needed to read its records."""

    name: str
    product: str
    normalize: Callable[[str, Record], Normalized]


@dataclass(frozen=True, slots=True)
class TenantView:
    """What of a tenant's configuration is put on its events.

    `organizations`: `organization_key` to tenant name; `mapped_labels`: that tenant's labels, where it has other ones.
    `by_owner`: organizations are told apart even if none is mapped yet.
    """

    labels: Mapping[str, str]
    organizations: Mapping[str, str]
    mapped_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    by_owner: bool = False

    def is_without_tenant(self, organization_id: str) -> bool:
        """Whether a partner's credentials brought something of an organization that nobody mapped."""
        if not organization_id or not (self.organizations or self.by_owner):
            return False
        return organization_key(organization_id) not in self.organizations


_NOBODY = TenantView({}, {})


def _not_installed(feed: str, _record: Record) -> Normalized:
    """For what a plugin that is gone left in the log: delivered as kind unparsed, rather than hold up what follows."""
    raise LookupError(feed)


class PageEvents:
    """The events of one page, each made when it is first asked for: a page may be 64 MiB, a batch takes less."""

    def __init__(self, page: LogPage, make: Callable[[PageEvents, int], Event]) -> None:
        self.page = page
        self.weight = 0
        self._make = make
        self._made: list[Event | None] = [None] * len(page.records)

    def __len__(self) -> int:
        return len(self._made)

    def __getitem__(self, offset: int) -> Event:
        event = self._made[offset]
        if event is None:
            event = self._made[offset] = self._make(self, offset)
        return event

    def __iter__(self) -> Iterator[Event]:
        """Those that were not purged."""
        return (self[offset] for offset, record in enumerate(self.page.records) if not record.is_purged)


class Events:
    """Turns log pages into events, and remembers the newest so that further sinks get them for nothing.

    One log each: pages are told apart by their number. `on_unparsed` and `on_unknown` are told, once per record, of
    those that could not be understood, and of names that no table knows; `on_unmapped` of events of organizations
    without a tenant, `on_owner_unknown` of those whose device's owner could not be told.
    """

    def __init__(
        self, vendors: Mapping[str, Vendor], tenants: Mapping[str, TenantView], kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._vendors = vendors
        self._tenants = tenants
        self._max_bytes = kept_bytes
        self._bytes = 0
        self._kept: OrderedDict[int, PageEvents] = OrderedDict()
        self._counted: dict[StreamId, Position] = {}
        self.unknown: dict[str, int] = {}
        self.on_unparsed: Callable[[StreamId, int], None] | None = None
        self.on_unknown: Callable[[StreamId, Sequence[str]], None] | None = None
        self.on_unmapped: Callable[[StreamId, Event], None] | None = None
        self.on_tenants: Callable[[Mapping[str, TenantView]], None] | None = None
        self.on_owner_unknown: Callable[[StreamId], None] | None = None

    def set_tenants(self, tenants: Mapping[str, TenantView]) -> None:
        """Use other labels and organizations from now on."""
        self._tenants = tenants
        self._kept.clear()
        self._bytes = 0
        if self.on_tenants is not None:
            self.on_tenants(tenants)

    def tenant(self, name: str) -> TenantView:
        """What is put on a tenant's events now."""
        return self._tenants.get(name, _NOBODY)

    def of_page(self, page: LogPage) -> PageEvents:
        """The page's events, position by position."""
        kept = self._kept.get(page.seq)
        if kept is None:
            kept = self._kept[page.seq] = PageEvents(page, self._make_of)
            if len(self._kept) > _KEPT_PAGES:
                self._drop_oldest()
        return kept

    def of_dead_letter(self, letter: DeadLetter) -> Event:
        """The event a sink refused."""
        return self.of_record(letter.stream, letter.source_type, letter.record, letter.fetched_at)

    def of_record(self, stream: StreamId, source_type: str, record: Record, fetched_at: datetime) -> Event:
        """The event of a record that is in no page."""
        return self._make(record, LogPage(0, stream, source_type, fetched_at, [record], 0))[0]

    def _make_of(self, events: PageEvents, offset: int) -> Event:
        page = events.page
        record = page.records[offset]
        event, unknown = self._make(record, page)
        self._count(page, offset, event, unknown)
        weight = len(record.raw) + _EVENT_BYTES
        events.weight += weight
        if self._kept.get(page.seq) is events:
            self._bytes += weight
            while self._bytes > self._max_bytes:
                self._drop_oldest()
        return event

    def _drop_oldest(self) -> None:
        _, dropped = self._kept.popitem(last=False)
        self._bytes -= dropped.weight

    def _make(self, record: Record, page: LogPage) -> tuple[Event, tuple[str, ...]]:
        vendor = self._vendors.get(page.source_type) or Vendor(page.source_type, "", _not_installed)
        tenant = self._tenants.get(page.stream.tenant, _NOBODY)
        return make_event(
            record,
            stream=page.stream,
            vendor=vendor.name,
            product=vendor.product,
            labels=tenant.labels,
            organizations=tenant.organizations,
            fetched_at=page.fetched_at,
            normalize=vendor.normalize,
            mapped_labels=tenant.mapped_labels,
        )

    def _count(self, page: LogPage, offset: int, event: Event, unknown: tuple[str, ...]) -> None:
        """A record that is made again, for a sink that is behind, counts no second time."""
        here = Position(page.seq, offset)
        if here < self._counted.get(page.stream, here):
            return
        self._counted[page.stream] = Position(page.seq, offset + 1)
        if event.kind == "unparsed" and self.on_unparsed is not None:
            self.on_unparsed(page.stream, 1)
        if unknown and self.on_unknown is not None:
            self.on_unknown(page.stream, unknown)
        if self.on_unmapped is not None:
            view = self._tenants.get(page.stream.tenant, _NOBODY)
            if view.is_without_tenant(event.organization_id):
                self.on_unmapped(page.stream, event)
        if OWNER_UNKNOWN in event.flags and self.on_owner_unknown is not None:
            self.on_owner_unknown(page.stream)
        for name in unknown:
            key = f"{page.source_type}:{name}"
            if key in self.unknown or len(self.unknown) < _MAX_UNKNOWN_NAMES:
                self.unknown[key] = self.unknown.get(key, 0) + 1
