from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from collector import log
from collector.admin.control import make_control_app, serve_control
from collector.errors import CollectorError
from tests.unit.admin.fake_daemon import BAD_CONFIG, FakeOperations


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
async def session(tmp_path: Path, operations: FakeOperations) -> AsyncIterator[aiohttp.ClientSession]:
    path = tmp_path / "c.sock"
    async with (
        serve_control(path, operations),
        aiohttp.ClientSession("http://localhost", connector=aiohttp.UnixConnector(str(path))) as session,
    ):
        yield session


async def ask(session: aiohttp.ClientSession, method: str, verb: str, body: object = None) -> tuple[int, Any]:
    async with session.request(method, verb, json=body) as response:
        return response.status, await response.json()


async def test_status_is_told_as_json(session: aiohttp.ClientSession) -> None:
    status, told = await ask(session, "GET", "/status")

    assert status == 200
    assert told["started_at"] == "2026-11-22T08:00:00Z"
    assert told["state"]["path"] == "/var/lib/collector/collector.db"
    assert told["feeds"][0]["events"] == 12345


async def test_no_secret_is_left_in_an_answer(session: aiohttp.ClientSession, operations: FakeOperations) -> None:
    log.hide("canary-in-status")
    operations.answer_status = {"last_error": "refused canary-in-status, Authorization: Bearer abc", "gaps": 0}

    status, told = await ask(session, "GET", "/status")

    assert status == 200
    assert told == {"last_error": "refused ***, Authorization: ***", "gaps": 0}


async def test_reload_tells_what_changed(session: aiohttp.ClientSession) -> None:
    status, told = await ask(session, "POST", "/reload")
    assert (status, told) == (200, {"summary": "1 restarted", "changed": ["~ sink archive"], "warnings": []})


@pytest.mark.parametrize(
    "body",
    [{}, {"tenant": 1}, {"tenant": "a", "sink": 1}, {"tenant": "a", "seconds": "1"}, {"tenant": "a", "seconds": 601}],
    ids=["empty", "tenant", "sink", "seconds as text", "too long"],
)
async def test_test_event_that_makes_no_sense_is_refused(
    session: aiohttp.ClientSession, operations: FakeOperations, body: dict[str, Any]
) -> None:
    status, told = await ask(session, "POST", "/test-event", body)

    assert status == 409
    assert "must be" in told["error"]
    assert operations.tested == []


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("pause", {}),
        ("purge", {"tenant": 1}),
        ("accept", {"tenant": "a", "source": 1}),
        ("accept", {"tenant": "a", "anew": 1}),
    ],
    ids=["nothing", "no name", "no source", "neither true nor false"],
)
async def test_decision_about_a_tenant_that_makes_no_sense_is_refused(
    session: aiohttp.ClientSession, operations: FakeOperations, verb: str, body: dict[str, Any]
) -> None:
    status, told = await ask(session, "POST", f"/tenant/{verb}", body)

    assert status == 409
    assert "the request must" in told["error"]
    assert operations.decided == []


async def test_refused_configuration_comes_with_every_problem(
    session: aiohttp.ClientSession, operations: FakeOperations
) -> None:
    operations.failure = BAD_CONFIG

    status, told = await ask(session, "POST", "/reload")

    assert status == 422
    assert told["problems"] == BAD_CONFIG.problems


async def test_what_can_not_be_done_is_said(session: aiohttp.ClientSession, operations: FakeOperations) -> None:
    operations.failure = CollectorError("the store is busy")

    assert await ask(session, "GET", "/status") == (409, {"error": "the store is busy"})


async def test_what_nobody_foresaw_is_told_to_the_log_alone(
    session: aiohttp.ClientSession, operations: FakeOperations, caplog: pytest.LogCaptureFixture
) -> None:
    operations.failure = RuntimeError("inner workings")

    async with session.get("/status") as response:
        text = await response.text()

    assert response.status == 500
    assert "inner workings" not in text
    assert "inner workings" in caplog.text


async def test_dead_letters_are_those_of_the_sink(session: aiohttp.ClientSession) -> None:
    _, all_of_them = await ask(session, "GET", "/dead-letters")
    _, of_sink = await ask(session, "GET", "/dead-letters?sink=siem&limit=5")

    assert [letter["id"] for letter in all_of_them] == [1, 2, 3]
    assert [letter["id"] for letter in of_sink] == [3]


