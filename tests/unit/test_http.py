from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from collector.errors import SourceUnavailable
from collector.http import Answer, AnswerTooLarge, Egress, HttpClients, parse_date, parse_retry_after
from collector.room import Room
from tests.integration.certificates import Certificates, make_certificates

NOW = datetime(2026, 3, 2, 9, 15, tzinfo=UTC)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
DIRECT = Egress()
Answering = Callable[[bytes], bytes | None]


class RawServer:
    """Says what a test tells it to, byte by byte. `answer(request)` gives the answer; None resets the connection."""

    def __init__(self, answer: Answering, *, close: bool = True) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.base_url = ""
        self._answer = answer
        self._close = close

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15] == b"Content-Length:"), 0)
                self.requests.append(head + await reader.readexactly(length))
                answer = self._answer(self.requests[-1])
                if answer is None:
                    return
                writer.write(answer)
                await writer.drain()
                if self._close:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.transport.abort() if self._answer(b"") is None else writer.close()


@asynccontextmanager
async def serving(server: RawServer) -> AsyncIterator[RawServer]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield server


async def get(url: str, egress: Egress = DIRECT, http: HttpClients | None = None) -> Answer:
    async with http or HttpClients() as clients:
        return await clients.request("GET", url, headers={}, egress=egress)


async def complaint(answer: bytes | None) -> str:
    async with serving(RawServer(lambda _: answer)) as server:
        with pytest.raises(SourceUnavailable) as caught:
            await get(server.base_url + "/path?secret=query")
    assert "secret" not in str(caught.value)
    assert "/path: " in str(caught.value)
    return str(caught.value)


def response(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


async def test_answer_carries_status_headers_body_and_date() -> None:
    said = response(b"teapot", "418 I'm a teapot", "X-Transaction: t-1\r\nDate: Mon, 02 Mar 2026 09:15:00 GMT\r\n")
    async with serving(RawServer(lambda _: said)) as server, HttpClients() as http:
        answer = await http.request("POST", server.base_url + "/a", headers={"X-A": "b"}, body=b"c=d", egress=DIRECT)

    assert (answer.status, answer.body, answer.date) == (418, b"teapot", NOW)
    assert answer.headers["x-transaction"] == "t-1"
    (request,) = server.requests
    assert request.startswith(b"POST /a HTTP/1.1")
    assert request.endswith(b"c=d")
    assert b"X-A: b" in request
    assert b"User-Agent: edr-collector/" in request
    assert b"Accept-Encoding: gzip, deflate\r\n" in request


async def test_compressed_answers_are_unpacked() -> None:
    said = response(gzip.compress(b"x" * 100_000), headers="Content-Encoding: gzip\r\n")
    async with serving(RawServer(lambda _: said)) as server, HttpClients() as http:
        answer = await http.request("GET", server.base_url, headers={}, egress=DIRECT)

    assert answer.body == b"x" * 100_000


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "X-GZip"])
async def test_gzip_is_unpacked_under_its_old_name_too(name: str) -> None:
    said = response(gzip.compress(b"x" * 100_000), headers=f"Content-Encoding: {name}\r\n")
    async with serving(RawServer(lambda _: said)) as server:
        assert (await get(server.base_url)).body == b"x" * 100_000


@pytest.mark.parametrize(
    "packed", [b"this is no gzip at all", gzip.compress(b"torn" * 1000)[:-9]], ids=["no gzip", "cut off"]
)
async def test_a_torn_answer_under_the_old_name_is_unavailable(packed: bytes) -> None:
    assert "can't be unpacked" in await complaint(response(packed, headers="Content-Encoding: x-gzip\r\n"))


async def test_the_cap_holds_under_the_old_name() -> None:
    said = response(gzip.compress(b"x" * 5001), headers="Content-Encoding: x-gzip\r\n")
    async with serving(RawServer(lambda _: said)) as server:
        with pytest.raises(AnswerTooLarge):
            await get(server.base_url, http=HttpClients(max_bytes=5000))


async def test_no_redirect_is_followed() -> None:
    said = response(b"", "302 Found", "Location: http://127.0.0.1:9/elsewhere\r\n")
    async with serving(RawServer(lambda _: said)) as server, HttpClients() as http:
        answer = await http.request("GET", server.base_url, headers={"Authorization": "Bearer t"}, egress=DIRECT)

    assert answer.status == 302
    assert len(server.requests) == 1


async def test_cookies_are_not_kept() -> None:
    baking = RawServer(lambda _: response(b"", headers="Set-Cookie: a=b\r\n"), close=False)
    async with serving(baking) as server, HttpClients() as http:
        for _ in range(2):
            await http.request("GET", server.base_url, headers={}, egress=DIRECT)

    assert b"cookie" not in server.requests[1].lower()


