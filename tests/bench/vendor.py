"""A vendor that costs next to nothing: pages made beforehand, served by a process of its own."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from aiohttp import web

from collector.simulator import COMPANY, Mix, generate

PAGE = 200
_EMPTY = b'{"items":[]}'


def make_pages(count: int, end: datetime) -> list[bytes]:
    """`count` full pages of events of every engine, the newest just before `end`."""
    start = end - timedelta(hours=20)
    events = generate(1, count * PAGE, start, end, [COMPANY.organization], Mix(late=0.0, hostile=0.0))
    raws = [event.raw for event in sorted(events, key=lambda event: event.stamp_ms)]
    pages = []
    for number in range(count):
        items = b",".join(raws[number * PAGE : (number + 1) * PAGE])
        anchor = b"" if number == count - 1 else b',"nextAnchor":"%d"' % (number + 1)
        pages.append(b'{"items":[' + items + b"]" + anchor + b"}")
    return pages


def application(pages: Sequence[bytes]) -> web.Application:
    """The two endpoints; the first request of a run has no anchor. Without pages every answer is an empty one."""

    async def token(_request: web.Request) -> web.Response:
        return web.json_response({"access_token": "bench", "token_type": "Bearer", "expires_in": 1797})

    async def events(request: web.Request) -> web.Response:
        form = await request.post()
        number = int(str(form.get("anchor", "0")))
        body = pages[number] if pages else _EMPTY
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/as/token.oauth2", token)
    app.router.add_post("/security-events/v1/security-events", events)
    return app


async def main(count: int) -> None:
    """Serve until the parent closes our standard input."""
    runner = web.AppRunner(application(make_pages(count, datetime.now(UTC))), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(json.dumps({"base_url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
