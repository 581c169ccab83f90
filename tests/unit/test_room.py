from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import Context

from collector.room import Room


async def test_who_gives_up_while_it_waits_for_room_leaves_nothing_behind() -> None:
    room = Room(100)
    await room.grow("first", 60)
    waiting = asyncio.create_task(room.grow("second", 60))
    await asyncio.sleep(0)
    assert not waiting.done()

    await room.grow("first", 60)
    waiting.cancel()
    await asyncio.wait([waiting])
    room.release("second")
    third = asyncio.create_task(room.grow("third", 60))
    await asyncio.sleep(0)
    assert not third.done()

    room.release("first")
    await third
    assert room.held == 60


async def test_a_page_holds_its_bytes_until_it_is_left() -> None:
    room = Room(100)
    with room.page():
        await room.grow("answer", 60)
        room.release("answer")
        assert room.held == 60
        other = asyncio.create_task(_read(room, "another", 60), context=Context())
        await asyncio.sleep(0)
        assert not other.done()

    await asyncio.wait_for(other, 1)
    assert room.held == 0


async def test_a_page_that_fails_gives_its_bytes_back() -> None:
    room = Room(100)
    with suppress(OSError), room.page():
        await room.grow("answer", 60)
        raise OSError

    assert room.held == 0


async def test_what_tasks_of_a_page_read_is_the_pages() -> None:
    room = Room(100)
    with room.page():
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(_read(room, name, 20))
        assert room.held == 60
    assert room.held == 0


async def test_the_first_page_may_always_grow_so_that_pages_never_wait_for_each_other() -> None:
    room = Room(100)

    async def page(name: str) -> None:
        with room.page():
            await _read(room, name, 50)
            await asyncio.sleep(0)
            await _read(room, name, 50)

    async with asyncio.timeout(1), asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(page(name))
    assert room.held == 0


async def test_small_answers_never_wait() -> None:
    room = Room(10_240)
    await room.grow("large", 20_000)

    async with asyncio.timeout(1):
        await room.grow("login", 10)
    waiting = asyncio.create_task(room.grow("login", 1))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()


async def _read(room: Room, name: str, size: int) -> None:
    await room.grow(name, size)
    room.release(name)