async def test_connections_are_shared_by_equal_egress() -> None:
    async with serving(RawServer(lambda _: OK, close=False)) as server, HttpClients() as http:
        for _ in range(5):
            await http.request("GET", server.base_url, headers={}, egress=Egress())

    assert (len(server.requests), server.connections) == (5, 1)


async def test_requests_leave_from_the_local_address_that_was_asked_for() -> None:
    callers: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(writer.get_extra_info("peername")[0])
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        await get(url, Egress(local_address="127.0.0.2"))
        await get(url)
        with pytest.raises(SourceUnavailable, match="no connection"):
            await get(url, Egress(local_address="192.0.2.7"))

    assert callers == ["127.0.0.2", "127.0.0.1"]


async def test_ways_out_share_one_tls_context_unless_they_trust_differently() -> None:
    async with HttpClients() as http:
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            await http._session(Egress(local_address=address))
        await http._session(Egress(proxy="http://gate:1"))
        await http._session(Egress(verify=False))

        assert (len(http._sessions), len(http._contexts)) == (5, 2)


async def test_a_connection_nobody_uses_is_closed() -> None:
    async with HttpClients() as http:
        session = await http._session(DIRECT)

        assert isinstance(session.connector, aiohttp.TCPConnector)
        assert session.connector._keepalive_timeout == 15.0


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_dead_kept_alive_connection_costs_no_uncounted_request(method: str) -> None:
    answers = iter([OK, None, OK])
    dying = RawServer(lambda request: next(answers) if request else b"", close=False)
    async with serving(dying) as server, HttpClients() as http:
        await http.request(method, server.base_url, headers={}, egress=DIRECT)
        with pytest.raises(SourceUnavailable, match="connection was lost"):
            await http.request(method, server.base_url, headers={}, egress=DIRECT)

    assert len(server.requests) == 2


async def test_a_kept_alive_connection_that_is_reset_costs_no_uncounted_request() -> None:
    arrived: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            arrived.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(OK)
            arrived.append(await reader.readuntil(b"\r\n\r\n"))
            at_once = struct.pack("ii", 1, 0)  # RST instead of FIN
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        writer.transport.abort()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, HttpClients() as http:
        await http.request("GET", url, headers={}, egress=DIRECT)
        with pytest.raises(SourceUnavailable, match="connection was lost"):
            await http.request("GET", url, headers={}, egress=DIRECT)

    assert len(arrived) == 2


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n", "broke off"),
        (response(b"this is no gzip at all", headers="Content-Encoding: gzip\r\n"), "can't be unpacked"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"", "connection was lost"),
        (None, "connection was lost"),
    ],
)
async def test_torn_answers_are_unavailable(said: bytes | None, words: str) -> None:
    assert words in await complaint(said)


async def test_silence_is_unavailable() -> None:
    async with serving(RawServer(lambda _: b"HTTP/1.1 200 OK\r\nContent-Le", close=False)) as server:
        with pytest.raises(SourceUnavailable, match="no answer in time"):
            await get(server.base_url, http=HttpClients(timeout=aiohttp.ClientTimeout(total=5, sock_read=0.1)))


@pytest.mark.parametrize("packed", [False, True])
async def test_a_body_over_the_cap_is_too_large_however_it_was_packed(*, packed: bool) -> None:
    body = b"x" * 1_000_000
    said = response(gzip.compress(body), headers="Content-Encoding: gzip\r\n") if packed else response(body)
    async with serving(RawServer(lambda _: said)) as server:
        with pytest.raises(AnswerTooLarge, match="over 999999 bytes"):
            await get(server.base_url, http=HttpClients(max_bytes=999_999))
        await get(server.base_url, http=HttpClients(max_bytes=1_000_000))


async def test_answers_read_at_a_time_share_one_room_and_all_arrive() -> None:
    most = 0

    async def watch(room: Room) -> None:
        nonlocal most
        while True:
            most = max(most, room.held)
            await asyncio.sleep(0)

    async with serving(RawServer(lambda _: response(b"x" * 1_000_000))) as server, HttpClients(max_in_flight=1) as http:
        watching = asyncio.create_task(watch(http.room))
        asked = [http.request("GET", server.base_url, headers={}, egress=DIRECT) for _ in range(8)]
        answers = await asyncio.gather(*asked)
        watching.cancel()

    assert {len(answer.body) for answer in answers} == {1_000_000}
    assert 0 < most <= 1_000_000
    assert http.room.held == 0


