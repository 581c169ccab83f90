"""One URL of the event collector: its data channel, its cookies, how it is at the moment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

import orjson
from multidict import MultiMapping

from collector.backoff import Backoff
from collector.clock import Clock
from collector.errors import SinkUnavailable, SourceUnavailable
from collector.http import Egress, HttpClients
from collector.sinks.splunk_hec.acks import Ack, Channel
from collector.sinks.splunk_hec.bodies import Part, body_of
from collector.sinks.splunk_hec.config import HecConfig
from collector.sinks.splunk_hec.verdicts import (
    NO_DATA,
    AcksDisabled,
    Reply,
    Taken,
    Verdict,
    denial,
    judge,
    read,
)

_EVENTS = "/services/collector/event"
_ACKS = "/services/collector/ack"
_REST_BASE, _REST_CAP = 1.0, 60.0
_PACE_BASE, _PACE_CAP = 0.5, 10.0
_MOST_COOKIES, _LONGEST_COOKIE = 20, 4096


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a body; `ack` is what to wait for in `channel`, None where there is nothing to wait for."""

    verdict: Verdict
    channel: Channel
    ack: Ack | None = None


class Node:
    """Sends bodies to one URL with one token, and asks it for acknowledgements."""

    def __init__(
        self, url: str, token: str, *, clients: HttpClients, egress: Egress, clock: Clock, config: HecConfig
    ) -> None:
        self.url = url
        self._token = token
        self._clients = clients
        self._egress = egress
        self._clock = clock
        self._compress = config.compression == "gzip"
        self._acknowledge = config.acknowledge
        self._names_channel = True
        self._cookies: dict[str, str] = {}
        self._waits = Backoff(_REST_BASE, _REST_CAP)
        self._rests_until = 0.0
        self._pace = 0.0
        self.channel = Channel(clock, self._acknowledged)

    @property
    def resting(self) -> bool:
        """It failed a moment ago: others are to be tried first."""
        return self._clock.monotonic() < self._rests_until

    def rest(self) -> None:
        """It failed: leave it alone for a while, where there are others."""
        self._rests_until = self._clock.monotonic() + self._waits.next()

    async def send(self, part: Part) -> Sent:
        """One body, once.

        Raises:
            SinkUnavailable: nothing is certain.
            SinkDenied: it refuses us.
        """
        if self._pace:
            await self._clock.sleep(self._pace)
        if self.channel.used_up:
            self._new_channel()
        channel = self.channel
        verdict = await self._send(part, channel)
        self._rests_until = 0.0
        self._waits.reset()
        if not isinstance(verdict, Taken):
            return Sent(verdict, channel)
        self._pace = min(_PACE_CAP, max(_PACE_BASE, self._pace * 2)) if verdict.slow else 0.0
        return Sent(verdict, channel, self._expected(channel, verdict.ack))

    async def _send(self, part: Part, channel: Channel) -> Verdict:
        body = await body_of(part, compress=self._compress)
        reply = await self._post(_EVENTS, body, channel)
        verdict = judge(reply, len(part))
        if isinstance(verdict, AcksDisabled) and self._names_channel:
            self._names_channel = False
            reply = await self._post(_EVENTS, body, channel)
            verdict = judge(reply, len(part))
        if isinstance(verdict, AcksDisabled):
            raise denial(reply)
        return verdict

    def _expected(self, channel: Channel, number: int | None) -> Ack | None:
        if number is None:
            if self._acknowledge and channel.used:
                raise SinkUnavailable("the receiver gave no ackId, although it did before")
            return None
        if self._acknowledge:
            return channel.expect(number)
        channel.note(number)
        return None

    async def probe(self, *, acknowledge: bool) -> bool:
        """Ask whether it would take events, by a body without any; whether it acknowledges, where that is asked for.

        Raises:
            SinkError: it would not, and why.
        """
        reply = await self._post(_EVENTS, b"", self.channel)
        if reply.code != NO_DATA or reply.status >= 500:
            judge(reply, 0)
        return not acknowledge or await self._acknowledged(self.channel, ()) is not None

    async def _acknowledged(self, channel: Channel, numbers: Collection[int]) -> Mapping[str, Any] | None:
        body = orjson.dumps({"acks": list(numbers)})
        reply = await self._post(_ACKS, body, channel)
        if reply.status == 200:
            return reply.acks
        if isinstance(judge(reply, 0), AcksDisabled):
            self._new_channel()  # one that has never given a number: none is missed
            return None
        raise SinkUnavailable(f"no acknowledgements: {reply.reason}", reply.retry_after)

    async def _post(self, path: str, body: bytes, channel: Channel) -> Reply:
        headers = {"Authorization": f"Splunk {self._token}", "Content-Type": "application/json"}
        if self._names_channel:
            headers["X-Splunk-Request-Channel"] = channel.guid
        if self._compress and body and path == _EVENTS:
            headers["Content-Encoding"] = "gzip"
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        try:
            answer = await self._clients.request(
                "POST", f"{self.url}{path}", headers=headers, body=body, egress=self._egress
            )
        except SourceUnavailable as exc:
            if channel is self.channel and channel.used:  # after a restart its numbers would be given again
                self._new_channel()
            raise SinkUnavailable(str(exc)) from exc
        self._keep_cookies(answer.headers)
        return read(answer, self._token)

    def _keep_cookies(self, headers: Mapping[str, str]) -> None:
        """A balancer in front finds the same indexer by them, and only that one knows our acknowledgements."""
        for line in headers.getall("Set-Cookie", []) if isinstance(headers, MultiMapping) else ():
            try:
                cookies = SimpleCookie(line[:_LONGEST_COOKIE])
            except CookieError:
                continue
            for name, morsel in cookies.items():
                if morsel["max-age"] == "0" or not morsel.coded_value:
                    self._cookies.pop(name, None)
                elif name in self._cookies or len(self._cookies) < _MOST_COOKIES:
                    self._cookies[name] = morsel.coded_value

    def _new_channel(self) -> None:
        self.channel = Channel(self._clock, self._acknowledged)
