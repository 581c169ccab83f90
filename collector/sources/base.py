"""What a vendor module offers: the `Source` protocol, its plugin description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from pydantic import BaseModel

from collector.budget import Budget
from collector.clock import Clock
from collector.formats.cef import CefTable
from collector.http import HttpClients
from collector.model import Checkpoint, Lane, Normalized, Page, Record, Window


class Source(Protocol):
    """One account at one vendor. Stateless between calls but for logins: positions live in checkpoints."""

    feeds: Sequence[str]

    async def fetch(self, feed: str, lane: Lane, after: Checkpoint | None, window: Window | None) -> Page:
        """Read one page of one lane: one data request, plus logins and smaller re-reads where needed.

        `after` is the lane's stored checkpoint, None when it never ran (only the tip may get None: it then begins
        `start_from` before vendor time and remembers `state = {"beginning", "started"}`, RFC 3339).
        `window` bounds the lane: for the sweep its start is the feed's beginning, for a job both ends are given,
        for the tip it is None.

        Raises:
            SourceUnavailable: ask again later, nothing moved.
            SourceDenied: credentials or licence; ask again slowly.
            CheckpointExpired: the stored token is refused: the caller stores what it says and asks again.
            SourceProtocolError: the answer can't be understood; ask again later, loudly.
        """
        ...

    async def check(self) -> Sequence[str]:
        """Log in, read a little of each feed; returns remarks for the operator, empty when all is well.

        Raises:
            SourceError: what is wrong, in words for the operator.
        """
        ...


@dataclass(frozen=True, slots=True)
class Organization:
    """A customer at the vendor, whose events a partner's credentials see. `id` is what `organization_id` has."""

    id: str
    name: str = ""


@runtime_checkable
class SeesOrganizations(Protocol):
    """A source that can tell whose events it sees, for `collector check`."""

    async def organizations(self) -> Sequence[Organization] | None:
        """Every organization, or owner of devices, that the credentials see, once; None: its events do not tell them.

        Raises:
            SourceError: they can't be listed, which says nothing about the feeds.
        """
        ...


@runtime_checkable
class HasWarnings(Protocol):
    """A source that may lack something beside its feeds, for the status."""

    def warnings(self) -> Sequence[str]:
        """What is lacking at the moment, a sentence each; asks nobody."""
        ...


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What the engine hands to a source when it opens it; `name` is unique within its tenant."""

    tenant: str
    name: str
    http: HttpClients
    budget: Budget
    clock: Clock


@dataclass(frozen=True, slots=True)
class BudgetKey:
    """Which requests count together at the vendor."""

    host: str
    account: str
    egress: str


@dataclass(frozen=True, slots=True)
class SourcePlugin:
    """One vendor: everything the engine needs to know of it, at the end of its module as `PLUGIN`.

    `config` is the pydantic model of a `sources:` entry; `open` gives the running source; `normalize(feed, record)`
    is a pure function that may raise anything (the engine then delivers the record as kind `unparsed`);
    `budget_key` says with whom a source shares its rate limit; `feeds` are the names a user may list.
    `example(number, at)` makes up a record as the vendor would send it, for test events, with its feed.
    Format `cef` uses `severity_numbers` (by the vendor's own words, in lower case) and the table `cef`; a vendor
    without one gets what all events have.
    """

    vendor: str
    product: str
    feeds: tuple[str, ...]
    config: type[BaseModel]
    open: Callable[[BaseModel, SourceContext], AbstractAsyncContextManager[Source]]
    normalize: Callable[[str, Record], Normalized]
    budget_key: Callable[[BaseModel], BudgetKey]
    severity_numbers: Mapping[str, int]
    cef: CefTable = field(default_factory=CefTable)
    example: Callable[[str, datetime], tuple[str, Record]] | None = None
