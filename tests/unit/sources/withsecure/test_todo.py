from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from collector.model import Checkpoint
from collector.sources.withsecure.incident_slices import Belonging
from collector.sources.withsecure.todo import MAX_LIMIT, Todo, merged, todo_of, with_todo

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def todo(name: str = "i", **more: object) -> Todo:
    return Todo(Belonging(name, "public", "name", "org", 17), **more)  # type: ignore[arg-type]


def test_a_checkpoint_keeps_what_is_to_do_through_json() -> None:
    at = with_todo(Checkpoint(NOW, state={"beginning": "b"}), [todo("a", token="t", tries=2), todo("b")])
    again = Checkpoint(NOW, state=json.loads(json.dumps(at.state)))

    assert todo_of(again) == [todo("a", token="t", tries=2), todo("b")]
    assert again.state["beginning"] == "b"
    assert with_todo(again, []).state == {"beginning": "b"}


def test_what_has_another_shape_is_left_out() -> None:
    assert todo_of(None) == todo_of(Checkpoint()) == todo_of(Checkpoint(state={"todo": "x"})) == []
    assert todo_of(Checkpoint(state={"todo": [{"of": 1}, {"of": {"id": "i"}}, None]})) == [Todo(Belonging("i"))]


def test_an_incident_is_to_do_once_and_then_anew() -> None:
    assert merged([todo("a", token="t"), todo("b")], [todo("a"), todo("c"), todo("c")]) == [
        todo("b"),
        todo("a"),
        todo("c"),
    ]


def test_one_that_failed_waits_ever_longer_up_to_a_quarter_of_an_hour() -> None:
    waits, now, each = [], NOW, todo()
    for _ in range(9):
        each = each.later(now, proven=False)
        waits.append(each.due_ms - int(now.timestamp() * 1000))

    assert waits == sorted(waits)
    assert waits[0] == 15_000
    assert waits[-1] == 900_000
    assert not each.is_due(now)
    assert each.is_due(now + timedelta(minutes=15))


def test_only_failures_beside_readable_answers_are_proofs() -> None:
    each = todo().later(NOW, proven=False).later(NOW, proven=True)

    assert (each.tries, each.proofs) == (2, 1)


def test_circles_of_any_length_are_found() -> None:
    for length in (1, 2, 3, 7, 20):
        each: Todo | None = todo()
        pages = 0
        while each is not None:
            each = each.turned(f"token-{pages}", [f"d{pages % length}"])
            pages += 1
            assert pages < 8 * length + 8


def test_empty_pages_end_some_time() -> None:
    each: Todo | None = todo()
    pages = 0
    while each is not None:
        each = each.turned(f"token-{pages}", [])
        pages += 1

    assert pages == 20


def test_the_limit_grows_back_with_pages_that_can_be_read() -> None:
    each = todo(limit=25).turned("a", ["d1"])
    assert each is not None
    assert each.limit == 50
    again = each.turned("b", ["d2"])
    assert again is not None
    assert again.limit == MAX_LIMIT
