"""Events of log pages, made once for all sinks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from collector.model import Event, Normalized, Record, StreamId
from collector.pipeline.normalizing import make_event
from collector.store import DeadLetter, LogPage

_KEPT_PAGES = 32
_MAX_UNKNOWN_NAMES = 1000


@dataclass(frozen=True, slots=True)
class Vendor:
    """What of a source plugin is needed to read its records."""

    name: str
    product: str
    normalize: Callable[[str, Record], Normalized]


@dataclass(frozen=True, slots=True)
class TenantView:
    """What of a tenant's configuration is put on its events."""

    labels: Mapping[str, str]
    organizations: Mapping[str, str]


_NOBODY = TenantView({}, {})


class Events:
    """Turns log pages into events, and remembers the newest pages so that further sinks get them for nothing."""

    def __init__(self, vendors: Mapping[str, Vendor], tenants: Mapping[str, TenantView]) -> None:
        self._vendors = vendors
        self._tenants = tenants
        self._kept: OrderedDict[int, Sequence[Event]] = OrderedDict()
        self.unknown: dict[str, int] = {}
        self.on_unparsed: Callable[[StreamId, int], None] | None = None
        self.on_unknown: Callable[[StreamId, int], None] | None = None

    def set_tenants(self, tenants: Mapping[str, TenantView]) -> None:
        """Use other labels and organizations from now on."""
        self._tenants = tenants
        self._kept.clear()

    def of_page(self, page: LogPage) -> Sequence[Event]:
        """The page's events, position by position."""
        kept = self._kept.get(page.seq)
        if kept is not None:
            return kept
        events = []
        unparsed = unknown_here = 0
        for record in page.records:
            event, unknown = self._make(record, page)
            events.append(event)
            unparsed += event.kind == "unparsed"
            unknown_here += len(unknown)
            self._note(page.source_type, unknown)
        if unparsed and self.on_unparsed is not None:
            self.on_unparsed(page.stream, unparsed)
        if unknown_here and self.on_unknown is not None:
            self.on_unknown(page.stream, unknown_here)
        self._kept[page.seq] = events
        while len(self._kept) > _KEPT_PAGES:
            self._kept.popitem(last=False)
        return events

    def of_dead_letter(self, letter: DeadLetter) -> Event:
        """The event a sink refused."""
        page = LogPage(0, letter.stream, letter.source_type, letter.fetched_at, [letter.record], 0)
        return self._make(letter.record, page)[0]

    def _make(self, record: Record, page: LogPage) -> tuple[Event, tuple[str, ...]]:
        vendor = self._vendors[page.source_type]
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
        )

    def _note(self, source_type: str, unknown: tuple[str, ...]) -> None:
        for name in unknown:
            key = f"{source_type}:{name}"
            if key in self.unknown or len(self.unknown) < _MAX_UNKNOWN_NAMES:
                self.unknown[key] = self.unknown.get(key, 0) + 1
