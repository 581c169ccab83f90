"""Which kind of syslog sink a configuration asks for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from pydantic import BaseModel

from collector.sinks.base import SinkContext, SinkPlugin
from collector.sinks.syslog.config import SyslogConfig
from collector.sinks.syslog.confirmed import ConfirmedSink
from collector.sinks.syslog.datagram import DatagramSink
from collector.sinks.syslog.dialing import Dialer
from collector.sinks.syslog.stream import StreamSink

SyslogSink = ConfirmedSink | StreamSink | DatagramSink


@asynccontextmanager
async def _opened(config: SyslogConfig, context: SinkContext) -> AsyncIterator[SyslogSink]:
    sink: SyslogSink
    if config.target.transport == "udp":
        sink = DatagramSink(config, context)
    else:
        dialer = Dialer(config)
        await dialer.make_ready()
        sink = (StreamSink if config.confirm is False else ConfirmedSink)(config, context, dialer)
    try:
        yield sink
    finally:
        await sink.close()


def open_syslog_sink(
    config: BaseModel,
    context: SinkContext,
    state: bytes | None,  # noqa: ARG001 -- the receiver knows nothing of us that would be worth keeping
) -> AbstractAsyncContextManager[SyslogSink]:
    """Open the sink; entering raises `SinkDenied` when the TLS files can't be used. It connects when it delivers."""
    if not isinstance(config, SyslogConfig):
        raise TypeError(f"expected SyslogConfig, got {type(config).__name__}")
    return _opened(config, context)


PLUGIN = SinkPlugin(config=SyslogConfig, open=open_syslog_sink, default_format="cef")
