"""Confirmed batches over TLS, into receivers of ours: whose certificate, and how the connection ends."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from collector.errors import SinkDenied, SinkError, SinkUnavailable
from collector.sinks.syslog.trials import NO_ANSWER
from tests.integration.certificates import Certificates, encrypt
from tests.unit.sinks.syslog.opening import Site, endings, events
from tests.unit.sinks.syslog.receivers import (
    Conduct,
    Receiver,
    close_after,
    close_at_once,
    forget_close_notify,
    lose_all,
    never_close,
    read_all,
    reset_after,
    talk,
)

pytestmark = pytest.mark.integration

MANY = events(400, 1000)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def server_context(
    certificates: Certificates, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3, *, asks: bool = True
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    if asks:
        context.load_verify_locations(certificates.authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def site(receiver: Receiver, certificates: Certificates, name: str = "client", **settings: Any) -> Site:
    tls = {
        "ca_file": certificates.authority,
        "cert_file": certificates.certificate(name),
        "key_file": certificates.key(name),
    }
    return Site(f"tls://localhost:{receiver.port}", **{"tls": tls, "confirm_timeout": "1s", **settings})


@pytest.fixture(params=VERSIONS, ids=lambda version: str(version.name))
def context(request: pytest.FixtureRequest, certificates: Certificates) -> ssl.SSLContext:
    return server_context(certificates, request.param)


async def test_batch_that_is_read_to_its_end_counts(context: ssl.SSLContext, certificates: Certificates) -> None:
    with Receiver(read_all, context=context) as receiver:
        target = site(receiver, certificates)
        batches = [target.batch(MANY), target.batch(events(1)), target.batch(MANY)]
        async with target.open() as sink:
            for batch in batches:
                await sink.deliver(batch)
            await sink.probe()

        assert endings(receiver.messages, [payload for batch in batches for payload in batch.payloads])


@pytest.mark.parametrize(
    "conduct",
    [close_at_once, close_after(1), close_after(100_000), reset_after(100_000), forget_close_notify, never_close, talk],
    ids=lambda conduct: conduct.__qualname__.partition(".")[0],
)
async def test_no_unpleasant_receiver_makes_a_batch_count_or_gets_it_for_ever(
    context: ssl.SSLContext, certificates: Certificates, conduct: Conduct
) -> None:
    with Receiver(conduct, context=context) as receiver:
        target = site(receiver, certificates, confirm_timeout="100ms")
        for _ in range(2):
            with pytest.raises(SinkUnavailable):
                await target.deliver(MANY)
        with pytest.raises(SinkError) as third:
            await target.deliver(MANY)

    # Who closes before the first byte has got nothing that could be there twice. Whether the close is seen before that
    # byte is out is a race of two processes: either verdict is right then.
    assert conduct is close_at_once or isinstance(third.value, SinkDenied)


async def test_connection_cut_behind_the_batch_is_told_from_an_orderly_end(
    context: ssl.SSLContext, certificates: Certificates
) -> None:
    refused = pytest.raises(SinkUnavailable, match="without TLS close_notify")
    with Receiver(forget_close_notify, context=context) as receiver, refused:
        await site(receiver, certificates).deliver(events(1))


async def test_terminator_with_a_dead_backend_counts_as_documented(
    context: ssl.SSLContext, certificates: Certificates
) -> None:
    with Receiver(lose_all, context=context) as receiver:
        await site(receiver, certificates).deliver(events(1))


async def test_probe_finds_a_receiver_that_never_closes(context: ssl.SSLContext, certificates: Certificates) -> None:
    with Receiver(never_close, context=context) as receiver, pytest.raises(SinkUnavailable, match=NO_ANSWER):
        await site(receiver, certificates, confirm_timeout="100ms").probe()


@pytest.mark.parametrize("confirm", [True, False])
async def test_client_certificate_that_is_not_accepted_holds_the_sink_before_anything_is_sent(
    context: ssl.SSLContext, certificates: Certificates, confirm: bool
) -> None:
    with Receiver(read_all, context=context) as receiver:
        for target in (
            site(receiver, certificates, "stranger", confirm=confirm),
            site(receiver, certificates, tls={"ca_file": certificates.authority}, confirm=confirm),
        ):
            with pytest.raises(SinkDenied, match="the receiver refuses us"):
                await target.deliver(events(1))
            with pytest.raises(SinkDenied, match="the receiver refuses us"):
                await target.probe()

        assert receiver.messages == []


async def test_receiver_that_is_not_trusted_gets_nothing(certificates: Certificates) -> None:
    with Receiver(read_all, context=server_context(certificates, asks=False)) as receiver:
        with pytest.raises(SinkDenied, match="certificate is not trusted"):
            await site(receiver, certificates, tls={}).deliver(events(1))

        assert receiver.messages == []


async def test_receiver_with_another_name_is_trusted_only_under_its_name(certificates: Certificates) -> None:
    with Receiver(read_all, context=server_context(certificates, asks=False)) as receiver:
        tls = {"ca_file": certificates.authority}
        with pytest.raises(SinkDenied, match="Hostname mismatch"):
            await site(receiver, certificates, tls={**tls, "server_name": "siem.example.com"}).deliver(events(1))
        address = f"tls://127.0.0.2:{receiver.port}"
        with pytest.raises(SinkError):
            await Site(address, tls=tls).deliver(events(1))

        await site(receiver, certificates, tls={**tls, "server_name": "127.0.0.1"}).deliver(events(1))


async def test_any_certificate_is_taken_where_asked(certificates: Certificates) -> None:
    with Receiver(read_all, context=server_context(certificates, asks=False)) as receiver:
        await site(receiver, certificates, tls={"verify": False}).deliver(events(1))

        assert len(receiver.messages) == 1


async def test_plain_receiver_under_a_tls_address_is_unavailable(certificates: Certificates) -> None:
    with Receiver(never_close) as receiver, pytest.raises(SinkUnavailable, match="no TLS handshake within"):
        await site(receiver, certificates, connect_timeout="200ms").deliver(events(1))
    with Receiver(talk) as receiver, pytest.raises(SinkUnavailable):
        await site(receiver, certificates, connect_timeout="200ms").deliver(events(1))


async def test_tls_files_that_are_none_hold_the_sink(certificates: Certificates, tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    for tls in (
        {"ca_file": nonsense},
        {"ca_file": tmp_path / "missing.pem"},
        {"cert_file": nonsense},
        {"cert_file": certificates.certificate("client"), "key_file": certificates.key("server")},
    ):
        with pytest.raises(SinkDenied, match="the TLS files can't be used"):
            await Site("tls://localhost", tls=tls).deliver(events(1))


async def test_encrypted_key_needs_its_password_and_nobody_is_asked_for_it(
    certificates: Certificates, tmp_path: Path
) -> None:
    key = tmp_path / "encrypted.key"
    await asyncio.to_thread(encrypt, certificates.key("client"), key, "s3cret")
    tls = {"ca_file": certificates.authority, "cert_file": certificates.certificate("client"), "key_file": key}
    with Receiver(read_all, context=server_context(certificates)) as receiver:
        with pytest.raises(SinkDenied, match="the TLS files can't be used"):
            await site(receiver, certificates, tls=tls).deliver(events(1))
        await site(receiver, certificates, tls={**tls, "key_password": "s3cret"}).deliver(events(1))

        assert len(receiver.messages) == 1


async def test_stream_over_tls_is_one_connection(context: ssl.SSLContext, certificates: Certificates) -> None:
    with Receiver(read_all, context=context) as receiver:
        target = site(receiver, certificates, confirm=False)
        batch = target.batch(MANY)
        async with target.open() as sink:
            await sink.deliver(batch)
            await sink.deliver(batch)
            await sink.deliver(target.batch([]))
        await asyncio.to_thread(receiver.until, lambda: len(receiver.messages) == 2 * len(batch))

        assert receiver.connections == 1
        assert endings(receiver.messages, [*batch.payloads, *batch.payloads])
