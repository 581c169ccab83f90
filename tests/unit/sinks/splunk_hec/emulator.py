"""An event collector as strict as the real one where it matters: partial indexing and acknowledgements told once.

Behaviour by a public record of probes of Splunk 10.4.3: the objects before a bad one are indexed, the reply is 400 with
its number, one too high for a wrong index (code 7). An acknowledgement is true once, then false; those of another
channel are false; a restart forgets all.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import threading
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from aiohttp import web

TOKEN = "7d3e5a1c-0000-4000-8000-3f1c2b9a8d70"
_SPACE = re.compile(r"\s*")
_KEYS = {"time", "host", "source", "sourcetype", "index", "event", "fields"}
_TEXTS = {
    0: "Success",
    1: "Token disabled",
    2: "Token is required",
    3: "Invalid authorization",
    4: "Invalid token",
    5: "No data",
    6: "Invalid data format",
    7: "Incorrect index",
    8: "Internal server error",
    9: "Server is busy",
    10: "Data channel is missing",
    11: "Invalid data channel",
    12: "Event field is required",
    13: "Event field cannot be blank",
    14: "ACK is disabled",
    15: "Error in handling indexed fields",
    23: "Server is shutting down",
    24: "Queue is approaching capacity",
    25: "ACK is approaching capacity",
    26: "Queue is at capacity",
    27: "ACK channel is at capacity",
    28: "Data channel is required for sticky sessions",
}


@dataclass
class Emulator:
    """One indexer. What tests set:

    - `acks`: whether the token acknowledges; `ack_after`: seconds of its clock until true; `acks_lost`: never true.
    - `script`: what the next event posts answer instead, one each: a code, or a function of the request.
    - `bad`: the code an event is refused with, None for a good one; `numbered`: whether the reply says which one.
    """

    acks: bool = False
    ack_after: float = 0.0
    acks_lost: bool = False
    max_pending: int = 1_000_000
    max_bytes: int = 1_000_000
    indexes: frozenset[str] | None = None
    numbered: bool = True
    bad: Callable[[dict[str, Any]], int | None] = lambda _: None
    script: deque[int | Callable[[web.Request], Any]] = field(default_factory=deque)
    now: Callable[[], float] = lambda: 0.0
    events: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    bodies: list[int] = field(default_factory=list)
    polls: int = 0
    in_flight: int = 0
    most_in_flight: int = 0
    url: str = ""
    _fresh: list[tuple[float, list[Any]]] = field(default_factory=list)
    _acks: dict[str, dict[int, float]] = field(default_factory=dict)
    _next: Counter[str] = field(default_factory=Counter)

    def restart(self) -> None:
        """Die between accepting and acknowledging: what could not be acknowledged yet is gone, and so are all acks."""
        lost = {id(event) for due, documents in self._fresh if due > self.now() for event in documents}
        self.events = [event for event in self.events if id(event) not in lost]
        self._fresh.clear()
        self._acks.clear()
        self._next.clear()

    def uids(self) -> list[str]:
        return [event["fields"]["uid"] for event in self.events]

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[str]:
        app = web.Application(client_max_size=1 << 26)
        app.router.add_post("/services/collector/event", self._event)
        app.router.add_post("/services/collector/ack", self._ack)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self.url
        finally:
            await runner.cleanup()

    @contextmanager
    def serve_beside(self) -> Iterator[str]:
        """Serve from a thread of its own, for tests that block."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        server = self.serve()
        try:
            yield asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def settle(self) -> None:
        """Wait until every request that came is answered; blocks."""
        while self.in_flight:
            time.sleep(0.005)

    def reply(self, code: int, **more: Any) -> web.Response:
        statuses = {0: 200, 24: 200, 25: 200, 1: 403, 4: 403, 2: 401, 3: 401, 8: 500, 9: 503, 23: 503, 26: 429, 27: 429}
        document = {"text": _TEXTS[code], "code": code, **more}
        return web.json_response(document, status=statuses.get(code, 400))

    async def _event(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.path, dict(request.headers)))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            body = await request.read()  # aiohttp has unpacked it
            if body and self.script:
                step = self.script.popleft()
                if isinstance(step, int):
                    return self.reply(step)
                answer = step(request)
                if asyncio.iscoroutine(answer):
                    answer = await answer
                if answer is not None:
                    assert isinstance(answer, web.StreamResponse)
                    return answer
            return self._take(request, body)
        finally:
            self.in_flight -= 1

    def _refusal(self, request: web.Request) -> int | None:
        words = request.headers.get("Authorization", "").split(" ")
        if words == [""]:
            return 2
        if len(words) != 2 or words[0] != "Splunk":
            return 3
        if words[1] != TOKEN:
            return 4
        if self.acks:
            channel = request.headers.get("X-Splunk-Request-Channel")
            if channel is None:
                return 10
            try:
                UUID(channel)
            except ValueError:
                return 11
        return None

    def _take(self, request: web.Request, body: bytes) -> web.Response:
        refusal = self._refusal(request)
        channel = request.headers.get("X-Splunk-Request-Channel", "")
        if refusal is None and not body.strip():
            refusal = 5
        elif refusal is None and self.acks and len(self._acks.get(channel, ())) >= self.max_pending:
            refusal = 9
        if refusal is not None:
            return self.reply(refusal)
        if len(body) > self.max_bytes:
            return web.Response(status=413, text="too large")
        self.bodies.append(len(body))
        documents = _documents(body)
        return self._index(documents) or self._receipt(channel, documents)

    def _index(self, documents: list[Any]) -> web.Response | None:
        for number, document in enumerate(documents):
            code = self._flaw(document)
            if code is not None:
                if not self.numbered:
                    return self.reply(code)
                self.events += documents[:number]
                return self.reply(code, **{"invalid-event-number": number + (code == 7)})
        self.events += documents
        return None

    def _receipt(self, channel: str, documents: list[Any]) -> web.Response:
        if not self.acks:
            return self.reply(0)
        number = self._next[channel]
        self._next[channel] += 1
        due = float("inf") if self.acks_lost else self.now() + self.ack_after
        self._acks.setdefault(channel, {})[number] = due
        self._fresh = [fresh for fresh in self._fresh if fresh[0] > self.now()]
        self._fresh.append((due, documents))
        return self.reply(0, ackId=number)

    def _flaw(self, document: Any) -> int | None:
        if not isinstance(document, dict) or document.keys() - _KEYS:
            return 6
        if "event" not in document:
            return 12
        if document["event"] in {"", None} if not isinstance(document["event"], dict | list) else False:
            return 13
        if any(not isinstance(value, str) or not value for value in document.get("fields", {}).values()):
            return 15
        if self.indexes is not None and document.get("index") not in self.indexes:
            return 7
        return self.bad(document)

    async def _ack(self, request: web.Request) -> web.Response:
        self.polls += 1
        self.requests.append((request.path, dict(request.headers)))
        refusal = self._refusal(request)
        if refusal is not None:
            return self.reply(refusal)
        if not self.acks:
            return self.reply(14)
        known = self._acks.get(request.headers["X-Splunk-Request-Channel"], {})
        verdicts = {}
        for number in (await request.json())["acks"]:
            done = known.get(number, float("inf")) <= self.now()
            verdicts[str(number)] = done
            if done:
                del known[number]  # it is told once
        return web.json_response({"acks": verdicts})


def _documents(body: bytes) -> list[Any]:
    if body[:2] == b"\x1f\x8b":
        body = gzip.decompress(body)
    text = body.decode()
    decoder, at, found = json.JSONDecoder(), 0, []
    while (start := _SPACE.match(text, at)) and (at := start.end()) < len(text):
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found
