from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
import structlog

from collector.app import reloading
from collector.app.changes import Reloaded
from collector.app.engine import Engine, _run, _unwrapped, assembled
from collector.app.operations import EngineOperations
from collector.errors import CollectorError, ConfigError, SinkDenied, SinkUnavailable, StoreError, StoreFull
from collector.metrics import METRICS
from collector.model import Checkpoint, Lane, Page, StreamId
from collector.sinks.base import Batch, Receipt
from collector.store import Cursor, Position, Store
from collector.testing import make_record
from collector.testing.clock import START
from tests.unit.app.world import ACME, Running, World, field, ids, stand_in

BETA = {"sources": [{"type": "memory", "feeds": ["alerts"]}]}


def metric(name: str, **labels: str) -> float | None:
    return METRICS.registry.get_sample_value(f"edr_collector_{name}", labels)


async def cursors(running: Running) -> dict[str, Cursor]:
    return {cursor.sink: cursor for cursor in await running.engine.store.cursors()}


async def test_reload_of_the_same_changes_nothing(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        assert await running.reload() == []
        await running.quiet()

    assert len(world.vendor().contexts) == 1
    assert len(world.sink().states) == 1


async def test_only_what_changed_is_restarted(world: World) -> None:
    world.tenants["beta"] = dict(BETA)
    world.sinks["second"] = {"type": "memory"}
    async with world.running() as running:
        await running.settled()
        world.tenants["beta"] = {"sources": [{"type": "memory", "feeds": ["alerts"], "poll_interval": "30s"}]}
        world.sinks["second"]["note"] = "changed"
        changed = await running.reload()
        await running.until(lambda: len(world.vendor("beta").contexts) == len(world.sink("second").states) == 2)
        await running.settled()

        assert changed == ["~ source beta/memory", "~ sink second"]
        assert [len(world.vendor(name).contexts) for name in ("acme", "beta")] == [1, 2]
        assert [len(world.sink(name).states) for name in ("archive", "second")] == [1, 2]
        assert world.vendor("beta").open == 1


async def test_what_is_new_runs_and_what_is_gone_stops(world: World) -> None:
    world.tenants["beta"] = dict(BETA)
    world.sinks["second"] = {"type": "memory"}
    async with world.running() as running:
        await running.settled()
        del world.tenants["beta"], world.sinks["second"]
        world.tenants["gamma"] = dict(BETA)
        world.sinks["third"] = {"type": "memory"}
        changed = await running.reload()
        world.vendor("gamma").add(7)
        await running.delivered(1, "third")

        assert sorted(changed) == ["+ sink third", "+ source gamma/memory", "- sink second", "- source beta/memory"]
        assert world.vendor("beta").open == 0
        assert set(await cursors(running)) == {"archive", "third"}
        feed = {"source": "memory", "feed": "alerts"}
        assert metric("feed_paused", tenant="beta", **feed) is None
        assert metric("feed_paused", tenant="gamma", **feed) == 0
        assert metric("sink_held", sink="second") is None
        assert StreamId("beta", "memory", "alerts") not in running.engine.reading.feeds


async def test_secret_that_changed_restarts_its_source_without_doubles(world: World) -> None:
    world.vendor().add(*range(7))
    async with world.running() as running:
        await running.delivered(7)
        world.tenants["acme"]["sources"][0]["client_secret"] = "another"
        assert await running.reload() == ["~ source acme/memory"]
        world.vendor().add(7)
        await running.delivered(8)

    assert ids(world.sink().lines) == list(range(8))


async def test_labels_and_organizations_change_on_what_is_fetched_next(world: World) -> None:
    world.vendor().add(1)
    async with world.running() as running:
        await running.delivered(1)
        world.tenants["acme"]["labels"] = {"customer": "Acme"}
        world.tenants["acme"]["organizations"] = {"org-1": "acme-fi"}
        await running.reload()
        world.vendor().add(2, raw=b'{"org":"org-1"}')
        await running.delivered(2)

    assert field(world.sink().lines, "labels") == [{}, {"customer": "Acme"}]
    assert field(world.sink().lines, "tenant") == ["acme", "acme-fi"]


async def test_new_tenants_events_bear_its_labels_from_the_first_one_on(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        world.tenants["beta"] = {**BETA, "labels": {"customer": "Beta"}}
        world.vendor("beta").add(1)
        await running.reload()
        await running.delivered(1)

    assert field(world.sink().lines, "labels") == [{"customer": "Beta"}]


async def test_route_by_a_mapped_tenant_follows_the_mapping(world: World) -> None:
    world.tenants["acme"]["organizations"] = {"org-1": "acme-fi"}
    world.sinks["fi"] = {"type": "memory", "route": {"tenants": ["acme-fi"]}}
    async with world.running() as running:
        await running.settled()
        world.tenants["acme"]["organizations"] = {"org-2": "acme-se", "org-1": "acme-fi"}
        changed = await running.reload()
        world.vendor().add(1, raw=b'{"org":"org-1"}')
        await running.delivered(1, "fi")

    assert changed == ["~ tenant acme", "~ sink fi"]


async def test_restarted_sink_goes_on_from_its_cursor_with_what_it_knows(world: World) -> None:
    world.vendor().add(*range(7))
    async with world.running() as running:
        await running.delivered(7)
        await running.settled()
        world.sinks["archive"]["note"] = "changed"
        await running.reload()
        world.vendor().add(7)
        await running.delivered(8)

    assert ids(world.sink().lines) == list(range(8))
    assert world.sink().states[1] is not None


async def test_sink_restarted_in_the_middle_of_a_batch_settles_it_first(world: World) -> None:
    gate = asyncio.Event()
    deliver = world.sink().deliver
    sending = asyncio.Event()

    async def slow(batch: Batch) -> Receipt:
        sending.set()
        await gate.wait()
        return await deliver(batch)

    stand_in(world.sink(), "deliver", slow)
    world.vendor().add(1, 2)
    async with world.running() as running:
        await sending.wait()
        world.sinks["archive"]["note"] = "changed"
        world.write()
        task = asyncio.create_task(running.operations.reload())
        await running.quiet()
        gate.set()
        await running.until(task.done, passing=0.1)
        await running.settled()

    assert ids(world.sink().lines) == [1, 2]


async def test_sink_that_hangs_is_restarted_all_the_same(world: World) -> None:
    deliver, hang = world.sink().deliver, True

    async def hanging(batch: Batch) -> Receipt:
        if hang:
            await asyncio.Event().wait()
        return await deliver(batch)

    stand_in(world.sink(), "deliver", hanging)
    world.vendor().add(1)
    async with world.running() as running:
        await running.until(lambda: running.engine.log.end.seq > 1)
        world.sinks["archive"]["note"] = "changed"
        hang = False
        world.write()
        task = asyncio.create_task(running.operations.reload())
        await running.until(task.done, passing=0.5)
        await running.delivered(1)


async def test_log_keeps_what_a_sink_has_not_got_while_it_is_replaced(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of the old loop and the begin of the new one nobody else remembers the backlog."""
    world.sink().script = [*[SinkUnavailable("down")] * 10_000]
    world.vendor().add(1)
    async with world.running() as running:
        await running.until(lambda: world.sink().batches)
        prepare = running.engine.store.prepare_cursors

        async def looked_at_meanwhile(*args: Any) -> list[Cursor]:
            page = Page([make_record(9)], Checkpoint(START), more=False, fetched_at=START)
            await running.engine.store.commit_page(ACME, Lane.TIP, page)
            claims = running.engine.delivering.claims()
            assert [claim.delivery.holds for claim in claims] == [Position(1)]
            return await prepare(*args)

        stand_in(running.engine.store, "prepare_cursors", looked_at_meanwhile)
        world.sinks["archive"]["note"] = "changed"
        await running.reload()
        world.sink().script.clear()
        await running.delivered(2)

    assert sorted(ids(world.sink().lines)) == [1, 9]


async def test_held_sink_is_tried_again_by_a_reload(world: World) -> None:
    world.sink().script = [SinkDenied("index missing")]
    world.sink().down = SinkDenied("index missing")
    world.vendor().add(1)
    async with world.running() as running:
        await running.until(lambda: world.sink().batches)
        await running.quiet()
        status = running.engine.delivering.deliveries["archive"].status
        assert status.state == "held"
        assert await running.reload() == []
        await running.delivered(1)


async def test_rate_limit_that_changed_gives_all_who_share_it_a_new_budget(world: World) -> None:
    world.tenants["beta"] = dict(BETA)
    world.tenants["gamma"] = {"sources": [{"type": "memory", "feeds": ["alerts"], "host": "elsewhere"}]}
    async with world.running() as running:
        await running.until(lambda: all(world.vendor(name).fetched for name in ("acme", "beta", "gamma")))
        world.tenants["acme"]["sources"][0]["rate_limit"] = {"requests": 10, "per": "60s"}
        changed = await running.reload()
        await running.until(lambda: world.vendor("beta").open)

        assert changed == ["~ source acme/memory", "~ source beta/memory"]
        budgets = [world.vendor(name).contexts[-1].budget for name in ("acme", "beta", "gamma")]
        assert budgets[0] is budgets[1]
        assert budgets[0] is not world.vendor("acme").contexts[0].budget
        assert budgets[2] is world.vendor("gamma").contexts[0].budget
        assert len(running.engine.reading._budgets) == 2


# -- what it tells ----------------------------------------------------------------------------------------


async def test_summary_counts_what_came_went_was_renamed_and_restarted(world: World) -> None:
    for name in ("beta", "gamma"):
        world.tenants[name] = dict(BETA)
    world.sinks["betas"] = {"type": "memory", "route": {"tenants": ["beta"]}}
    async with world.running() as running:
        await running.settled()
        del world.tenants["beta"]
        world.tenants["gamma-oy"] = {**world.tenants.pop("gamma"), "renamed_from": "gamma"}
        world.tenants["delta"] = dict(BETA)
        changed = await running.reload()

        anew = "1 sink opened anew under the new names"
        assert running.told["summary"] == f"+1 tenant, -1 tenant, 1 renamed, 0 restarted, {anew}"
        assert changed == [
            "- source beta/memory",
            "+ source delta/memory",
            "> source gamma/memory is gamma-oy/memory now",
        ]
        assert [len(world.sink(name).states) for name in ("archive", "betas")] == [2, 1]
        assert len(world.vendor().contexts) == 1

        assert await running.reload() == []
        assert running.told["summary"] == "nothing has changed"


async def test_summary_counts_sources_and_sinks_of_tenants_that_stay(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.tenants["acme"]["sources"].append({"type": "memory", "name": "second", "feeds": ["alerts"]})
    world.sinks["second"] = {"type": "memory"}
    async with world.running() as running:
        await running.settled()
        world.tenants["acme"]["labels"] = {"customer": "Acme"}
        world.tenants["acme"]["sources"] = [
            {"type": "memory", "feeds": ["alerts"], "poll_interval": "30s"},
            {"type": "memory", "name": "third", "feeds": ["alerts"]},
        ]
        world.sinks = {"archive": {"type": "memory"}, "third": {"type": "memory"}, "fourth": {"type": "memory"}}
        await running.reload()

    summary = "~1 tenant, +1 source, -1 source, +2 sinks, -1 sink, 1 restarted"
    assert running.told["summary"] == summary
    assert f'"message":"configuration reloaded","summary":"{summary}"' in capsys.readouterr().err


@pytest.mark.parametrize("renamed", [False, True], ids=["forgotten", "said"])
async def test_account_that_comes_back_under_another_name_is_taken_for_a_forgotten_rename(
    world: World, capsys: pytest.CaptureFixture[str], *, renamed: bool
) -> None:
    world.tenants["acme"]["sources"][0]["user"] = "reader"
    async with world.running() as running:
        await running.settled()
        world.tenants = {"acme-oy": {**world.tenants["acme"], **({"renamed_from": "acme"} if renamed else {})}}
        await running.reload()

    warned = capsys.readouterr().err.count("this looks like a rename")
    assert warned == len(running.told["warnings"]) == (0 if renamed else 1)
    assert all(
        text.startswith("acme-oy/memory reads the account that acme/memory") for text in running.told["warnings"]
    )


async def test_new_account_of_a_new_tenant_is_no_rename(world: World) -> None:
    world.tenants["acme"]["sources"][0]["user"] = "reader"
    async with world.running() as running:
        await running.settled()
        world.tenants = {"beta": {"sources": [{"type": "memory", "feeds": ["alerts"], "user": "another"}]}}
        await running.reload()

    assert running.told["warnings"] == []
    assert running.told["summary"] == "+1 tenant, -1 tenant, 0 restarted"


# -- refused -------------------------------------------------------------------------------------------


async def refused(running: Running) -> list[str]:
    """What a reload of the world's configuration complains of; nothing may have changed."""
    config = running.engine.config
    running.world.write()
    task = asyncio.create_task(running.operations.reload())
    await running.until(task.done, passing=0.1)
    error = task.exception()
    assert isinstance(error, ConfigError)
    assert running.engine.config is config
    return error.problems


async def test_bad_file_changes_nothing(world: World) -> None:
    world.vendor().add(1)
    async with world.running() as running:
        await running.delivered(1)
        before = metric("config_reloads_total", outcome="refused") or 0.0
        world.sinks["second"] = {"type": "memory"}
        world.sinks["archive"]["no_such_key"] = 1
        assert any("no_such_key" in problem for problem in await refused(running))
        world.vendor().add(2)
        await running.delivered(2)

        assert metric("config_reloads_total", outcome="refused") == before + 1
        assert list(running.engine.delivering.deliveries) == ["archive"]
    assert len(world.sink().states) == 1


async def test_hanging_up_with_a_bad_file_is_survived_and_with_a_good_one_followed(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        world.path.write_text("tenants: [")
        with structlog.testing.capture_logs() as logs:
            running.hang_up()
            await running.until(lambda: any("refused" in line["event"] for line in logs))
        world.sinks["second"] = {"type": "memory"}
        world.write()
        running.hang_up()
        await running.until(lambda: "second" in running.engine.delivering.deliveries, passing=0.1)


async def test_what_takes_a_restart_is_said_and_changes_nothing(world: World) -> None:
    async with world.running() as running:
        world.top["state"] = {"max_size": "20GiB"}
        assert await refused(running) == [f"{world.path}: state changed: that takes a restart"]


async def test_required_sink_with_a_backlog_is_not_taken_away(world: World) -> None:
    world.sink().opening = SinkUnavailable("down")
    world.vendor().add(*range(3))
    async with world.running() as running:
        await running.until(lambda: running.engine.log.end.seq == 2)
        world.sinks = {"other": {"type": "memory"}}
        problems = await refused(running)
        assert len(problems) == 1
        assert "sinks.archive is gone, but 3 events wait for it" in problems[0]
        assert "archive" in running.engine.delivering.deliveries
        world.sinks["other"]["renamed_from"] = "archive"
        assert await running.reload() == ["> sink archive is other now"]
        await running.delivered(3, "other")
        assert set(await cursors(running)) == {"other"}


async def test_sink_that_is_not_required_may_go_with_its_backlog(world: World) -> None:
    world.sinks["second"] = {"type": "memory", "required": False}
    world.sink("second").opening = SinkUnavailable("down")
    world.vendor().add(1)
    async with world.running() as running:
        await running.delivered(1)
        del world.sinks["second"]
        assert await running.reload() == ["- sink second"]
        assert set(await cursors(running)) == {"archive"}


async def test_events_that_the_sinks_route_does_not_take_are_no_backlog_of_it(world: World) -> None:
    world.tenants["beta"] = dict(BETA)
    world.sinks["betas"] = {"type": "memory", "route": {"tenants": ["beta"]}}
    async with world.running() as running:
        await running.settled()
        world.vendor().add(1)
        await running.delivered(1)
        del world.sinks["betas"]
        assert await running.reload() == ["- sink betas"]


async def test_new_source_that_could_not_read_what_bears_its_name_is_refused(world: World) -> None:
    world.vendor().add(1)
    async with world.running() as running:
        await running.delivered(1)
        world.tenants["acme"]["sources"][0] = {"type": "other", "name": "memory", "feeds": ["alerts"]}
        assert "is of type memory in the state, not other" in (await refused(running))[0]
        world.vendor().add(2)
        await running.delivered(2)


async def test_sink_that_can_not_be_stopped_refuses_the_reload_and_all_go_on_once_it_answers(world: World) -> None:
    """A thread that waits for its disk can't be cancelled; a second one must not write beside it."""
    answered, deliver, sending = asyncio.Event(), world.sink().deliver, 0

    async def hanging(batch: Batch) -> Receipt:
        nonlocal sending
        sending += 1
        assert sending == 1 or answered.is_set()
        while not answered.is_set():
            with suppress(asyncio.CancelledError):
                await answered.wait()
        if sending == 1:
            raise asyncio.CancelledError
        return await deliver(batch)

    stand_in(world.sink(), "deliver", hanging)
    world.sinks["second"] = {"type": "memory"}
    world.vendor().add(1)
    async with world.running() as running:
        await running.until(lambda: sending)
        world.sinks["archive"]["note"] = world.sinks["second"]["note"] = "changed"
        world.tenants["acme"]["sources"][0]["poll_interval"] = "30s"
        for _ in range(2):
            began = world.clock.monotonic()
            assert [line.split(":")[0] for line in await refused(running)] == [
                "sinks.archive can't be stopped, its disk hangs"
            ]
            assert world.clock.monotonic() - began < 35
        world.vendor().add(2)
        await running.delivered(2, "second")
        assert sending == 1
        assert len(world.vendor().contexts) == 1
        answered.set()
        await running.delivered(2)
        assert await running.reload() == ["~ source acme/memory", "~ sink archive", "~ sink second"]
        await running.settled()

    assert ids(world.sink().lines) == [1, 2]
    assert ids(world.sink("second").lines) == [1, 2]


# -- names -----------------------------------------------------------------------------------------------


async def test_renamed_tenant_keeps_its_ids_and_position_and_its_backlog_is_delivered_once(world: World) -> None:
    """Pages in memory and a batch under way bear the old name, under which nothing could be settled any more."""
    world.sinks["down"] = {"type": "memory"}
    world.sink("down").script = [*[SinkUnavailable("down")] * 10_000]
    world.vendor().add(*range(4))
    async with world.running() as running:
        await running.delivered(4)
        world.tenants = {"acme-oy": {"renamed_from": "acme", **world.tenants["acme"]}}
        world.vendor("acme-oy").add(*range(5))
        changed = await running.reload()
        world.sink("down").script.clear()
        await running.delivered(5)
        await running.delivered(5, "down")
        await running.settled()

        assert changed == ["> source acme/memory is acme-oy/memory now"]
        assert ids(world.sink().lines) == [0, 1, 2, 3, 4]
        assert ids(world.sink("down").lines) == [0, 1, 2, 3, 4]
        assert set(field(world.sink("down").lines, "tenant")) == {"acme-oy"}
        checkpoints = await running.engine.store.checkpoints()
        assert {stream.tenant for stream, *_ in checkpoints} == {"acme-oy"}


async def test_renamed_sink_keeps_its_position(world: World) -> None:
    world.vendor().add(*range(4))
    async with world.running() as running:
        await running.delivered(4)
        world.sinks = {"siem": {"type": "memory", "renamed_from": "archive"}}
        await running.reload()
        world.vendor().add(4)
        await running.delivered(1, "siem")

    assert ids(world.sink("siem").lines) == [4]
    assert metric("sink_held", sink="archive") is None


# -- at the wrong moment ---------------------------------------------------------------------------------


async def test_two_reloads_at_once_follow_one_another(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = 0, 0
    apply = reloading._apply

    async def counted(*args: Any) -> Reloaded:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.005)
        changed = await apply(*args)
        inside -= 1
        return changed

    monkeypatch.setattr(reloading, "_apply", counted)
    async with world.running() as running:
        await running.settled()
        world.sinks["second"] = {"type": "memory"}
        world.write()
        tasks = [asyncio.create_task(running.operations.reload()) for _ in range(3)]
        await running.until(lambda: all(task.done() for task in tasks), passing=0.1)

        assert most == 1
        assert [task.result()["changed"] for task in tasks] == [["+ sink second"], [], []]


async def test_reload_during_the_start_waits_for_its_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still to be started would otherwise undo it, or start a second loop of a sink."""
    prepare, preparing, gate = Store.prepare_cursors, asyncio.Event(), asyncio.Event()

    async def slow(*args: Any) -> list[Cursor]:
        preparing.set()
        await gate.wait()
        return await prepare(*args)

    monkeypatch.setattr(Store, "prepare_cursors", slow)
    world.tenants["beta"] = dict(BETA)

    async def meanwhile() -> list[str]:
        await preparing.wait()
        del world.tenants["beta"]
        world.sinks["archive"]["note"] = "changed"
        world.write()
        asking = asyncio.create_task(EngineOperations(engines[0]).reload())
        await asyncio.sleep(0.05)
        gate.set()
        changed: list[str] = (await asking)["changed"]
        return changed

    engines: list[Engine] = []
    made = Engine.__init__

    def noted(self: Engine, *args: Any) -> None:
        made(self, *args)
        engines.append(self)

    monkeypatch.setattr(Engine, "__init__", noted)
    asked = asyncio.create_task(meanwhile())
    async with world.running() as running:
        await running.until(asked.done, passing=0.1)

        assert asked.result() == ["- source beta/memory", "~ sink archive"]
        assert [feed.tenant for feed in running.engine.reading.feeds] == ["acme"]
        assert len([task for task in asyncio.all_tasks() if task.get_name() == "sink archive"]) == 1


async def test_stop_during_the_start_does_not_wait_for_every_source(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        world.tenants[f"tenant-{number}"] = dict(BETA)
    stop, declared = asyncio.Event(), 0
    declare = Store.add_stream

    async def noted(*args: Any) -> None:
        nonlocal declared
        declared += 1
        stop.set()
        await declare(*args)

    monkeypatch.setattr(Store, "add_stream", noted)
    async with assembled(world.config(), world.clock, stop) as engine:
        task = asyncio.create_task(_run(engine, stop, asyncio.Event()))
        while not task.done():
            await world.clock.advance(0.1)
            await asyncio.sleep(0.001)
        await task

    assert declared == 1


async def test_start_that_fails_refuses_the_reload_that_waits_for_its_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = asyncio.Event()

    async def broken(*_: Any) -> list[Cursor]:
        prepared.set()
        await asyncio.sleep(0.02)
        raise StoreError("the disk is gone")

    monkeypatch.setattr(Store, "prepare_cursors", broken)
    async with assembled(world.config(), world.clock, asyncio.Event()) as engine:
        task = asyncio.create_task(_unwrapped(_run(engine, asyncio.Event(), asyncio.Event())))
        await prepared.wait()
        with pytest.raises(CollectorError, match="is stopping"):
            await EngineOperations(engine).reload()
        with pytest.raises(StoreError, match="the disk is gone"):
            await task


async def test_second_loop_of_a_running_sink_is_never_started(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        delivery = running.engine.delivering.deliveries["archive"]
        cursor = (await cursors(running))["archive"]
        with pytest.raises(ValueError, match="sink archive is running already"):
            running.engine.delivering.start(delivery.receiver, cursor, 0)


async def test_reload_while_stopping_is_refused(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        running.engine.stopping = True
        with pytest.raises(CollectorError, match="is stopping"):
            await running.operations.reload()


async def test_stop_in_the_middle_of_a_reload_ends_everything(world: World) -> None:
    async with world.running() as running:
        await running.settled()
        declare, declared = running.engine.store.add_stream, asyncio.Event()

        async def slow(*args: Any) -> None:
            declared.set()
            await running.engine.clock.sleep(1.0)
            await declare(*args)

        stand_in(running.engine.store, "add_stream", slow)
        world.tenants["beta"] = dict(BETA)
        world.write()
        task = asyncio.create_task(running.operations.reload())
        await declared.wait()
        await running.stop()
        task.cancel()
        await asyncio.wait([task])

    assert world.vendor("beta").open == 0


async def test_full_volume_in_the_middle_of_a_reload_is_waited_for(world: World) -> None:
    world.vendor().add(1)
    async with world.running() as running:
        await running.delivered(1)
        prepare, refusals = running.engine.store.prepare_cursors, 2

        async def refuse(*args: Any) -> list[Cursor]:
            nonlocal refusals
            refusals -= 1
            if refusals >= 0:
                raise StoreFull("no room")
            return await prepare(*args)

        stand_in(running.engine.store, "prepare_cursors", refuse)
        world.sinks["archive"]["note"] = "changed"
        assert await running.reload() == ["~ sink archive"]
        world.vendor().add(2)
        await running.delivered(2)


async def test_reload_that_broke_off_can_be_repeated(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.vendor().add(1)
    async with world.running() as running:
        await running.delivered(1)
        start, failures = running.engine.reading.start, 1

        async def broken(*args: Any) -> None:
            nonlocal failures
            failures -= 1
            if failures >= 0:
                raise ZeroDivisionError
            await start(*args)

        monkeypatch.setattr(running.engine.reading, "start", broken)
        world.sinks["archive"]["note"] = "changed"
        world.sinks["second"] = {"type": "memory"}
        world.tenants["acme"]["sources"][0]["poll_interval"] = "30s"
        world.write()
        task = asyncio.create_task(running.operations.reload())
        await running.until(task.done, passing=0.5)
        assert isinstance(task.exception(), ZeroDivisionError)

        await running.reload()
        world.vendor().add(2)
        await running.delivered(2)
        await running.settled()

        assert ids(world.sink().lines) == [1, 2]
        assert ids(world.sink("second").lines) == [2]
        assert len([task for task in asyncio.all_tasks() if task.get_name() == "sink second"]) == 1
        assert timedelta(seconds=30) == running.engine.config.tenants["acme"].sources[0].poll_interval
