"""The real daemon into real syslog receivers that are killed and started again under load."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from collector.simulator import BAD_DAY, Drip, Mix
from collector.simulator.oracle import read_lines
from collector.sinks.syslog.trials import NO_ANSWER
from tests.e2e.harness import Daemon, Setup, account, arrived, daemon, simulator
from tests.integration.certificates import Certificates, make_certificates
from tests.integration.required import program
from tests.integration.rsyslog import Rsyslog
from tests.integration.syslog_ng import SyslogNg
from tests.unit.sinks.syslog.receivers import Receiver, never_close, octet_messages, read_all

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

_KILLS = 5
_SPREAD_SECONDS = 0.07  # between one batch's begin and its end
_EVENTS, _LIVE = 3000, 3000
_BATCH = 500
_PUNCTUAL = Mix(late=0.0)
_QUIET_SECONDS = 3.0
_UID = re.compile(r"externalId=([0-9a-f]{32})")
# What syslog-ng may have read and not written when it is killed: its window, per connection, and the line it is at.
_SYSLOG_NG_HOLDS = 200


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    program("openssl")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def tls_keys(certificates: Certificates) -> dict[str, str]:
    return {
        "ca_file": str(certificates.authority),
        "cert_file": str(certificates.certificate("client")),
        "key_file": str(certificates.key("client")),
    }


def sink_of(status: dict[str, Any]) -> dict[str, Any]:
    return next((sink for sink in status["sinks"] if sink["sink"] == "siem"), {"delivered": 0})


def uids(lines: Sequence[dict[str, str]]) -> Counter[str]:
    found = [match for line in lines if (match := _UID.search(line["text"]))]
    return Counter(match[1] for match in found)


async def _kill_often(running: Daemon, receiver: Rsyslog | SyslogNg) -> None:
    """Kill it each time it has confirmed something since the last time."""
    for number in range(_KILLS):
        before = sink_of(await running.until(lambda _: True))["delivered"]
        await running.until(lambda status, before=before: sink_of(status)["delivered"] > before)  # type: ignore[misc]  # the default binds this turn's value
        await asyncio.sleep(_SPREAD_SECONDS * number)
        await asyncio.to_thread(receiver.kill)
        await asyncio.sleep(0.2)
        await asyncio.to_thread(receiver.start)


async def deliver_under_kills(
    tmp_path: Path, receiver: Rsyslog | SyslogNg, siem: dict[str, Any]
) -> tuple[set[str], Counter[str]]:
    """The uids that the file sink has, each once, and how often the receiver has each."""
    vendor = simulator(3)
    now = datetime.now(UTC)
    vendor.cloud.fill(_EVENTS, now - timedelta(hours=12), now, mix=_PUNCTUAL)
    vendor.faults.switch_on_all(BAD_DAY)
    vendor.cloud.drip(Drip(rate=_LIVE / 8, limit=_LIVE, mix=_PUNCTUAL))
    top = {"sinks": {"siem": {"type": "syslog", "format": "cef", **siem}}}
    async with vendor.serve() as base_url, daemon(Setup(tmp_path / "daemon", base_url, 3, top=top)) as running:
        await running.start()
        await _kill_often(running, receiver)
        verdict = await arrived(vendor, running, seconds=120)
        await running.until(lambda status: sink_of(status)["delivered"] >= verdict.events, seconds=120)
        await running.stop()
    assert verdict.good, verdict
    in_file = [orjson.loads(line)["uid"] for _, line in read_lines(running.setup.events)]
    return set(in_file), await _written(receiver, len(in_file))


async def _written(receiver: Rsyslog | SyslogNg, expected: int) -> Counter[str]:
    """What it has written once it has everything, or writes nothing more."""
    before, got = -1, uids(receiver.lines())
    while len(got) < expected and got.total() != before:
        before = got.total()
        await asyncio.sleep(_QUIET_SECONDS)
        got = uids(receiver.lines())
    return got


Way = Callable[[Rsyslog, Certificates], dict[str, Any]]
WAYS: dict[str, Way] = {
    "tcp": lambda server, _: {"address": f"tcp://127.0.0.1:{server.tcp_port}"},
    "tls": lambda server, certificates: {
        "address": f"tls://localhost:{server.tls_port}",
        "tls": tls_keys(certificates),
    },
}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", WAYS)
async def test_rsyslog_killed_under_load_misses_nothing_it_had_not_read(
    tmp_path: Path, certificates: Certificates, way: str
) -> None:
    receiver = Rsyslog(tmp_path / "rsyslog", certificates, durable=True)
    await asyncio.to_thread(receiver.start)
    try:
        sent, got = await deliver_under_kills(tmp_path, receiver, WAYS[way](receiver, certificates))
    finally:
        await asyncio.to_thread(receiver.stop)

    had_read = receiver.read_at_kills()
    assert {uid for uid in sent - set(got) if uid.encode() not in had_read} == set()
    assert set(got) <= sent
    assert got.total() - len(got) <= _BATCH * _KILLS


@pytest.mark.parametrize("way", ["tcp", "tls", "lf"])
async def test_syslog_ng_killed_under_load_misses_no_more_than_it_held(
    tmp_path: Path, certificates: Certificates, way: str
) -> None:
    receiver = SyslogNg(tmp_path / "syslog-ng", certificates)
    await asyncio.to_thread(receiver.start)
    addresses: dict[str, dict[str, Any]] = {
        "tcp": {"address": f"tcp://127.0.0.1:{receiver.tcp_port}"},
        "tls": {"address": f"tls://localhost:{receiver.tls_port}", "tls": tls_keys(certificates)},
        "lf": {"address": f"tcp://127.0.0.1:{receiver.lines_port}", "framing": "lf"},
    }
    try:
        sent, got = await deliver_under_kills(tmp_path, receiver, {"header": "rfc5424", **addresses[way]})
    finally:
        await asyncio.to_thread(receiver.stop)

    assert len(sent - set(got)) <= _SYSLOG_NG_HOLDS * _KILLS
    assert set(got) <= sent
    assert got.total() - len(got) <= _BATCH * _KILLS


async def test_receiver_that_answers_no_half_close_is_held_until_it_does(tmp_path: Path) -> None:
    vendor = simulator(1)
    now = datetime.now(UTC)
    vendor.cloud.fill(300, now - timedelta(hours=2), now, mix=_PUNCTUAL)
    with Receiver(never_close, never_close, never_close, never_close, read_all) as receiver:
        siem = {"type": "syslog", "address": f"tcp://127.0.0.1:{receiver.port}", "confirm_timeout": "200ms"}
        setup = Setup(tmp_path, "", 1, top={"sinks": {"siem": siem}})
        async with vendor.serve() as base_url:
            setup.base_url = base_url
            async with daemon(setup) as running:
                await running.start()
                held = await running.until(lambda status: sink_of(status).get("state") == "held")
                tries = [len(octet_messages(bytes(stream))[0]) for stream in receiver.streams]
                # Its first probe is not answered either; the second is.
                await running.until(lambda status: sink_of(status)["delivered"] == 300)
                status = await running.stop()

    assert sink_of(held)["last_error"] == NO_ANSWER
    assert len(tries) == 3
    assert all(tries)
    assert receiver.stream(3) == receiver.stream(4) == b""
    assert len({_UID.findall(message.decode())[0] for message in octet_messages_of(receiver.streams[4:])}) == 300
    assert status == 0


def octet_messages_of(streams: Sequence[bytearray]) -> list[bytes]:
    return [message for stream in streams for message in octet_messages(bytes(stream))[0]]


async def test_check_tells_of_a_receiver_that_answers_no_half_close(tmp_path: Path) -> None:
    with Receiver(never_close) as receiver:
        siem = {"type": "syslog", "address": f"tcp://127.0.0.1:{receiver.port}", "confirm_timeout": "200ms"}
        vendor = simulator(1)
        async with vendor.serve() as base_url:
            setup = Setup(tmp_path, base_url, 1, top={"sinks": {"siem": siem}})
            setup.write()
            environment = {**os.environ, "SECRET_0": account(0).client_secret}
            check = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "collector", "check", str(setup.config), env=environment, stdout=subprocess.PIPE
            )
            output, _ = await check.communicate()

    assert check.returncode == 1
    assert NO_ANSWER in " ".join(output.decode().split())
