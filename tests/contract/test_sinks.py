"""One suite over every sink: what the engine relies on, whoever the receiver is."""

import gzip
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import orjson
import pytest

from collector.formats import FORMATS
from collector.sinks.file import PLUGIN as FILE
from collector.sinks.file import FileConfig
from collector.sinks.splunk_hec import PLUGIN as HEC
from collector.sinks.splunk_hec import HecConfig
from collector.sinks.syslog import PLUGIN as SYSLOG
from collector.sinks.syslog import SyslogConfig
from collector.testing import (
    SINK_CHECKS,
    FakeClock,
    RecordingConfig,
    RecordingSink,
    SinkSubject,
    make_event,
    recording_plugin,
)
from tests.unit.sinks.splunk_hec.emulator import TOKEN, Emulator
from tests.unit.sinks.syslog.receivers import Receiver, read_all

EVENTS = tuple(make_event(number, tenant=f"t{number * number % 5}") for number in range(60))


def file_subject(directory: Path, form: str, **settings: object) -> SinkSubject:
    config = FileConfig.model_validate({"path": f"{directory}/events.ndjson", "format": form} | settings)

    def received() -> list[bytes]:
        # Rotation gives a counter behind one and the same stamp: the clock of the contract stands still.
        rotated = sorted(directory.glob("events-*"), key=lambda path: int(path.stem.rpartition("Z")[2][1:] or 0))
        current = [path for path in [directory / "events.ndjson"] if path.exists()]
        content = b"".join(path.read_bytes() for path in [*rotated, *current])
        assert content in {b"", content[:-1] + b"\n"}, "a torn line"
        return content.splitlines()

    return SinkSubject(FILE, config, received, FORMATS[form].encode, events=EVENTS)


def recording_subject(_: Path) -> SinkSubject:
    sink = RecordingSink()
    return SinkSubject(
        recording_plugin(sink), RecordingConfig(), lambda: sink.lines, FORMATS["json"].encode, events=EVENTS
    )


def syslog_subject(stack: ExitStack) -> SinkSubject:
    receiver = stack.enter_context(Receiver(read_all))
    config = SyslogConfig(address=f"tcp://127.0.0.1:{receiver.port}", format="json", header="none")

    def received() -> list[bytes]:
        receiver.until(lambda: receiver.connections == receiver.ends)
        return receiver.messages

    # A batch that is cut short comes again: the receiver may have a part of it.
    return SinkSubject(SYSLOG, config, received, FORMATS["json"].encode, exactly_once=False, events=EVENTS)


def hec_subject(stack: ExitStack, **settings: object) -> SinkSubject:
    splunk = Emulator(acks=bool(settings.get("acknowledge")))
    url = stack.enter_context(splunk.serve_beside())
    config = HecConfig.model_validate({"url": url, "token": TOKEN, "format": "json"} | settings)

    def received() -> list[bytes]:
        splunk.settle()
        return [orjson.dumps(event["event"]) for event in splunk.events]

    # What was received when the answer got lost, or was not acknowledged yet, comes again.
    return SinkSubject(
        HEC,
        config,
        received,
        FORMATS["json"].encode,
        exactly_once=False,
        events=EVENTS,
        clock=lambda: FakeClock(hurry=True),
    )


SUBJECTS: dict[str, Callable[[Path, ExitStack], SinkSubject]] = {
    "file json": lambda directory, _: file_subject(directory, "json"),
    "file raw": lambda directory, _: file_subject(directory, "raw"),
    "file rotated": lambda directory, _: file_subject(directory, "raw", rotate={"max_size": "300B"}),
    "splunk_hec": lambda _, stack: hec_subject(stack),
    "splunk_hec acknowledged": lambda _, stack: hec_subject(stack, acknowledge=True),
    "recording": lambda directory, _: recording_subject(directory),
    "syslog": lambda _, stack: syslog_subject(stack),
}


@pytest.mark.parametrize("check", SINK_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", SUBJECTS)
async def test_a_sink_keeps_its_contract(
    name: str, check: Callable[[SinkSubject], Awaitable[None]], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        await check(SUBJECTS[name](tmp_path, stack))


# A process that can be killed for good: delivers what its ledger says is left, in batches of the size given.
COLLECTOR = """
import asyncio, os, sys
from pathlib import Path
import orjson
from collector.clock import Clock
from collector.sinks.base import Batch, SinkContext
from collector.sinks.file import PLUGIN, FileConfig
from collector.testing import make_event

directory, size = Path(sys.argv[1]), int(sys.argv[2])
ledger = directory / "ledger"
events = [make_event(number, tenant=f"t{number % 3}") for number in range(40)]

def store(cursor, state):
    (directory / "next").write_bytes(orjson.dumps([cursor, state.decode()]))
    os.replace(directory / "next", ledger)

async def main():
    cursor, state = orjson.loads(ledger.read_bytes()) if ledger.exists() else (0, None)
    config = FileConfig(
        path=f"{directory}/events/{{tenant}}.ndjson", rotate={"max_size": "150B", "compress": "gzip"}
    )
    async with PLUGIN.open(config, SinkContext("archive", Clock()), state and state.encode()) as sink:
        while cursor < len(events):
            part = events[cursor : cursor + size]
            batch = Batch("", part, [event.raw for event in part])
            store(cursor, await sink.prepare(batch))
            receipt = await sink.deliver(batch)
            cursor += len(part)
            store(cursor, receipt.state)
        await asyncio.to_thread(sink._compressor.wait)

asyncio.run(main())
"""


def run(directory: Path, size: int, fault: str | None = None) -> int:
    environment = {name: value for name, value in os.environ.items() if name != "EDR_COLLECTOR_FAULT"}
    if fault:
        environment["EDR_COLLECTOR_FAULT"] = fault
    command = [sys.executable, "-c", COLLECTOR, str(directory), str(size)]
    return subprocess.run(command, env=environment, check=False, timeout=60).returncode


@pytest.mark.parametrize(
    "fault",
    [
        "write.after:1",
        "write.after:5",
        "fsync.before:1",
        "fsync.before:3",
        "fsync.after:1",
        "fsync.after:3",
        "rotate.before:1",
        "rotate.renamed:1",
        "rotate.renamed:4",
        "rotate.compressed:1",
        "rotate.compressed:3",
    ],
)
def test_a_process_killed_at_any_point_leaves_every_line_in_one_place(tmp_path: Path, fault: str) -> None:
    assert run(tmp_path, 7, fault) == -9
    assert run(tmp_path, 5) == 0

    for tenant in range(3):
        plain = (tmp_path / "events").glob(f"t{tenant}*.ndjson")
        packed = (tmp_path / "events").glob(f"t{tenant}*.ndjson.gz")
        lines = [line for path in plain for line in path.read_bytes().splitlines(keepends=True)]
        lines += [line for path in packed for line in gzip.decompress(path.read_bytes()).splitlines(keepends=True)]
        assert sorted(lines) == sorted(make_event(number).raw + b"\n" for number in range(tenant, 40, 3))
    assert not list((tmp_path / "events").glob(".*"))
