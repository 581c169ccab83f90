"""Pages of events: the answer to a query, spliced from the events' own bytes, with the odd-page faults."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from collector.simulator.accounts import Account
from collector.simulator.anchors import AnchorBook, write_anchor
from collector.simulator.answer import Answer
from collector.simulator.cloud import Cloud
from collector.simulator.faults import Faults
from collector.simulator.query import Parameters, Query, read_query
from collector.simulator.rules import Refused, RuleBook
from collector.simulator.shelf import Shelf, Span
from collector.simulator.vendor_event import VendorEvent


class EventPages:
    """Answers `POST /security-events/v1/security-events` once its sender is known."""

    def __init__(self, cloud: Cloud, faults: Faults, rules: RuleBook) -> None:
        self._cloud = cloud
        self._pages = Pages(faults, rules)

    def answer(self, account: Account, parameters: Parameters) -> Answer:
        """One page.

        Raises:
            Refused: a parameter breaks a rule, or a fault refuses the anchor.
        """
        query = read_query(parameters, account.organization_ids, self._cloud.time.now_ms() * 1000)
        return self._pages.page(query, self._cloud.shelf(account), account.client_id)


class Pages:
    """The pages of one endpoint. `note` is told what was served, None: the ledger of security events."""

    def __init__(
        self, faults: Faults, rules: RuleBook, note: Callable[[Sequence[VendorEvent]], None] | None = None
    ) -> None:
        self._faults = faults
        self._anchors = AnchorBook(rules)
        self._note = note
        self._nonce = 0

    def page(self, query: Query, shelf: Shelf, client_id: str) -> Answer:
        """The answer to a query that is in order.

        Raises:
            Refused: its anchor is not the vendor's, or a fault refuses it.
        """
        if query.anchor is not None:
            self._anchors.check(client_id, query.anchor, query.fingerprint)
            if self._faults.strikes("stale_anchor", client_id):
                details = {"invalidParam": "anchor", "invalidValue": query.anchor}
                raise Refused(400, "The anchor is no longer valid", "", 400_001, details)
        if self._faults.strikes("empty_page", client_id):
            return self._page([], self._empty_page_anchor(query), query, client_id)
        items, events, more = self._select(shelf, query.span, client_id)
        next_anchor = write_anchor((events[-1].stamp_ms, events[-1].key)) if more else None
        if more and query.anchor is not None and self._faults.strikes("repeated_anchor", client_id):
            next_anchor = query.anchor
        return self._page(items, next_anchor, query, client_id)

    def _select(self, shelf: Shelf, span: Span, client_id: str) -> tuple[list[VendorEvent], list[VendorEvent], bool]:
        """The items of the page, the new ones among them, whether there are more.

        Repeated items take the place of new ones: no page is longer than its limit.
        """
        room = min(3, span.limit - 1)
        if room and self._faults.is_on("duplicate_across_pages"):
            before = shelf.preceding(span, room)
            if before and self._faults.strikes("duplicate_across_pages", client_id):
                events, more = shelf.select(replace(span, limit=span.limit - len(before)))
                return before + events, events, more
        if room and self._faults.is_on("duplicate_in_page"):
            events, more = shelf.select(replace(span, limit=span.limit - room))
            if events and self._faults.strikes("duplicate_in_page", client_id):
                return self._with_copies(events, room), events, more
        events, more = shelf.select(span)
        return events, events, more

    def _with_copies(self, events: list[VendorEvent], count: int) -> list[VendorEvent]:
        items = list(events)
        for _ in range(count):
            index = self._faults.draw(len(items))
            items.insert(index + self._faults.draw(len(items) - index) + 1, items[index])
        return items

    def _empty_page_anchor(self, query: Query) -> str:
        self._nonce += 1
        return write_anchor(query.span.after or query.span.before_first(), f"e{self._nonce}")

    def _page(self, events: list[VendorEvent], next_anchor: str | None, query: Query, client_id: str) -> Answer:
        if next_anchor is not None:
            self._anchors.gave(client_id, next_anchor, query.fingerprint)
        unreadable = self._faults.unreadable_among([event.key for event in events])
        if unreadable is not None:
            return Answer(200, _garbage(events, unreadable), client_id=client_id)
        tail = b"]}" if next_anchor is None else b'],"nextAnchor":"%s"}' % next_anchor.encode()
        body = b'{"items":[' + b",".join([event.raw for event in events]) + tail
        return Answer(200, body, client_id=client_id, events=events, note=self._note)


def _garbage(events: list[VendorEvent], key: str) -> bytes:
    """The page up to the middle of the event of that id, where it turns into noise."""
    index = next(index for index, event in enumerate(events) if event.key == key)
    whole = [event.raw for event in events[:index]]
    broken = events[index].raw
    return b'{"items":[' + b",".join([*whole, broken[: len(broken) // 2] + b'\xff\x00"}}<<'])