@pytest.mark.parametrize("limit", ["0", "-1", "many", "1000000", "²"])
async def test_odd_limit_is_refused(session: aiohttp.ClientSession, limit: str) -> None:
    status, told = await ask(session, "GET", f"/dead-letters?limit={limit}")

    assert status == 409
    assert "limit must be" in told["error"]


async def test_record_of_a_dead_letter_is_shown_as_it_is(session: aiohttp.ClientSession) -> None:
    status, told = await ask(session, "GET", "/dead-letters/2")

    assert status == 200
    assert json.loads(told["record"]) == {"password": "as the vendor sent it"}


async def test_missing_dead_letter_is_said(session: aiohttp.ClientSession) -> None:
    assert await ask(session, "GET", "/dead-letters/9") == (409, {"error": "there is no dead letter 9"})


async def test_dead_letters_are_chosen_by_sink_and_number(session: aiohttp.ClientSession) -> None:
    assert await ask(session, "POST", "/dead-letters/retry", {"sink": None, "ids": None}) == (200, {"retried": 3})
    assert await ask(session, "POST", "/dead-letters/drop", {"sink": "archive", "ids": [1, 3]}) == (200, {"dropped": 1})
    _, left = await ask(session, "GET", "/dead-letters")
    assert [letter["id"] for letter in left] == [2, 3]


@pytest.mark.parametrize("body", [[], "x", None, {"ids": "1"}, {"ids": [True]}, {"ids": [1.5]}, {"sink": 1}])
async def test_odd_choice_drops_nothing(
    session: aiohttp.ClientSession, operations: FakeOperations, body: object
) -> None:
    status, _ = await ask(session, "POST", "/dead-letters/drop", body)

    assert status == 409
    assert len(operations.letters) == 3


async def test_request_that_is_no_json_drops_nothing(
    session: aiohttp.ClientSession, operations: FakeOperations
) -> None:
    async with session.post("/dead-letters/drop", data=b"{") as response:
        assert response.status == 409

    assert len(operations.letters) == 3


async def test_backup_goes_to_an_absolute_path_only(session: aiohttp.ClientSession) -> None:
    assert await ask(session, "POST", "/backup", {"path": "/srv/copy.db"}) == (200, {"path": "/srv/copy.db"})
    for path in ("copy.db", "", None, 1):
        assert (await ask(session, "POST", "/backup", {"path": path}))[0] == 409


async def test_nothing_changes_by_get(session: aiohttp.ClientSession) -> None:
    status, _ = await ask(session, "GET", "/reload")

    assert status == 405


async def test_tail_gives_lines_as_they_come(session: aiohttp.ClientSession, operations: FakeOperations) -> None:
    async with session.get("/tail", params={"tenant": "acme", "format": "raw"}) as response:
        text = await response.text()

    assert text == '{"v":1}\n{"v":2}\n'
    assert operations.tailed == [("acme", "raw")]
    assert operations.tails_closed == 1


async def test_tail_of_an_unknown_format_is_refused(session: aiohttp.ClientSession) -> None:
    assert await ask(session, "GET", "/tail?format=xml") == (409, {"error": "no format xml"})


async def test_quiet_tail_notices_that_its_reader_has_gone(tmp_path: Path, operations: FakeOperations) -> None:
    operations.endless = True
    runner = aiohttp.web.AppRunner(make_control_app(operations, keep_alive=0.01))
    await runner.setup()
    await aiohttp.web.UnixSite(runner, str(tmp_path / "c.sock")).start()

    reader, writer = await asyncio.open_unix_connection(str(tmp_path / "c.sock"))
    writer.write(b"GET /tail HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b'{"v":2}\n')
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(5):
        await operations.tail_closed.wait()

    assert operations.tails_closed == 1
    await runner.cleanup()


async def test_quiet_tail_does_not_hold_up_the_shutdown(tmp_path: Path, operations: FakeOperations) -> None:
    operations.endless = True
    async with asyncio.timeout(8):
        async with serve_control(tmp_path / "c.sock", operations):
            reader, writer = await asyncio.open_unix_connection(str(tmp_path / "c.sock"))
            writer.write(b"GET /tail HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b'{"v":2}\n')

        await reader.read()
        writer.close()

    assert operations.tails_closed == 1
