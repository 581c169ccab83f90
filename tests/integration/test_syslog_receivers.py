"""Every transport, header and framing into a real rsyslog and a real syslog-ng: what goes in comes out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collector.errors import SinkDenied
from collector.testing import make_event
from tests.integration.certificates import Certificates
from tests.integration.rsyslog import Rsyslog
from tests.integration.syslog_ng import SyslogNg
from tests.unit.sinks.syslog.opening import Site

pytestmark = pytest.mark.integration

MOMENT = datetime(2026, 3, 2, 9, 4, 5, 678_000, tzinfo=UTC)
HOSTILE = 'a|b\\c=d"e\n\r\x00\u2028 <13>1 - - ☃ 12 {"v":1}'
EVENTS = [
    make_event(number, fields={"host.name": "ws-042", "message": HOSTILE * (1 + number % 5)}, occurred_at=MOMENT)
    for number in range(700)
]


@pytest.fixture(scope="module")
def rsyslog(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Rsyslog]:
    server = Rsyslog(tmp_path_factory.mktemp("rsyslog") / "run", certificates)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def syslog_ng(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[SyslogNg]:
    server = SyslogNg(tmp_path_factory.mktemp("syslog-ng") / "run", certificates)
    server.start()
    yield server
    server.stop()


def tls_keys(certificates: Certificates) -> dict[str, Path]:
    return {
        "ca_file": certificates.authority,
        "cert_file": certificates.certificate("client"),
        "key_file": certificates.key("client"),
    }


async def send(address: str, **settings: Any) -> list[str]:
    """Deliver all events in two batches; the payloads."""
    target = Site(address, **{"connect_timeout": "5s", "confirm_timeout": "10s", "send_timeout": "10s", **settings})
    batches = [target.batch(EVENTS[:400]), target.batch(EVENTS[400:])]
    async with target.open() as sink:
        await sink.probe()
        for batch in batches:
            receipt = await sink.deliver(batch)
            assert not receipt.rejected
    return [payload.decode() for batch in batches for payload in batch.payloads]


async def written(server: Rsyslog | SyslogNg, before: int, count: int = len(EVENTS)) -> list[dict[str, str]]:
    """The lines that came since, once they are all there."""
    lines: list[dict[str, str]] = []
    for _ in range(200):
        lines = await asyncio.to_thread(server.lines)
        if len(lines) >= before + count:
            return lines[before:]
        await asyncio.sleep(0.05)
    raise AssertionError(f"{len(lines) - before} of {count} arrived: {server.log.read_text(errors='replace')[-1000:]}")


Way = Callable[[Rsyslog, Certificates], tuple[str, dict[str, Any]]]
RSYSLOG: dict[str, Way] = {
    "tcp": lambda server, _: (f"tcp://127.0.0.1:{server.tcp_port}", {}),
    "tcp lf": lambda server, _: (f"tcp://127.0.0.1:{server.tcp_port}", {"framing": "lf"}),
    "tcp stream": lambda server, _: (f"tcp://127.0.0.1:{server.tcp_port}", {"confirm": False}),
    "tls": lambda server, certificates: (f"tls://localhost:{server.tls_port}", {"tls": tls_keys(certificates)}),
    "tls stream": lambda server, certificates: (
        f"tls://localhost:{server.tls_port}",
        {"tls": tls_keys(certificates), "confirm": False},
    ),
}


@pytest.mark.parametrize("header", ["rfc5424", "rfc3164", "rfc3164-tag"])
@pytest.mark.parametrize("form", ["json", "cef"])
@pytest.mark.parametrize("way", RSYSLOG)
async def test_rsyslog_gets_every_event_as_it_is(
    rsyslog: Rsyslog, certificates: Certificates, way: str, form: str, header: str
) -> None:
    before = len(rsyslog.lines())
    address, settings = RSYSLOG[way](rsyslog, certificates)

    payloads = await send(address, form=form, header=header, **settings)

    lines = await written(rsyslog, before)
    assert len(lines) == len(payloads)
    for line, payload in zip(lines, payloads, strict=True):
        assert line["text"].endswith(payload)
        assert line["host"] == "ws-042"
        assert line["time"][4:19] == "-03-02T09:04:05"  # RFC 3164 tells no year


async def test_rsyslog_gets_datagrams(rsyslog: Rsyslog) -> None:
    before = len(rsyslog.lines())
    target = Site(f"udp://127.0.0.1:{rsyslog.tcp_port}", form="cef")
    batch = target.batch(EVENTS[:50])

    await target.deliver(batch.events)

    lines = await written(rsyslog, before, 50)
    assert [line["text"].endswith(payload.decode()) for line, payload in zip(lines, batch.payloads, strict=True)]


async def test_rsyslog_refuses_a_stranger_and_has_nothing_of_him(rsyslog: Rsyslog, certificates: Certificates) -> None:
    before = len(rsyslog.lines())
    tls = tls_keys(certificates)
    for keys in (
        {"ca_file": tls["ca_file"]},
        {**tls, "cert_file": certificates.certificate("stranger"), "key_file": certificates.key("stranger")},
    ):
        target = Site(f"tls://localhost:{rsyslog.tls_port}", tls=keys)
        with pytest.raises(SinkDenied, match="refuses us"):
            await target.deliver(EVENTS[:5])

    assert len(rsyslog.lines()) == before


SYSLOG_NG: dict[str, Callable[[SyslogNg, Certificates], tuple[str, dict[str, Any]]]] = {
    "tcp": lambda server, _: (f"tcp://127.0.0.1:{server.tcp_port}", {}),
    "tls": lambda server, certificates: (f"tls://localhost:{server.tls_port}", {"tls": tls_keys(certificates)}),
    "lf": lambda server, _: (f"tcp://127.0.0.1:{server.lines_port}", {"framing": "lf"}),
    "tls stream": lambda server, certificates: (
        f"tls://localhost:{server.tls_port}",
        {"tls": tls_keys(certificates), "confirm": False},
    ),
}


@pytest.mark.parametrize("form", ["json", "cef"])
@pytest.mark.parametrize("way", SYSLOG_NG)
async def test_syslog_ng_gets_every_event_as_it_is(
    syslog_ng: SyslogNg, certificates: Certificates, way: str, form: str
) -> None:
    before = len(syslog_ng.lines())
    address, settings = SYSLOG_NG[way](syslog_ng, certificates)

    payloads = await send(address, form=form, header="rfc5424", **settings)

    lines = await written(syslog_ng, before)
    assert [line["text"] for line in lines] == payloads
    assert {(line["host"], line["tag"], line["msgid"]) for line in lines} == {
        ("ws-042", "edr-collector", "security_event")
    }


async def test_syslog_ng_refuses_a_stranger(syslog_ng: SyslogNg, certificates: Certificates) -> None:
    target = Site(f"tls://localhost:{syslog_ng.tls_port}", tls={"ca_file": certificates.authority})

    with pytest.raises(SinkDenied, match="refuses us"):
        await target.deliver(EVENTS[:5])
