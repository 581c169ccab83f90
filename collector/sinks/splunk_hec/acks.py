"""Acknowledgements of one data channel: who waits for which, asked for by one of those who wait.

The receiver says true once and never again, so what an answer holds is recorded for everybody before anything else
happens. A number that comes a second time means that the receiver has begun anew (indexers count from 0 after a
restart): it knows nothing of what was asked before, and an old batch must not take the new one's true for its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from collector.clock import Clock
from collector.errors import SinkError

_SOONEST, _LATEST = 0.5, 10.0
_OF_ITS_AGE = 6
_MOST_NUMBERS = 10_000

Ask = Callable[["Channel", Collection[int]], Awaitable[Mapping[str, Any] | None]]
"""Ask the receiver for these numbers of a channel: its `acks`, None when it no longer acknowledges anything."""


@dataclass(eq=False, slots=True)
class Ack:
    """One body that waits to be acknowledged; `certain` once it is, `lost` when it can't be any more."""

    number: int
    since: float
    certain: bool = False
    lost: bool = False

    @property
    def open(self) -> bool:
        """Whether it is worth asking."""
        return not self.certain and not self.lost


class Channel:
    """The acknowledgements of one GUID.

    Whoever waits while nobody asks does the asking for all, so that there is no task which could outlive the batches.
    """

    def __init__(self, clock: Clock, ask: Ask) -> None:
        self.guid = str(uuid4())
        self.trouble: SinkError | None = None
        """Why the last question got no answer; None when it got one."""
        self._clock = clock
        self._ask = ask
        self._open: dict[int, Ack] = {}
        self._seen: set[int] = set()
        self._began_anew = False
        self._asking = False
        self._asked = asyncio.Event()

    @property
    def used_up(self) -> bool:
        """Go on with another one: this has lost its memory, or many numbers that nobody may ever ask for."""
        return self._began_anew or len(self._seen) >= _MOST_NUMBERS

    @property
    def used(self) -> bool:
        """A number was given in it."""
        return bool(self._seen)

    def note(self, number: int) -> None:
        """A body was received under this number, which nobody will ask for."""
        if number in self._seen:
            self._began_anew = True
            for ack in self._open.values():
                ack.lost = True
            self._open.clear()
            self._wake()
        self._seen.add(number)

    def expect(self, number: int) -> Ack:
        """A body was received under this number."""
        self.note(number)
        self._open[number] = ack = Ack(number, self._clock.monotonic())
        return ack

    def forget(self, ack: Ack) -> None:
        """Nobody waits for it any more."""
        if self._open.get(ack.number) is ack:
            del self._open[ack.number]

    async def confirmed(self, ack: Ack, seconds: float) -> bool:
        """Wait until it is acknowledged; False when it is not within so many seconds of its being received."""
        while ack.open:
            left = ack.since + seconds - self._clock.monotonic()
            if left <= 0:
                break
            if self._asking:
                await self._asked.wait()
            else:
                await self._round(left)
        self.forget(ack)
        return ack.certain

    async def _round(self, most: float) -> None:
        self._asking = True
        try:
            now = self._clock.monotonic()
            youngest = now - max((ack.since for ack in self._open.values()), default=now)
            wait = min(_LATEST, max(_SOONEST, youngest / _OF_ITS_AGE))
            await self._clock.sleep(min(wait, most))
            if self._open:
                await self._poll()
        finally:
            self._asking = False
            self._wake()

    async def _poll(self) -> None:
        asked = dict(self._open)
        try:
            answers = await self._ask(self, asked)
        except SinkError as exc:  # they are asked for again, until their time is over
            self.trouble = exc
            return
        self.trouble = None
        for number, ack in asked.items():
            if ack.open and (answers is None or answers.get(str(number)) is True):
                ack.certain = True
                self.forget(ack)

    def _wake(self) -> None:
        self._asked.set()
        self._asked = asyncio.Event()