async def test_a_page_holds_the_bytes_of_its_answers_until_it_is_stored() -> None:
    async with serving(RawServer(lambda _: response(b"x" * 1000))) as server, HttpClients() as http:
        with http.room.page():
            await http.request("GET", server.base_url, headers={}, egress=DIRECT)
            held = http.room.held

        assert (held, http.room.held) == (1000, 0)


async def test_an_answer_that_breaks_off_gives_its_room_back() -> None:
    said = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50_000
    async with serving(RawServer(lambda _: said)) as server, HttpClients() as http:
        with pytest.raises(SourceUnavailable):
            await http.request("GET", server.base_url, headers={}, egress=DIRECT)

    assert http.room.held == 0


async def test_a_refused_connection_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/a"

        with pytest.raises(SourceUnavailable, match="no connection: "):
            await get(url)


async def test_an_unknown_host_is_unavailable() -> None:
    with pytest.raises(SourceUnavailable, match=r"vendor.invalid/a: the host's name can't be resolved"):
        await get("http://vendor.invalid/a")


async def test_a_proxy_gets_the_request_and_its_password_stays_secret() -> None:
    async with serving(RawServer(lambda _: OK)) as server:
        proxy = server.base_url.replace("http://", "http://user:hidden@")
        await get("http://vendor.invalid/a", Egress(proxy=proxy))

    assert server.requests[0].startswith(b"GET http://vendor.invalid/a HTTP/1.1")
    assert b"Proxy-Authorization: Basic" in server.requests[0]


@pytest.mark.parametrize("refusing", [True, False])
async def test_proxy_trouble_names_no_password(*, refusing: bool) -> None:
    refusal = "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with serving(RawServer(lambda _: refusal.encode())) as server:
        proxy = server.base_url if refusing else "http://127.0.0.1:1"

        with pytest.raises(SourceUnavailable, match=r"proxy (refuses: status 407|can't be reached)") as caught:
            await get("https://vendor.invalid/a", Egress(proxy=proxy.replace("http://", "http://user:hidden@")))

    assert "hidden" not in str(caught.value)


async def test_the_environment_sets_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with serving(RawServer(lambda _: OK)) as server:
        await get(server.base_url)

    assert len(server.requests) == 1


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def serving_tls(certificates: Certificates) -> AsyncIterator[str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
    server = RawServer(lambda _: OK, close=False)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/a"


async def test_a_certificate_counts_only_by_the_configured_authority(certificates: Certificates) -> None:
    async with serving_tls(certificates) as url:
        await get(url, Egress(ca_file=certificates.authority))
        await get(url, Egress(verify=False))
        with pytest.raises(SourceUnavailable, match=r"/a: the server's TLS certificate is not trusted: .*certificate"):
            await get(url)


async def test_tls_spoken_to_plain_http_is_unavailable() -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with listener:
        with pytest.raises(SourceUnavailable, match="TLS failed"):
            await get(f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}/")


@pytest.mark.parametrize("content", [None, "no certificate"])
async def test_a_bad_ca_file_says_so(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)

    with pytest.raises(SourceUnavailable, match="TLS files can't be used"):
        await get("https://127.0.0.1:1/", Egress(ca_file=path))


async def test_a_header_that_could_split_the_request_is_not_sent() -> None:
    async with serving(RawServer(lambda _: OK)) as server, HttpClients() as http:
        with pytest.raises(SourceUnavailable, match="can't be sent") as caught:
            await http.request("GET", server.base_url, headers={"A": "secret\r\nB: c"}, egress=DIRECT)

    assert "secret" not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("3600", 3600.0),
        ("99999999999999", 3600.0),
        ("Mon, 02 Mar 2026 09:15:30 GMT", 30.0),
        ("Mon, 02 Mar 2026 09:00:00 GMT", 0.0),
        ("Tue, 02 Mar 2027 09:00:00 GMT", 3600.0),
        (None, None),
        ("", None),
        ("-5", None),
        ("soon", None),
        ("nan", None),
        ("1e9", None),
        ("٣", None),
        ("Mon, 99 Mar 2026 99:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_capped_at_an_hour(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@pytest.mark.parametrize("text", [None, "", "x", "Mon, 02 Mar 99999 09:15:00 GMT", "02", "Mon"])
def test_a_date_that_is_none_is_none(text: str | None) -> None:
    assert parse_date(text) is None


def test_a_date_with_an_offset_is_utc_afterwards() -> None:
    assert parse_date("Mon, 02 Mar 2026 11:15:00 +0200") == NOW
    assert parse_date("Mon, 02 Mar 2026 09:15:00 -0000") == NOW
    assert (parse_date("Mon, 02 Mar 2026 09:15:00 GMT") or NOW).utcoffset() == timedelta(0)
