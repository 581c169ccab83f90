"""What a simulated vendor does to its connections: resets, torn bodies, compression, answers without a Date."""

from __future__ import annotations

import asyncio
import socket
import struct
from importlib import import_module
from importlib.util import find_spec

from aiohttp import web

_gzip = import_module("isal.isal_zlib" if find_spec("isal") else "zlib")
NO_DATE = web.RequestKey("no_date", bool)


async def drop_date(request: web.Request, response: web.StreamResponse) -> None:
    """Signal `on_response_prepare`: the server library adds a Date where there is none, so it is taken out last."""
    if request.get(NO_DATE):
        response.headers.popall("Date", None)


def compress(request: web.Request, body: bytes, headers: dict[str, str]) -> bytes:
    """The body as gzip with its header, where the client takes that."""
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return body
    headers["Content-Encoding"] = "gzip"
    # On the loop, though a big page takes a millisecond: this is no product code.
    packed: bytes = _gzip.compress(body, 1, wbits=31)
    return packed


def reset(request: web.Request) -> web.StreamResponse:
    """End the connection with a TCP reset."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


async def cut(request: web.Request, status: int, body: bytes, headers: dict[str, str]) -> web.StreamResponse:
    """Promise the whole body (one byte where it is empty), send half of it, close."""
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = max(1, len(body))
    response.force_close()
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(0)
    if request.transport is not None:
        request.transport.close()
    return response
