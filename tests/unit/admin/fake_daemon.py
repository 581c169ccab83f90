"""A daemon of scripted answers behind the real servers, on a loop and in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collector.admin.control import serve_control
from collector.errors import CollectorError, ConfigError

STARTED = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "pid": 4711,
    "started_at": STARTED,
    "state": {
        "path": Path("/var/lib/collector/collector.db"),
        "bytes": 3 << 20,
        "max_bytes": 10 << 30,
        "free_bytes": 5 << 30,
        "polling": "running",
    },
    "feeds": [
        {
            "tenant": "acme",
            "source": "withsecure",
            "feed": "security_events",
            "state": "backing_off",
            "last_success": STARTED,
            "last_event": None,
            "watermark": STARTED,
            "lag_seconds": 95.5,
            "interval_seconds": 61.0,
            "errors": 3,
            "last_error": "503 from the vendor\x1b[2J\nsecond line",
            "gaps": 0,
            "events": 12345,
            "duplicates": 7,
            "unparsed": 0,
            "unknown_fields": {"details.fooBar": 3, "engine:new\x1b[2J": 12345},
        }
    ],
    "sinks": [
        {
            "sink": "archive",
            "destination": "",
            "state": "held",
            "backlog_events": 20,
            "backlog_bytes": 2048,
            "oldest_unsent": STARTED,
            "last_error": "no space left",
            "last_success": None,
            "delivered": 12325,
            "dead_letters": 2,
        }
    ],
    "warnings": ["this host's clock is 45 s off"],
    "unknown_fields": {"withsecure:details.fooBar": 3, "withsecure:engine:new\x1b[2J": 12345},
}


def letter(number: int, sink: str = "archive") -> dict[str, Any]:
    return {
        "id": number,
        "sink": sink,
        "destination": "",
        "tenant": "acme",
        "source": "withsecure",
        "feed": "security_events",
        "uid": f"{number:032x}",
        "event_id": f"event-{number}",
        "fetched_at": STARTED,
        "reason": "field too long | ä\x9b1m",
        "at": STARTED,
        "attempts": 1,
    }


class FakeOperations:
    """Answers from its attributes; `failure` is raised by every method while it is set."""

    def __init__(self) -> None:
        self.answer_status = STATUS
        self.answer_health: dict[str, Any] = {"live": True, "ready": True, "reasons": []}
        self.changed = ["~ sink archive"]
        self.reload_warnings: list[str] = []
        self.letters = [letter(1), letter(2), letter(3, "siem")]
        self.lines = [b'{"v":1}', b'{"v":2}']
        self.endless = False
        self.failure: Exception | None = None
        self.decided: list[tuple[object, ...]] = []
        self.tested: list[tuple[str, str | None, float]] = []
        self.test_outcomes: list[dict[str, Any]] = []
        self.tailed: list[tuple[str | None, str]] = []
        self.tails_closed = 0
        self.tail_closed = asyncio.Event()

    def _may_fail(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def status(self) -> dict[str, Any]:
        self._may_fail()
        return self.answer_status

    async def health(self) -> dict[str, Any]:
        self._may_fail()
        return self.answer_health

    async def reload(self) -> dict[str, Any]:
        self._may_fail()
        summary = f"{len(self.changed)} restarted" if self.changed else "nothing has changed"
        return {"summary": summary, "changed": self.changed, "warnings": self.reload_warnings}

    async def pause_tenant(self, tenant: str) -> None:
        self._may_fail()
        self.decided.append(("pause", tenant))

    async def resume_tenant(self, tenant: str) -> None:
        self._may_fail()
        self.decided.append(("resume", tenant))

    async def purge_tenant(self, tenant: str) -> int:
        self._may_fail()
        self.decided.append(("purge", tenant))
        return 17

    async def accept_account(self, tenant: str, source: str | None, *, anew: bool) -> int:
        self._may_fail()
        self.decided.append(("accept", tenant, source, anew))
        return 2

    async def test_event(self, tenant: str, sink: str | None, seconds: float) -> list[dict[str, Any]]:
        self._may_fail()
        self.tested.append((tenant, sink, seconds))
        return self.test_outcomes

    async def backup(self, target: str) -> dict[str, Any]:
        return {"path": target}

    def tail(self, tenant: str | None, form: str) -> AsyncIterator[bytes]:
        self._may_fail()
        if form not in ("json", "raw"):
            raise CollectorError(f"no format {form}")
        self.tailed.append((tenant, form))
        return self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        try:
            for line in self.lines:
                yield line
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.tails_closed += 1
            self.tail_closed.set()

    async def dead_letters(self, sink: str | None, limit: int) -> list[dict[str, Any]]:
        return [found for found in self.letters if sink in (None, found["sink"])][:limit]

    async def dead_letter(self, number: int) -> dict[str, Any]:
        for found in self.letters:
            if found["id"] == number:
                return {**found, "record": '{"password": "as the vendor sent it"}'}
        raise CollectorError(f"there is no dead letter {number}")

    async def retry_dead_letters(self, sink: str | None, numbers: Sequence[int] | None) -> int:
        return len(self._chosen(sink, numbers))

    async def drop_dead_letters(self, sink: str | None, numbers: Sequence[int] | None) -> int:
        chosen = self._chosen(sink, numbers)
        self.letters = [found for found in self.letters if found not in chosen]
        return len(chosen)

    def _chosen(self, sink: str | None, numbers: Sequence[int] | None) -> list[dict[str, Any]]:
        return [
            found
            for found in self.letters
            if sink in (None, found["sink"]) and (numbers is None or found["id"] in numbers)
        ]

    async def checkpoints(self) -> list[dict[str, Any]]:
        stream = {"tenant": "acme", "source": "withsecure", "feed": "security_events"}
        return [
            {**stream, "lane": "tip", "watermark": STARTED, "job": None, "run": False, "state": {}},
            {**stream, "lane": "sweep", "watermark": None, "job": None, "run": True, "state": {}},
        ]


BAD_CONFIG = ConfigError(["collector.yaml:3: tenants.acme: first mistake", "collector.yaml:9: sinks: second mistake"])


@contextmanager
def daemon_on(path: Path, operations: FakeOperations) -> Iterator[None]:
    """Answer on the socket `path` from another thread, as the blocking client needs it."""
    ready, failed = threading.Event(), list[BaseException]()
    stop: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        stopped = asyncio.Event()
        stop.append((asyncio.get_running_loop(), stopped))
        async with serve_control(path, operations):
            ready.set()
            await stopped.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as exc:
            failed.append(exc)
            ready.set()
            raise

    thread = threading.Thread(target=run, name="fake daemon")
    thread.start()
    try:
        assert ready.wait(10)
        assert not failed
        yield
    finally:
        loop, stopped = stop[0]
        if not loop.is_closed():
            loop.call_soon_threadsafe(stopped.set)
        thread.join(10)
