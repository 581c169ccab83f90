"""What a sink module offers: the `Sink` protocol, batches, receipts, its plugin description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Protocol

from pydantic import BaseModel

from collector.clock import Clock
from collector.model import Event


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much a sink takes at once; one event over `max_bytes` goes as a batch of its own.

    `max_destinations`: distinct rendered values of the sink's template in one batch (file: open files), None: any.
    """

    max_events: int = 500
    max_bytes: int = 1 << 20
    max_destinations: int | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events of the log, routed and formatted for one destination of a sink.

    `payloads[i]` is `events[i]` in the sink's format, one line without its line end, never empty.
    `destination` is what `SinkPlugin.destination_key` names, rendered: the same for every event of the batch; "" where
    it names nothing. What of it is secret stands there as a hash.
    """

    destination: str
    events: Sequence[Event]
    payloads: Sequence[bytes]

    def __len__(self) -> int:
        return len(self.events)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch. Every position in neither `rejected` nor `deferred` is durably accepted.

    `rejected`: positions whose content will never be accepted, with the receiver's own reason (dead letters).
    `deferred`: not yet; sent again, alone. `retry_after`: seconds to wait before that.
    `state`: at most 64 KiB, stored with the cursor and handed to `open` next time; None leaves it as it was.
    `certain_after`: seconds for which the sink must go on without an error before the receipt counts; until then the
    cursor stays, and when the sink fails everything since comes again. An empty batch is delivered now and then to ask
    whether it still holds. None: certain now.
    """

    rejected: Mapping[int, str] = field(default_factory=dict)
    deferred: frozenset[int] = frozenset()
    retry_after: float | None = None
    state: bytes | None = None
    certain_after: float | None = None


class Sink(Protocol):
    """One receiver, opened. The delivery loop owns it: one batch at a time unless `max_in_flight` says otherwise.

    After `deliver` or `prepare` raised, the loop closes the sink and opens it again from the stored state. With several
    in flight, `deliver` is called for the next batches while others are under way; when one raises, no further one is
    begun, the others have 10 s to answer, and all of which nothing is known come again. What a receipt says counts
    whatever becomes of the others. A batch that waits for certainty (empty), a dead letter, an event of our own may
    come beside them. A sink that has something to `prepare` takes one at a time.
    """

    limits: BatchLimits
    max_in_flight: int

    def partition(self, event: Event) -> str:
        """The part of the receiver this event goes to (file: the file); a batch ends before one too many of them.

        A pure function of the event, cheap enough to ask for each. "" from every sink without
        `limits.max_destinations`.
        """
        ...

    async def prepare(self, batch: Batch) -> bytes | None:
        """State to store, with the cursor unmoved, before `deliver` touches anything; None: nothing to store."""
        ...

    async def deliver(self, batch: Batch) -> Receipt:
        """Hand the batch over; returns only when what the receipt says is certain (but see `certain_after`).

        Raises:
            SinkUnavailable: nothing is certain; the same events will come again.
            SinkDenied: the receiver refuses us as such; the sink is held until a probe or a reload.
        """
        ...

    async def probe(self) -> None:
        """Find out, by what can double nothing, whether the receiver would take events now.

        Raises:
            SinkError: it would not, and why.
        """
        ...


@dataclass(frozen=True, slots=True)
class SinkContext:
    """What the engine hands to a sink when it opens it, the same each time.

    `encode` is the sink's format, for events that the sink has to make smaller. `memory` is what the sink knows from
    earlier openings in this run of the program; it is not kept beyond.
    """

    name: str
    clock: Clock
    encode: Callable[[Event], bytes] = attrgetter("raw")
    memory: MutableMapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SinkPlugin:
    """One kind of sink: everything the engine needs to know of it, at the end of its module as `PLUGIN`.

    `config` is the pydantic model of a `sinks:` entry (a subclass of `collector.sinks.config.SinkConfig`).
    `open(config, context, state)` gives the running sink; `state` is what its last receipt or `prepare` stored.
    Entering it may raise `SinkError`, with the same meaning as from `deliver`.
    `destination_key` names the attribute of the config (a key, or a property made of several) whose template has a
    cursor, a delivery and an opened sink per rendered value; one cursor where it is constant, or None.
    """

    config: type[BaseModel]
    open: Callable[[BaseModel, SinkContext, bytes | None], AbstractAsyncContextManager[Sink]]
    default_format: str = "json"
    destination_key: str | None = None
