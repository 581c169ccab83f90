from __future__ import annotations

import asyncio
import io
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.cli import main, status
from collector.clock import Clock
from collector.errors import CollectorError
from collector.model import Checkpoint, Lane, StreamId
from collector.store import Store
from tests.unit.admin.fake_daemon import BAD_CONFIG, FakeOperations

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["reload"],
        ["tail"],
        ["dead-letters", "list"],
        ["dead-letters", "show", "1"],
        ["dead-letters", "retry"],
        ["dead-letters", "drop", "--yes"],
        ["healthcheck"],
    ],
)
def test_without_a_daemon_a_command_says_so_and_ends_with_1(
    arguments: list[str], config: str, capsys: Captured
) -> None:
    assert main([*arguments, "-c", config]) == 1

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"no daemon answers on {Path(config).with_name('c.sock')}")


def test_without_a_configuration_a_command_ends_with_78(capsys: Captured) -> None:
    assert main(["status", "-c", "/nowhere/collector.yaml"]) == 78

    assert "/nowhere/collector.yaml: can't be read" in capsys.readouterr().err


# -- status ----------------------------------------------------------------------------------


def test_status_shows_feeds_and_sinks(daemon: str, capsys: Captured) -> None:
    assert main(["status", "-c", daemon]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert "polling running" in lines[0]
    assert "3.0 MiB of 10.0 GiB" in lines[0]
    assert "warning: this host's clock is 45 s off" in lines
    assert lines[3].split("\t") == list(status.FEED_COLUMNS)
    feed, sink = lines[4].split("\t"), lines[6].split("\t")
    assert feed[:2] == ["acme/withsecure/security_events", "backing_off"]
    assert feed[3:9] == ["never", "1m", "1m", "12,345", "0", "3"]
    assert feed[9] == "503 from the vendor [2J second line"
    assert sink[:5] == ["archive", "held", "12,325", "20", "2.0 KiB"]
    assert sink[6:] == ["2", "no space left"]


def test_status_as_json_is_what_the_daemon_told(daemon: str, capsys: Captured) -> None:
    assert main(["status", "--json", "-c", daemon]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["pid"] == 4711
    assert told["feeds"][0]["last_error"] == "503 from the vendor\x1b[2J\nsecond line"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_status_on_a_terminal_is_drawn(daemon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.setattr(sys, "stdout", Terminal())

    assert main(["status", "-c", daemon]) == 0

    assert isinstance(sys.stdout, Terminal)
    shown = sys.stdout.getvalue()
    assert "acme/withsecure/security_events" in shown
    assert "[2J second line" in shown
    assert "\x1b[2J" not in shown


def test_watching_ends_well_by_interruption(daemon: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    rounds: list[float] = []

    def sleep(seconds: float) -> None:
        rounds.append(seconds)
        if len(rounds) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", sleep)

    assert main(["status", "--watch", "-c", daemon]) == 0

    assert capsys.readouterr().out.count("backing_off") == 3


def test_watching_on_a_terminal_outlives_a_restart_of_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def get(self, _verb: str) -> object:
            raise CollectorError("no daemon answers")

    shown = status._current(Away())  # type: ignore[arg-type]  # a client that finds nobody

    assert str(shown) == "no daemon answers"


# -- tenant ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "decided", "said"),
    [
        (["pause", "acme"], ("pause", "acme"), "acme is paused\n"),
        (["resume", "acme"], ("resume", "acme"), "acme is polled again\n"),
        (
            ["purge", "acme", "--yes"],
            ("purge", "acme"),
            "purged acme: 17 events are gone. Backups of the state still hold them\n",
        ),
        (["accept", "acme"], ("accept", "acme", None, False), "accepted: 2 feeds of acme go on\n"),
        (["accept", "acme/eset", "--anew"], ("accept", "acme", "eset", True), "accepted: 2 feeds of acme/eset go on\n"),
    ],
    ids=["pause", "resume", "purge", "accept", "accept anew"],
)
def test_decisions_about_tenants_reach_the_daemon(
    daemon: str,
    operations: FakeOperations,
    capsys: Captured,
    arguments: list[str],
    decided: tuple[object, ...],
    said: str,
) -> None:
    assert main(["tenant", *arguments, "-c", daemon]) == 0
    assert operations.decided == [decided]
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("arguments", [["purge", "acme"], ["pause", "acme/eset"]], ids=["unasked", "a source"])
def test_decisions_that_can_not_be_meant_are_refused(
    daemon: str, operations: FakeOperations, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert main(["tenant", *arguments, "-c", daemon]) == 1
    assert operations.decided == []


async def test_tenants_of_a_stopped_daemon_are_paused_resumed_and_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    config = tmp_path / "collector.yaml"
    source = "{type: withsecure, client_id: two, client_secret: x, feeds: [security_events]}"
    config.write_text(
        f"state: {{path: s.db}}\ntenants: {{acme: {{sources: [{source}]}}}}\nsinks: {{a: {{type: file, path: a}}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    stream = StreamId("acme", "withsecure", "security_events")
    async with Store.open(tmp_path / "s.db", max_size=1 << 30, clock=Clock()) as store:
        await store.add_stream(stream, "withsecure", "WithSecure")
        await store.set_checkpoint(stream, Lane.TIP, Checkpoint(datetime(2026, 11, 22, tzinfo=UTC)))
        await store.tenants.set_account(stream, "of somebody else")

    def run(*arguments: str) -> int:
        return main(["tenant", *arguments, "-c", str(config)])

    assert await asyncio.to_thread(run, "pause", "acme") == 0
    assert await asyncio.to_thread(run, "pause", "nobody") == 1
    async with Store.open(tmp_path / "s.db", max_size=1 << 30, clock=Clock()) as store:
        assert await store.tenants.paused() == {"acme"}
    assert await asyncio.to_thread(run, "resume", "acme") == 0
    assert await asyncio.to_thread(run, "resume", "acme") == 1
    assert await asyncio.to_thread(run, "accept", "acme", "--anew") == 0
    async with Store.open(tmp_path / "s.db", max_size=1 << 30, clock=Clock()) as store:
        assert await store.checkpoint(stream, Lane.TIP) is None
        assert await store.tenants.accounts() != {stream: "of somebody else"}
        assert await store.tenants.paused() == set()


# -- test-event ------------------------------------------------------------------------------


def outcome(sink: str, said: str) -> dict[str, object]:
    return {"sink": sink, "outcome": said, "seconds": 0.1, "reason": None, "uid": "0" * 32}


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ([outcome("siem", "delivered"), outcome("other", "not routed")], 0),
        ([outcome("siem", "delivered"), outcome("archive", "refused")], 1),
        ([outcome("siem", "no answer")], 1),
        ([outcome("siem", "not routed")], 1),
        ([], 1),
    ],
    ids=["delivered", "refused", "no answer", "not routed", "no sink"],
)
def test_test_event_succeeds_when_every_sink_meant_took_it(
    daemon: str, operations: FakeOperations, outcomes: list[dict[str, object]], expected: int
) -> None:
    operations.test_outcomes = outcomes

    assert main(["test-event", "acme", "siem", "--timeout", "5s", "-c", daemon]) == expected
    assert operations.tested == [("acme", "siem", 5.0)]


@pytest.mark.parametrize("timeout", ["5", "0s", "1h"])
def test_test_event_refuses_a_time_that_makes_no_sense(daemon: str, operations: FakeOperations, timeout: str) -> None:
    assert main(["test-event", "acme", "--timeout", timeout, "-c", daemon]) == 78
    assert operations.tested == []


# -- reload ----------------------------------------------------------------------------------


def test_reload_tells_what_was_restarted(daemon: str, operations: FakeOperations, capsys: Captured) -> None:
    assert main(["reload", "-c", daemon]) == 0
    operations.changed = []
    operations.reload_warnings = ["looks like a rename\x1b[2J"]
    assert main(["reload", "-c", daemon]) == 0

    assert capsys.readouterr().out.splitlines() == [
        "reloaded: 1 restarted",
        "  ~ sink archive",
        "reloaded: nothing has changed",
        "warning: looks like a rename [2J",
    ]
    assert main(["reload", "--json", "-c", daemon]) == 0
    assert json.loads(capsys.readouterr().out)["summary"] == "nothing has changed"


def test_refused_reload_ends_with_78_and_every_problem(
    daemon: str, operations: FakeOperations, capsys: Captured
) -> None:
    operations.failure = BAD_CONFIG

    assert main(["reload", "-c", daemon]) == 78

    assert capsys.readouterr().err.splitlines() == BAD_CONFIG.problems


# -- tail ------------------------------------------------------------------------------------


def test_tail_prints_events_until_the_daemon_stops(
    daemon: str, operations: FakeOperations, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    operations.lines = [b'{"title":"\xc3\xa4\x9b"}', b"\xff"]

    assert main(["tail", "--tenant", "acme", "--format", "raw", "-c", daemon]) == 1

    captured = capsysbinary.readouterr()
    assert captured.out == b'{"title":"\xc3\xa4\x9b"}\n\xff\n'
    assert captured.err == b"the daemon has stopped\n"
    assert operations.tailed == [("acme", "raw")]


def test_tail_of_an_unknown_format_is_refused(daemon: str, capsys: Captured) -> None:
    assert main(["tail", "--format", "xml", "-c", daemon]) == 1

    assert capsys.readouterr().err == "no format xml\n"


# -- dead letters ----------------------------------------------------------------------------


def test_dead_letters_are_listed(daemon: str, capsys: Captured) -> None:
    assert main(["dead-letters", "list", "siem", "-c", daemon]) == 0

    head, row = capsys.readouterr().out.splitlines()
    assert head.startswith("id\tsink")
    assert row.split("\t")[:2] == ["3", "siem"]
    assert row.endswith("field too long | ä 1m")


def test_cut_list_of_dead_letters_says_so(daemon: str, capsys: Captured) -> None:
    assert main(["dead-letters", "list", "--limit", "2", "--json", "-c", daemon]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2

    assert main(["dead-letters", "list", "--limit", "2", "-c", daemon]) == 0
    assert "--limit shows more" in capsys.readouterr().err


def test_dead_letter_is_shown_with_its_record(daemon: str, capsys: Captured) -> None:
    assert main(["dead-letters", "show", "2", "-c", daemon]) == 0
    assert json.loads(capsys.readouterr().out)["record"] == '{"password": "as the vendor sent it"}'

    assert main(["dead-letters", "show", "9", "-c", daemon]) == 1
    assert capsys.readouterr().err == "there is no dead letter 9\n"


def test_dead_letters_are_sent_again(daemon: str, capsys: Captured) -> None:
    assert main(["dead-letters", "retry", "archive", "--id", "1", "--id", "3", "-c", daemon]) == 0
    assert main(["dead-letters", "retry", "--json", "-c", daemon]) == 0

    assert capsys.readouterr().out == '1 will be sent again\n{\n  "retried": 3\n}\n'


@pytest.mark.parametrize("answer", ["n\n", "\n", "", "yesterday\n"])
def test_nothing_is_dropped_without_a_yes(
    daemon: str, operations: FakeOperations, answer: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(answer))

    assert main(["dead-letters", "drop", "archive", "-c", daemon]) == 1

    assert len(operations.letters) == 3
    assert "Drop all dead letters of sink archive for good? [y/N]" in capsys.readouterr().err


def test_yes_drops_what_was_named(
    daemon: str, operations: FakeOperations, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Yes\n"))

    assert main(["dead-letters", "drop", "--id", "2", "-c", daemon]) == 0
    assert [letter["id"] for letter in operations.letters] == [1, 3]
    assert main(["dead-letters", "drop", "--yes", "-c", daemon]) == 0
    assert operations.letters == []

    assert capsys.readouterr().out == "1 dropped\n2 dropped\n"


# -- checkpoint, healthcheck -----------------------------------------------------------------


def test_checkpoints_are_listed(daemon: str, capsys: Captured) -> None:
    assert main(["checkpoint", "list", "-c", daemon]) == 0
    _, tip, sweep = capsys.readouterr().out.splitlines()
    assert main(["checkpoint", "list", "--json", "-c", daemon]) == 0
    told = json.loads(capsys.readouterr().out)

    assert tip.split("\t") == ["acme/withsecure/security_events", "tip", "2026-11-22T08:00:00Z", ""]
    assert sweep.split("\t")[1:3] == ["sweep", ""]
    assert sweep.endswith("unfinished")
    assert told[1]["run"] is True


FULL_CONFIG = """
state: {path: state.db}
tenants: {acme: {sources: [{type: withsecure, client_id: a, client_secret: b}]}}
sinks: {archive: {type: file, path: events.ndjson}}
"""


def test_checkpoints_of_a_stopped_daemon_are_listed(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "collector.yaml"
    path.write_text(FULL_CONFIG)

    async def leave_a_state() -> None:
        stream = StreamId("acme", "withsecure", "security_events")
        async with Store.open(tmp_path / "state.db", max_size=10 << 20, clock=Clock()) as store:
            await store.add_stream(stream, "withsecure", "WithSecure")
            await store.set_checkpoint(stream, Lane.TIP, Checkpoint(datetime(2026, 11, 22, 8, tzinfo=UTC)))

    asyncio.run(leave_a_state())

    assert main(["checkpoint", "list", "-c", str(path)]) == 0

    assert "acme/withsecure/security_events\ttip\t2026-11-22T08:00:00.000Z" in capsys.readouterr().out


def test_without_daemon_and_state_there_are_no_checkpoints(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "collector.yaml"
    path.write_text(FULL_CONFIG)

    assert main(["checkpoint", "list", "-c", str(path)]) == 1

    assert "no daemon answers" in capsys.readouterr().err
    assert not (tmp_path / "state.db").exists()


def test_healthcheck_is_good_while_all_is_well(daemon: str, capsys: Captured) -> None:
    assert main(["healthcheck", "-c", daemon]) == 0

    assert capsys.readouterr().out == "ok\n"


def test_healthcheck_fails_with_the_reasons(daemon: str, operations: FakeOperations, capsys: Captured) -> None:
    operations.answer_health = {"live": True, "ready": False, "reasons": ["the state can't be written"]}

    assert main(["healthcheck", "-c", daemon]) == 1

    assert capsys.readouterr().err == "not well: the state can't be written\n"
