from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from collector.admin.server import make_app, serve
from collector.errors import CollectorError
from collector.metrics import Metrics, Rendering
from tests.unit.admin.fake_daemon import FakeOperations


@pytest.fixture
def operations() -> FakeOperations:
    return FakeOperations()


@pytest.fixture
async def session(operations: FakeOperations) -> AsyncIterator[aiohttp.ClientSession]:
    app = make_app(operations, Rendering(Metrics()))
    async with (
        serve(("127.0.0.1", 0), app) as (host, port),
        aiohttp.ClientSession(f"http://{host}:{port}") as session,
    ):
        yield session


async def ask(session: aiohttp.ClientSession, path: str, **headers: str) -> tuple[int, str, str]:
    async with session.get(path, headers=headers) as response:
        return response.status, response.headers["Content-Type"], await response.text()


async def test_metrics_are_served_in_the_plain_dialect(session: aiohttp.ClientSession) -> None:
    status, content_type, text = await ask(session, "/metrics")

    assert status == 200
    assert content_type.startswith("text/plain; version=")
    assert "edr_collector_log_bytes 0.0" in text


async def test_metrics_are_served_in_the_dialect_that_is_asked_for(session: aiohttp.ClientSession) -> None:
    status, content_type, text = await ask(session, "/metrics", Accept="application/openmetrics-text; version=1.0.0")

    assert status == 200
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


async def test_probes_are_good_while_all_is_well(session: aiohttp.ClientSession) -> None:
    assert (await ask(session, "/livez"))[0] == 200
    assert (await ask(session, "/readyz"))[0] == 200


async def test_unready_says_why_and_lives_on(session: aiohttp.ClientSession, operations: FakeOperations) -> None:
    operations.answer_health = {"live": True, "ready": False, "reasons": ["the state can't be written"]}

    status, _, text = await ask(session, "/readyz")

    assert status == 503
    assert "the state can't be written" in text
    assert (await ask(session, "/livez"))[0] == 200


async def test_dead_loop_is_not_alive(session: aiohttp.ClientSession, operations: FakeOperations) -> None:
    operations.answer_health = {"live": False, "ready": False, "reasons": ["a loop is stuck"]}

    assert (await ask(session, "/livez"))[0] == 503


async def test_first_page_lists_the_others(session: aiohttp.ClientSession) -> None:
    status, _, text = await ask(session, "/")

    assert status == 200
    for path in ("/metrics", "/livez", "/readyz"):
        assert path in text


async def test_operator_verbs_are_not_served_here(session: aiohttp.ClientSession) -> None:
    for path in ("/status", "/reload", "/tail", "/dead-letters", "/nonsense"):
        assert (await ask(session, path))[0] == 404


async def test_only_reading_is_allowed(session: aiohttp.ClientSession) -> None:
    for path in ("/", "/metrics", "/livez", "/readyz"):
        async with session.post(path) as response:
            assert response.status == 405


async def test_no_library_and_version_is_told(session: aiohttp.ClientSession) -> None:
    async with session.get("/livez") as response:
        assert response.headers["Server"] == "edr-collector"


async def test_no_traceback_is_served(session: aiohttp.ClientSession, operations: FakeOperations) -> None:
    operations.failure = RuntimeError("inner workings")

    status, _, text = await ask(session, "/readyz")

    assert status == 500
    assert "inner workings" not in text


async def test_taken_address_is_said(operations: FakeOperations) -> None:
    app, second = make_app(operations), make_app(operations)

    async with serve(("127.0.0.1", 0), app) as address:
        with pytest.raises(CollectorError, match=rf"can't listen on 127.0.0.1:{address[1]}"):
            async with serve(address, second):
                pass
