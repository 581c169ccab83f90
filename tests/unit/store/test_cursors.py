"""Every sink gets a cursor before anything is polled, and keeps it under whatever name."""

from __future__ import annotations

import pytest

from collector.errors import PageRefused
from collector.store import Cursor, Position, Store
from tests.unit.store.samples import commit, make_letter


def positions(cursors: list[Cursor]) -> dict[tuple[str, str], Position]:
    return {(cursor.sink, cursor.destination): cursor.position for cursor in cursors}


@pytest.mark.parametrize("start_at", ["latest", "earliest"])
async def test_in_a_new_state_every_sink_begins_at_the_beginning(store: Store, start_at: str) -> None:
    found = await store.prepare_cursors({"siem": start_at, "archive": start_at}, {})
    assert positions(found) == {("siem", ""): Position(1), ("archive", ""): Position(1)}
    assert all(cursor.state is None for cursor in found)


async def test_a_sink_new_to_an_existing_state_begins_where_it_was_told_to(store: Store) -> None:
    await commit(store, [1])
    await commit(store, [2])
    found = await store.prepare_cursors({"siem": "latest", "archive": "earliest"}, {})
    assert positions(found) == {("siem", ""): Position(3), ("archive", ""): Position(1)}


async def test_a_sink_that_has_a_cursor_keeps_it_and_its_state(store: Store) -> None:
    await store.settle("siem", "", Position(1, 1), state=b"s")
    await store.settle("elastic", "edr-acme", Position(1, 2))
    await commit(store, [1, 2])
    found = await store.prepare_cursors({"siem": "latest", "elastic": "latest"}, {})
    assert positions(found) == {("siem", ""): Position(1, 1), ("elastic", "edr-acme"): Position(1, 2)}
    assert await store.cursors() == found
    assert next(cursor.state for cursor in found if cursor.sink == "siem") == b"s"


async def test_a_renamed_sink_goes_on_where_it_was_with_all_that_is_its_own(store: Store) -> None:
    await commit(store, [1])
    await store.settle("old", "", Position(1), state=b"s", dead_letters=[make_letter()])
    await store.settle("old", "edr-acme", Position(1, 1))
    found = await store.prepare_cursors({"new": "latest"}, {"new": "old"})
    assert positions(found) == {("new", ""): Position(1), ("new", "edr-acme"): Position(1, 1)}
    assert await store.dead_letter_counts() == {("new", ""): 1}
    assert await store.prepare_cursors({"new": "latest"}, {"new": "old"}) == found


async def test_a_rename_that_stays_in_the_configuration_takes_nothing_from_a_later_sink(store: Store) -> None:
    await store.prepare_cursors({"a": "latest"}, {})
    await store.prepare_cursors({"b": "latest"}, {"b": "a"})
    await store.prepare_cursors({"a": "latest", "b": "latest"}, {"b": "a"})
    await store.settle("a", "edr-acme", Position(4), dead_letters=[make_letter()])
    await store.prepare_cursors({"a": "latest", "b": "latest"}, {"b": "a"})
    assert positions(await store.cursors()) == {
        ("a", ""): Position(1),
        ("a", "edr-acme"): Position(4),
        ("b", ""): Position(1),
    }
    assert await store.dead_letter_counts() == {("a", "edr-acme"): 1}


@pytest.mark.parametrize("renamed", [{"b": "a", "c": "b"}, {"c": "b", "b": "a"}])
async def test_a_chain_of_renames_moves_every_sink_once(store: Store, renamed: dict[str, str]) -> None:
    await store.settle("a", "", Position(2))
    await store.settle("b", "", Position(3))
    for _ in range(2):
        found = await store.prepare_cursors({"b": "latest", "c": "latest"}, renamed)
        assert positions(found) == {("b", ""): Position(2), ("c", ""): Position(3)}


async def test_two_sinks_can_not_exchange_their_names(store: Store) -> None:
    await store.settle("a", "", Position(2))
    await store.settle("b", "", Position(3))
    found = await store.prepare_cursors({"a": "latest", "b": "latest"}, {"a": "b", "b": "a"})
    assert positions(found) == {("a", ""): Position(2), ("b", ""): Position(3)}


async def test_a_name_goes_to_and_fro_at_most_once(store: Store) -> None:
    await store.settle("a", "", Position(2))
    await store.prepare_cursors({}, {"a": "b", "b": "a"})
    assert [cursor.position for cursor in await store.cursors()] == [Position(2)]


async def test_a_forgotten_sink_has_no_cursor(store: Store) -> None:
    await store.settle("siem", "", Position(2))
    await store.settle("siem", "edr-acme", Position(2))
    await store.settle("archive", "", Position(2))
    await store.forget_sink("siem")
    assert positions(await store.cursors()) == {("archive", ""): Position(2)}


async def test_storing_a_sink_s_intent_leaves_its_cursor(store: Store) -> None:
    await store.settle("archive", "", Position(1, 5), state=b"before")
    await store.store_state("archive", "", b"intent")
    assert await store.cursors() == [Cursor("archive", "", Position(1, 5), b"intent")]


async def test_an_intent_that_would_not_be_stored_is_refused(store: Store) -> None:
    await store.settle("archive", "", Position(1))
    for sink, destination in (("archive", "elsewhere"), ("nobody", "")):
        with pytest.raises(PageRefused):
            await store.store_state(sink, destination, b"intent")
    assert await store.cursors() == [Cursor("archive", "", Position(1), None)]
